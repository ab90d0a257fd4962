"""A cluster in a dict: carries plans' actions out as an API server would, for tests of what plans lead to."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from apimachinery import meta, patch, schema, strategicpatch
from apimachinery.resources import Resource
from controllermanager.plans.actions import Action, Create, Delete, Event, Patch, RequeueAfter, Update
from controllermanager.plans.views import PodView, pod_view

Object = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)


class ClusterModel:
    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, str, str], Object] = {}
        self.now = START
        self.revision = 0
        self.events: list[Event] = []
        self.requeue: float | None = None
        self.serial = itertools.count()

    def suffixes(self) -> Any:
        return (f"{n:05d}" for n in self.serial)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def stamp(self) -> str:
        return meta.rfc3339(self.now)

    def of(self, resource: Resource) -> list[Object]:
        return [obj for (r, _, _), obj in self.objects.items() if r == resource]

    def get(self, resource: Resource, name: str, namespace: str = "ns") -> Object:
        return self.objects[(resource, namespace if resource.namespaced else "", name)]

    def pods(self, resource: Resource) -> list[PodView]:
        return [pod_view(obj) for obj in self.of(resource)]

    def add(self, resource: Resource, obj: Object) -> Object:
        metadata = {**obj["metadata"]}
        if resource.namespaced:
            metadata.setdefault("namespace", "ns")
        metadata.setdefault("uid", f"uid-{next(self.serial)}")
        metadata.setdefault("creationTimestamp", self.stamp())
        metadata.setdefault("generation", 1)
        key = (resource, metadata.get("namespace", ""), metadata["name"])
        assert key not in self.objects, f"{key} exists"
        return self._store(key, {**obj, "metadata": metadata})

    def _store(self, key: tuple[Resource, str, str], obj: Object) -> Object:
        self.revision += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[key] = obj
        return obj

    def change(self, resource: Resource, name: str, change: Object, subresource: str = "") -> Object:
        key = (resource, "ns" if resource.namespaced else "", name)
        return self._change(key, patch.merge_patch(self.objects[key], change))

    def _change(self, key: tuple[Resource, str, str], new: Object) -> Object:
        old = self.objects[key]
        if new.get("spec") != old.get("spec"):
            generation = int(old["metadata"]["generation"]) + 1
            new = {**new, "metadata": {**new["metadata"], "generation": generation}}
        finalizers = new["metadata"].get("finalizers") or (new.get("spec") or {}).get("finalizers")
        if new["metadata"].get("deletionTimestamp") and not finalizers:
            self.revision += 1
            del self.objects[key]
            return new
        return self._store(key, new)

    def remove(self, resource: Resource, name: str, namespace: str = "ns") -> None:
        self.revision += 1
        del self.objects[(resource, namespace if resource.namespaced else "", name)]

    def carry_out(self, actions: list[Action], graceful: bool = False) -> None:
        """`graceful`: deleted objects stay, with a deletionTimestamp, until `remove`."""
        self.requeue = None
        for action in actions:
            self.one(action, graceful)

    def one(self, action: Action, graceful: bool = False) -> None:
        if isinstance(action, RequeueAfter):
            self.requeue = action.seconds if self.requeue is None else min(self.requeue, action.seconds)
        elif isinstance(action, Event):
            self.events.append(action)
        elif isinstance(action, Create):
            self.add(action.resource, action.obj)
        elif isinstance(action, Delete):
            key = (action.resource, action.namespace, action.name)
            obj = self.objects[key]
            assert obj["metadata"]["uid"] == action.uid
            if graceful or obj["metadata"].get("finalizers"):
                metadata = {**obj["metadata"], "deletionTimestamp": self.stamp()}
                self._store(key, {**obj, "metadata": metadata})
            else:
                self.revision += 1
                del self.objects[key]
        elif isinstance(action, Patch):
            key = (action.resource, action.namespace, action.name)
            old = self.objects[key]
            metadata = action.patch.get("metadata") or {}
            assert metadata.get("uid", old["metadata"]["uid"]) == old["metadata"]["uid"]
            version = old["metadata"]["resourceVersion"]
            assert metadata.get("resourceVersion", version) == version, "conflict"
            if action.kind == "strategic":
                new = strategicpatch.strategic_merge(old, action.patch, schema.for_resource(action.resource))
            else:
                new = patch.merge_patch(old, action.patch)
            if action.subresource == "status":
                annotations = {"annotations": new["metadata"].get("annotations") or {}}
                new = {**old, "metadata": {**old["metadata"], **annotations}, "status": new.get("status")}
            self._change(key, new)
        elif isinstance(action, Update):
            metadata = action.obj["metadata"]
            key = (action.resource, metadata.get("namespace", ""), metadata["name"])
            assert metadata["resourceVersion"] == self.objects[key]["metadata"]["resourceVersion"], "conflict"
            self._change(key, action.obj)
