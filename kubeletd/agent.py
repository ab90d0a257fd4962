"""One node: the pods bound to it are run, its containers adopted after a restart, the Node object kept."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeclient.events import EventRecorder
from kubeletd import admission, network, nodestatus, podview, shutdown, shutdown_plan
from kubeletd.feed import Feed
from kubeletd.interfaces import (
    CannotStart,
    MountError,
    Pod,
    PodFacts,
    PodOnNode,
    ProbeResult,
    Server,
    ServerOptions,
)
from kubeletd.localvolumes import LocalVolumes
from kubeletd.node import NodeKeeper, boot_id, disk_size
from kubeletd.nodestatus import NodeFindings, NodeSettings
from kubeletd.orphans import Orphans
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podstate import plan_of
from kubeletd.podstate.adoption import adopt
from kubeletd.podworker import PodWorker
from kubeletd.resizing import Allocations
from kubeletd.runtime.interface import (
    ContainerNotFound,
    ContainerState,
    EngineInfo,
    Image,
    Runtime,
    RuntimeEvent,
    RuntimeFailure,
)
from kubeletd.staticpods import StaticPods
from kubeletd.status import NodeFacts
from kubeletd.statuswriter import Snapshot, StatusWriter
from kubeletd.upkeep import Upkeep, UpkeepSettings

log = logging.getLogger(__name__)

PODS = resources.get("pods")
RELIST_SECONDS = 300.0
REFRESH_SECONDS = 60.0
_RETRY = 1.0
_NO_CIDR = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:no podCIDR is assigned to the node yet"
)
_ENGINE_DOWN = "container runtime is down"
_REFRESHED = ("configMap", "secret", "downwardAPI", "projected")


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """`bridge` is the interface that gets the node's address, "" for none; `node_ip` overrides that address."""

    settings: NodeSettings
    server: ServerOptions | None = None
    node_ip: str = ""
    bridge: str = ""
    update_seconds: float = 10.0
    upkeep: UpkeepSettings = field(default_factory=UpkeepSettings)
    static_pods: Path | None = None


class NodeAgent:
    """`make_parts(agent)` builds what workers work with; it is called once, before anything runs."""

    def __init__(
        self,
        options: AgentOptions,
        client: Client,
        runtime: Runtime,
        pods: Feed,
        nodes: Feed,
        make_parts: Callable[[NodeAgent], Parts],
        clock: Callable[[], float],
    ) -> None:
        self.options = options
        self.client = client
        self.runtime = runtime
        self.node_name = options.settings.name
        self.clock = clock
        self.recorder = EventRecorder(client, "kubelet", self.node_name)
        self.addresses = network.Addresses()
        self._pods = pods
        self._nodes = nodes
        self._workers: dict[str, PodWorker] = {}
        self._found: dict[str, list[ContainerState]] = {}
        self._engine: EngineInfo | None = None
        self._engine_down = False
        self._shutting_down = False
        self._images: Sequence[Image] = ()
        self._server: Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._refreshing: set[str] = set()
        self.writer = StatusWriter(client, self._snapshot, pods.informer.observe, self._node_facts, clock)
        self.keeper = NodeKeeper(
            client, options.settings, self._findings, self._node, clock, options.update_seconds
        )
        self.parts = make_parts(self)
        self.upkeep = Upkeep(
            options.settings,
            options.upkeep,
            self.parts,
            self._workers,
            self.pods,
            lambda: self._engine,
            self._record_node,
            self.keeper.changed,
        )
        self.measures = self.upkeep.measures
        self._statics = StaticPods(options.static_pods, self.node_name, client, self, self._node_uid, clock)
        self._orphans = Orphans(self.parts)
        self._allocations = Allocations(self._node_as_it_is, self._other_pods, self.record)
        self.local_volumes = LocalVolumes(self.parts.root, self.keeper.annotate, self._spawn)

    # What workers and the gRPC server ask.

    def facts(self) -> PodFacts:
        node = self._node() or {}
        address = self._address()
        return PodFacts(
            host_ip=address,
            host_ips=(address,) if address else (),
            node_name=self.node_name,
            allocatable=(node.get("status") or {}).get("allocatable"),
        )

    def report_probe(self, result: ProbeResult) -> None:
        worker = self._workers.get(result.uid)
        if worker is not None:
            worker.on_probe(result)

    def record(self, pod: Pod, container: str, kind: str, reason: str, message: str) -> None:
        self.recorder.event(dict(pod), kind, reason, message, podview.field_path(pod, container))

    def _record_node(self, kind: str, reason: str, message: str) -> None:
        self.recorder.event(dict(self._node_as_it_is()), kind, reason, message)

    async def delete_pod(self, pod: Pod) -> None:
        meta = pod["metadata"]
        if self._statics.owns(meta["uid"]):
            return  # its mirror pod goes when it is over
        await self.client.delete(
            PODS, meta["name"], meta["namespace"], grace_period_seconds=0, uid=meta["uid"]
        )

    def sources_changed(self, uid: str) -> None:
        """An object that the pod's volumes show is another one."""
        if uid in self._workers and uid not in self._refreshing:
            self._refreshing.add(uid)
            self._spawn(self._refresh(uid))

    def find_pod(self, namespace: str, name: str, uid: str = "") -> PodOnNode | None:
        uid = self._statics.own_uid(uid)
        for worker in self._workers.values():
            meta = worker.pod["metadata"]
            if meta["name"] == name and meta["namespace"] == namespace and uid in ("", worker.uid):
                return podview.pod_on_node(worker)
        return None

    def pods(self) -> Sequence[PodOnNode]:
        return [podview.pod_on_node(worker) for worker in self._workers.values()]

    # What is known of the node.

    def _node(self) -> dict[str, Any] | None:
        return self._nodes.informer.get("", self.node_name)

    def _node_as_it_is(self) -> dict[str, Any]:
        """The API's Node, or what we would register if somebody deleted it."""
        return self._node() or nodestatus.node_object(self.options.settings, self._findings(), self.clock())

    def _address(self) -> str:
        return self.options.node_ip or self.addresses.node_address

    def _node_facts(self) -> NodeFacts:
        address = self._address()
        return NodeFacts((address,) if address else (), self.runtime.name)

    def _findings(self) -> NodeFindings:
        assert self._engine is not None
        trouble = _ENGINE_DOWN if self._engine_down else "" if self.addresses.cidr else _NO_CIDR
        if self._shutting_down:
            trouble = shutdown_plan.NOT_READY
        endpoint = ""
        if self._server is not None and self.options.server is not None:
            endpoint = f"{self.options.server.address}:{self._server.port}"
        return NodeFindings(
            engine=self._engine,
            address=self._address(),
            endpoint=endpoint,
            trouble=trouble,
            disk=disk_size(str(self.parts.root)) if self.parts.root else 0,
            boot_id=boot_id(),
            images=self._images,
            local_volumes=self.local_volumes.advertised,
            pressures=self.upkeep.conditions,
        )

    def _snapshot(self, uid: str) -> Snapshot | None:
        worker = self._workers.get(uid)
        if worker is None:
            return None
        shown = self._statics.mirror(uid) if self._statics.owns(uid) else worker.pod
        return (shown, worker.state) if shown is not None else None

    # Running.

    async def run(self) -> None:
        """Until cancelled. Containers are left running then: the next agent adopts them."""
        try:
            self._engine = await self._open_runtime()
            self.parts.memory_capacity = self._engine.memory
            if self.options.server is not None:
                self._server = await self._serve(self.options.server)
            async with asyncio.TaskGroup() as group:
                group.create_task(self.recorder.run())
                if self._statics.configured:
                    await self._begin_static()  # they need no API server
                node = await self.keeper.register()
                group.create_task(self.keeper.keep_lease(node["metadata"]["uid"]))
                self._nodes.informer.observe(node)
                self._nodes.subscribe(self.node_name, self._on_node)
                group.create_task(self.keeper.run())
                await self._adopt()
                group.create_task(self._follow_engine())
                group.create_task(self._relist())
                group.create_task(self._refresh_all())
                group.create_task(self._statics.run())
                group.create_task(self.upkeep.run())
        finally:
            await self._close()

    async def shut_down(self, periods: Sequence[shutdown_plan.Period]) -> None:
        """Ends all pods: the machine is about to go. The agent goes on until it is cancelled."""
        self._shutting_down = True
        self.keeper.changed()
        await shutdown.end_pods(lambda: self._workers, periods, self.writer)

    async def _close(self) -> None:
        self._pods.unsubscribe(self.node_name)
        self._nodes.unsubscribe(self.node_name)
        await asyncio.gather(*(worker.close() for worker in self._workers.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._orphans.close()
        await self.upkeep.close()
        await asyncio.gather(self.parts.prober.close(), self.parts.images.close(), self.writer.close())
        if self._server is not None:
            await self._server.close(0.5)
        await self.runtime.close()

    async def _open_runtime(self) -> EngineInfo:
        while True:
            try:
                info = await self.runtime.open()
                self._images = await self.runtime.images()
                return info
            except RuntimeFailure as error:
                log.warning("the container runtime is not ready: %s", error)
                await asyncio.sleep(_RETRY)

    async def _serve(self, options: ServerOptions) -> Server:
        from kubeletd.doorway import open_doorway

        try:
            return await open_doorway(self, options)
        except OSError as error:
            place = f"{options.address}:{options.port}"
            raise CannotStart(f"cannot listen on {place}: {os.strerror(error.errno or 0)}") from error

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_node(self, old: Any, new: Any) -> None:
        if new is not None:
            self.local_volumes.on_node(new)
            if nodestatus.is_ready(new) and not nodestatus.is_ready(old or {}):
                # While it was not, the controller manager said of our pods that they are not ready.
                for uid in self._workers:
                    self.writer.mark(uid)
        cidr = new["spec"].get("podCIDR") if new is not None else None
        if not cidr or self.addresses.cidr:
            return
        self.addresses.assign(cidr)
        if self.options.bridge:
            try:
                network.add_address(self.options.bridge, self.addresses.node_address)
            except OSError as error:
                log.warning("the node's address is not set: %s", error)
        self.keeper.changed()

    # Pods.

    async def _adopt(self) -> None:
        """Finds what runs here already, then takes up every pod of the node."""
        await self._pods.informer.synced()
        self._found = await self._containers_by_pod()
        self._pods.subscribe(self.node_name, self._on_pod)
        self._found = {}

    async def _begin_static(self) -> None:
        self._found = await self._containers_by_pod()
        self._statics.begin()
        self._found = {}

    async def _containers_by_pod(self) -> dict[str, list[ContainerState]]:
        """By uid; the addresses they have are not given to others."""
        found: defaultdict[str, list[ContainerState]] = defaultdict(list)
        for container in await self._all_containers():
            found[container.identity.uid].append(container)
            if container.identity.kind == "sandbox":
                self.addresses.reserve(container.identity.uid, container.ip)
        return dict(found)

    async def _all_containers(self) -> list[ContainerState]:
        """All of this node's containers, inspected. Tries until it works: without them no pod may be touched."""
        while True:
            try:
                return await self._inspected(await self.runtime.list_containers())
            except RuntimeFailure as error:
                log.warning("containers cannot be adopted yet: %s", error)
                await asyncio.sleep(_RETRY)

    async def _inspected(self, found: Sequence[ContainerState]) -> list[ContainerState]:
        async def inspect(container: ContainerState) -> ContainerState | None:
            try:
                return await self.runtime.inspect(container.id)
            except ContainerNotFound:
                return None

        return [state for state in await asyncio.gather(*map(inspect, found)) if state is not None]

    # What static pods ask for (staticpods.Runner).

    def start_static(self, pod: dict[str, Any]) -> None:
        self._take_up(pod)

    def end_static(self, pod: dict[str, Any]) -> None:
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is not None:
            worker.update(pod)

    def static_shown(self, uid: str) -> None:
        self.writer.mark(uid)

    def _node_uid(self) -> str:
        node = self._node()
        return str(node["metadata"]["uid"]) if node is not None else ""

    def _on_pod(self, old: Any, new: Any) -> None:
        if self._statics.on_pod(old, new):
            return
        if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            worker = self._workers.get(old["metadata"]["uid"])
            if worker is not None:
                worker.update(old, gone=True)
        self._retry_resizes()
        if new is None:
            return
        worker = self._workers.get(new["metadata"]["uid"])
        if worker is None:
            self._take_up(new)
            return
        known, told = (((p.get("status") or {}).get("conditions")) for p in (worker.pod, new))
        labels_changed = any(
            worker.pod["metadata"].get(field) != new["metadata"].get(field)
            for field in ("labels", "annotations")
        )
        self._update(worker, new)
        if told != known and nodestatus.is_ready(self._node() or {}):
            self.writer.mark(worker.uid)  # by us, or by somebody who does not know
        if labels_changed:
            self.sources_changed(worker.uid)

    def _other_pods(self, uid: str) -> list[Pod]:
        """The pods that take up room here beside one, with what they have."""
        return [w.pod for w in self._workers.values() if w.uid != uid and not w.state.stopping]

    def _update(self, worker: PodWorker, pod: dict[str, Any]) -> None:
        held, pending = self._allocations.settle(pod)
        worker.update(held, resize_pending=pending)

    def _retry_resizes(self) -> None:
        """Looks whether there is room by now for the pods that wait for more of it."""
        for uid in self._allocations.deferred():
            worker = self._workers.get(uid)
            meta = worker.pod["metadata"] if worker is not None else {}
            pod = self._pods.informer.get(meta["namespace"], meta["name"]) if meta else None
            if worker is not None and pod is not None and pod["metadata"]["uid"] == uid:
                self._update(worker, pod)

    def _take_up(self, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        pod, pending = self._allocations.settle(pod)
        found = self._found.get(uid, [])
        pod_status = pod.get("status") or {}
        state = adopt(plan_of(pod), found, pod_status, self.clock())
        worker = PodWorker(pod, self.parts, self._pod_over, state)
        known = bool(found) or bool(pod_status.get("startTime"))
        if not known and not state.stopping:
            refused = shutdown_plan.REFUSAL if self._shutting_down else None
            refused = (
                refused
                or self.upkeep.refusal(pod)
                or admission.refusal(pod, self._node_as_it_is(), self._other_pods(uid))
            )
            if refused is not None:
                self.record(pod, "", "Warning", *refused)
                self._workers[uid] = worker
                worker.post(ev.Rejected(*refused))
                worker.update(pod)
                return
        self._workers[uid] = worker
        worker.update(pod, resize_pending=pending)
        self.writer.mark(uid)

    def _pod_over(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        self._allocations.forget(uid)
        if worker is not None:
            self.parts.prober.forget(uid)
            self._spawn(worker.close())
        self._statics.over(uid)

    async def _refresh(self, uid: str) -> None:
        """Brings the volumes of a pod up to date."""
        worker = self._workers.get(uid)
        try:
            if worker is not None and not worker.state.stopping:
                await self.parts.volumes.refresh(worker.pod, worker.facts())
        except (MountError, StatusError, OSError) as error:
            if worker is not None:
                self.record(worker.pod, "", "Warning", "FailedMount", str(error))
        finally:
            self._refreshing.discard(uid)

    async def _refresh_all(self) -> None:
        """Renews tokens in time, and makes up for a change whose notice got lost."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for uid, worker in list(self._workers.items()):
                volumes = worker.pod["spec"].get("volumes") or ()
                if any(kind in volume for volume in volumes for kind in _REFRESHED):
                    self._refreshing.add(uid)
                    await self._refresh(uid)

    # The engine.

    async def _follow_engine(self) -> None:
        async for event in self.runtime.events():
            if event.action == "resync":
                self._set_engine_down(False)
                await self._reconcile()
            elif event.action == "lost":
                self._set_engine_down(True)
            else:
                self._dispatch(event)

    def _set_engine_down(self, down: bool) -> None:
        if down != self._engine_down:
            self._engine_down = down
            self.keeper.changed()

    def _dispatch(self, event: RuntimeEvent) -> None:
        worker = self._workers.get(event.identity.uid) if event.identity else None
        if worker is not None:
            worker.on_engine(event)

    async def _relist(self) -> None:
        """The net under the event stream."""
        while True:
            await asyncio.sleep(RELIST_SECONDS)
            await self._reconcile()

    async def _reconcile(self) -> None:
        """Compares all containers of this node with what the workers think there is."""
        # A list is old when it comes: only what stood so before it was asked for may be held against it.
        before = {uid: worker.standing() for uid, worker in self._workers.items()}
        try:
            found = await self.runtime.list_containers()
            self._images = await self.runtime.images()
            uids = await self.parts.volumes.uids()
        except (RuntimeFailure, OSError) as error:
            log.warning("containers are not listed: %s", error)
            return
        by_uid: dict[str, dict[str, ContainerState]] = {uid: {} for uid in uids}
        for container in found:
            by_uid.setdefault(container.identity.uid, {})[container.id] = container
        for uid, worker in list(self._workers.items()):
            containers = by_uid.get(uid, {})
            await worker.reconcile({c.id: c.status for c in containers.values()}, before.get(uid, {}))
            for container in containers.values():
                if not worker.knows(container.id, container.identity.container):
                    worker.post(ev.Stray(container.id))
        for uid, containers in by_uid.items():
            if uid not in self._workers:
                self._orphans.found(uid, list(containers.values()))
