"""One node: the pods bound to it are run, its containers adopted after a restart, the Node object kept."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery import resources
from kubeclient.client import Client
from kubeclient.events import EventRecorder
from kubeletd import (
    admission,
    enginehealth,
    hostneeds,
    inventory,
    network,
    nodeevents,
    nodestatus,
    podview,
    shutdown,
    shutdown_plan,
)
from kubeletd.enginewatch import EngineWatch
from kubeletd.feed import Feed
from kubeletd.interfaces import CannotStart, Pod, PodFacts, PodOnNode, ProbeResult, Server, ServerOptions
from kubeletd.localvolumes import LocalVolumes
from kubeletd.node import NodeKeeper, boot_id, disk_size, hugepages
from kubeletd.nodepods import NodePods
from kubeletd.nodestatus import NodeFindings, NodeSettings
from kubeletd.parts import Parts
from kubeletd.podworker import PodWorker
from kubeletd.runtime.interface import Runtime
from kubeletd.staticpods import StaticPods
from kubeletd.status import NodeFacts
from kubeletd.statuswriter import Snapshot, StatusWriter
from kubeletd.upkeep import Upkeep, UpkeepSettings
from kubeletd.volumerefresh import VolumeRefresh

log = logging.getLogger(__name__)

PODS = resources.get("pods")
_NO_CIDR = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:no podCIDR is assigned to the node yet"
)


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
        self._shutting_down = False
        self._server: Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.writer = StatusWriter(client, self._snapshot, pods.informer.observe, self._node_facts, clock)
        self.keeper = NodeKeeper(
            client,
            options.settings,
            self._findings,
            self._node,
            clock,
            self._record_node,
            options.update_seconds,
        )
        self.parts = make_parts(self)
        self.engine = EngineWatch(self.parts, self._workers, self._engine_changed)
        self.upkeep = Upkeep(
            options.settings,
            options.upkeep,
            self.parts,
            self._workers,
            self.pods,
            lambda: self.engine.info,
            self._record_node,
            self.keeper.changed,
        )
        self.measures = self.upkeep.measures
        self._statics = StaticPods(options.static_pods, self.node_name, client, self, self._node_uid, clock)
        self._refresh = VolumeRefresh(self.parts.volumes, self._workers, self.record)
        self._node_pods = NodePods(
            self._workers,
            self.parts,
            self._node_as_it_is,
            pods.informer.get,
            self._refusal,
            self._refresh.changed,
            self._statics.over,
        )
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
            node_labels=node["metadata"].get("labels") or {} if node else None,
        )

    def report_probe(self, result: ProbeResult) -> None:
        worker = self._workers.get(result.uid)
        if worker is not None:
            worker.on_probe(result)

    def record(self, pod: Pod, container: str, kind: str, reason: str, message: str) -> None:
        self.recorder.event(dict(pod), kind, reason, message, podview.field_path(pod, container))

    def _record_node(self, kind: str, reason: str, message: str) -> None:
        known = self._node()
        about = known["metadata"] if known is not None else {"name": self.node_name}
        self.recorder.event({"apiVersion": "v1", "kind": "Node", "metadata": about}, kind, reason, message)

    async def delete_pod(self, pod: Pod) -> None:
        meta = pod["metadata"]
        if self._statics.owns(meta["uid"]):
            return  # its mirror pod goes when it is over
        await self.client.delete(
            PODS, meta["name"], meta["namespace"], grace_period_seconds=0, uid=meta["uid"]
        )

    def sources_changed(self, uid: str) -> None:
        """An object that the pod's volumes show is another one."""
        self._refresh.changed(uid)

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
        info = self.engine.info
        able = info is not None and info.recursive_read_only
        return NodeFacts((address,) if address else (), self.runtime.name, able)

    def _findings(self) -> NodeFindings:
        assert self.engine.info is not None
        trouble = self.engine.trouble or ("" if self.addresses.cidr else _NO_CIDR)
        if self._shutting_down:
            trouble = shutdown_plan.NOT_READY
        endpoint = ""
        if self._server is not None and self.options.server is not None:
            endpoint = f"{self.options.server.address}:{self._server.port}"
        return NodeFindings(
            engine=self.engine.info,
            address=self._address(),
            endpoint=endpoint,
            trouble=trouble,
            disk=disk_size(str(self.parts.root)) if self.parts.root else 0,
            boot_id=boot_id(),
            hugepages=hugepages() if self.parts.root else {},
            images=self.engine.images,
            local_volumes=self.local_volumes.advertised,
            pressures=self.upkeep.conditions,
            volumes_in_use=self.parts.csi.volumes_in_use if self.parts.csi is not None else (),
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
            await self._open_runtime()
            assert self.engine.info is not None
            self.parts.memory_capacity = self.engine.info.memory
            if self.options.server is not None:
                self._server = await self._serve(self.options.server)
            async with asyncio.TaskGroup() as group:
                group.create_task(self.recorder.run())
                if self._statics.configured:
                    await self._begin_static()  # they need no API server
                node = await self.keeper.register()
                self._record_node(*nodeevents.starting())
                group.create_task(self.keeper.keep_lease(node["metadata"]["uid"]))
                self._nodes.informer.observe(node)
                self._nodes.subscribe(self.node_name, self._on_node)
                group.create_task(self.keeper.run())
                await self._adopt()
                group.create_task(self.engine.run())
                group.create_task(self._refresh.run())
                group.create_task(self._statics.run())
                group.create_task(self.upkeep.run())
                if self.parts.csi is not None:
                    group.create_task(self.parts.csi.run())
        finally:
            await self._close()

    async def shut_down(self, periods: Sequence[shutdown_plan.Period]) -> None:
        """Ends all pods: the machine is about to go. The agent goes on until it is cancelled."""
        self._shutting_down = True
        self._record_node(*nodeevents.shutting_down())
        self.keeper.changed()
        await shutdown.end_pods(lambda: self._workers, periods, self.writer)

    async def _close(self) -> None:
        self._pods.unsubscribe(self.node_name)
        self._nodes.unsubscribe(self.node_name)
        await self._node_pods.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(self._refresh.close(), self.engine.close(), self.upkeep.close())
        await asyncio.gather(self.parts.prober.close(), self.parts.images.close(), self.writer.close())
        if self._server is not None:
            await self._server.close(0.5)
        await self.runtime.close()

    async def _open_runtime(self) -> None:
        """Waits for the engine. The heartbeat of a node that was there before goes on meanwhile."""

        async def wait_with_it() -> None:
            await asyncio.sleep(enginehealth.SILENCE)
            await self.keeper.stand_in(enginehealth.DOWN)

        waiting = asyncio.create_task(wait_with_it())
        try:
            self.engine.info, self.engine.images = await inventory.open_runtime(self.runtime)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

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
            if self.parts.csi is not None:
                self.parts.csi.on_node(new)
            if nodestatus.is_ready(new) and not nodestatus.is_ready(old or {}):
                # While it was not, the controller manager said of our pods that they are not ready.
                for uid in self._workers:
                    self.writer.mark(uid)
        cidr = new["spec"].get("podCIDR") if new is not None else None
        if not cidr or self.addresses.cidr:
            return
        self.addresses.assign(cidr)
        self._hold_address()
        self.keeper.changed()

    def _hold_address(self) -> None:
        """The node's address is on the bridge, which may be another one since the engine was started again."""
        if self.options.bridge and self.addresses.node_address:
            try:
                network.add_address(self.options.bridge, self.addresses.node_address)
            except OSError as error:
                log.warning("the node's address is not set: %s", error)

    def _engine_changed(self) -> None:
        if not self.engine.trouble:
            self._hold_address()
        self.keeper.changed()

    # Pods.

    async def _adopt(self) -> None:
        """Finds what runs here already, then takes up every pod of the node."""
        await self._pods.informer.synced()
        self._node_pods.found = await inventory.containers_by_pod(self.runtime, self.addresses)
        self._pods.subscribe(self.node_name, self._on_pod)
        self._node_pods.found = {}

    async def _begin_static(self) -> None:
        self._node_pods.found = await inventory.containers_by_pod(self.runtime, self.addresses)
        self._statics.begin()
        self._node_pods.found = {}

    def _on_pod(self, old: Any, new: Any) -> None:
        if not self._statics.on_pod(old, new):
            self._node_pods.on_pod(old, new)

    def _refusal(self, pod: Pod, others: Sequence[Pod]) -> tuple[str, str] | None:
        """(reason, message) if a new pod is not taken."""
        if self._shutting_down:
            return shutdown_plan.REFUSAL
        info = self.engine.info
        return (
            self.upkeep.refusal(pod)
            or hostneeds.refusal(
                pod,
                apparmor=info is None or info.apparmor,
                sysctls=self.options.settings.unsafe_sysctls,
            )
            or admission.refusal(pod, self._node_as_it_is(), others)
        )

    # What static pods ask for (staticpods.Runner).

    def start_static(self, pod: dict[str, Any]) -> None:
        self._node_pods.take_up(pod)

    def end_static(self, pod: dict[str, Any]) -> None:
        self._node_pods.end(pod)

    def static_shown(self, uid: str) -> None:
        self.writer.mark(uid)

    def _node_uid(self) -> str:
        node = self._node()
        return str(node["metadata"]["uid"]) if node is not None else ""
