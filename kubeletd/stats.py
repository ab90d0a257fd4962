"""What the pods of a node and the node itself use. Read when somebody asks, and every ten seconds for the rates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from kubeletd import stats_host as host
from kubeletd.interfaces import PodOnNode
from kubeletd.runtime.interface import Runtime, RuntimeFailure
from kubeletd.stats_model import ContainerFigures, NodeFigures, PodFigures
from kubeletd.stats_rates import Rates

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 10.0
_FRESH_SECONDS = 1.0  # readers that come together share one reading


class Figures:
    """One node's figures.

    `shared`: several nodes share the machine, so that a node uses what its own pods and agent use. `real`: the
    containers are processes of this machine.
    """

    def __init__(
        self,
        runtime: Runtime,
        pods: Callable[[], Sequence[PodOnNode]],
        memory_capacity: Callable[[], int],
        clock: Callable[[], float],
        *,
        shared: bool,
    ) -> None:
        self._runtime = runtime
        self._pods = pods
        self._capacity = memory_capacity
        self._clock = clock
        self._real = runtime.name != "simulated"
        self._shared = shared or not self._real
        self._rates = Rates()
        self._node_rate = Rates()
        self._spent = 0  # CPU time of containers that are no more
        self._last: NodeFigures | None = None
        self._reading: asyncio.Task[NodeFigures] | None = None

    async def read(self, max_age: float = _FRESH_SECONDS) -> NodeFigures:
        """The figures as they are, or were less than `max_age` seconds ago."""
        last = self._last
        if last is not None and 0 <= self._clock() - last.at < max_age:
            return last
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="figures")
        return await asyncio.shield(self._reading)

    async def _read(self) -> NodeFigures:
        pods = [await self._pod(pod) for pod in self._pods()]
        now = self._clock()
        known = {c.state.id for pod in pods for c in pod.containers}
        self._spent += self._rates.keep(known)
        agent_cpu, agent_memory = host.process_usage() if self._real else (0, 0)
        if self._shared:
            cpu = self._spent + sum(pod.cpu_nanoseconds for pod in pods) + agent_cpu
            capacity = self._capacity()
            working_set = sum(pod.working_set for pod in pods) + agent_memory
            usages = [c.usage for pod in pods for c in pod.containers]
            usage = sum(u.memory_usage for u in usages) + agent_memory
            rss = sum(u.memory_rss for u in usages) + agent_memory
        else:
            cpu, memory = host.read_cpu(), host.read_memory()
            capacity, rss = memory.total, memory.anonymous
            working_set, usage = memory.total - memory.available, memory.total - memory.free
        self._last = NodeFigures(
            at=now,
            cpu_nanoseconds=cpu,
            rate=self._node_rate.observe("", now, cpu),
            memory_capacity=capacity,
            memory_working_set=working_set,
            memory_usage=usage,
            memory_rss=rss,
            agent_cpu_nanoseconds=agent_cpu,
            agent_memory=agent_memory,
            pods=pods,
        )
        return self._last

    async def _pod(self, pod: PodOnNode) -> PodFigures:
        found = []
        for state in pod.containers.values():
            if state.status != "running":
                continue
            try:
                usage = await self._runtime.usage(state.id)
            except RuntimeFailure as error:
                log.debug("no figures of container %s: %s", state.id, error)
                continue
            rate = self._rates.observe(state.id, self._clock(), usage.cpu_nanoseconds, state.started_at)
            found.append(ContainerFigures(state, usage, rate))
        return PodFigures(pod, tuple(found))

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
