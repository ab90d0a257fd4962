"""Ends the pods of a node that shuts down, one group after the other (KEP-2000; see `shutdown_plan`)."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence

from apimachinery.errors import StatusError
from kubeletd import status
from kubeletd.podstate import events as ev
from kubeletd.podworker import PodWorker
from kubeletd.shutdown_plan import MESSAGE, REASON, Period, groups
from kubeletd.statuswriter import StatusWriter

log = logging.getLogger(__name__)

_REPORT_SECONDS = 2.0  # what the last words to the API server may take


async def end_pods(
    workers: Callable[[], Mapping[str, PodWorker]], wanted: Sequence[Period], writer: StatusWriter
) -> None:
    """Returns when all pods have ended, or their time is over and they have been killed."""
    priorities = {uid: worker.pod["spec"].get("priority") or 0 for uid, worker in workers().items()}
    for group in groups(priorities, wanted):
        log.info("the node shuts down: %d pods end within %g s", len(group.pods), group.seconds)
        for uid in group.pods:
            worker = workers().get(uid)
            if worker is not None:
                worker.post(ev.Rejected(REASON, MESSAGE, math.floor(group.seconds)))
        # Killed at the end of their time, they are gone a moment later.
        await _ended(workers, group.pods, group.seconds + 1, writer.noticed)
    await asyncio.gather(*(_report(writer, uid) for uid in priorities))


async def _ended(
    workers: Callable[[], Mapping[str, PodWorker]],
    uids: Sequence[str],
    seconds: float,
    noticed: asyncio.Event,
) -> None:
    try:
        async with asyncio.timeout(seconds):
            while any(status.alive(worker.state) for uid, worker in workers().items() if uid in uids):
                noticed.clear()
                await noticed.wait()
    except TimeoutError:
        log.warning("not all pods have ended within %g s", seconds)


async def _report(writer: StatusWriter, uid: str) -> None:
    try:
        async with asyncio.timeout(_REPORT_SECONDS):
            await writer.flush(uid)
    except (StatusError, OSError, TimeoutError) as error:
        log.warning("the end of pod %s is not reported: %s", uid, error)
