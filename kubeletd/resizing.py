"""In-place resize (KEP-1287): what a node has allocated to its pods, and giving it to their containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubeletd import admission, translate
from kubeletd.interfaces import Pod
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.resize import summary
from kubeletd.podstate.sizes import sizes_of
from kubeletd.runtime.interface import RuntimeFailure

Object = Mapping[str, Any]
Allocation = Mapping[str, Object]  # container name → resources
_FIELDS = (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses"))


def asked(pod: Pod) -> dict[str, Object]:
    """What the pod's spec asks for."""
    return {c["name"]: c.get("resources") or {} for f, _ in _FIELDS for c in pod["spec"].get(f) or ()}


def reported(pod: Pod) -> dict[str, Object]:
    """What the pod's status says it has: how a restarted agent knows what was allocated."""
    found: dict[str, Object] = {}
    for _, key in _FIELDS:
        for status in (pod.get("status") or {}).get(key) or ():
            if "resources" in status:
                given = dict(status["resources"])
                if status.get("allocatedResources"):
                    given["requests"] = status["allocatedResources"]
                found[status["name"]] = given
    return found


def with_allocation(pod: dict[str, Any], allocation: Allocation) -> dict[str, Any]:
    """The pod with the resources it has rather than those it asks for; itself where they are the same."""
    spec = pod["spec"]
    changed = {}
    for field, _ in _FIELDS:
        containers = [_with(c, allocation) for c in spec.get(field) or ()]
        if any(new is not old for new, old in zip(containers, spec.get(field) or (), strict=True)):
            changed[field] = containers
    return {**pod, "spec": {**spec, **changed}} if changed else pod


def _with(container: Object, allocation: Allocation) -> Object:
    given = allocation.get(container["name"])
    if given is None or sizes_of(given) == sizes_of(container.get("resources")):
        return container
    return {**container, "resources": given}


class Allocations:
    """What each pod of one node has been promised. `others(uid)` gives the node's other pods, as allocated."""

    def __init__(
        self,
        node: Callable[[], Object],
        others: Callable[[str], Iterable[Pod]],
        record: Callable[[Pod, str, str, str, str], None],
    ) -> None:
        self._node = node
        self._others = others
        self._record = record
        self._allocated: dict[str, Allocation] = {}
        self._pending: dict[str, tuple[str, str]] = {}

    def settle(self, pod: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, str] | None]:
        """The pod with what it has, and why (reason, message) that is not what it asks for. New pods get all."""
        uid = pod["metadata"]["uid"]
        if uid not in self._allocated:
            self._allocated[uid] = {**asked(pod), **reported(pod)}
        held = with_allocation(pod, self._allocated[uid])
        if held is pod or pod["metadata"].get("deletionTimestamp"):
            self._pending.pop(uid, None)
            return held, None
        refused = admission.resize_refusal(pod, self._node(), self._others(uid))
        if refused is None:
            self._pending.pop(uid, None)
            self._allocated[uid] = asked(pod)
            self._record(pod, "", "Normal", "ResizeStarted", f"Pod resize started: {_summary(pod)}")
            return pod, None
        if self._pending.get(uid) != refused:
            reason, message = refused
            self._pending[uid] = refused
            text = f"Pod resize {reason}: {_summary(pod, message)}"
            self._record(pod, "", "Warning", f"Resize{reason}", text)
        return held, refused

    def deferred(self) -> list[str]:
        """The pods whose resize waits for room."""
        return [uid for uid, (reason, _) in self._pending.items() if reason == "Deferred"]

    def forget(self, uid: str) -> None:
        self._allocated.pop(uid, None)
        self._pending.pop(uid, None)


def _summary(pod: Pod, error: str = "") -> str:
    kinds = (("init", "initContainers"), ("container", "containers"))
    containers = [
        (kind, c["name"], sizes_of(c.get("resources")).resources())
        for kind, field in kinds
        for c in pod["spec"].get(field) or ()
    ]
    return summary(containers, pod["metadata"].get("generation") or 0, error)


async def resize(parts: Parts, pod: Pod, instruction: do.Resize) -> ev.Resized:
    """Gives a running container what its pod's spec says. A memory limit is not set below what is in use."""
    name, container_id = instruction.name, instruction.id
    container = translate.find_container(pod, name)[0]
    sizes = sizes_of(container.get("resources"))
    wanted = translate.resources(pod, container, parts.memory_capacity)
    try:
        if wanted.memory_limit:
            used = (await parts.runtime.usage(container_id)).memory_working_set
            if used >= wanted.memory_limit:
                text = (
                    f'cannot decrease container "{name}" memory limit ({wanted.memory_limit}) below current '
                    f"usage ({used})"
                )
                return ev.Resized(name, container_id, sizes, False, text)
        await parts.runtime.update(container_id, wanted)
    except RuntimeFailure as error:
        return ev.Resized(name, container_id, sizes, False, error.message)
    return ev.Resized(name, container_id, sizes, True)
