"""The Summary API (`/stats/summary`): a node's figures as JSON. Pure.

Usage of CPU is in nanocores, everything else in bytes and counts; what is not known is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubeletd.runtime.interface import Usage
from kubeletd.stats_host import Disk, FileSystem, Interface, Processes
from kubeletd.stats_model import ContainerFigures, NodeFigures, PodDisks, PodFigures, VolumeFigures
from kubeletd.status import rfc3339

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else there is to say. `disks`, `volumes` (those with a size of their own) and `networks` are by the
    uid of a pod."""

    node_name: str
    started_at: float = 0.0
    agent_started_at: float = 0.0
    file_system: FileSystem | None = None
    images: FileSystem | None = None
    networks: Mapping[str, Sequence[Interface]] = field(default_factory=dict)
    node_network: Sequence[Interface] = ()
    disks: Mapping[str, PodDisks] = field(default_factory=dict)
    volumes: Mapping[str, Sequence[VolumeFigures]] = field(default_factory=dict)
    processes: Processes | None = None
    swap_total: int = 0
    swap_free: int = 0


def summary(figures: NodeFigures, around: Surroundings, *, only_cpu_and_memory: bool = False) -> Object:
    """`only_cpu_and_memory` is the query parameter of that name: nothing that is dear to find out."""
    now = rfc3339(figures.at)
    pods = [_pod(pod, around, now, brief=only_cpu_and_memory) for pod in figures.pods]
    return {"node": _node(figures, around, now, brief=only_cpu_and_memory), "pods": pods}


def _node(figures: NodeFigures, around: Surroundings, now: str, *, brief: bool) -> Object:
    agent = {
        "name": "kubelet",
        "startTime": rfc3339(around.agent_started_at),
        "cpu": {"time": now, "usageCoreNanoSeconds": figures.agent_cpu_nanoseconds},
        "memory": {
            "time": now,
            "usageBytes": figures.agent_memory,
            "workingSetBytes": figures.agent_memory,
            "rssBytes": figures.agent_memory,
        },
    }
    pods = {
        "name": "pods",
        "startTime": rfc3339(around.started_at),
        "cpu": {"time": now, "usageCoreNanoSeconds": sum(p.cpu_nanoseconds for p in figures.pods)},
        "memory": {
            "time": now,
            "availableBytes": max(0, figures.memory_capacity - sum(pod.working_set for pod in figures.pods)),
            "workingSetBytes": sum(pod.working_set for pod in figures.pods),
        },
    }
    cpu: Object = {"time": now, "usageCoreNanoSeconds": figures.cpu_nanoseconds}
    if figures.rate is not None:
        cpu["usageNanoCores"] = figures.rate.nanocores
    node: Object = {
        "nodeName": around.node_name,
        "systemContainers": [agent, pods],
        "startTime": rfc3339(around.started_at),
        "cpu": cpu,
        "memory": {
            "time": now,
            "availableBytes": figures.memory_available,
            "usageBytes": figures.memory_usage,
            "workingSetBytes": figures.memory_working_set,
            "rssBytes": figures.memory_rss,
        },
    }
    if brief:
        return node
    if around.node_network:
        node["network"] = _network(around.node_network, now)
    if around.file_system is not None:
        node["fs"] = _whole(around.file_system, now)
    if around.images is not None:
        images = _whole(around.images, now)
        node["runtime"] = {"imageFs": images, "containerFs": images}
    if around.processes is not None:
        node["rlimit"] = {
            "time": now,
            "maxpid": around.processes.most,
            "curproc": around.processes.running,
        }
    node["swap"] = {
        "time": now,
        "swapAvailableBytes": around.swap_free,
        "swapUsageBytes": around.swap_total - around.swap_free,
    }
    return node


def _pod(pod: PodFigures, around: Surroundings, now: str, *, brief: bool) -> Object:
    meta = pod.on_node.pod["metadata"]
    disks = around.disks.get(pod.on_node.uid, PodDisks())
    started = (pod.on_node.pod.get("status") or {}).get("startTime") or meta.get("creationTimestamp")
    cpu: Object = {"time": now, "usageCoreNanoSeconds": pod.cpu_nanoseconds}
    if pod.nanocores is not None:
        cpu["usageNanoCores"] = pod.nanocores
    usages = [c.usage for c in pod.containers]
    result: Object = {
        "podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": pod.on_node.uid},
        "startTime": started,
        "containers": [_container(c, disks, around, now, brief=brief) for c in pod.containers],
        "cpu": cpu,
        "memory": _memory(usages, now),
    }
    if brief:
        return result
    network = around.networks.get(pod.on_node.uid)
    if network:
        result["network"] = _network(network, now)
    own = around.volumes.get(pod.on_node.uid, ())
    if disks.volumes or own:
        result["volume"] = [
            *(
                {"name": name, **_part(disk, around.file_system, now)}
                for name, disk in sorted(disks.volumes.items())
            ),
            *(_volume(volume, meta["namespace"], now) for volume in own),
        ]
    if disks.at:
        result["ephemeral-storage"] = _part(disks.ephemeral, around.file_system, now)
    result["process_stats"] = {"process_count": sum(u.processes for u in usages)}
    result["swap"] = {"time": now, "swapUsageBytes": sum(u.memory_swap for u in usages)}
    return result


def _container(
    container: ContainerFigures, disks: PodDisks, around: Surroundings, now: str, *, brief: bool
) -> Object:
    usage = container.usage
    cpu: Object = {"time": now, "usageCoreNanoSeconds": usage.cpu_nanoseconds}
    if container.rate is not None:
        cpu["usageNanoCores"] = container.rate.nanocores
    result: Object = {
        "name": container.name,
        "startTime": rfc3339(container.state.started_at),
        "cpu": cpu,
        "memory": _memory([usage], now),
    }
    if brief:
        return result
    if container.name in disks.writable:
        result["rootfs"] = _part(disks.writable[container.name], around.images, now)
    if container.name in disks.logs:
        result["logs"] = _part(disks.logs[container.name], around.images, now)
    result["swap"] = {"time": now, "swapUsageBytes": usage.memory_swap}
    return result


def _memory(usages: Sequence[Usage], now: str) -> Object:
    limit = sum(u.memory_limit for u in usages) if all(u.memory_limit for u in usages) else 0
    working_set = sum(u.memory_working_set for u in usages)
    result: Object = {
        "time": now,
        "usageBytes": sum(u.memory_usage for u in usages),
        "workingSetBytes": working_set,
        "rssBytes": sum(u.memory_rss for u in usages),
        "pageFaults": sum(u.page_faults for u in usages),
        "majorPageFaults": sum(u.major_page_faults for u in usages),
    }
    if limit:
        result["availableBytes"] = max(0, limit - working_set)
    return result


def _network(interfaces: Sequence[Interface], now: str) -> Object:
    each = [
        {
            "name": one.name,
            "rxBytes": one.received_bytes,
            "rxErrors": one.received_errors,
            "txBytes": one.sent_bytes,
            "txErrors": one.sent_errors,
        }
        for one in interfaces
    ]
    main = next((one for one in each if one["name"] == "eth0"), each[0])
    return {"time": now, **main, "interfaces": each}


def _whole(found: FileSystem, now: str) -> Object:
    return {
        "time": now,
        "availableBytes": found.available,
        "capacityBytes": found.capacity,
        "usedBytes": found.capacity - found.available,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": found.inodes - found.inodes_free,
    }


def _volume(volume: VolumeFigures, namespace: str, now: str) -> Object:
    """What its driver says of a volume."""
    result: Object = {
        "time": now,
        "name": volume.name,
        "availableBytes": volume.available,
        "capacityBytes": volume.capacity,
        "usedBytes": volume.used,
        "inodes": volume.inodes,
        "inodesFree": volume.inodes_free,
        "inodesUsed": volume.inodes_used,
    }
    if volume.claim:
        result["pvcRef"] = {"name": volume.claim, "namespace": namespace}
    return result


def _part(disk: Disk, on: FileSystem | None, now: str) -> Object:
    """Something's share of a file system."""
    result: Object = {"time": now, "usedBytes": disk.used, "inodesUsed": disk.inodes}
    if on is not None:
        result |= {
            "availableBytes": on.available,
            "capacityBytes": on.capacity,
            "inodesFree": on.inodes_free,
            "inodes": on.inodes,
        }
    return result
