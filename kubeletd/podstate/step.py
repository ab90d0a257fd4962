"""The pod machine's one entry."""

from __future__ import annotations

from kubeletd.podstate.absorb import absorb
from kubeletd.podstate.decide import decide
from kubeletd.podstate.events import Event
from kubeletd.podstate.instructions import Instruction
from kubeletd.podstate.model import PodState


def step(state: PodState, event: Event, now: float) -> tuple[PodState, list[Instruction]]:
    """What is known after `event`, and what to do. The new state's `wake_at` says when a Tick is wanted (0: never)."""
    state, told = absorb(state, event, now)
    state, instructions = decide(state, now)
    return state, told + instructions
