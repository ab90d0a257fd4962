"""The Node object of this agent: labels, capacity, addresses, conditions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from apimachinery import quantity
from kubeletd.images import node_images
from kubeletd.localvolumes import ROOT_ANNOTATION
from kubeletd.runtime.interface import EngineInfo, Image
from kubeletd.status import rfc3339

VERSION = "v1.36.0"
# Volumes are attached to the node by a controller, not by its agent.
ATTACH_ANNOTATION = "volumes.kubernetes.io/controller-managed-attach-detach"
ENDPOINT_ANNOTATION = "pybernetes.io/agent-endpoint"
DEFAULT_PODS = "110"
_HEALTHY = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)
_SHORT = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the node's operator chose. `capacity` overrides what the machine has."""

    name: str
    capacity: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    unsafe_sysctls: Sequence[str] = ()  # those that pods may set all the same; "kernel.msg*" for many


@dataclass(frozen=True, slots=True)
class NodeFindings:
    """What was found out. `trouble` is why the node is not ready; empty if it is."""

    engine: EngineInfo
    address: str = ""
    endpoint: str = ""
    trouble: str = ""
    disk: int = 0
    boot_id: str = ""
    images: Sequence[Image] = ()
    local_volumes: str = ""  # the directory of local-path volumes
    hugepages: Mapping[int, int] = field(default_factory=dict)  # how many there are, by a page's KiB
    pressures: Set[str] = frozenset()  # those of the pressure conditions that are true
    volumes_in_use: Sequence[str] = ()  # attachable ones, by their unique names


def parse_taint(text: str) -> dict[str, str]:
    """`key=value:Effect` or `key:Effect`. Raises ValueError."""
    pair, colon, effect = text.rpartition(":")
    if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise ValueError(
            f"invalid taint {text!r}: expected key[=value]:NoSchedule|PreferNoSchedule|NoExecute"
        )
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}


def pairs(values: Iterable[str]) -> dict[str, str]:
    """`("a=1", "b=2")` as a mapping; a value may hold several, separated by commas. Raises ValueError."""
    result = {}
    for text in (part for value in values for part in value.split(",") if part):
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ValueError(f"expected key=value, not {text!r}")
        result[key] = value
    return result


def labels(settings: NodeSettings, engine: EngineInfo) -> dict[str, str]:
    own = {
        "beta.kubernetes.io/arch": engine.architecture,
        "beta.kubernetes.io/os": engine.operating_system,
        "kubernetes.io/arch": engine.architecture,
        "kubernetes.io/hostname": settings.name,
        "kubernetes.io/os": engine.operating_system,
    }
    return {**own, **settings.labels}


def node_object(settings: NodeSettings, findings: NodeFindings, now: float) -> dict[str, Any]:
    """The Node as it is registered."""
    spec: dict[str, Any] = {"taints": [dict(taint) for taint in settings.taints]} if settings.taints else {}
    annotations = {ATTACH_ANNOTATION: "true"}
    if findings.endpoint:
        annotations[ENDPOINT_ANNOTATION] = findings.endpoint
    if findings.local_volumes:
        annotations[ROOT_ANNOTATION] = findings.local_volumes
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": settings.name,
            "labels": labels(settings, findings.engine),
            "annotations": annotations,
        },
        "spec": spec,
        "status": node_status(settings, findings, {}, now),
    }


def capacity(settings: NodeSettings, findings: NodeFindings) -> dict[str, str]:
    """Canonical quantities; memory as the machine reports it, in Ki."""
    found = {
        "cpu": str(findings.engine.cpus),
        "memory": f"{findings.engine.memory // 1024}Ki",
        "pods": DEFAULT_PODS,
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        **{f"hugepages-{_amount(size)}": _amount(size * count) for size, count in findings.hugepages.items()},
    }
    if findings.disk:
        found["ephemeral-storage"] = f"{findings.disk // 1024}Ki"
    given = {name: quantity.canonical(text) for name, text in settings.capacity.items()}
    return dict(sorted({**found, **given}.items()))


def _amount(kibibytes: int) -> str:
    return quantity.canonical(f"{kibibytes}Ki")


def allocatable(amounts: Mapping[str, str]) -> dict[str, str]:
    """What pods may have of a capacity: memory of huge pages is no other memory."""
    pages = sum(quantity.to_int(amount) for name, amount in amounts.items() if name.startswith("hugepages-"))
    if not pages:
        return dict(amounts)
    return {**amounts, "memory": f"{max(0, quantity.to_int(amounts['memory']) - pages) // 1024}Ki"}


def _is_extended(name: str) -> bool:
    """Resources of a domain of their own, such as example.com/device."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


def node_status(
    settings: NodeSettings, findings: NodeFindings, old: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """The whole status. `old` is the reported one, whose transition times are kept where nothing changed."""
    engine = findings.engine
    amounts = capacity(settings, findings)
    before = old.get("capacity") or {}
    extended = {name: amount for name, amount in before.items() if _is_extended(name) and name not in amounts}
    # Others put extended resources into the capacity; the agent makes them allocatable, and takes them back.
    gone = [n for n in old.get("allocatable") or {} if _is_extended(n) and n not in {**amounts, **extended}]
    addresses = [{"type": "Hostname", "address": settings.name}]
    if findings.address:
        addresses.insert(0, {"type": "InternalIP", "address": findings.address})
    in_use = list(findings.volumes_in_use)
    port = int(findings.endpoint.rpartition(":")[2]) if findings.endpoint else 0
    return {
        "addresses": addresses,
        "allocatable": {**allocatable(amounts), **extended, **dict.fromkeys(gone)},
        "capacity": {**amounts, **extended},
        "conditions": _conditions(findings, old, now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "images": node_images(findings.images),
        "nodeInfo": {
            "architecture": engine.architecture,
            "bootID": findings.boot_id,
            "containerRuntimeVersion": f"{engine.name}://{engine.version}",
            "kernelVersion": engine.kernel_version,
            "kubeProxyVersion": VERSION,
            "kubeletVersion": VERSION,
            "machineID": engine.machine_id,
            "operatingSystem": engine.operating_system,
            "osImage": engine.os_image,
            "systemUUID": engine.machine_id,
        },
        **({"volumesInUse": in_use or None} if in_use or "volumesInUse" in old else {}),
        "runtimeHandlers": _handlers(engine),
        "features": {"supplementalGroupsPolicy": True},
    }


def _handlers(engine: EngineInfo) -> list[dict[str, Any]]:
    """The default one has no name."""
    features = {"recursiveReadOnlyMounts": engine.recursive_read_only, "userNamespaces": False}
    return [{"name": name, "features": features} for name in ("", *sorted(engine.handlers))]


def not_ready(old: Mapping[str, Any], trouble: str, now: float) -> dict[str, Any]:
    """Of a status what changes where nothing is known but that the node is not ready."""
    stamp = rfc3339(now)
    before: Mapping[str, Any] = next((c for c in old.get("conditions") or () if c["type"] == "Ready"), {})
    since = before["lastTransitionTime"] if before.get("status") == "False" else stamp
    condition = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": trouble}
    return {"conditions": [{**condition, "lastHeartbeatTime": stamp, "lastTransitionTime": since}]}


def _conditions(findings: NodeFindings, old: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    made = [
        (kind, "True", *_SHORT[kind]) if kind in findings.pressures else (kind, "False", reason, message)
        for kind, reason, message in _HEALTHY
    ]
    if findings.trouble:
        made.append(("Ready", "False", "KubeletNotReady", findings.trouble))
    else:
        ready = "kubelet is posting ready status" + (". AppArmor enabled" if findings.engine.apparmor else "")
        made.append(("Ready", "True", "KubeletReady", ready))
    before = {c["type"]: c for c in old.get("conditions") or ()}
    result = []
    for kind, status, reason, message in made:
        same = before.get(kind, {}).get("status") == status
        result.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": rfc3339(now),
                "lastTransitionTime": before[kind]["lastTransitionTime"] if same else rfc3339(now),
            }
        )
    return result


def is_ready(node: Mapping[str, Any]) -> bool:
    """Whether the API's Node has it that the node is ready."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two statuses differ in heartbeats only."""

    def essence(status: Mapping[str, Any]) -> dict[str, Any]:
        conditions = [
            {k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or ()
        ]
        return {**status, "conditions": sorted(conditions, key=lambda c: str(c["type"]))}

    ours = essence(new)
    return all(essence(old).get(key) == value for key, value in ours.items() if key != "conditions") and all(
        condition in essence(old)["conditions"] for condition in ours["conditions"]
    )
