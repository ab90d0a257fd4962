"""Attaches volumes to nodes and detaches them, as VolumeAttachments ask."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.errors import StatusError
from csicontroller import objects, topology
from csicontroller.driver import DriverError
from csicontroller.reconciler import (
    ATTACHMENTS,
    CSI_NODES,
    VOLUMES,
    Key,
    NotYet,
    Object,
    Reconciler,
    SecretError,
)

NODE_ID = "csi.alpha.kubernetes.io/node-id"
PUBLISH = "PUBLISH_UNPUBLISH_VOLUME"


def finalizer(driver: str) -> str:
    return "external-attacher/" + re.sub(r"[^a-zA-Z0-9-]", "-", driver)


class Attacher(Reconciler):
    """Keys are ("", attachment). A driver that attaches nothing has its attachments agreed to at once."""

    name: ClassVar[str] = "attacher"

    def setup(self) -> None:
        self._attachments = self.context.informer(ATTACHMENTS)
        self._volumes = self.context.informer(VOLUMES)
        self._csi_nodes = self.context.informer(CSI_NODES)
        self._finalizer = finalizer(self.driver)
        self._attachments.add_handler(self.enqueue)
        self._attachments.add_handler(self._gone)
        self._volumes.add_handler(self._volume_changed)

    def _gone(self, old: Any, new: Any) -> None:
        volume = self._volumes.get("", old["spec"]["source"].get("persistentVolumeName", "")) if old else None
        if new is None and volume is not None:
            self._volume_changed(volume, volume)

    def _volume_changed(self, old: Any, new: Any) -> None:
        if new is not None and new["metadata"].get("deletionTimestamp"):
            self.queue.add(("volume", new["metadata"]["name"]))

    async def sync(self, key: Key) -> None:
        if key[0] == "volume":
            await self._release(key[1])
            return
        attachment = self._attachments.store.get(key)
        if attachment is None or attachment["spec"]["attacher"] != self.driver:
            return
        if attachment["metadata"].get("deletionTimestamp"):
            if self._finalizer in meta.finalizers(attachment):
                await self._detach(attachment)
        elif not (attachment.get("status") or {}).get("attached"):
            await self._attach(attachment)

    async def _attach(self, attachment: Object) -> None:
        context: dict[str, str] = {}
        if PUBLISH in self.context.features.capabilities:
            try:
                context, attachment = await self._publish(attachment)
            except (DriverError, SecretError, NotYet) as error:
                await self._failed_to("attach", attachment, error)
                raise
        status: Object = {"attached": True, "attachError": None}
        if context:
            status["attachmentMetadata"] = context
        await self._status(attachment, status)

    async def _publish(self, attachment: Object) -> tuple[dict[str, str], Object]:
        volume = self._volume(attachment)
        node = attachment["spec"]["nodeName"]
        node_id = topology.node_id(self._csi_nodes.get("", node), self.driver)
        if not node_id:
            raise NotYet(f"CSINode {node} does not contain driver {self.driver}")
        # Both are there before the driver is asked, so that the volume is detached whatever happens meanwhile.
        if self._finalizer not in meta.finalizers(volume):
            await self.patch(VOLUMES, volume, objects.with_finalizer(volume, self._finalizer))
        held = self._finalizer in meta.finalizers(attachment)
        if not held or meta.annotations(attachment).get(NODE_ID) != node_id:
            patch = objects.with_finalizer(attachment, self._finalizer) if not held else {"metadata": {}}
            patch["metadata"]["annotations"] = {NODE_ID: node_id}
            attachment = await self.patch(ATTACHMENTS, attachment, patch)
        csi = volume["spec"]["csi"]
        request = {
            "volume_id": csi["volumeHandle"],
            "node_id": node_id,
            "volume_capability": objects.volume_capability(volume, self.context.features.capabilities),
            "readonly": bool(csi.get("readOnly"))
            and "PUBLISH_READONLY" in self.context.features.capabilities,
            "secrets": await self.context.secret_of(volume, "controllerPublishSecretRef"),
            "volume_context": csi.get("volumeAttributes") or {},
        }
        answer = await self.context.driver.call("ControllerPublishVolume", request)
        return dict(answer.publish_context), attachment

    async def _detach(self, attachment: Object) -> None:
        try:
            volume = self._volume(attachment)
            node = attachment["spec"]["nodeName"]
            node_id = meta.annotations(attachment).get(NODE_ID) or topology.node_id(
                self._csi_nodes.get("", node), self.driver
            )
            request = {
                "volume_id": volume["spec"]["csi"]["volumeHandle"],
                "node_id": node_id,
                "secrets": await self.context.secret_of(volume, "controllerPublishSecretRef"),
            }
            await self.context.driver.call("ControllerUnpublishVolume", request)
        except (DriverError, SecretError, NotYet) as error:
            if not isinstance(error, DriverError) or error.code != "NotFound":
                await self._failed_to("detach", attachment, error)
                raise
        patch = objects.without_finalizer(attachment, self._finalizer)
        await self.context.client.patch(ATTACHMENTS, attachment["metadata"]["name"], patch, kind="merge")

    def _volume(self, attachment: Object) -> Object:
        """The PersistentVolume to attach. Raises NotYet."""
        name = attachment["spec"]["source"].get("persistentVolumeName", "")
        volume: Object | None = self._volumes.get("", name)
        if volume is None or (volume["spec"].get("csi") or {}).get("driver") != self.driver:
            raise NotYet(f'could not get PersistentVolume of driver {self.driver}: "{name}"')
        return volume

    async def _failed_to(self, what: str, attachment: Object, error: Exception) -> None:
        now = meta.rfc3339(datetime.now(UTC))
        known = ((attachment.get("status") or {}).get(f"{what}Error") or {}).get("message")
        if known != str(error):
            attached = bool((attachment.get("status") or {}).get("attached"))
            trouble = {"message": str(error), "time": now}
            await self._status(attachment, {"attached": attached, f"{what}Error": trouble})

    async def _status(self, attachment: Object, status: Object) -> None:
        patch = {"metadata": {"uid": attachment["metadata"]["uid"]}, "status": status}
        await self.patch(ATTACHMENTS, attachment, patch, subresource="status")

    async def _release(self, name: str) -> None:
        """A volume that is being deleted is let go when it is attached nowhere any more."""
        volume = self._volumes.get("", name)
        if volume is None or self._finalizer not in meta.finalizers(volume):
            return
        if any(
            one["spec"]["source"].get("persistentVolumeName") == name
            for one in self._attachments.store.values()
        ):
            return
        try:
            await self.patch(VOLUMES, volume, objects.without_finalizer(volume, self._finalizer))
        except StatusError as error:
            if error.code != 404:
                raise
