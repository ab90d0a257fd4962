"""The documents a node offers, as a kubelet does over HTTP: put together when somebody asks for one."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from kubeletd import metrics
from kubeletd import stats_host as host
from kubeletd.interfaces import PodOnNode
from kubeletd.metrics_text import CONTENT_TYPE, Family, render
from kubeletd.nodestatus import VERSION
from kubeletd.runtime.interface import RuntimeFailure
from kubeletd.stats_disks import SUMMARY_AGE
from kubeletd.stats_host import Interface
from kubeletd.stats_model import NodeFigures, PodDisks, VolumeFigures
from kubeletd.stats_summary import Surroundings, summary

if TYPE_CHECKING:
    from kubeletd.stats_measures import Measures

JSON = "application/json"


class Document(NamedTuple):
    content_type: str
    body: bytes


class Documents:
    """`get` answers for a path with its query."""

    def __init__(self, node: Measures) -> None:
        self._node = node
        self._pids: dict[str, int] = {}  # of sandboxes
        self._made: dict[str, Callable[[Mapping[str, list[str]]], Awaitable[Document]]] = {
            "/healthz": self._healthz,
            "/healthz/ping": self._healthz,
            "/healthz/log": self._healthz,
            "/healthz/syncloop": self._healthz,
            "/pods": self._pods,
            "/stats/summary": self._summary,
            "/metrics": self._agent,
            "/metrics/cadvisor": self._cadvisor,
            "/metrics/resource": self._resource,
            "/metrics/probes": self._probes,
        }

    async def get(self, path: str) -> Document | None:
        """None where there is no such document."""
        path, _, query = path.partition("?")
        made = self._made.get(path.rstrip("/"))
        return await made(parse_qs(query)) if made is not None else None

    async def _healthz(self, query: Mapping[str, list[str]]) -> Document:
        return Document("text/plain; charset=utf-8", b"ok")

    async def _pods(self, query: Mapping[str, list[str]]) -> Document:
        items = [{"kind": "Pod", "apiVersion": "v1", **pod.pod} for pod in self._node.pods()]
        listed = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        return Document(JSON, json.dumps(listed).encode())

    async def _summary(self, query: Mapping[str, list[str]]) -> Document:
        brief = query.get("only_cpu_and_memory", [""])[0].lower() in ("true", "1")
        figures = await self._node.figures.read()
        around = await self._around(figures, brief=brief)
        made = summary(figures, around, only_cpu_and_memory=brief)
        return Document(JSON, json.dumps(made).encode())

    async def _resource(self, query: Mapping[str, list[str]]) -> Document:
        return _text(metrics.resource(await self._node.figures.read()))

    async def _cadvisor(self, query: Mapping[str, list[str]]) -> Document:
        figures = await self._node.figures.read()
        around = await self._around(figures, brief=False)
        return _text(metrics.cadvisor(figures, around, self._node.cores))

    async def _probes(self, query: Mapping[str, list[str]]) -> Document:
        return _text(metrics.probes(self._node.probe_counts))

    async def _agent(self, query: Mapping[str, list[str]]) -> Document:
        node = self._node
        pods = node.pods()
        states: Counter[str] = Counter(state.status for pod in pods for state in pod.containers.values())
        cpu, memory = host.process_usage()
        found = metrics.AgentFigures(
            node_name=node.node_name,
            version=VERSION,
            desired_pods=len(pods),
            running_pods=sum(1 for p in pods if p.sandbox is not None and p.sandbox.status == "running"),
            containers=states,
            evictions=node.evictions,
            cpu_seconds=cpu * 1e-9,
            memory=memory,
            started_at=node.started_at,
            open_files=len(os.listdir("/proc/self/fd")),
        )
        return _text(metrics.agent(found))

    async def _around(self, figures: NodeFigures, *, brief: bool) -> Surroundings:
        node = self._node
        started_at = min(
            [node.started_at, *(c.state.started_at for pod in figures.pods for c in pod.containers)]
        )
        if brief or node.runtime.name == "simulated":
            return Surroundings(node.node_name, started_at, node.started_at)
        disks: dict[str, PodDisks] = {}
        networks: dict[str, list[Interface]] = {}
        volumes: dict[str, Sequence[VolumeFigures]] = {}
        for pod in figures.pods:
            disks[pod.on_node.uid] = await node.disks.of(pod.on_node, SUMMARY_AGE)
            networks[pod.on_node.uid] = await self._network(pod.on_node)
            volumes[pod.on_node.uid] = await node.volumes(pod.on_node)
        memory = host.read_memory()
        return Surroundings(
            node_name=node.node_name,
            started_at=started_at,
            agent_started_at=node.started_at,
            file_system=node.disks.node(),
            images=node.disks.images(),
            networks=networks,
            node_network=host.read_interfaces(),
            disks=disks,
            volumes=volumes,
            processes=host.read_processes(),
            swap_total=memory.swap_total,
            swap_free=memory.swap_free,
        )

    async def _network(self, pod: PodOnNode) -> list[Interface]:
        """Of the pod's own network; nothing where it has the node's."""
        if pod.sandbox is None or pod.sandbox.status != "running" or pod.pod["spec"].get("hostNetwork"):
            return []
        try:
            pid = self._pids.get(pod.sandbox.id)
            if pid is None:
                pid = (await self._node.runtime.inspect(pod.sandbox.id)).pid
                alive = {p.sandbox.id for p in self._node.pods() if p.sandbox is not None}
                self._pids = {key: value for key, value in self._pids.items() if key in alive}
                self._pids[pod.sandbox.id] = pid
            return host.read_interfaces(pid)
        except (RuntimeFailure, OSError):
            return []


def _text(families: list[Family]) -> Document:
    return Document(CONTENT_TYPE, render(families))
