"""The garbage collector: watches every resource there is, and deletes what nobody owns any more."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from controllermanager.controller import Controller, Key
from controllermanager.discovery import discover
from controllermanager.plans.garbage import Graph
from controllermanager.plans.views import MetaView, Owner, PodView
from kubeclient import Informer

log = logging.getLogger(__name__)

CRDS = resources.get("customresourcedefinitions", "apiextensions.k8s.io")
# Events own nothing and are owned by nothing.
_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_LIST = 5.0  # seconds that the first list of a resource is waited for
_REDISCOVER = 30.0  # seconds between two looks at what resources there are


class GarbageCollector(Controller):
    """Keys are ("", uid)."""

    name: ClassVar[str] = "garbage-collector-controller"
    workers: ClassVar[int] = 20

    def setup(self) -> None:
        self._graph = Graph()
        self._seen: dict[Resource, Informer] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self._rediscover = asyncio.Event()
        self.watch(CRDS, self._definitions_changed)

    def _definitions_changed(self, old: Any, new: Any) -> None:
        self._rediscover.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_resources())
            tasks.create_task(super().run())

    async def _follow_resources(self) -> None:
        for informer in list(self.context.informers.values()):
            await informer.synced()  # Those of the others come first: they have users waiting.
        while True:
            self._rediscover.clear()
            try:
                await self._discover()
            except (StatusError, ConnectionError, TimeoutError) as error:
                log.warning("discovery: %s", error)
            try:
                async with asyncio.timeout(_REDISCOVER):
                    await self._rediscover.wait()
            except TimeoutError:
                continue

    async def _discover(self) -> None:
        found = await discover(self.context.client)
        wanted = {
            r
            for r in found.resources
            if {"list", "watch", "delete"} <= set(r.verbs) and (r.group, r.plural) not in _IGNORED
        }
        self._by_kind.update({(r.api_version, r.kind): r for r in found.resources})
        for resource in sorted(wanted - self._seen.keys(), key=lambda r: r.qualified):
            informer = self.context.informer(resource, MetaView.of)
            self._seen[resource] = informer
            informer.add_handler(self._handler(resource))
            # One after the other: sixty lists at once would hold up everyone else. But no one holds up all others.
            if not await informer.synced_within(_LIST):
                log.warning("%s: cannot be listed yet", resource.qualified)
        # Owners that were looked up before their resource was watched: from now on the watch tells of them, but not
        # of those that went away in between.
        self._enqueue(self._graph.recheck())
        if found.failed:
            return
        for resource in [r for r in self._seen if r not in wanted and r.custom]:
            self._seen.pop(resource)
            self.context.informers.pop(resource, None)
            self.context.new_informer.set()
            for uid in [u for u, node in self._graph.nodes.items() if node.resource == resource]:
                self._enqueue(self._graph.remove(uid))

    def _handler(self, resource: Resource) -> Any:
        def changed(old: Any, new: Any) -> None:
            obj = new if new is not None else old
            view: MetaView | PodView = MetaView.of(obj) if isinstance(obj, dict) else obj
            if new is None:
                self._enqueue(self._graph.remove(view.uid))
                return
            before = (
                old["metadata"]["uid"] if isinstance(old, dict) else old.uid if old is not None else view.uid
            )
            if before != view.uid:
                self._enqueue(self._graph.remove(before))
            self._enqueue(self._graph.observe(resource, view))

        return changed

    def _enqueue(self, uids: set[str]) -> None:
        for uid in uids:
            self.queue.add(("", uid))

    async def sync(self, key: Key) -> float | None:
        uid = key[1]
        while True:
            verdict = self._graph.decide(uid)
            if not verdict.unknown:
                break
            node = self._graph.nodes[uid]
            for owner in verdict.unknown:
                if await self._exists(owner, node.namespace):
                    self._graph.mark_found(owner.uid)
                else:
                    self._graph.mark_absent(owner.uid)
        await self.executor.run(verdict.actions)
        return None

    async def _exists(self, owner: Owner, namespace: str) -> bool:
        """Whether an owner that no watch has shown is there, by a live read."""
        resource = self._by_kind.get((owner.api_version, owner.kind)) or resources.by_kind(
            owner.api_version, owner.kind
        )
        if resource is None:
            # The kind is unknown: perhaps only for now. Better to keep too much than to delete too much.
            self._rediscover.set()
            raise ConnectionError(f"no resource of kind {owner.kind} in {owner.api_version} is known")
        if resource.namespaced and not namespace:
            return True  # An owner that cannot be: kept, as nobody can say which object is meant.
        try:
            live = await self.context.client.get(resource, owner.name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return False
        return bool(live["metadata"]["uid"] == owner.uid)
