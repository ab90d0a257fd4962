"""Looks every ten seconds at what is left of memory, disk and processes, and evicts as `eviction_plan` decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import quantity
from kubeletd import admission
from kubeletd import eviction_plan as plan
from kubeletd import stats_host as host
from kubeletd.eviction_plan import Eviction, Observation, PodUse, Pressure, Threshold, Use
from kubeletd.interfaces import Pod, PodOnNode
from kubeletd.qos import BEST_EFFORT, qos_class
from kubeletd.runtime.interface import RuntimeFailure
from kubeletd.stats import SAMPLE_SECONDS
from kubeletd.stats_measures import Measures
from kubeletd.stats_model import NodeFigures, PodDisks, PodFigures

log = logging.getLogger(__name__)

_STORAGE = "ephemeral-storage"
_MIRROR = "kubernetes.io/config.mirror"
_PATIENCE = 30.0  # seconds an evicted pod gets to be gone before the next one has to go
_NOT_ON_DISK = (plan.MEMORY, plan.PIDS)


@dataclass(frozen=True, slots=True)
class EvictionSettings:
    """Seconds. `max_grace` is the longest grace period of a pod evicted for a soft threshold."""

    thresholds: Sequence[Threshold] = ()
    max_grace: int = 0
    transition: float = 300.0


def critical(pod: Pod) -> bool:
    """Whether the node keeps the pod whatever happens: static pods, and those of the highest priorities."""
    annotations = pod["metadata"].get("annotations") or {}
    return _MIRROR in annotations or (pod["spec"].get("priority") or 0) >= plan.CRITICAL_PRIORITY


def refusal(pod: Pod, conditions: frozenset[str]) -> tuple[str, str] | None:
    """(reason, message) if the node, as short as it is, does not take the pod."""
    if not conditions:
        return None
    tolerations = pod["spec"].get("tolerations") or ()
    message = plan.refusal(
        conditions,
        critical=critical(pod),
        best_effort=qos_class(pod) == BEST_EFFORT,
        tolerates_memory=any(map(_tolerates_memory, tolerations)),
    )
    return ("Evicted", message) if message is not None else None


def _tolerates_memory(toleration: Mapping[str, Any]) -> bool:
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if toleration.get("effect") not in (None, "", "NoSchedule"):
        return False
    if operator == "Exists":
        return key in ("", "node.kubernetes.io/memory-pressure")
    return key == "node.kubernetes.io/memory-pressure" and not toleration.get("value")


class Pressures:
    """One node's. `evict` carries an eviction out; `reclaim` frees disk by other means first, if it can."""

    def __init__(
        self,
        measures: Measures,
        settings: EvictionSettings,
        evict: Callable[[Eviction], None],
        changed: Callable[[], None],
        reclaim: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._measures = measures
        self._settings = settings
        self._evict = evict
        self._changed = changed
        self._reclaim = reclaim
        self._clock = clock
        self._pressure = Pressure()
        self._going: dict[str, float] = {}  # pods evicted, and since when

    @property
    def conditions(self) -> frozenset[str]:
        """Those of the node's conditions that are true."""
        return self._pressure.conditions(self._clock())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            try:
                await self.look()
            except (RuntimeFailure, OSError) as error:
                log.warning("the node's resources are not known: %s", error)

    async def look(self) -> None:
        """One turn: pods over their own limits go at once, else at most one for the node's sake."""
        figures = await self._measures.figures.read(0)
        pods = [pod for pod in self._measures.pods() if pod.containers]
        self._measures.disks.keep(pods)
        running = {pod.on_node.uid for pod in figures.pods if pod.containers}
        self._going = {uid: since for uid, since in self._going.items() if uid in running}
        if await self._over_limits(pods):
            return
        before = self.conditions
        seen, short = self._observe(figures)
        if short and short[0].signal not in _NOT_ON_DISK:
            await self._reclaim()
            seen, short = self._observe(figures)
        if self.conditions != before:
            self._changed()
        # What an evicted pod held is free only once it has ended.
        if not short or any(figures.at - since < _PATIENCE for since in self._going.values()):
            return
        for_disk = any(threshold.signal not in _NOT_ON_DISK for threshold in short)
        uses = []
        for pod in figures.pods:
            if pod.containers and pod.on_node.uid not in self._going:
                disks = PodDisks()
                if for_disk:
                    disks = await self._measures.disks.of(pod.on_node, SAMPLE_SECONDS)
                uses.append(_use(pod, disks))
        chosen = plan.choose(short, uses, seen, self._settings.max_grace)
        if chosen is not None:
            self._carry_out(chosen)

    def _carry_out(self, eviction: Eviction) -> None:
        self._measures.evictions[eviction.signal] += 1
        self._going[eviction.uid] = self._clock()
        self._evict(eviction)

    def _observe(self, figures: NodeFigures) -> tuple[Mapping[str, Observation], list[Threshold]]:
        now = self._clock()
        seen = self._seen(figures)
        settings = self._settings
        self._pressure = plan.look(self._pressure, settings.thresholds, seen, now, settings.transition)
        return seen, plan.due(self._pressure, now)

    def _seen(self, figures: NodeFigures) -> dict[str, Observation]:
        processes = host.read_processes()
        seen = {
            plan.MEMORY: Observation(figures.memory_available, figures.memory_capacity),
            plan.PIDS: Observation(max(0, processes.most - processes.running), processes.most),
        }
        disks = self._measures.disks
        for found, space, inodes in (
            (disks.node(), plan.NODE_DISK, plan.NODE_INODES),
            (disks.images(), plan.IMAGE_DISK, plan.IMAGE_INODES),
        ):
            if found is not None:
                seen[space] = Observation(found.available, found.capacity)
                seen[inodes] = Observation(found.inodes_free, found.inodes)
        return seen

    async def _over_limits(self, pods: Sequence[PodOnNode]) -> bool:
        """Evicts the pods that have more on disk than they may."""
        any_gone = False
        for pod in pods:
            limits = _limits(pod.pod)
            if limits is None or pod.uid in self._going or critical(pod.pod):
                continue
            disks = await self._measures.disks.of(pod, SAMPLE_SECONDS)
            empty_dirs, whole, containers = limits
            written = {
                name: disks.writable[name].used + (disks.logs[name].used if name in disks.logs else 0)
                for name in disks.writable
            }
            message = plan.over_its_limits(
                {n: (disks.volumes[n].used, text) for n, text in empty_dirs.items() if n in disks.volumes},
                (disks.ephemeral.used, whole),
                {n: (written[n], text) for n, text in containers.items() if n in written},
            )
            if message is not None:
                any_gone = True
                signal = "ephemeralpodfs.limit" if "EmptyDir" not in message else "emptydirfs.limit"
                self._carry_out(Eviction(pod.uid, signal, message, 1))
        return any_gone


def _limits(pod: Pod) -> tuple[dict[str, str], str, dict[str, str]] | None:
    """By emptyDir, of the whole pod, by container; None where there are none, as in most pods."""
    spec = pod["spec"]
    empty_dirs = {}
    for volume in spec.get("volumes") or ():
        source = volume.get("emptyDir") or {}
        if source.get("sizeLimit") and source.get("medium") != "Memory":
            empty_dirs[volume["name"]] = str(source["sizeLimit"])
    containers = {}
    for container in spec["containers"]:
        limit = ((container.get("resources") or {}).get("limits") or {}).get(_STORAGE)
        if limit:
            containers[container["name"]] = str(limit)
    if not empty_dirs and not containers:
        return None
    total = sum(map(quantity.to_int, containers.values()))
    return empty_dirs, plan.binary(total) if containers else "", containers


def _use(pod: PodFigures, disks: PodDisks) -> PodUse:
    spec = pod.on_node.pod["spec"]
    wanted = admission.requests(pod.on_node.pod)
    by_name = {c["name"]: (c.get("resources") or {}).get("requests") or {} for c in spec["containers"]}

    def asked(name: str, resource: str) -> int:
        return quantity.to_int(by_name.get(name, {}).get(resource, "0"))

    written = {name: disk.used for name, disk in disks.writable.items()}
    return PodUse(
        uid=pod.on_node.uid,
        priority=spec.get("priority") or 0,
        critical=critical(pod.on_node.pod),
        memory=Use(pod.working_set, wanted.get("memory", 0) // 1000),
        disk=Use(disks.ephemeral.used, wanted.get(_STORAGE, 0) // 1000),
        inodes=disks.ephemeral.inodes,
        processes=sum(c.usage.processes for c in pod.containers),
        containers={c.name: Use(c.usage.memory_working_set, asked(c.name, "memory")) for c in pod.containers},
        container_disks={name: Use(used, asked(name, _STORAGE)) for name, used in written.items()},
    )
