"""The registry of one version of a custom resource: pruning, defaults, validation by its schema, conversion."""

from __future__ import annotations

import copy
from typing import Any

from apimachinery import apply, validation
from apimachinery.apply_versions import Steps, T
from apimachinery.errors import FieldError, StatusError
from apimachinery.schema import Schema
from apimachinery.structural import shape, values
from apiserver.cacher import Cacher
from apiserver.customresources.conversion import Converter
from apiserver.customresources.definition import Definition, Version
from apiserver.entry import Entry
from apiserver.registry.call import Backend, Call
from apiserver.registry.registry import Registry, Result
from apiserver.registry.strategy import Strategy
from apiserver.registry.writing import Object

_KEPT_BY_STATUS = frozenset({"managedFields", "resourceVersion"})


class CustomRegistry(Registry):
    """Objects given and returned are in the version's own; entries are as they are stored."""

    def __init__(
        self,
        definition: Definition,
        version: Version,
        cacher: Cacher,
        backend: Backend,
        converter: Converter,
    ) -> None:
        super().__init__(version.resource, cacher, backend)
        self.definition = definition
        self.version = version
        self.schema = version.schema
        self.strategy = _strategy(version)
        self.converter = converter
        self.verbatim = version is definition.storage and not definition.remote
        self._rules = shape.any_with(version.raw, "x-kubernetes-validations")
        self._defaults = shape.any_with(version.raw, "default")

    async def create(
        self, call: Call, namespace: str, obj: Object, name: str = "", *, track: bool = True
    ) -> Result:
        if self.definition.terminating:
            message = "create not allowed while custom resource definition is terminating"
            details = {"group": self.resource.group, "kind": self.resource.plural}
            raise StatusError(405, "MethodNotAllowed", message, details)
        return await super().create(call, namespace, obj, name, track=track)

    def fill(self, obj: Object) -> None:
        if self._defaults:
            shape.default(obj, self.version.raw)

    def check_new(self, call: Call, obj: Object) -> list[FieldError]:
        found = validation.create(self.resource, obj)
        self.version_checks(found, obj, None)
        return found

    def check_changed(self, call: Call, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if subresource == "status":
            found = validation.status_update(self.resource, new, old)
        else:
            found = validation.update(self.resource, new, old)
        self.version_checks(found, new, old)
        return found

    def version_checks(self, found: list[FieldError], new: Object, old: Object | None) -> None:
        """What the schema and its rules have against `new`."""
        raw = self.version.raw
        before = values.ABSENT if old is None else old
        count = len(found)
        values.validate(found, new, raw, "", before, root=True)
        if self._rules and len(found) == count:
            from apimachinery.structural import (
                celrules,
            )  # the evaluator is loaded where there is something to do

            celrules.validate(found, new, raw, "", before, root=True)

    async def track_change(self, call: Call, old: Object, new: Object, now: str, subresource: str) -> None:
        if not self.converter.remote:
            self.track(call, old, new, now, subresource)
            return
        await self.across(
            apply.tracking(
                old,
                new,
                manager=call.options.field_manager or "unknown",
                schema=self.schema,
                api_version=self.resource.api_version,
                now=now,
                subresource=subresource,
            )
        )

    async def across(self, steps: Steps[T]) -> T:
        """Run what has to see objects in several versions. Raises StatusError where a conversion fails."""
        try:
            obj, wanted = next(steps)
            while True:
                obj, wanted = steps.send(await self._in_version(obj, wanted))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _in_version(self, obj: Object, api_version: str) -> tuple[Object, Schema] | None:
        version = self.definition.versions.get(api_version.rpartition("/")[2])
        if version is None or version.resource.api_version != api_version:
            return None
        if obj.get("apiVersion") == api_version:
            return obj, version.schema
        return (await self.converter.convert([copy.deepcopy(obj)], version))[0], version.schema

    async def read(self, entry: Entry) -> Object:
        return (await self.converter.convert([entry.object()], self.version))[0]

    async def stored(self, obj: Object) -> Object:
        return (await self.converter.convert([obj], self.definition.storage))[0]

    def current(self, entry: Entry) -> bool:
        return entry.key not in self.cacher.reshaped and (
            not self.definition.remote
            or entry.object().get("apiVersion") == self.definition.storage.resource.api_version
        )


def _strategy(version: Version) -> Strategy:
    has_status = version.resource.subresource("status") is not None

    def intent(obj: Object) -> Any:
        return {k: v for k, v in obj.items() if k != "metadata" and not (has_status and k == "status")}

    return Strategy(
        has_status=has_status,
        generation=True,
        intent=intent,
        prepare_status=_only_status,
        unconditional_update=False,
    )


def _only_status(new: Object, old: Object) -> None:
    """The status subresource of a custom resource changes nothing of the metadata."""
    metadata = new["metadata"]
    kept = {key: metadata[key] for key in _KEPT_BY_STATUS if key in metadata}
    new["metadata"] = {**{k: v for k, v in old["metadata"].items() if k not in _KEPT_BY_STATUS}, **kept}
