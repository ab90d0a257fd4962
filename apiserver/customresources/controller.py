"""Follows the CustomResourceDefinitions and serves what they define, on every API server alike.

Level-triggered: whenever any definition changes, each one whose revision is new is looked at. Names are decided and
written to the status by whichever server comes first; a definition's objects are served before it says Established.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver import scale_handlers
from apiserver.cacher import Cacher, Shape
from apiserver.customresources import naming
from apiserver.customresources.conversion import Ask, Converter, fitted
from apiserver.customresources.definition import FINALIZER, Definition, is_true, parse
from apiserver.customresources.registry import CustomRegistry
from apiserver.customresources.view import CustomView
from apiserver.dispatch import Dispatcher
from apiserver.entry import Entry
from apiserver.options import DeleteOptions
from apiserver.registry.call import system_call
from apiserver.registry.registries import Registries
from apiserver.storage.interface import StorageError

logger = logging.getLogger(__name__)

Object = dict[str, Any]
DEFINITIONS = resources.get("customresourcedefinitions", "apiextensions.k8s.io")
_RETRY_SECONDS = 0.5
_BUILTIN = frozenset(resource.storage for resource in resources.BUILTIN)


class CustomResources:
    """`await start()` once the caches are loaded, then `run()` for as long as the server; `stop()` at the end.

    `ask` makes what calls the conversion webhook of a definition.
    """

    def __init__(
        self,
        registries: Registries,
        dispatcher: Dispatcher,
        ask: Callable[[Definition], Ask] | None = None,
    ) -> None:
        self._registries = registries
        self._dispatcher = dispatcher
        self._ask = ask
        self._definitions = registries.cachers[DEFINITIONS]
        self._served: dict[str, Definition] = {}
        self._seen: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._cleaning: dict[str, asyncio.Task[None]] = {}
        self._looking = asyncio.Lock()

    async def start(self) -> None:
        """Serve what is defined already."""
        await self._look()

    async def stop(self) -> None:
        tasks = list(self._cleaning.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self) -> None:
        """Follow the definitions until cancelled."""
        while True:
            watcher = self._definitions.watch(self._definitions.revision, encoder=_changed)
            try:
                await self._look()
                async for _ in watcher:
                    await self._look()
            except (StorageError, StatusError) as error:
                logger.warning("custom resources: trying again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                watcher.close()

    async def find(self, group: str, plural: str) -> None:
        """Serve what another server has just established, if it defines this."""
        await self._definitions.fresh()
        entry = self._definitions.get("", f"{plural}.{group}")
        if entry is not None and self._seen.get(entry.name) != entry.revision:
            await self._look()

    async def _look(self) -> None:
        async with self._looking:
            await self._look_alone()

    async def _look_alone(self) -> None:
        """Bring what is served in line with the definitions."""
        entries = {entry.name: entry for entry in self._definitions.entries()}
        for name in [name for name in self._seen if name not in entries]:
            self._withdraw(name)
            del self._seen[name]
            # Its names are free: somebody may have waited for them.
            for waiting in self._waiting & self._seen.keys():
                self._seen[waiting] = 0
        for entry in entries.values():
            if self._seen.get(entry.name) != entry.revision:
                try:
                    await self._follow(entry)
                except (KeyError, TypeError, ValueError, AttributeError):
                    logger.exception("custom resources: cannot serve %s", entry.name)
                self._seen[entry.name] = entry.revision

    async def _follow(self, entry: Entry) -> None:
        crd = entry.object()
        if crd["metadata"].get("deletionTimestamp"):
            if is_true(crd, "Established"):
                await self._serve(parse(crd))
            self._clean(crd["metadata"]["name"])
            return
        others = [other.object() for other in self._definitions.entries()]
        status = naming.status(crd, others, self._registries.backend.identity.timestamp())
        wanted = crd if status is None else {**crd, "status": status}
        if is_true(wanted, "NamesAccepted"):
            self._waiting.discard(entry.name)
        else:
            self._waiting.add(entry.name)
        if is_true(wanted, "Established"):
            await self._serve(parse(wanted))
        if status is not None:
            await self._write(entry, status)

    async def _write(self, entry: Entry, status: Object) -> None:
        """Write the status, unless the definition has moved on: then it is looked at anew anyway."""

        def change(old: Object) -> Object:
            if old["metadata"]["resourceVersion"] != str(entry.revision):
                return old
            return {**old, "status": copy.deepcopy(status)}

        registry = self._registries.registry(DEFINITIONS.plural, DEFINITIONS.group)
        try:
            await registry.update(system_call(), "", entry.name, change, subresource="status", track=False)
        except StatusError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    # Serving

    async def _serve(self, definition: Definition) -> None:
        storage = definition.storage.resource.storage
        if storage in _BUILTIN:
            return
        known = self._served.get(definition.name)
        if known is not None and known.source == definition.source:
            return
        cachers = self._registries.cachers
        if known is None or known.stored_shape != definition.stored_shape:
            cacher = await cachers.add(definition.stored, _shape(definition))
        else:
            cacher = cachers[definition.storage.resource]
        self._publish(definition, cacher)
        self._served[definition.name] = definition
        table = self._dispatcher.subresources
        table[storage, "scale", "get"] = scale_handlers.get
        table[storage, "scale", "update"] = scale_handlers.update
        table[storage, "scale", "patch"] = scale_handlers.patch

    def _publish(self, definition: Definition, cacher: Cacher) -> None:
        backend = self._registries.backend
        ask = self._ask(definition) if self._ask is not None and definition.remote else None
        converter = Converter(definition, ask)
        views = [
            CustomView(CustomRegistry(definition, version, cacher, backend, converter))
            for version in definition.versions.values()
        ]
        stored = next(view for view in views if view.version is definition.storage)
        served = [view for view in views if view.version.served]
        schemas = {(v.resource.api_version, v.resource.kind): v.schema.raw for v in served}
        self._registries.serve(definition.storage.resource, stored.registry, served, schemas)

    def _withdraw(self, name: str) -> None:
        definition = self._served.pop(name, None)
        if definition is None:
            return
        resource = definition.storage.resource
        self._registries.withdraw(resource)
        self._registries.cachers.remove(resource)
        for verb in ("get", "update", "patch"):
            self._dispatcher.subresources.pop((resource.storage, "scale", verb), None)

    # Deleting

    def _clean(self, name: str) -> None:
        """Delete the objects of a definition that is being deleted, then let it go. Once at a time."""
        if name in self._cleaning:
            return
        task = asyncio.create_task(self._cleanup(name))
        self._cleaning[name] = task
        task.add_done_callback(lambda _: self._cleaning.pop(name, None))

    async def _cleanup(self, name: str) -> None:
        while True:
            try:
                await self._empty(name)
                await self._release(name)
                return
            except (StorageError, StatusError) as error:
                logger.warning("custom resources: cleaning up %s, trying again: %s", name, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _empty(self, name: str) -> None:
        """Delete all objects, and return once none is left."""
        definition = self._served.get(name)
        if definition is None:
            return
        resource = definition.storage.resource
        registry = self._registries.stored(resource)
        cacher = registry.cacher
        await cacher.fresh()
        watcher = cacher.watch(cacher.revision, encoder=_changed)
        try:
            for entry in cacher.entries():
                try:
                    await registry.delete(system_call(), entry.namespace, entry.name, DeleteOptions())
                except StatusError as error:
                    if error.reason not in ("NotFound", "Conflict"):
                        raise
            while cacher.entries() and not watcher.closed:
                async for _ in watcher:
                    if not cacher.entries():
                        return
        finally:
            watcher.close()

    async def _release(self, name: str) -> None:
        def change(old: Object) -> Object:
            finalizers = [f for f in old["metadata"].get("finalizers") or () if f != FINALIZER]
            return {**old, "metadata": {**old["metadata"], "finalizers": finalizers}}

        registry = self._registries.registry(DEFINITIONS.plural, DEFINITIONS.group)
        try:
            await registry.update(system_call(), "", name, change, track=False)
        except StatusError as error:
            if error.reason != "NotFound":
                raise


def _shape(definition: Definition) -> Shape:
    """How stored objects are shown: in the storage version, with its defaults, unless only a webhook can tell."""
    version = definition.storage
    wanted = version.resource.api_version

    def shape(obj: Object) -> bool:
        if definition.remote and obj.get("apiVersion") != wanted:
            return False
        return fitted(obj, version)

    return shape


def _changed(event: str, entry: object) -> bytes:
    return b"\n"
