"""What the parts of the controller share: the objects they look at, the loop around a queue, the reading of secrets."""

from __future__ import annotations

import base64
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from csicontroller.driver import Driver, DriverError, Features
from csicontroller.options import CsiControllerConfig
from csicontroller.parameters import SecretKey
from kubeclient import Client, EventRecorder, Informer, WorkQueue

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]

CLAIMS = resources.get("persistentvolumeclaims")
VOLUMES = resources.get("persistentvolumes")
NODES = resources.get("nodes")
SECRETS = resources.get("secrets")
CLASSES = resources.get("storageclasses", "storage.k8s.io")
ATTACHMENTS = resources.get("volumeattachments", "storage.k8s.io")
CSI_NODES = resources.get("csinodes", "storage.k8s.io")


class SecretError(Exception):
    """A secret that the driver is to be given cannot be read."""


class NotYet(Exception):
    """Something else has to happen first."""


@dataclass(slots=True)
class Context:
    """What every part works with."""

    client: Client
    recorder: EventRecorder
    driver: Driver
    features: Features
    config: CsiControllerConfig
    informers: dict[Resource, Informer] = field(default_factory=dict)

    def informer(self, resource: Resource) -> Informer:
        found = self.informers.get(resource)
        if found is None:
            found = self.informers[resource] = Informer(self.client, resource)
        return found

    async def secret(self, key: SecretKey | None) -> dict[str, str]:
        """What the driver logs in with. Raises SecretError."""
        if key is None:
            return {}
        try:
            found = await self.client.get(SECRETS, key[1], key[0])
        except StatusError as error:
            raise SecretError(f"error getting secret {key[1]} in namespace {key[0]}: {error}") from error
        return {name: base64.b64decode(value).decode() for name, value in (found.get("data") or {}).items()}

    async def secret_of(self, volume: Object, field: str) -> dict[str, str]:
        """The secret that a PersistentVolume names under `spec.csi`. Raises SecretError."""
        reference: Mapping[str, str] | None = volume["spec"]["csi"].get(field)
        return await self.secret((reference["namespace"], reference["name"]) if reference else None)

    def event(self, kind: str, obj: Object, type: str, reason: str, message: str) -> None:
        """`kind` is the object's: PersistentVolumeClaim or PersistentVolume."""
        self.recorder.event({**obj, "apiVersion": "v1", "kind": kind}, type, reason, message)

    def observe(self, resource: Resource, obj: Object) -> None:
        """Shows what was written to the informer at once."""
        if resource in self.informers:
            self.informers[resource].observe(obj)


class Reconciler(ABC):
    """A loop: `setup` watches, `sync` brings one key to what it should be."""

    name: ClassVar[str]

    def __init__(self, context: Context) -> None:
        self.context = context
        self.driver = context.features.name
        config = context.config
        self.queue: WorkQueue[Key] = WorkQueue(config.retry_interval_start, config.retry_interval_max)
        self.setup()

    @abstractmethod
    def setup(self) -> None:
        """Watches what it goes by."""

    @abstractmethod
    async def sync(self, key: Key) -> None:
        """Brings one key to what it should be."""

    def enqueue(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        self.queue.add((obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))

    async def run(self) -> None:
        for informer in self.context.informers.values():
            await informer.synced()
        await self.queue.run(self.sync, self._failed, self.context.config.concurrency)

    async def patch(self, resource: Resource, obj: Object, patch: Object, subresource: str = "") -> Object:
        """A merge patch. Raises StatusError."""
        meta = obj["metadata"]
        changed = await self.context.client.patch(
            resource, meta["name"], patch, meta.get("namespace", ""), kind="merge", subresource=subresource
        )
        self.context.observe(resource, changed)
        return changed

    def _failed(self, key: Key, error: Exception, delay: float) -> None:
        text = "%s %s: %s; again in %.1f s"
        known = (DriverError, SecretError, NotYet, StatusError, OSError, TimeoutError)
        if isinstance(error, known):
            log.warning(text, self.name, "/".join(key), error, delay)
        else:
            log.error(text, self.name, "/".join(key), error, delay, exc_info=error)
