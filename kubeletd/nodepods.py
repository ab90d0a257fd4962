"""The pods of one node: which are taken up and which refused, what they are told of changes, when they are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubeletd import nodestatus
from kubeletd.interfaces import Pod
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podstate import plan_of
from kubeletd.podstate.adoption import adopt
from kubeletd.podworker import PodWorker
from kubeletd.resizing import Allocations
from kubeletd.runtime.interface import ContainerState

Object = Mapping[str, Any]


class NodePods:
    """Keeps `workers` (by uid). `node()` gives the Node; `known(namespace, name)` the API's pod as it is.

    `refusal(pod, others)` gives (reason, message) where the node does not take a new pod beside the others;
    `shown(uid)` is told when what volumes show of a pod changed, `over(uid)` when nothing is left of a pod.
    """

    def __init__(
        self,
        workers: dict[str, PodWorker],
        parts: Parts,
        node: Callable[[], Object],
        known: Callable[[str, str], dict[str, Any] | None],
        refusal: Callable[[Pod, Sequence[Pod]], tuple[str, str] | None],
        shown: Callable[[str], None],
        over: Callable[[str], None],
    ) -> None:
        self._workers = workers
        self._parts = parts
        self._node = node
        self._known = known
        self._refusal = refusal
        self._shown = shown
        self._over = over
        self._allocations = Allocations(node, self._others, parts.record)
        self._closing: set[asyncio.Task[None]] = set()
        #: What was found running here by an agent that has just begun, by uid; cleared when it is taken up.
        self.found: Mapping[str, Sequence[ContainerState]] = {}

    async def close(self) -> None:
        await asyncio.gather(*(worker.close() for worker in self._workers.values()), *self._closing)

    def on_pod(self, old: Any, new: Any) -> None:
        """The API's pod changed; `new` None: it is no more."""
        if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            worker = self._workers.get(old["metadata"]["uid"])
            if worker is not None:
                worker.update(old, gone=True)
        self._retry_resizes()
        if new is None:
            return
        worker = self._workers.get(new["metadata"]["uid"])
        if worker is None:
            self.take_up(new)
            return
        told_before, told = (((p.get("status") or {}).get("conditions")) for p in (worker.pod, new))
        self._update(worker, new)
        if told != told_before and nodestatus.is_ready(self._node()):
            self._parts.changed(worker.uid)  # by us, or by somebody who does not know

    def take_up(self, pod: dict[str, Any]) -> None:
        """A pod that has no worker yet: new, or one of an earlier agent's."""
        uid = pod["metadata"]["uid"]
        pod, pending = self._allocations.settle(pod)
        found = self.found.get(uid, ())
        pod_status = pod.get("status") or {}
        state = adopt(plan_of(pod), found, pod_status, self._parts.clock())
        worker = PodWorker(pod, self._parts, self._pod_over, state)
        taken_before = bool(found) or bool(pod_status.get("startTime"))
        if not taken_before and not state.stopping:
            refused = self._refusal(pod, self._others(uid))
            if refused is not None:
                self._parts.record(pod, "", "Warning", *refused)
                self._workers[uid] = worker
                worker.post(ev.Rejected(*refused))
                worker.update(pod)
                return
        self._workers[uid] = worker
        worker.update(pod, resize_pending=pending)
        self._parts.changed(uid)

    def end(self, pod: dict[str, Any]) -> None:
        """The pod as it is to end, where nobody but this node decides that."""
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is not None:
            worker.update(pod)

    def _others(self, uid: str) -> list[Pod]:
        """The pods that take up room here beside one, with what they have."""
        return [w.pod for w in self._workers.values() if w.uid != uid and not w.state.stopping]

    def _update(self, worker: PodWorker, pod: dict[str, Any]) -> None:
        held, pending = self._allocations.settle(pod)
        changed = _shown(held) != _shown(worker.pod)
        worker.update(held, resize_pending=pending)
        if changed:
            self._shown(worker.uid)

    def _retry_resizes(self) -> None:
        """Looks whether there is room by now for the pods that wait for more of it."""
        for uid in self._allocations.deferred():
            worker = self._workers.get(uid)
            meta = worker.pod["metadata"] if worker is not None else {}
            pod = self._known(meta["namespace"], meta["name"]) if meta else None
            if worker is not None and pod is not None and pod["metadata"]["uid"] == uid:
                self._update(worker, pod)

    def _pod_over(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        self._allocations.forget(uid)
        if worker is not None:
            self._parts.prober.forget(uid)
            task = asyncio.create_task(worker.close(), name=f"close {uid}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._over(uid)


def _shown(pod: Pod) -> list[Any]:
    """What downwardAPI volumes can show of a pod, as far as it changes."""
    metadata, spec = pod["metadata"], pod["spec"]
    containers = (*spec["containers"], *(spec.get("initContainers") or ()))
    return [metadata.get("labels"), metadata.get("annotations"), *(c.get("resources") for c in containers)]
