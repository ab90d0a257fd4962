"""A reader and writer over plain dicts, for tests of what reads the apiserver's caches."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from apimachinery import errors, resources
from apimachinery.resources import Resource
from apiserver.request import Object


class ObjectReader:
    """Implements `request.Reader` and `request.Writer`; `writes` counts writes, `conflicts` how many will fail."""

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self.objects: dict[tuple[str, str, str, str], Object] = {}
        self.writes = 0
        self.conflicts = 0
        self._revision = 0
        for obj in objects:
            self.put(obj)

    def put(self, obj: Object) -> None:
        resource = resources.by_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None, obj
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        self.objects[self._key(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])] = obj

    @staticmethod
    def _key(resource: Resource, namespace: str, name: str) -> tuple[str, str, str, str]:
        return resource.group, resource.plural, namespace if resource.namespaced else "", name

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        del self.objects[self._key(resource, namespace, name)]

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self.objects.get(self._key(resource, namespace, name)))

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        wanted = (resource.group, resource.plural)
        return [
            copy.deepcopy(obj)
            for (group, plural, space, _), obj in sorted(self.objects.items())
            if (group, plural) == wanted and namespace in ("", space)
        ]

    async def create(self, resource: Resource, obj: Object) -> Object:
        self.writes += 1
        if self.get(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]):
            raise errors.already_exists(resource.plural, obj["metadata"]["name"], resource.group)
        self.put(copy.deepcopy(obj))
        return obj

    async def update(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        self.writes += 1
        meta = obj["metadata"]
        current = self.objects[self._key(resource, meta.get("namespace", ""), meta["name"])]
        if self.conflicts or current["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            self.conflicts = max(0, self.conflicts - 1)
            raise errors.conflict(resource.plural, meta["name"], errors.MODIFIED, resource.group)
        self.put(copy.deepcopy(obj))
        return obj


def namespace(name: str = "default", phase: str = "Active", labels: dict[str, str] | None = None) -> Object:
    meta: Object = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta, "status": {"phase": phase}}


def service_account(name: str = "default", space: str = "default", **fields: object) -> Object:
    meta = {"name": name, "namespace": space, "uid": f"uid-{space}-{name}"}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, **fields}


def pod(name: str = "p", space: str = "default", **spec: object) -> Object:
    containers = [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, "uid": f"uid-{space}-{name}"},
        "spec": {"containers": containers, **spec},
    }
