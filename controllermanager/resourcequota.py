"""The resource quota controller: keeps the status of ResourceQuotas true to what exists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from typing import Any, ClassVar

from apimachinery import quantities, quotausage
from apimachinery.quantities import Quantities
from apimachinery.quotausage import RESOURCE_QUOTAS
from apimachinery.resources import Resource
from controllermanager.controller import Controller, Key
from controllermanager.plans import resourcequota as plans
from controllermanager.plans.views import MetaView, PodView
from kubeclient import Informer

_RESYNC = 300.0  # seconds
_UNKNOWN = (
    5.0  # seconds until a custom resource is looked for again that garbage collection has not found yet
)
_GATHER = 0.1  # seconds in which changes of a namespace are waited for, to be counted together
# Kinds whose updates change what they count for; of the others only comings and goings do.
_UPDATES_COUNT = {"Service", "PersistentVolumeClaim"}


def _namespace(value: Any) -> str:
    found: str = value["metadata"].get("namespace", "") if isinstance(value, dict) else value.namespace
    return found


def _by_namespace(value: Any) -> Iterable[Hashable]:
    return (_namespace(value),)


class ResourceQuotaController(Controller):
    """Resources are watched from the first quota on that limits them."""

    name: ClassVar[str] = "resourcequota-controller"
    workers: ClassVar[int] = 2

    def setup(self) -> None:
        self._followed: dict[Resource, Informer] = {}
        self._charged: dict[Key, float] = {}  # when the status was last seen to change
        self._quotas = self.watch(RESOURCE_QUOTAS, self._quota_changed)
        self._quotas.add_index("namespace", _by_namespace)

    def _quota_changed(self, old: Any, new: Any) -> None:
        key = (_namespace(new or old), (new or old)["metadata"]["name"])
        if new is None:
            self._charged.pop(key, None)
            return
        if old is not None and old.get("status") != new.get("status"):
            self._charged[key] = asyncio.get_running_loop().time()
        if old is None or old.get("spec") != new.get("spec"):
            self.queue.add(key)
        else:
            self.queue.add_after(key, _GATHER)

    def _follow(self, resource: Resource) -> Informer:
        informer = self._followed.get(resource)
        if informer is None or self.context.informers.get(resource) is not informer:
            informer = self._followed[resource] = self.context.informer(resource, MetaView.of)
            informer.add_index("namespace", _by_namespace)
            informer.add_handler(self._usage_changed(resource))
        return informer

    def _usage_changed(self, resource: Resource) -> Callable[[Any, Any], None]:
        def changed(old: Any, new: Any) -> None:
            if old is not None and new is not None and resource.kind not in _UPDATES_COUNT:
                ended = isinstance(new, PodView) and new.finished and not old.finished
                if not ended:
                    return
            for quota in self._quotas.by_index("namespace", _namespace(new if new is not None else old)):
                self.queue.add_after((_namespace(quota), quota["metadata"]["name"]), _GATHER)

        return changed

    async def sync(self, key: Key) -> float | None:
        quota = self._quotas.store.get(key)
        if quota is None:
            return None
        charged = self._charged.get(key)
        quiet = charged is None or asyncio.get_running_loop().time() - charged >= plans.QUIET_SECONDS
        used: Quantities = {}
        for resource in plans.measured(quota):
            used = quantities.add(used, await self._usage(resource, quota, key[0]))
        custom, all_known = await self._custom_usage(quota, key[0])
        delay = await self.executor.run(plans.plan(quota, used | custom, quiet))
        return delay if delay is not None else _RESYNC if all_known else _UNKNOWN

    async def _custom_usage(self, quota: dict[str, Any], namespace: str) -> tuple[Quantities, bool]:
        """What custom resources count for, and whether each was known; of others the old figure stands."""
        old = quantities.parse((quota.get("status") or {}).get("used"))
        known = {r.qualified: r for r in self.context.informers if r.custom}
        used: Quantities = {}
        all_known = True
        for name in quotausage.custom_counts(set(plans.hard(quota))):
            if name in known and await self._follow(known[name]).synced_within(_UNKNOWN):
                used |= await self._usage(known[name], quota, namespace)
            else:
                all_known = False
                used[f"count/{name}"] = old.get(f"count/{name}", quotausage.ZERO)
        return used, all_known

    async def _usage(self, resource: Resource, quota: dict[str, Any], namespace: str) -> Quantities:
        informer = self._follow(resource)
        await informer.synced()
        if plans.only_counts(resource, quota):
            number = len(informer.by_index("namespace", namespace))
            return plans.counted(resource, number, set(plans.hard(quota)))
        objects, _ = await self.context.client.list(resource, namespace)
        return plans.total(resource, objects, quota)
