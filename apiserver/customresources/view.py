"""One version of a custom resource as requests see it: conversion, tables, scale."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from apimachinery import schema
from apimachinery.apply_versions import Steps, T
from apiserver.customresources import scale
from apiserver.customresources.columns import Columns
from apiserver.customresources.definition import Version
from apiserver.customresources.registry import CustomRegistry
from apiserver.entry import Entry
from apiserver.view import View

Object = dict[str, Any]


class CustomView(View):
    """`remote` where objects may have to be converted by a webhook before they can be shown: see `fetched`."""

    __slots__ = ("_columns", "converter", "custom", "version")

    def __init__(self, registry: CustomRegistry) -> None:
        super().__init__(registry.resource, registry)
        self.custom = registry
        self.version: Version = registry.version
        self.converter = registry.converter
        self.identity = registry.verbatim
        self.remote = self.converter.remote
        self.warning = self.version.warning
        self._columns: Columns | None = None

    @property
    def schema(self) -> schema.Schema:
        return self.version.schema

    def converted(self, obj: Object) -> Object:
        if obj.get("kind") == "Status" or obj.get("apiVersion") == self.resource.api_version:
            return obj
        return self.converter.convert_here(obj, self.version)

    async def fetched(self, values: Sequence[Entry | Object]) -> list[Object]:
        objects = [value.object() if isinstance(value, Entry) else value for value in values]
        foreign = [obj for obj in objects if obj.get("kind") != "Status"]
        converted = iter(await self.converter.convert(foreign, self.version))
        return [obj if obj.get("kind") == "Status" else next(converted) for obj in objects]

    async def across(self, steps: Steps[T]) -> T:
        return await self.custom.across(steps)

    def table(
        self, objects: Sequence[Object], version: str, *, revision: str, include: str = "Metadata"
    ) -> Object:
        from apiserver.tables import assembled

        if self._columns is None:
            self._columns = Columns(self.version.columns)
        now = datetime.now(UTC)
        cells = [self._columns.cells(obj, now) for obj in objects]
        list_meta = {"resourceVersion": revision} if revision else {}
        return assembled(self._columns.definitions, objects, cells, list_meta, include, version)

    def scale_of(self, obj: Object) -> Object:
        return scale.of(obj, self.version.scale or {})

    def scaled(self, obj: Object, wanted: Object) -> Object:
        return scale.scaled(obj, wanted, self.resource, self.version.scale or {})

    def scale_statement(self, replicas: int | None) -> Object:
        return scale.statement(replicas, self.version.scale or {})
