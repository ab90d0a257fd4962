"""The CSI side of one node: its drivers, the volumes they staged, what of that its Node object says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from apimachinery.attachments import unique_name
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeletd.csi import model, plan, requests
from kubeletd.csi.errors import DriverError
from kubeletd.csi.model import Driver, Source
from kubeletd.csi.nodeobjects import NodeObjects
from kubeletd.csi.plan import Device, DeviceKey
from kubeletd.csi.records import Records
from kubeletd.csi.registration import Registered, Registry
from kubeletd.interfaces import MountError, Pod, WholeMountError

log = logging.getLogger(__name__)

ATTACH_SECONDS = 123.0  # as long as Kubernetes waits for a pod's volumes before it says so
_FIRST_RETRY, _LAST_RETRY = 0.5, 60.0


class CsiNode:
    """`record` makes events of pods, `changed` is told when the node's status may be another: the agent sets both."""

    def __init__(self, root: Path, node: str, client: Client, boot: str) -> None:
        self.root = str(root)
        self.node = node
        self.boot = boot
        self.records = Records(root)
        self.record: Callable[[Pod, str, str, str, str], None] = lambda *_: None
        self.changed: Callable[[], None] = lambda: None
        self.shown: dict[Path, tuple[str, str]] = {}  # names in the pod and of the claim of what is published
        self._objects = NodeObjects(client, node)
        self._registry = Registry(root, self._added, self._objects.remove)
        self._status: Mapping[str, Any] | None = None
        self._moved = asyncio.Event()
        self._loaded = asyncio.Event()
        self._locks: WeakValueDictionary[DeviceKey, asyncio.Lock] = WeakValueDictionary()
        self._settling: dict[DeviceKey, asyncio.Task[None]] = {}
        self._ending: set[str] = set()

    # What the agent tells and asks

    def on_node(self, node: Mapping[str, Any]) -> None:
        """The node's object in the API changed."""
        self._status = node
        self._move()

    def ending(self, uid: str) -> None:
        """A pod is on its way out: nothing is waited for on its behalf."""
        if uid not in self._ending:
            self._ending.add(uid)
            self._move()

    def over(self, uid: str) -> None:
        self._ending.discard(uid)

    def has_volumes(self, uid: str) -> bool:
        """Whether the pod has CSI volumes."""
        return any(directory.parts[-4] == uid for directory in self.records.publications)

    @property
    def volumes_in_use(self) -> list[str]:
        """For the Node's status: none of these may be detached."""
        return plan.in_use(self.records.devices.values(), self.records.publications.values())

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._load()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._registry.run())
                group.create_task(self._tidy())
        finally:
            tasks = list(self._settling.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self) -> None:
        while not self._loaded.is_set():
            try:
                await asyncio.to_thread(self.records.load)
                self._loaded.set()
            except OSError as error:
                log.error("the records of CSI volumes cannot be read: %s", error)
                await asyncio.sleep(_LAST_RETRY)
        self.changed()

    async def _tidy(self) -> None:
        """After a restart: drivers that are no more are signed off, volumes that no pod has are taken back."""
        await self._registry.looked.wait()
        for device in self._unused():
            self.settle(device.key)
        pause = _FIRST_RETRY
        while True:
            try:
                await self._objects.ensure()
                await self._objects.keep(lambda name: name in self._registry.drivers)
                return
            except (StatusError, OSError, TimeoutError) as error:
                log.warning("the CSINode object is not written: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LAST_RETRY)

    async def _added(self, driver: Driver) -> None:
        await self._objects.add(driver)
        self._move()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # What volumes ask

    async def ready(self) -> None:
        """The records are read, and the drivers that were here at the start have been asked."""
        await self._loaded.wait()
        await self._registry.looked.wait()

    def driver(self, name: str) -> Registered | None:
        return self._registry.drivers.get(name)

    def lock(self, key: DeviceKey) -> asyncio.Lock:
        """One thing at a time is done with a volume on this node."""
        found = self._locks.get(key)
        if found is None:
            found = self._locks[key] = asyncio.Lock()
        return found

    def seen(self, driver: Driver, path: Path) -> str:
        return requests.seen_by(driver, self.root, str(path))

    async def wait_attached(self, source: Source, pod: Pod, volume: str) -> None:
        """Until the Node's status has it that the volume is attached here. Raises MountError."""
        name = unique_name(source.driver, source.handle)
        uid = pod["metadata"]["uid"]
        self.changed()
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                while not model.attached(self._status, name):
                    if uid in self._ending:
                        raise WholeMountError("")
                    await self._moved.wait()
        except TimeoutError:
            raise WholeMountError(
                f"Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[{volume}], "
                "failed to process volumes=[]: context deadline exceeded"
            ) from None

    def released(self, key: DeviceKey) -> None:
        """A pod no longer has the volume."""
        self.changed()
        if any(device.key == key for device in self._unused()):
            self.settle(key)

    def _unused(self) -> list[Device]:
        return plan.unused(self.records.devices.values(), self.records.publications.values())

    def settle(self, key: DeviceKey) -> None:
        """Unstages a volume that no pod has, however often that has to be tried."""
        if key not in self._settling:
            task = self._settling[key] = asyncio.create_task(self._settle(key), name=f"unstage {key[1]}")
            task.add_done_callback(lambda _: self._settling.pop(key, None))

    async def _settle(self, key: DeviceKey) -> None:
        pause = _FIRST_RETRY
        while True:
            try:
                async with self.lock(key):
                    await self._unstage(key)
                break
            except (DriverError, MountError, OSError) as error:
                log.warning("UnmountVolume.UnmountDevice failed for volume %s: %s", key[1], error)
            except Exception:
                log.exception("UnmountVolume.UnmountDevice failed for volume %s", key[1])
            moved = self._moved
            try:
                async with asyncio.timeout(pause):
                    await moved.wait()  # the driver may have come
            except TimeoutError:
                pause = min(pause * 2, _LAST_RETRY)
        self.changed()

    async def _unstage(self, key: DeviceKey) -> None:
        device = next((one for one in self._unused() if one.key == key), None)
        if device is None:
            return
        registered = self.driver(device.driver)
        if registered is None:
            raise MountError(model.not_registered(device.driver))
        # From here on nobody may count on what was staged.
        await asyncio.to_thread(self.records.stage, replace(device, boot=""))
        path = self.seen(registered.driver, self.records.staging(key))
        if model.STAGE in registered.driver.capabilities:
            request = {"volume_id": device.handle, "staging_target_path": path}
            await registered.client.call("NodeUnstageVolume", request)
        await asyncio.to_thread(self.records.unstaged, key)
