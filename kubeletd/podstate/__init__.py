"""The life of one pod on a node, decided purely: `step(state, event, now) -> (state, instructions)`.

| file | what it decides |
|---|---|
| plan.py | what of a pod's spec matters here (`PodPlan`) |
| model.py | what is known about the pod's sandbox and containers (`PodState`) |
| events.py | what can happen: facts and outcomes of instructions |
| instructions.py | what the worker may be asked to do |
| restart.py | restart policies and back-off |
| absorb.py | how an event changes what is known |
| decide.py | what to do next, from what is known alone |
| adoption.py | the state of a pod whose containers were found running |

Every instruction has exactly one outcome, an event; what is under way is part of the state, so `decide` never asks
for a thing twice. Time comes in as `now` (seconds since the epoch).
"""

from kubeletd.podstate.model import PodState
from kubeletd.podstate.plan import PodPlan, plan_of
from kubeletd.podstate.step import step

__all__ = ["PodPlan", "PodState", "plan_of", "step"]
