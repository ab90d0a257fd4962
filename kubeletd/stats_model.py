"""Figures as values: what containers, pods and the node use at one moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubeletd.interfaces import PodOnNode
from kubeletd.runtime.interface import ContainerState, Usage
from kubeletd.stats_host import Disk
from kubeletd.stats_rates import Rate


@dataclass(frozen=True, slots=True)
class ContainerFigures:
    """A running container. `rate` None: it has not been known for long enough."""

    state: ContainerState
    usage: Usage
    rate: Rate | None

    @property
    def name(self) -> str:
        return self.state.identity.container


@dataclass(frozen=True, slots=True)
class PodFigures:
    """A pod and those of its containers that run."""

    on_node: PodOnNode
    containers: tuple[ContainerFigures, ...]

    @property
    def cpu_nanoseconds(self) -> int:
        return sum(c.usage.cpu_nanoseconds for c in self.containers)

    @property
    def working_set(self) -> int:
        return sum(c.usage.memory_working_set for c in self.containers)

    @property
    def nanocores(self) -> int | None:
        rates = [c.rate.nanocores for c in self.containers if c.rate is not None]
        return sum(rates) if rates else None


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """All of it, at one moment. Memory in bytes; `capacity` is the node's, which may be a share of its machine's."""

    at: float
    cpu_nanoseconds: int
    rate: Rate | None
    memory_capacity: int
    memory_working_set: int
    memory_usage: int
    memory_rss: int
    agent_cpu_nanoseconds: int
    agent_memory: int
    pods: Sequence[PodFigures]

    @property
    def memory_available(self) -> int:
        return max(0, self.memory_capacity - self.memory_working_set)


@dataclass(frozen=True, slots=True)
class VolumeFigures:
    """A volume with a size of its own, in bytes; 0 is not known. `name` is the one in the pod, `claim` its claim."""

    name: str
    claim: str
    capacity: int = 0
    available: int = 0
    used: int = 0
    inodes: int = 0
    inodes_free: int = 0
    inodes_used: int = 0


@dataclass(frozen=True, slots=True)
class PodDisks:
    """By container and by volume. `memory` are the volumes that are not on disk."""

    at: float = 0.0
    writable: Mapping[str, Disk] = field(default_factory=dict)
    logs: Mapping[str, Disk] = field(default_factory=dict)
    volumes: Mapping[str, Disk] = field(default_factory=dict)
    memory: frozenset[str] = frozenset()

    @property
    def ephemeral(self) -> Disk:
        """The pod's ephemeral storage."""
        volumes = [disk for name, disk in self.volumes.items() if name not in self.memory]
        all_of_it = [*self.writable.values(), *self.logs.values(), *volumes]
        return Disk(sum(d.used for d in all_of_it), sum(d.inodes for d in all_of_it))
