"""The EndpointSlice mirroring controller. Keys are a Service's, which its Endpoints share."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta
from controllermanager.controller import Controller, Key
from controllermanager.endpoints import slice_service
from controllermanager.plans import slicemirroring as plans
from controllermanager.plans.endpoints import ENDPOINTS
from controllermanager.plans.endpointslice import MANAGED_BY, SERVICES, SLICES


class SliceMirroringController(Controller):
    name: ClassVar[str] = "endpointslice-mirroring-controller"

    def setup(self) -> None:
        self._services = self.watch(SERVICES, self.enqueue)
        self._slices = self.watch(SLICES, self._slice_changed)
        self._slices.add_index("service", slice_service)
        self._endpoints = self.watch(ENDPOINTS, self.enqueue)

    def _slice_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        if meta.labels(obj).get(MANAGED_BY) == plans.CONTROLLER:
            self.queue.add(slice_service(obj)[0])

    async def sync(self, key: Key) -> float | None:
        snapshot = plans.Snapshot(
            self._endpoints.store.get(key),
            self._services.store.get(key),
            self._slices.by_index("service", key),
        )
        return await self.executor.run(plans.plan(snapshot, iter(self.context.suffixes())))
