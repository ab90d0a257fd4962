"""The resource metrics API (metrics.k8s.io/v1beta1): what pods and nodes use now, asked of the nodes' agents.

Nothing has to be installed for it, and nothing is kept. An APIService for the group version, as a metrics server
comes with, or custom resources of that name are served instead of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from apimachinery import errors, meta, resources
from apimachinery.errors import StatusError
from apimachinery.resources import READ_ONLY, Resource
from apiserver import respond, selection
from apiserver.negotiation import Media
from apiserver.options import list_options
from apiserver.registry.registries import Registries
from apiserver.request import Object, User
from apiserver.requestinfo import RequestInfo
from apiserver.streams_nodes import ENDPOINT_ANNOTATION, NodeAgents, calls

if TYPE_CHECKING:
    from apiserver.dispatch import Dispatcher

logger = logging.getLogger(__name__)

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
POD_METRICS = Resource(
    GROUP,
    VERSION,
    "pods",
    "PodMetrics",
    True,
    verbs=READ_ONLY,
    singular="pod",
    list_kind="PodMetricsList",
    virtual=True,
)
NODE_METRICS = Resource(
    GROUP,
    VERSION,
    "nodes",
    "NodeMetrics",
    False,
    verbs=READ_ONLY,
    singular="node",
    list_kind="NodeMetricsList",
    virtual=True,
)
RESOURCES = (NODE_METRICS, POD_METRICS)

PODS, NODES = resources.get("pods"), resources.get("nodes")
_PATIENCE = 5.0  # seconds an agent may take to answer
_AT_ONCE = 64  # agents asked together
_CPU = (("k", 10**12), ("", 10**9), ("m", 10**6), ("u", 10**3), ("n", 1))
_MEMORY = ("", "Ki", "Mi", "Gi", "Ti")


def cpu_quantity(nanocores: int) -> str:
    """Canonical: `250m`, `1234567n`."""
    suffix, unit = next((s, u) for s, u in _CPU if nanocores % u == 0)
    return f"{nanocores // unit}{suffix}" if nanocores else "0"


def memory_quantity(number: int) -> str:
    """Canonical, by powers of 1024: `10320Ki`."""
    place = 0
    while number and number % 1024 == 0 and place < len(_MEMORY) - 1:
        number //= 1024
        place += 1
    return f"{number}{_MEMORY[place]}"


def window(nanoseconds: int) -> str:
    """A duration as Go writes it, to the millisecond: `15.031s`, `1m3s`."""
    milliseconds = nanoseconds // 1_000_000
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + seconds


def _measured(resource: Resource, of: Object, figures: Any, span: int, **more: Any) -> Object:
    when = meta.rfc3339(datetime.fromtimestamp(figures.time_nanoseconds / 1e9, UTC))
    about = of["metadata"]
    found: Object = {"name": about["name"]}
    if resource.namespaced:
        found["namespace"] = about["namespace"]
    found["creationTimestamp"] = when
    if about.get("labels"):
        found["labels"] = about["labels"]
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": found,
        "timestamp": when,
        "window": window(span),
        **more,
    }


def _usage(nanocores: int, memory: int) -> Object:
    return {"cpu": cpu_quantity(nanocores), "memory": memory_quantity(memory)}


def pod_metrics(pods: Iterable[Object], figures: Mapping[str, Any]) -> list[Object]:
    """PodMetrics of those pods whose containers all have figures. `figures`: a node's StatsResponse by its name."""
    found = []
    # By name: the uid of a static pod is another one than its mirror pod's.
    named = {(one.namespace, one.name): (node, one) for node in figures.values() for one in node.pods}
    for pod in pods:
        node, one = named.get((pod["metadata"]["namespace"], pod["metadata"]["name"]), (None, None))
        if one is None or not one.containers or not all(c.HasField("cpu") for c in one.containers):
            continue
        containers = [
            {"name": c.name, "usage": _usage(c.cpu.nanocores, c.memory_working_set)} for c in one.containers
        ]
        span = max(c.cpu.window_nanoseconds for c in one.containers)
        found.append(_measured(POD_METRICS, pod, node, span, containers=containers))
    return found


def node_metrics(nodes: Iterable[Object], figures: Mapping[str, Any]) -> list[Object]:
    """NodeMetrics of the nodes that answered and have been looked at for long enough."""
    found = []
    for node in nodes:
        one = figures.get(node["metadata"]["name"])
        if one is not None and one.HasField("cpu"):
            usage = _usage(one.cpu.nanocores, one.memory_working_set)
            found.append(_measured(NODE_METRICS, node, one, one.cpu.window_nanoseconds, usage=usage))
    return found


class NodeMetrics:
    """The handler of the group's two resources."""

    def __init__(self, registries: Registries, agents: NodeAgents) -> None:
        self._registries = registries
        self._agents = agents
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def serve(
        self, request: web.BaseRequest, info: RequestInfo, resource: Resource, user: User, media: Media
    ) -> web.StreamResponse:
        if info.subresource or bool(info.namespace) > resource.namespaced:
            raise errors.path_not_found()
        wanted = self._named(info, resource) if info.name else self._listed(info, resource)
        if resource is POD_METRICS:
            wanted = [pod for pod in wanted if (pod.get("status") or {}).get("phase") == "Running"]
            asked = {pod["spec"].get("nodeName") or "" for pod in wanted} - {""}
            items = pod_metrics(wanted, await self._ask(asked))
        else:
            items = node_metrics(wanted, await self._ask({n["metadata"]["name"] for n in wanted}))
        if info.name:
            if not items:
                raise _missing(resource, info)
            return respond.plain_object(items[0], media)
        listed = {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {},
            "items": items,
        }
        return respond.plain_object(listed, media)

    def _named(self, info: RequestInfo, resource: Resource) -> list[Object]:
        of = PODS if resource is POD_METRICS else NODES
        if resource.namespaced and not info.namespace:
            raise errors.path_not_found()
        found = self._registries.get(of, info.namespace, info.name)
        if found is None:
            raise _missing(resource, info)
        return [found]

    def _listed(self, info: RequestInfo, resource: Resource) -> list[Object]:
        of = PODS if resource is POD_METRICS else NODES
        chosen = selection.parse(of, list_options(info.query))
        found = [] if chosen.nothing else self._registries.cachers[of].entries(info.namespace)
        return [
            entry.object()
            for entry in found
            if chosen.name in ("", entry.name)
            and chosen.namespace in ("", entry.namespace)
            and (chosen.predicate is None or chosen.predicate(entry.labels, entry.fields))
        ]

    async def _ask(self, names: Iterable[str]) -> dict[str, Any]:
        """What the agents of the nodes say; those that do not answer are left out."""
        asked = list(names)
        answers = await asyncio.gather(*map(self._one, asked))
        return {name: answer for name, answer in zip(asked, answers, strict=True) if answer is not None}

    async def _one(self, name: str) -> Any:
        from apiserver import nodeagent_pb2 as pb

        node = self._registries.get(NODES, "", name)
        if node is None or not (node["metadata"].get("annotations") or {}).get(ENDPOINT_ANNOTATION):
            return None
        try:
            async with self._turns, calls():
                return await (await self._agents.stub(name)).Stats(pb.StatsRequest(), timeout=_PATIENCE)
        except StatusError as error:
            logger.debug("no figures of node %s: %s", name, error.message)
            return None


def _missing(resource: Resource, info: RequestInfo) -> StatusError:
    name = f"{info.namespace}/{info.name}" if info.namespace else info.name
    return errors.not_found(resource.kind.lower(), name, GROUP)


def install(dispatcher: Dispatcher, agents: NodeAgents) -> None:
    """Put the resources into the dispatcher's table, and into discovery."""
    metrics = NodeMetrics(dispatcher.registries, agents)
    for resource in RESOURCES:
        dispatcher.computed[GROUP, VERSION, resource.plural] = (resource, metrics.serve)
    dispatcher.registries.computed.extend(RESOURCES)
    dispatcher.registries.generation += 1
