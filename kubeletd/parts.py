"""What the workers of one node work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kubeletd.dnsconfig import NodeDns
from kubeletd.images import Images
from kubeletd.imagevolumes import ImageVolumes
from kubeletd.interfaces import Hooks, Pod, PodFacts, Prober, ResolveEnvironment, Sources, Volumes
from kubeletd.network import Addresses
from kubeletd.runtime.interface import Runtime

if TYPE_CHECKING:
    from kubeletd.csi.node import CsiNode


@dataclass(slots=True)
class Parts:
    """One set a node; `root` None means nothing is kept in files (simulated nodes)."""

    runtime: Runtime
    images: Images
    image_volumes: ImageVolumes
    volumes: Volumes
    sources: Sources
    resolve: ResolveEnvironment
    prober: Prober
    hooks: Hooks
    addresses: Addresses
    root: Path | None
    dns: NodeDns
    record: Callable[[Pod, str, str, str, str], None]  # pod, container, Normal|Warning, reason, message
    delete: Callable[[Pod], Awaitable[None]]  # the pod's final delete; raises StatusError, OSError
    changed: Callable[[str], None]  # the pod's status may be another one
    flush: Callable[[str], Awaitable[None]]  # its status as it is now reaches the API
    facts: Callable[[], PodFacts]  # the node's, without a pod's address
    clock: Callable[[], float]
    memory_capacity: int = 0
    shares_machine: bool = False  # other nodes are on this machine
    pod_max_pids: int = 0  # processes of a pod; 0: no limit
    csi: CsiNode | None = None
