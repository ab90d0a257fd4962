"""Reports pod statuses to the API: only what changed, several changes in one request, never two at once for a pod."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeletd import status as statuses
from kubeletd.interfaces import Pod
from kubeletd.podstate import PodState
from kubeletd.status import NodeFacts

log = logging.getLogger(__name__)

PODS = resources.get("pods")
_PATIENCE = 0.3  # seconds that changes nobody acts on wait for more of them
_RETRY = 1.0
_PARALLEL = 8
_LOST = (403, 404, 409, 422)  # this status will not be taken however often it is sent
Snapshot = tuple[Pod, PodState]


class StatusWriter:
    """`snapshot(uid)` gives the API's pod (as known) and its state, None once it is no more.

    `observe(pod)` gets the API's answer, which is what the next change is compared with.
    """

    def __init__(
        self,
        client: Client,
        snapshot: Callable[[str], Snapshot | None],
        observe: Callable[[dict[str, Any]], None],
        facts: Callable[[], NodeFacts],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._snapshot = snapshot
        self._observe = observe
        self._facts = facts
        self._clock = clock
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._dirty: dict[str, asyncio.Event] = {}
        self.noticed = asyncio.Event()  # set whenever a pod's status may have changed

    def mark(self, uid: str) -> None:
        """The pod's status may have changed."""
        self.noticed.set()
        dirty = self._dirty.get(uid)
        if dirty is None:
            dirty = self._dirty[uid] = asyncio.Event()
            task = asyncio.create_task(self._report(uid, dirty), name=f"status {uid}")
            self._writing[uid] = task
            task.add_done_callback(lambda _: self._writing.pop(uid, None))
        dirty.set()

    async def flush(self, uid: str) -> None:
        """Returns when the status as it is now has been reported, or cannot be. StatusError, OSError as they come."""
        snapshot = self._snapshot(uid)
        if snapshot is None:
            return
        patch = self._patch(snapshot)
        if patch:
            await self._send(snapshot[0], patch)

    async def close(self) -> None:
        tasks = list(self._writing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _patch(self, snapshot: Snapshot) -> dict[str, Any]:
        pod, state = snapshot
        new = statuses.pod_status(pod, state, self._facts(), self._clock())
        return statuses.change(pod.get("status") or {}, new)

    async def _report(self, uid: str, dirty: asyncio.Event) -> None:
        """Lives while there is something to report."""
        loop = asyncio.get_running_loop()
        try:
            quiet_until = loop.time() + _PATIENCE
            while dirty.is_set():
                dirty.clear()
                snapshot = self._snapshot(uid)
                patch = self._patch(snapshot) if snapshot else {}
                if not patch or snapshot is None:
                    continue
                wait = quiet_until - loop.time()
                if wait > 0 and not statuses.urgent(snapshot[0].get("status") or {}, patch):
                    try:
                        async with asyncio.timeout(wait):
                            await dirty.wait()
                    except TimeoutError:
                        quiet_until = 0.0
                    dirty.set()
                    continue
                quiet_until = loop.time() + _PATIENCE
                if not await self._try(snapshot[0], patch):
                    await asyncio.sleep(_RETRY)
                    dirty.set()
        finally:
            del self._dirty[uid]

    async def _try(self, pod: Pod, patch: dict[str, Any]) -> bool:
        """Whether it is settled: written, or refused for good."""
        try:
            await self._send(pod, patch)
        except StatusError as error:
            if error.code in _LOST:
                log.debug("status of pod %s not taken: %s", pod["metadata"]["name"], error)
                return True
            log.warning("status of pod %s not written: %s", pod["metadata"]["name"], error)
            return False
        except (OSError, TimeoutError) as error:
            log.warning("status of pod %s not written: %s", pod["metadata"]["name"], error)
            return False
        return True

    async def _send(self, pod: Pod, patch: dict[str, Any]) -> None:
        meta = pod["metadata"]
        async with self._slots:
            answer = await self._client.patch(
                PODS,
                meta["name"],
                {"metadata": {"uid": meta["uid"]}, "status": patch},
                meta["namespace"],
                kind="strategic",
                subresource="status",
            )
        self._observe(answer)
