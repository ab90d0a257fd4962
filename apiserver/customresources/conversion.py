"""Custom objects from one version to another: nothing but apiVersion changes, or a webhook is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery.structural import shape
from apiserver.customresources.definition import Definition, Version

Object = dict[str, Any]
#: Asks the webhook of a definition: (objects, desired apiVersion) → converted objects.
Ask = Callable[[list[Object], str], Awaitable[list[Object]]]


def fitted(obj: Object, version: Version) -> bool:
    """Bring an object into the shape of a version's schema, in place; says whether that changed anything."""
    before = obj.get("apiVersion")
    obj["apiVersion"] = version.resource.api_version
    dropped: list[str] = []
    shape.prune(obj, version.raw, dropped, root=True)
    filled = shape.default(obj, version.raw)
    return before != obj["apiVersion"] or bool(dropped) or filled


class Converter:
    """Converts the objects of one definition. `ask` is needed where the definition names a webhook."""

    def __init__(self, definition: Definition, ask: Ask | None = None) -> None:
        self._definition = definition
        self._ask = ask if definition.remote else None

    @property
    def remote(self) -> bool:
        return self._ask is not None

    async def convert(self, objects: list[Object], version: Version) -> list[Object]:
        """The objects (changed in place, or not used again) in a version. Raises StatusError where that fails."""
        wanted = version.resource.api_version
        if self._ask is not None:
            foreign = [obj for obj in objects if obj.get("apiVersion") != wanted]
            if foreign:
                answers = iter(await self._ask(foreign, wanted))
                objects = [obj if obj.get("apiVersion") == wanted else next(answers) for obj in objects]
        for obj in objects:
            fitted(obj, version)
        return objects

    def convert_here(self, obj: Object, version: Version) -> Object:
        """One object, where no webhook is needed for it."""
        fitted(obj, version)
        return obj
