"""The persistent volume binder: brings claims and volumes together, and takes back volumes whose claim is gone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.errors import StatusError
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import claimbinding, localpath, volumebinding, volumematch
from controllermanager.plans.localpath import NODES
from controllermanager.plans.views import PodView
from controllermanager.plans.volumematch import CLAIMS, CLASSES, VOLUMES

Object = dict[str, Any]


def _pending_class(claim: Object) -> Iterable[Hashable]:
    """Index of claims that wait for a volume, by class."""
    return () if claim["spec"].get("volumeName") else (volumematch.class_of(claim),)


def _volume_of(claim: Object) -> Iterable[Hashable]:
    name = claim["spec"].get("volumeName")
    return (name,) if name else ()


def _free_class(volume: Object) -> Iterable[Hashable]:
    """Index of volumes that no claim has, by class."""
    return () if volume["spec"].get("claimRef") is not None else (volumematch.class_of(volume),)


def _claim_of(volume: Object) -> Iterable[Hashable]:
    ref = volume["spec"].get("claimRef")
    return ((ref.get("namespace"), ref.get("name")),) if ref is not None else ()


def _node(volume: Object) -> Iterable[Hashable]:
    return (localpath.node_of(volume),) if localpath.is_ours(volume) else ()


def by_claim(pod: PodView) -> Iterable[Hashable]:
    """Index of pods by (namespace, claim)."""
    return tuple((pod.namespace, claim) for claim in pod.claims)


class PersistentVolumeBinder(Controller):
    """Keys are (namespace, claim), and ("", volume)."""

    name: ClassVar[str] = "persistentvolume-binder-controller"
    source: ClassVar[str] = "persistentvolume-controller"

    def setup(self) -> None:
        self._classes = self.context.informer(CLASSES)
        self._claims = self.context.informer(CLAIMS)
        self._volumes = self.context.informer(VOLUMES)
        self._pods = self.context.informer(PODS)
        self._nodes = self.context.informer(NODES)
        self._claims.add_index("pending-class", _pending_class)
        self._claims.add_index("volume", _volume_of)
        self._volumes.add_index("free-class", _free_class)
        self._volumes.add_index("claim", _claim_of)
        self._volumes.add_index("local-path-node", _node)
        self._pods.add_index("claim", by_claim)
        self.watch(CLAIMS, self._claim_changed)
        self.watch(VOLUMES, self._volume_changed)
        self.watch(CLASSES, self._class_changed)
        self.watch(NODES, self._node_changed)
        self.watch(PODS, self._pod_changed)

    def _claim_changed(self, old: Any, new: Any) -> None:
        claim = new if new is not None else old
        key = (claim["metadata"]["namespace"], claim["metadata"]["name"])
        self.queue.add(key)
        for volume in self._volumes.by_index("claim", key):
            self.queue.add(("", volume["metadata"]["name"]))

    def _volume_changed(self, old: Any, new: Any) -> None:
        volume = new if new is not None else old
        name = volume["metadata"]["name"]
        self.queue.add(("", name))
        ref = volume["spec"].get("claimRef")
        if ref is not None:
            self.queue.add((ref.get("namespace", ""), ref.get("name", "")))
        for claim in self._claims.by_index("volume", name):
            self.enqueue(None, claim)
        if new is not None and ref is None:
            for claim in self._claims.by_index("pending-class", volumematch.class_of(volume)):
                self.enqueue(None, claim)

    def _class_changed(self, old: Any, new: Any) -> None:
        name = (new or old)["metadata"]["name"]
        for claim in self._claims.by_index("pending-class", name):
            self.enqueue(None, claim)
        for claim in self._claims.by_index("pending-class", ""):
            if not volumematch.has_class_choice(claim):
                self.enqueue(None, claim)

    def _node_changed(self, old: Any, new: Any) -> None:
        if old is not None and new is not None and meta.annotations(old) == meta.annotations(new):
            return
        node = new if new is not None else old
        names = set(localpath.removals(node))
        if new is None:
            names |= {
                volume["metadata"]["name"]
                for volume in self._volumes.by_index("local-path-node", node["metadata"]["name"])
            }
        for name in names:
            self.queue.add(("", name))

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        """A claim that waits says for whom; whether it may stop waiting, an annotation says."""
        if old is None and new is not None and not new.node:
            for claim in new.claims:
                if (new.namespace, claim) in self._claims.store:
                    self.queue.add((new.namespace, claim))

    async def sync(self, key: Key) -> float | None:
        return await (self._sync_claim(key) if key[0] else self._sync_volume(key))

    async def _sync_claim(self, key: Key) -> float | None:
        claim = self._claims.store.get(key)
        if claim is None:
            return None
        class_name = volumematch.class_of(claim)
        named = claim["spec"].get("volumeName")
        candidates: list[Object] = []
        if not named:
            free = self._volumes.by_index("free-class", class_name)
            candidates = self._volumes.by_index("claim", key) + free
        snapshot = claimbinding.Snapshot(
            claim=claim,
            volumes=candidates,
            named=self._volumes.get("", named) if named else None,
            storage_class=self._classes.get("", class_name) if class_name else None,
            default_class=volumematch.default_class(self._classes.store.values()),
            node=self._nodes.get("", meta.annotations(claim).get(localpath.SELECTED_NODE, "")),
            consumers=[p.name for p in self._pods.by_index("claim", key) if not p.node and not p.deleting],
        )
        return await self.executor.run(claimbinding.plan(snapshot, self.context.now()))

    async def _sync_volume(self, key: Key) -> float | None:
        name = key[1]
        volume = self._volumes.store.get(key)
        if volume is None:
            for node in self._nodes.store.values():
                if name in localpath.removals(node):
                    await self.executor.one(localpath.forget(node, name))
            return None
        ref = volume["spec"].get("claimRef")
        claim = await self._claim(ref) if ref is not None and ref.get("uid") else None
        node = await self._node_of(volume) if localpath.is_ours(volume) and claim is None else None
        snapshot = volumebinding.Snapshot(volume, claim, node)
        return await self.executor.run(volumebinding.plan(snapshot, self.context.now()))

    async def _claim(self, ref: Object) -> Object | None:
        """The claim of a volume: that it is gone is believed only after a look at the server."""
        found: Object | None = self._claims.get(ref["namespace"], ref["name"])
        if found is not None and found["metadata"]["uid"] == ref["uid"]:
            return found
        return await self._live(CLAIMS, ref["name"], ref["namespace"])

    async def _node_of(self, volume: Object) -> Object | None:
        name = localpath.node_of(volume)
        found: Object | None = self._nodes.get("", name)
        return found if found is not None else await self._live(NODES, name, "")

    async def _live(self, resource: Any, name: str, namespace: str) -> Object | None:
        try:
            return await self.context.client.get(resource, name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return None
