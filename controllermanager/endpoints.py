"""The EndpointSlice and Endpoints controllers: both follow services and the pods behind them."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta, resources
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import endpoints as endpoints_plan
from controllermanager.plans import endpointslice as slices_plan
from controllermanager.plans.endpointslice import MANAGED_BY, SERVICE_NAME, SERVICES, SLICES
from controllermanager.plans.servicebackends import selects
from controllermanager.plans.views import PodView, by_namespace, object_by_namespace

NODES = resources.get("nodes")
_ZONE = "topology.kubernetes.io/zone"


def _backend_facts(pod: PodView) -> tuple[Any, ...]:
    """What of a pod can change its service's endpoints."""
    return (pod.labels, pod.ips, pod.ready, bool(pod.deleting), pod.finished, pod.node, pod.hostname, pod.uid)


class ServiceBackendsController(Controller):
    """Enqueues the services whose endpoints a change may touch."""

    def setup(self) -> None:
        self._services = self.watch(SERVICES, self.enqueue)
        self._services.add_index("namespace", object_by_namespace)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("namespace", by_namespace)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        if old is not None and new is not None and _backend_facts(old) == _backend_facts(new):
            return
        if not any(pod is not None and pod.ips for pod in (old, new)):
            return
        pod = new or old
        assert pod is not None
        for service in self._services.by_index("namespace", pod.namespace):
            if any(p is not None and selects(service, p.labels) for p in (old, new)):
                self.enqueue(None, service)


def slice_service(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(obj["metadata"]["namespace"], meta.labels(obj).get(SERVICE_NAME, ""))]


class EndpointSliceController(ServiceBackendsController):
    name: ClassVar[str] = "endpointslice-controller"
    source: ClassVar[str] = "endpoint-slice-controller"

    def setup(self) -> None:
        super().setup()
        self._slices = self.watch(SLICES, self._slice_changed)
        self._slices.add_index("service", slice_service)
        self._nodes = self.watch(NODES, self._node_changed)
        self._zones: dict[str, str] = {}

    def _slice_changed(self, old: Any, new: Any) -> None:
        for obj in (old, new):
            if obj is not None and meta.labels(obj).get(MANAGED_BY) == slices_plan.CONTROLLER:
                self.queue.add(slice_service(obj)[0])

    def _node_changed(self, old: Any, new: Any) -> None:
        name = (new or old)["metadata"]["name"]
        zone = meta.labels(new).get(_ZONE, "") if new is not None else ""
        if self._zones.get(name, "") == zone:
            return
        self._zones[name] = zone
        for service in self._services.store.values():
            self.enqueue(None, service)

    async def sync(self, key: Key) -> float | None:
        service = self._services.store.get(key)
        if service is None:
            return None  # Its slices have it as their owner; garbage collection sees to them.
        pods = self._pods.by_index("namespace", key[0])
        snapshot = slices_plan.Snapshot(service, pods, self._slices.by_index("service", key), self._zones)
        return await self.executor.run(slices_plan.plan(snapshot, iter(self.context.suffixes())))


class EndpointsController(ServiceBackendsController):
    name: ClassVar[str] = "endpoints-controller"
    source: ClassVar[str] = "endpoint-controller"

    def setup(self) -> None:
        super().setup()
        self._endpoints = self.watch(endpoints_plan.ENDPOINTS, self._endpoints_changed)

    def _endpoints_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        if new is None or meta.labels(obj).get(endpoints_plan.MANAGED_BY) == endpoints_plan.CONTROLLER:
            self.enqueue(old, new)

    async def sync(self, key: Key) -> float | None:
        service = self._services.store.get(key)
        current = self._endpoints.store.get(key)
        if service is None and current is not None:
            managed = meta.labels(current).get(endpoints_plan.MANAGED_BY)
            if managed != endpoints_plan.CONTROLLER:
                return None
        pods = self._pods.by_index("namespace", key[0]) if service is not None else []
        return await self.executor.run(endpoints_plan.plan(endpoints_plan.Snapshot(service, pods, current)))
