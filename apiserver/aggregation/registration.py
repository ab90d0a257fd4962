"""APIServices for what this server serves itself: the built-in group versions, and those of custom resources.

As in Kubernetes a label tells who keeps one. Those of built-in groups (`onstart`) are made when a server starts and
then left alone; those of custom resources (`true`) come, are kept as they should be, and go with the definitions.
An APIService without the label is its user's, whatever its group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver.cacher import Cacher
from apiserver.customresources.controller import DEFINITIONS
from apiserver.options import DeleteOptions
from apiserver.registry.call import system_call
from apiserver.registry.registries import Registries
from apiserver.storage.interface import StorageError

logger = logging.getLogger(__name__)

Object = dict[str, Any]
GroupVersion = tuple[str, str]

APISERVICES = resources.get("apiservices", "apiregistration.k8s.io")
MANAGED = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"
_RETRY_SECONDS = 0.5

#: Priorities of the built-in groups: the higher, the earlier in discovery. That of APIServices itself has none.
GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 15900,
}
_VERSIONS = {("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21}
_VERSION = 15
_CUSTOM_GROUP, _CUSTOM_VERSION = 1000, 100


class Plan(NamedTuple):
    """What to make, what to bring back to its spec, and the names of what to delete."""

    create: list[Object]
    update: list[Object]
    delete: list[str]


def api_service(place: GroupVersion, managed: str) -> Object:
    """The APIService of a local group version."""
    group, version = place
    custom = managed == ALWAYS
    priority = _CUSTOM_VERSION if custom else _VERSIONS.get(place, _VERSION)
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {MANAGED: managed}},
        "spec": {
            **({"group": group} if group else {}),
            "version": version,
            "groupPriorityMinimum": _CUSTOM_GROUP if custom else GROUPS[group],
            "versionPriority": priority,
        },
    }


def builtin() -> list[Object]:
    """The APIServices of the built-in group versions."""
    places = {(r.group, r.version) for r in resources.BUILTIN if r.group in GROUPS}
    return [api_service(place, ON_START) for place in sorted(places)]


def plan(existing: Mapping[str, Object], wanted: Iterable[Object], managed: str) -> Plan:
    """How the APIServices kept in the way `managed` become the wanted ones. Others stay as they are."""
    create, update = [], []
    names = set()
    for service in wanted:
        name = service["metadata"]["name"]
        names.add(name)
        found = existing.get(name)
        if found is None:
            create.append(service)
        elif _managed(found) == managed and found["spec"] != service["spec"]:
            update.append(service)
    delete = [name for name, found in existing.items() if name not in names and _managed(found) == managed]
    return Plan(create, update, delete)


def _managed(service: Object) -> str:
    labels = service["metadata"].get("labels") or {}
    return str(labels.get(MANAGED, ""))


def served(definition: Object) -> list[GroupVersion]:
    """The group versions that a CustomResourceDefinition has served."""
    spec = definition["spec"]
    return [(spec["group"], version["name"]) for version in spec["versions"] if version.get("served")]


class Registration:
    """`await start()` before the server is ready, then `run()` for as long as it is."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._services = registries.cachers[APISERVICES]
        self._definitions = registries.cachers[DEFINITIONS]
        self._served: dict[str, tuple[int, list[GroupVersion]]] = {}
        self._change = asyncio.Event()

    async def start(self) -> None:
        """Register the built-in group versions."""
        await self._carry_out(plan(self._existing(), builtin(), ON_START))

    async def run(self) -> None:
        """Follow the definitions of custom resources until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(self._services))
            group.create_task(self._follow(self._definitions))
            group.create_task(self._work())

    async def _follow(self, cacher: Cacher) -> None:
        while True:
            watcher = cacher.watch(cacher.revision, encoder=_changed)
            self._change.set()
            try:
                async for _ in watcher:
                    self._change.set()
            except (StorageError, StatusError) as error:
                logger.warning("registration: watching again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                watcher.close()

    async def _work(self) -> None:
        while True:
            await self._change.wait()
            self._change.clear()
            places = {place for several in self._custom().values() for place in several[1]}
            wanted = [api_service(place, ALWAYS) for place in sorted(places)]
            try:
                await self._carry_out(plan(self._existing(), wanted, ALWAYS))
            except (StorageError, StatusError) as error:
                logger.warning("registration: trying again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._change.set()

    def _existing(self) -> dict[str, Object]:
        return {entry.name: entry.object() for entry in self._services.entries()}

    def _custom(self) -> dict[str, tuple[int, list[GroupVersion]]]:
        """What each definition serves; those that have not changed are not decoded again."""
        found = {}
        for entry in self._definitions.entries():
            known = self._served.get(entry.name)
            if known is None or known[0] != entry.revision:
                known = (entry.revision, served(entry.object()))
            found[entry.name] = known
        self._served = found
        return found

    async def _carry_out(self, plan: Plan) -> None:
        """Write. Several servers may do so at one time."""
        registry, call = self._registries.stored(APISERVICES), system_call()
        writes: list[Awaitable[object]] = []
        for service in plan.create:
            writes.append(_unless("AlreadyExists", registry.create(call, "", service, track=False)))
        for service in plan.update:
            name, change = service["metadata"]["name"], _with_spec(service["spec"])
            writes.append(_unless("NotFound", registry.update(call, "", name, change, track=False)))
        for name in plan.delete:
            writes.append(_unless("NotFound", registry.delete(call, "", name, DeleteOptions())))
        await asyncio.gather(*writes)


def _with_spec(spec: Object) -> Callable[[Object], Object]:
    return lambda old: {**old, "spec": spec}


async def _unless(reason: str, writing: Awaitable[object]) -> None:
    """Await a write that another server may have done before."""
    try:
        await writing
    except StatusError as error:
        if error.reason != reason:
            raise


def _changed(event: str, entry: object) -> bytes:
    return b"\n"
