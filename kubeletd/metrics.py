"""The metric families of a node, by Kubernetes's names and units. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kubeletd.interfaces import ProbeKey
from kubeletd.metrics_text import Family, Sample
from kubeletd.runtime.interface import Usage
from kubeletd.stats_model import ContainerFigures, NodeFigures, PodFigures
from kubeletd.stats_summary import Surroundings

_NANO = 1e-9


def _where(pod: PodFigures) -> dict[str, str]:
    meta = pod.on_node.pod["metadata"]
    return {"namespace": meta["namespace"], "pod": meta["name"]}


def _each(figures: NodeFigures, value: Callable[[ContainerFigures], float], at: float = 0.0) -> list[Sample]:
    return [
        Sample({"container": c.name, **_where(pod)}, value(c), at)
        for pod in figures.pods
        for c in pod.containers
    ]


def resource(figures: NodeFigures) -> list[Family]:
    """`/metrics/resource`, which a metrics server reads."""
    at = figures.at
    pods = [pod for pod in figures.pods if pod.containers]
    return [
        Family("container_cpu_usage_seconds_total", "counter",
               "Cumulative cpu time consumed by the container in core-seconds",
               _each(figures, lambda c: c.usage.cpu_nanoseconds * _NANO, at)),
        Family("container_memory_working_set_bytes", "gauge",
               "Current working set of the container in bytes",
               _each(figures, lambda c: c.usage.memory_working_set, at)),
        Family("container_start_time_seconds", "gauge",
               "Start time of the container since unix epoch in seconds",
               _each(figures, lambda c: c.state.started_at)),
        Family("container_swap_usage_bytes", "gauge",
               "Current amount of the container swap usage in bytes. Reported only on non-windows systems",
               _each(figures, lambda c: c.usage.memory_swap, at)),
        Family("node_cpu_usage_seconds_total", "counter",
               "Cumulative cpu time consumed by the node in core-seconds",
               [Sample({}, figures.cpu_nanoseconds * _NANO, at)]),
        Family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes",
               [Sample({}, figures.memory_working_set, at)]),
        Family("pod_cpu_usage_seconds_total", "counter",
               "Cumulative cpu time consumed by the pod in core-seconds",
               [Sample(_where(pod), pod.cpu_nanoseconds * _NANO, at) for pod in pods]),
        Family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes",
               [Sample(_where(pod), pod.working_set, at) for pod in pods]),
        Family("pod_swap_usage_bytes", "gauge",
               "Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
               [Sample(_where(pod), sum(c.usage.memory_swap for c in pod.containers), at) for pod in pods]),
        Family("resource_scrape_error", "gauge",
               "1 if there was an error while getting container metrics, 0 otherwise", [Sample({}, 0)]),
    ]  # fmt: skip


#: name, kind, help, value of one container's usage.
_OF_CONTAINERS: tuple[tuple[str, str, str, Callable[[Usage], float]], ...] = (
    ("container_cpu_user_seconds_total", "counter", "Cumulative user cpu time consumed in seconds.",
     lambda u: u.cpu_user_nanoseconds * _NANO),
    ("container_cpu_system_seconds_total", "counter", "Cumulative system cpu time consumed in seconds.",
     lambda u: u.cpu_system_nanoseconds * _NANO),
    ("container_cpu_cfs_periods_total", "counter", "Number of elapsed enforcement period intervals.",
     lambda u: u.cpu_periods),
    ("container_cpu_cfs_throttled_periods_total", "counter", "Number of throttled period intervals.",
     lambda u: u.cpu_throttled_periods),
    ("container_cpu_cfs_throttled_seconds_total", "counter",
     "Total time duration the container has been throttled.", lambda u: u.cpu_throttled_nanoseconds * _NANO),
    ("container_memory_usage_bytes", "gauge",
     "Current memory usage in bytes, including all memory regardless of when it was accessed",
     lambda u: u.memory_usage),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.",
     lambda u: u.memory_working_set),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", lambda u: u.memory_rss),
    ("container_memory_cache", "gauge", "Number of bytes of page cache memory.", lambda u: u.memory_cache),
    ("container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.",
     lambda u: u.memory_mapped_file),
    ("container_memory_swap", "gauge", "Container swap usage in bytes.", lambda u: u.memory_swap),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.",
     lambda u: u.memory_limit),
    ("container_processes", "gauge", "Number of processes running inside the container.",
     lambda u: u.processes),
)  # fmt: skip
_OF_NETWORKS = (
    ("receive_bytes", "Cumulative count of bytes received", "received_bytes"),
    ("receive_packets", "Cumulative count of packets received", "received_packets"),
    ("receive_errors", "Cumulative count of errors encountered while receiving", "received_errors"),
    ("receive_packets_dropped", "Cumulative count of packets dropped while receiving", "received_dropped"),
    ("transmit_bytes", "Cumulative count of bytes transmitted", "sent_bytes"),
    ("transmit_packets", "Cumulative count of packets transmitted", "sent_packets"),
    ("transmit_errors", "Cumulative count of errors encountered while transmitting", "sent_errors"),
    ("transmit_packets_dropped", "Cumulative count of packets dropped while transmitting", "sent_dropped"),
)


def _labels(pod: PodFigures, container: ContainerFigures) -> dict[str, str]:
    spec = pod.on_node.pod["spec"]
    declared = [*spec["containers"], *(spec.get("initContainers") or ())]
    image = next((str(c["image"]) for c in declared if c["name"] == container.name), "")
    where = _where(pod)
    return {
        **where,
        "container": container.name,
        "id": f"/docker/{container.state.id}",
        "image": image,
        "name": container.state.id,
    }


def cadvisor(figures: NodeFigures, around: Surroundings, cores: float) -> list[Family]:
    """`/metrics/cadvisor`."""
    at = figures.at
    labelled = [(_labels(pod, c), pod, c) for pod in figures.pods for c in pod.containers]
    found = [
        Family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
               [Sample({**labels, "cpu": "total"}, c.usage.cpu_nanoseconds * _NANO, at)
                for labels, _, c in labelled]),
        Family("container_last_seen", "gauge", "Last time a container was seen by the exporter",
               [Sample(labels, at, at) for labels, _, _ in labelled]),
        Family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.",
               [Sample(labels, c.state.started_at) for labels, _, c in labelled]),
    ]  # fmt: skip
    for name, kind, text, value in _OF_CONTAINERS:
        samples = [Sample(labels, value(c.usage), at) for labels, _, c in labelled]
        found.append(Family(name, "counter" if kind == "counter" else "gauge", text, samples))
    disk = []
    for labels, pod, c in labelled:
        disks = around.disks.get(pod.on_node.uid)
        if disks is not None and c.name in disks.writable:
            logs = disks.logs.get(c.name)
            disk.append(Sample(labels, disks.writable[c.name].used + (logs.used if logs else 0), at))
    text = "Number of bytes that are consumed by the container on this filesystem."
    found.append(Family("container_fs_usage_bytes", "gauge", text, disk))
    for name, text, attribute in _OF_NETWORKS:
        samples = [
            Sample({**_where(pod), "interface": one.name}, getattr(one, attribute), at)
            for pod in figures.pods
            for one in around.networks.get(pod.on_node.uid, ())
        ]
        found.append(Family(f"container_network_{name}_total", "counter", text, samples))
    found += [
        Family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [Sample({}, cores)]),
        Family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.",
               [Sample({}, figures.memory_capacity)]),
    ]  # fmt: skip
    return found


def probes(counts: Mapping[ProbeKey, int]) -> list[Family]:
    """`/metrics/probes`."""
    samples = [
        Sample(
            {
                "container": key.container,
                "namespace": key.namespace,
                "pod": key.pod,
                "pod_uid": key.uid,
                "probe_type": key.kind.capitalize(),
                "result": key.result,
            },
            number,
        )
        for key, number in counts.items()
    ]
    text = "Cumulative number of a liveness, readiness or startup probe for a container by result."
    return [Family("prober_probe_total", "counter", text, samples)]


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """About the agent's own work. `containers` counts by state, `evictions` by signal."""

    node_name: str
    version: str
    desired_pods: int
    running_pods: int
    containers: Mapping[str, int]
    evictions: Mapping[str, int]
    cpu_seconds: float
    memory: int
    started_at: float
    open_files: int


def agent(found: AgentFigures) -> list[Family]:
    """`/metrics`."""
    evictions = [Sample({"eviction_signal": name}, n) for name, n in sorted(found.evictions.items())]
    states = [Sample({"container_state": name}, n) for name, n in sorted(found.containers.items())]
    return [
        Family("kubelet_node_name", "gauge", "The node's name. The count is always 1.",
               [Sample({"node": found.node_name}, 1)]),
        Family("kubelet_desired_pods", "gauge", "The number of pods the kubelet is being instructed to run.",
               [Sample({"static": ""}, found.desired_pods)]),
        Family("kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox",
               [Sample({}, found.running_pods)]),
        Family("kubelet_running_containers", "gauge", "Number of containers currently running", states),
        Family("kubelet_evictions", "counter", "Cumulative number of pod evictions by eviction signal",
               evictions),
        Family("kubernetes_build_info", "gauge",
               "A metric with a constant '1' value labeled by version.", [Sample(_version(found.version), 1)]),
        Family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
               [Sample({}, found.cpu_seconds)]),
        Family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
               [Sample({}, found.memory)]),
        Family("process_start_time_seconds", "gauge",
               "Start time of the process since unix epoch in seconds.", [Sample({}, found.started_at)]),
        Family("process_open_fds", "gauge", "Number of open file descriptors.",
               [Sample({}, found.open_files)]),
    ]  # fmt: skip


def _version(version: str) -> dict[str, str]:
    major, minor, _ = version.removeprefix("v").split(".", 2)
    return {"git_version": version, "major": major, "minor": minor}
