"""Makes volumes larger when their claims ask for more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from apimachinery import meta, quantity
from csicontroller import objects
from csicontroller.driver import DriverError
from csicontroller.reconciler import CLAIMS, VOLUMES, Key, Object, Reconciler, SecretError

EXPAND = "EXPAND_VOLUME"
_PENDING = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


def wanted(claim: Object, volume: Object, driver: str) -> int:
    """The size in bytes that the volume is to have; 0 where nothing is to be done."""
    ref = volume["spec"].get("claimRef") or {}
    if (volume["spec"].get("csi") or {}).get("driver") != driver or ref.get("uid") != claim["metadata"][
        "uid"
    ]:
        return 0
    if (claim.get("status") or {}).get("phase") != "Bound":
        return 0
    known = ((claim.get("status") or {}).get("capacity") or {}).get("storage", "0")
    size = objects.requested(claim)
    if size <= quantity.to_int(known):
        return 0
    if size <= capacity(volume) and condition(claim, "FileSystemResizePending"):
        return 0  # the node's turn
    return size


def capacity(volume: Object) -> int:
    """Bytes."""
    return quantity.to_int((volume["spec"].get("capacity") or {}).get("storage", "0"))


def condition(claim: Object, kind: str) -> bool:
    conditions = (claim.get("status") or {}).get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def conditions(claim: Object, kind: str, message: str, now: str) -> list[Object] | None:
    """The claim's conditions with this one of growing; "": with none."""
    left = [
        one
        for one in (claim.get("status") or {}).get("conditions") or ()
        if one["type"] not in ("Resizing", "FileSystemResizePending")
    ]
    if kind:
        made = {"type": kind, "status": "True", "lastTransitionTime": now}
        left.append({**made, "message": message} if message else made)
    return left or None


class Resizer(Reconciler):
    """Keys are (namespace, claim)."""

    name: ClassVar[str] = "resizer"

    def setup(self) -> None:
        self._claims = self.context.informer(CLAIMS)
        self._volumes = self.context.informer(VOLUMES)
        self._claims.add_handler(self.enqueue)
        self._volumes.add_handler(self._volume_changed)

    def _volume_changed(self, old: Any, new: Any) -> None:
        ref = (new or old)["spec"].get("claimRef")
        if ref is not None:
            self.queue.add((ref.get("namespace", ""), ref.get("name", "")))

    async def sync(self, key: Key) -> None:
        claim = self._claims.store.get(key)
        volume = self._volumes.get("", claim["spec"].get("volumeName") or "") if claim else None
        if claim is None or volume is None:
            return
        size = wanted(claim, volume, self.driver)
        if not size:
            return
        name = volume["metadata"]["name"]
        if not condition(claim, "Resizing"):
            text = f"External resizer is resizing volume {name}"
            self.context.event("PersistentVolumeClaim", claim, "Normal", "Resizing", text)
            claim = await self._status(claim, "Resizing")
        try:
            size, on_node = await self._expand(volume, size)
        except (DriverError, SecretError) as error:
            text = f'resize volume "{name}" by resizer "{self.driver}" failed: {error}'
            self.context.event("PersistentVolumeClaim", claim, "Warning", "VolumeResizeFailed", text)
            raise
        if size > capacity(volume):
            change = {
                "metadata": {"uid": volume["metadata"]["uid"]},
                "spec": {"capacity": {"storage": objects.bytes_text(size)}},
            }
            await self.patch(VOLUMES, volume, change)
        if on_node:
            await self._status(
                claim,
                "FileSystemResizePending",
                _PENDING,
                {"allocatedResourceStatuses": {"storage": "NodeResizePending"}},
            )
            text = "Require file system resize of volume on node"
            self.context.event("PersistentVolumeClaim", claim, "Normal", "FileSystemResizeRequired", text)
            return
        done = {"capacity": {"storage": objects.bytes_text(size)}, "allocatedResourceStatuses": None}
        await self._status(claim, "", "", done)
        text = "Resize volume succeeded"
        self.context.event("PersistentVolumeClaim", claim, "Normal", "VolumeResizeSuccessful", text)

    async def _expand(self, volume: Object, size: int) -> tuple[int, bool]:
        """(its size now, whether its node has something to do). A driver may leave all of it to the node."""
        if EXPAND not in self.context.features.capabilities:
            return size, True
        request = {
            "volume_id": volume["spec"]["csi"]["volumeHandle"],
            "capacity_range": {"required_bytes": size},
            "secrets": await self.context.secret_of(volume, "controllerExpandSecretRef"),
            "volume_capability": objects.volume_capability(volume, self.context.features.capabilities),
        }
        answer = await self.context.driver.call("ControllerExpandVolume", request)
        return answer.capacity_bytes or size, answer.node_expansion_required

    async def _status(
        self, claim: Object, kind: str, message: str = "", more: Object | None = None
    ) -> Object:
        now = meta.rfc3339(datetime.now(UTC))
        status: Object = {"conditions": conditions(claim, kind, message, now), **(more or {})}
        # The node may have been faster: what it has written is not to be taken back.
        held = {key: claim["metadata"][key] for key in ("uid", "resourceVersion")}
        patch = {"metadata": held, "status": status}
        return await self.patch(CLAIMS, claim, patch, subresource="status")
