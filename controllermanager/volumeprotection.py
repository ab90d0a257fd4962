"""The controllers of the finalizers on storage objects, and the one that makes pods' ephemeral claims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from apimachinery.errors import StatusError
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import volumeprotection as plans
from controllermanager.plans.views import PodView, object_by_namespace, pod_view
from controllermanager.plans.volumematch import CLAIMS, VOLUMES
from controllermanager.volumes import by_claim


class ClaimProtectionController(Controller):
    name: ClassVar[str] = "persistentvolumeclaim-protection-controller"
    source: ClassVar[str] = "pvc-protection-controller"

    def setup(self) -> None:
        self._claims = self.watch(CLAIMS, self.enqueue)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("claim", by_claim)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        if new is None and old is not None:
            for claim in old.claims:
                self.queue.add((old.namespace, claim))

    async def sync(self, key: Key) -> float | None:
        claim = self._claims.store.get(key)
        if claim is None:
            return None
        used = True
        if claim["metadata"].get("deletionTimestamp"):
            used = plans.in_use(key[1], self._pods.by_index("claim", key))
            if not used:
                # The watch may be behind a pod that was bound just now.
                pods, _ = await self.context.client.list(PODS, key[0])
                used = plans.in_use(key[1], map(pod_view, pods))
        return await self.executor.run(plans.plan_claim(claim, used))


class VolumeProtectionController(Controller):
    name: ClassVar[str] = "persistentvolume-protection-controller"
    source: ClassVar[str] = "pv-protection-controller"

    def setup(self) -> None:
        self._volumes = self.watch(VOLUMES, self.enqueue)

    async def sync(self, key: Key) -> float | None:
        volume = self._volumes.store.get(key)
        return await self.executor.run(plans.plan_volume(volume)) if volume is not None else None


class AttributesClassProtectionController(Controller):
    name: ClassVar[str] = "volumeattributesclass-protection-controller"

    def setup(self) -> None:
        self._classes = self.watch(plans.ATTRIBUTES_CLASSES, self.enqueue)
        self._users = [self.watch(resource, self._user_changed) for resource in (CLAIMS, VOLUMES)]

    def _user_changed(self, old: Any, new: Any) -> None:
        for name in plans.attributes_classes(old) - plans.attributes_classes(new):
            self.queue.add(("", name))

    async def sync(self, key: Key) -> float | None:
        attributes = self._classes.store.get(key)
        if attributes is None:
            return None
        used = True
        if attributes["metadata"].get("deletionTimestamp"):
            used = any(self._names(informer.store.values(), key[1]) for informer in self._users)
            for resource in (CLAIMS, VOLUMES):
                if not used:
                    # The watch may be behind a claim that was made just now.
                    found, _ = await self.context.client.list(resource)
                    used = self._names(found, key[1])
        return await self.executor.run(plans.plan_attributes_class(attributes, used))

    @staticmethod
    def _names(objects: Iterable[Any], name: str) -> bool:
        return any(name in plans.attributes_classes(obj) for obj in objects)


class EphemeralVolumeController(Controller):
    """Keys are a pod's."""

    name: ClassVar[str] = "ephemeral-volume-controller"
    source: ClassVar[str] = "ephemeral_volume"

    def setup(self) -> None:
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("claim", by_claim)
        self._claims = self.watch(CLAIMS, self._claim_changed)
        self._claims.add_index("namespace", object_by_namespace)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        if new is not None and old is None and new.has_ephemeral:
            self.enqueue(None, new)

    def _claim_changed(self, old: Any, new: Any) -> None:
        if new is None:
            metadata = old["metadata"]
            for pod in self._pods.by_index("claim", (metadata["namespace"], metadata["name"])):
                if pod.has_ephemeral:
                    self.enqueue(None, pod)

    async def sync(self, key: Key) -> float | None:
        view: PodView | None = self._pods.store.get(key)
        if view is None or view.deleting or view.finished:
            return None
        try:
            pod = await self.context.client.get(PODS, key[1], key[0])
        except StatusError as error:
            if error.code != 404:
                raise
            return None
        claims = {c["metadata"]["name"]: c for c in self._claims.by_index("namespace", key[0])}
        return await self.executor.run(plans.plan_ephemeral(pod, claims))
