"""CPU time that flow control costs a request: `python -P benchmarks/flow_control.py`.

Prints a table and, last, one line of JSON. Processor time, not the clock's, so that a busy machine says about the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from multidict import CIMultiDict  # noqa: E402

from apiserver import requestinfo  # noqa: E402
from apiserver.flowcontrol import defaults  # noqa: E402
from apiserver.flowcontrol.filter import FlowControl  # noqa: E402
from apiserver.flowcontrol.schema import FlowSchema  # noqa: E402
from apiserver.flowcontrol.seats import Seats  # noqa: E402
from apiserver.flowcontrol.sizes import LevelSpec  # noqa: E402
from apiserver.request import User  # noqa: E402

ACCOUNT = User(
    "system:serviceaccount:default:x",
    groups=("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"),
)
REQUEST = requestinfo.parse("GET", "/api/v1/namespaces/default/pods/p")


def microseconds(step: Callable[[], object], times: int) -> float:
    """Processor time of one step."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for _ in range(times):
            step()
        best = min(best, (time.process_time() - began) / times * 1e6)
    return round(best, 2)


def main() -> None:
    flow = FlowControl(600, 15.0)
    flow.configure(map(LevelSpec.of, defaults.levels()), map(FlowSchema.of, defaults.schemas()))

    def served() -> None:
        found = flow.classify(ACCOUNT, REQUEST)
        if flow.take(found):
            flow.release(found)

    found = flow.classify(ACCOUNT, REQUEST)
    headers = CIMultiDict({"Content-Type": "application/json", "Cache-Control": "no-cache, private"})

    def first() -> None:
        flow._classes.clear()
        flow.classify(ACCOUNT, REQUEST)

    seats = Seats(10)
    seats.configure([LevelSpec("busy", shares=1, queues=128, hand_size=6, queue_length=50)])
    busy = seats.levels["busy"]
    while seats.take(busy):
        pass
    keys = iter(range(10**9))

    def waited() -> None:
        seats.wait(busy, f"flow-{next(keys) % 20}", lambda: None)
        seats.release(busy)

    for _ in range(100):
        seats.wait(busy, f"flow-{next(keys) % 20}", lambda: None)
    figures = {
        "classify, take, give back": microseconds(served, 100_000),
        "headers of the answer": microseconds(lambda: headers.update(found.headers), 100_000),
        "first request of its kind": microseconds(first, 3_000),
        "wait and be woken": microseconds(waited, 20_000),
    }
    for name, value in figures.items():
        print(f"{name:28} {value:8.2f} µs")
    print(json.dumps({"benchmark": "flow_control", "microseconds": figures}))


if __name__ == "__main__":
    main()
