"""Whether a container runtime is well, from the signs of it, in Kubernetes' words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kubeletd.podstate.restart import duration

#: Seconds without an answer after which the runtime counts as down.
SILENCE = 20.0
DOWN = "container runtime is down"
#: Seconds that a call may take before pods cannot be looked after.
PATIENCE = 180.0


@dataclass(frozen=True, slots=True)
class Signs:
    """`connected`: the stream of its events stands. `silent_for`: seconds since the first of the questions in a row
    that it left unanswered. `busy_for`: seconds since the oldest call under way was made."""

    connected: bool = True
    silent_for: float = 0.0
    busy_for: float = 0.0


def trouble(signs: Signs) -> str:
    """Why no node on it is ready, "" where that is not its fault."""
    found = []
    if not signs.connected or signs.silent_for >= SILENCE:
        found.append(DOWN)
    if signs.busy_for >= PATIENCE:
        found.append(
            f"PLEG is not healthy: pleg was last seen active {duration(signs.busy_for)} ago; "
            f"threshold is {duration(PATIENCE)}"
        )
    return f"[{', '.join(found)}]" if len(found) > 1 else "".join(found)
