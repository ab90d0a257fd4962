"""The ServiceCIDR controller."""

from __future__ import annotations

from typing import Any, ClassVar

from controllermanager.controller import Controller, Key
from controllermanager.plans import servicecidr as plans
from controllermanager.plans.servicecidr import IP_ADDRESSES, SERVICE_CIDRS
from controllermanager.plans.views import MetaView


class ServiceCIDRController(Controller):
    name: ClassVar[str] = "service-cidr-controller"
    workers: ClassVar[int] = 1

    def setup(self) -> None:
        self._cidrs = self.watch(SERVICE_CIDRS, self._cidr_changed)
        self._addresses = self.watch(IP_ADDRESSES, self._address_changed, MetaView.of)

    def _cidr_changed(self, old: Any, new: Any) -> None:
        """A range that comes may take over the addresses of one that goes."""
        if new is not None:
            self.enqueue(None, new)
        self._look_at_leaving()

    def _address_changed(self, old: Any, new: Any) -> None:
        if new is None:
            self._look_at_leaving()

    def _look_at_leaving(self) -> None:
        for cidr in self.context.informer(SERVICE_CIDRS).store.values():
            if cidr["metadata"].get("deletionTimestamp"):
                self.enqueue(None, cidr)

    async def sync(self, key: Key) -> float | None:
        cidr = self._cidrs.store.get(key)
        if cidr is None:
            return None
        used = False
        if cidr["metadata"].get("deletionTimestamp"):
            # The watch may be behind a Service that was made just now.
            addresses, _ = await self.context.client.list(IP_ADDRESSES)
            names = [address["metadata"]["name"] for address in addresses]
            used = plans.in_use(cidr, self._cidrs.store.values(), names)
        return await self.executor.run(plans.plan(cidr, used, self.context.now()))
