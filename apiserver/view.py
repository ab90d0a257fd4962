"""A resource in the API version a client asked for, over the registry of its storage version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import schema, warnings
from apimachinery.apply_versions import Steps, T, alike
from apimachinery.resources import Resource
from apiserver import selectable
from apiserver.entry import Entry, Fields, labels_of
from apiserver.fanout import Predicate
from apiserver.registry import conversion, scale
from apiserver.registry.registry import Registry

Object = dict[str, Any]


def _same(obj: Object) -> Object:
    return obj


class View:
    """`identity` where the asked version is the stored one, so that stored bytes can be sent as they are."""

    __slots__ = ("_from", "_schema", "_to", "identity", "registry", "remote", "resource", "warning")

    def __init__(self, resource: Resource, registry: Registry) -> None:
        self.resource = resource
        self.registry = registry
        converters = conversion.converters(resource)
        self.identity = converters is None
        #: Whether what is shown has to be `fetched` first. `warning`: what whoever uses this version is told.
        self.remote = False
        self.warning = warnings.DEPRECATED.get((resource.group, resource.version, resource.plural), "")
        self._to, self._from = converters or (_same, _same)
        self._schema: schema.Schema | None = None

    @property
    def schema(self) -> schema.Schema:
        if self._schema is None:
            self._schema = schema.for_resource(self.resource)
        return self._schema

    def stored(self, obj: Object) -> Object:
        """An object of the asked version in the stored one."""
        return self._to(obj)

    def converted(self, obj: Object) -> Object:
        """A stored object in the asked version; a Status stays as it is."""
        return obj if obj.get("kind") == "Status" else self._from(obj)

    def shown(self, value: Entry | Object) -> Object:
        return self.converted(value.object() if isinstance(value, Entry) else value)

    async def fetched(self, values: Sequence[Entry | Object]) -> list[Object]:
        """Objects in the asked version, where that takes asking somebody else. Raises StatusError."""
        return [self.shown(value) for value in values]

    async def matching(self, entries: Sequence[Entry], wanted: Predicate) -> list[Entry]:
        """The entries that a predicate takes by the labels and fields of this version. Raises StatusError."""
        objects = await self.fetched(entries)
        return [
            entry
            for entry, obj in zip(entries, objects, strict=True)
            if wanted(labels_of(obj), self.fields(obj))
        ]

    @property
    def fields(self) -> Fields:
        """What gives the selectable fields of an object of this version."""
        return selectable.fields_of(self.resource)

    async def across(self, steps: Steps[T]) -> T:
        """Run what has to see objects in several versions, where somebody has to be asked for that."""
        return alike(steps, self.schema)

    def scale_of(self, obj: Object) -> Object:
        """The Scale of a stored object."""
        return scale.of(obj)

    def scaled(self, obj: Object, wanted: Object) -> Object:
        """`obj` (changed in place) with the replicas of a Scale. Raises 409 or 422."""
        return scale.scaled(obj, wanted, self.registry.resource)

    def scale_statement(self, replicas: int | None) -> Object:
        """What an apply of a Scale with so many replicas states of the object."""
        return {"spec": {"replicas": replicas} if replicas is not None else {}}

    def table(
        self, objects: Sequence[Object], version: str, *, revision: str, include: str = "Metadata"
    ) -> Object:
        """The Table (meta.k8s.io) of some objects of the asked version."""
        from apiserver.tables import table  # loaded with the first table

        return table(self.resource, objects, version=version, revision=revision, include=include)
