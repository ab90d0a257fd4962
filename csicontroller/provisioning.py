"""Makes the volumes that claims ask for, and deletes those that claims have left."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.errors import StatusError
from csicontroller import objects, parameters, topology
from csicontroller.driver import DriverError
from csicontroller.objects import SELECTED_NODE, ClaimError
from csicontroller.parameters import ParameterError
from csicontroller.reconciler import (
    ATTACHMENTS,
    CLAIMS,
    CLASSES,
    CSI_NODES,
    NODES,
    VOLUMES,
    Key,
    NotYet,
    Object,
    Reconciler,
    SecretError,
)
from csicontroller.topology import TopologyError

# A call that ends so may have made a volume all the same, or be about to.
_UNSURE = frozenset(("Aborted", "Canceled", "DeadlineExceeded", "Unavailable"))
_REFUSALS = (DriverError, ClaimError, ParameterError, SecretError, TopologyError)


class Provisioner(Reconciler):
    """Keys are (namespace, claim)."""

    name: ClassVar[str] = "provisioner"

    def setup(self) -> None:
        self._claims = self.context.informer(CLAIMS)
        self._classes = self.context.informer(CLASSES)
        self._volumes = self.context.informer(VOLUMES)
        self._nodes = self.context.informer(NODES)
        self._csi_nodes = self.context.informer(CSI_NODES)
        self._unsure: dict[
            Key, tuple[Object, Object]
        ] = {}  # claims, with their classes, that may have a volume
        self._claims.add_handler(self.enqueue)
        self._classes.add_handler(self._class_changed)

    def _class_changed(self, old: Any, new: Any) -> None:
        for key in self._claims.store:
            self.queue.add(key)

    async def sync(self, key: Key) -> None:
        claim = self._claims.store.get(key)
        if claim is None:
            await self._abandon(key)
            return
        storage_class = self._classes.get("", objects.class_name(claim))
        if not objects.is_for(claim, self.driver, storage_class):
            return
        if self._volumes.get("", objects.volume_name(claim)) is not None:
            return  # the binder takes it from here
        assert storage_class is not None
        place = f'"{key[0]}/{key[1]}"'
        text = f"External provisioner is provisioning volume for claim {place}"
        self.context.event("PersistentVolumeClaim", claim, "Normal", "Provisioning", text)
        try:
            made = await self._make(claim, storage_class)
        except _REFUSALS as error:
            if isinstance(error, DriverError) and error.code in _UNSURE:
                self._unsure[key] = (claim, storage_class)
            else:
                self._unsure.pop(key, None)
            await self._refused(claim, storage_class, error)
            raise NotYet(str(error)) from error
        self._unsure.pop(key, None)
        try:
            self.context.observe(VOLUMES, await self.context.client.create(VOLUMES, made))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        text = f"Successfully provisioned volume {made['metadata']['name']}"
        self.context.event("PersistentVolumeClaim", claim, "Normal", "ProvisioningSucceeded", text)

    async def _abandon(self, key: Key) -> None:
        """A claim is gone whose volume may have been made: the driver is asked again, to know what to delete."""
        known = self._unsure.get(key)
        if known is None:
            return
        try:
            made = await self._make(*known)
        except DriverError as error:
            if error.code not in _UNSURE:
                del self._unsure[key]
                return
            raise
        except (ClaimError, ParameterError, TopologyError):
            del self._unsure[key]
            return
        secrets = await self.context.secret(objects.deletion_secret(made))
        request = {"volume_id": made["spec"]["csi"]["volumeHandle"], "secrets": secrets}
        await self.context.driver.call("DeleteVolume", request)
        del self._unsure[key]

    async def _make(self, claim: Object, storage_class: Object) -> Object:
        features = self.context.features
        name = objects.volume_name(claim)
        given = storage_class.get("parameters") or {}
        places = None
        if features.topology:
            places = topology.requirement(
                self.driver,
                claim["metadata"]["uid"],
                {node["metadata"]["name"]: node for node in self._nodes.store.values()},
                {node["metadata"]["name"]: node for node in self._csi_nodes.store.values()},
                meta.annotations(claim).get(SELECTED_NODE, ""),
                storage_class.get("allowedTopologies") or (),
            )
        request = objects.create_request(
            claim,
            storage_class,
            secrets=await self.context.secret(parameters.secret(given, "provisioner", claim, name)),
            source=self._source(claim),
            places=places,
            capabilities=features.capabilities,
            default_fstype=self.context.config.default_fstype,
        )
        volume = (await self.context.driver.call("CreateVolume", request)).volume
        return objects.persistent_volume(
            claim,
            storage_class,
            self.driver,
            handle=volume.volume_id,
            capacity=volume.capacity_bytes,
            context=volume.volume_context,
            places=[place.segments for place in volume.accessible_topology],
            default_fstype=self.context.config.default_fstype,
        )

    def _source(self, claim: Object) -> Object | None:
        """The volume to copy. Raises ClaimError."""
        name = objects.content_source(claim)
        if not name:
            return None
        if "CLONE_VOLUME" not in self.context.features.capabilities:
            raise ClaimError(f"driver {self.driver} does not clone volumes")
        found = self._claims.get(claim["metadata"]["namespace"], name)
        volume: Object | None = (
            self._volumes.get("", found["spec"].get("volumeName") or "") if found else None
        )
        if found is None or volume is None or (found.get("status") or {}).get("phase") != "Bound":
            raise ClaimError(f"the PVC in state {name} is not bound: it cannot be cloned yet")
        if (volume["spec"].get("csi") or {}).get("driver") != self.driver:
            raise ClaimError(f"the source volume of PVC {name} is not provisioned by driver {self.driver}")
        return volume

    async def _refused(self, claim: Object, storage_class: Object, error: Exception) -> None:
        text = f'failed to provision volume with StorageClass "{storage_class["metadata"]["name"]}": {error}'
        self.context.event("PersistentVolumeClaim", claim, "Warning", "ProvisioningFailed", text)
        full = isinstance(error, TopologyError) or (
            isinstance(error, DriverError) and error.code == "ResourceExhausted"
        )
        if full and SELECTED_NODE in meta.annotations(claim):
            # There is no room where the pod would go: the scheduler may find it another node.
            change = {"uid": claim["metadata"]["uid"], "annotations": {SELECTED_NODE: None}}
            await self.patch(CLAIMS, claim, {"metadata": change})


class Deleter(Reconciler):
    """Keys are ("", volume)."""

    name: ClassVar[str] = "deleter"

    def setup(self) -> None:
        self._volumes = self.context.informer(VOLUMES)
        self._attachments = self.context.informer(ATTACHMENTS)
        self._volumes.add_handler(self.enqueue)
        self._attachments.add_handler(self._attachment_changed)

    def _attachment_changed(self, old: Any, new: Any) -> None:
        if new is None:
            self.queue.add(("", old["spec"]["source"].get("persistentVolumeName", "")))

    async def sync(self, key: Key) -> None:
        volume = self._volumes.store.get(key)
        if volume is None or meta.annotations(volume).get(objects.PROVISIONED_BY) != self.driver:
            return
        if not objects.deletable(volume, self.driver):
            await self._let_go(volume)
            return
        if any(
            one["spec"]["source"].get("persistentVolumeName") == key[1]
            for one in self._attachments.store.values()
        ):
            return  # it is looked at again when that has gone
        try:
            secrets = await self.context.secret(objects.deletion_secret(volume))
            request = {"volume_id": volume["spec"]["csi"]["volumeHandle"], "secrets": secrets}
            await self.context.driver.call("DeleteVolume", request)
        except (DriverError, SecretError) as error:
            self.context.event("PersistentVolume", volume, "Warning", "VolumeFailedDelete", str(error))
            raise
        await self._forget(volume)

    async def _forget(self, volume: Object) -> None:
        """The object goes after what it stood for."""
        metadata = volume["metadata"]
        if objects.PROVISIONER_FINALIZER in meta.finalizers(volume):
            patch = objects.without_finalizer(volume, objects.PROVISIONER_FINALIZER)
            volume = await self.patch(VOLUMES, volume, patch)
        try:
            await self.context.client.delete(VOLUMES, metadata["name"], uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def _let_go(self, volume: Object) -> None:
        """Somebody deleted a volume that is to be kept, or that never had a claim."""
        held = objects.PROVISIONER_FINALIZER in meta.finalizers(volume)
        going = held and bool(volume["metadata"].get("deletionTimestamp"))
        free = (volume.get("status") or {}).get("phase") not in ("Bound", None)
        if going and free and volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            await self.patch(
                VOLUMES, volume, objects.without_finalizer(volume, objects.PROVISIONER_FINALIZER)
            )
