"""What objects count for in a ResourceQuota."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from apimachinery import quantities, resources
from apimachinery.quantities import Quantities
from apimachinery.quantity import Quantity
from apimachinery.resources import Resource

Object = dict[str, Any]

RESOURCE_QUOTAS = resources.get("resourcequotas")
ZERO = Quantity(0)
ONE = Quantity.from_int(1)

_CORE_COUNTS = {
    "configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services",
}  # fmt: skip
COMPUTE = ("cpu", "memory", "ephemeral-storage")
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"


def count_names(resource: Resource) -> list[str]:
    """The names that count objects of a resource, whatever is in them."""
    names = [f"count/{resource.qualified}"]
    if not resource.group and resource.plural in _CORE_COUNTS:
        names.append(resource.plural)
    return names


def usage(resource: Resource, obj: Object) -> Quantities:
    """What one object counts for, under every name a quota may have for it."""
    used = dict.fromkeys(count_names(resource), ONE)
    if resource.group:
        return used
    if resource.kind == "Pod":
        return used if _finished(obj) else used | _pod(obj)
    if resource.kind == "Service":
        return used | _service(obj.get("spec") or {})
    if resource.kind == "PersistentVolumeClaim":
        return used | _claim(obj)
    return used


def _finished(pod: Object) -> bool:
    """A pod that has ended counts only as an object; so does one whose deletion has lasted past its grace period."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _pod(pod: Object) -> Quantities:
    used = {"pods": ONE}
    requests = quantities.pod_total(pod["spec"], "requests")
    limits = quantities.pod_total(pod["spec"], "limits")
    for name, value in requests.items():
        used[f"requests.{name}"] = value
        if name in COMPUTE or name.startswith("hugepages-"):
            used[name] = value
    for name, value in limits.items():
        used[f"limits.{name}"] = value
    return used


def _service(spec: Object) -> Quantities:
    kind, ports = spec.get("type"), len(spec.get("ports") or ())
    if kind == "NodePort":
        return {"services.nodeports": Quantity.from_int(ports)}
    if kind == "LoadBalancer":
        allocated = ports if spec.get("allocateLoadBalancerNodePorts", True) else 0
        return {"services.loadbalancers": ONE, "services.nodeports": Quantity.from_int(allocated)}
    return {}


def _claim(claim: Object) -> Quantities:
    spec = claim.get("spec") or {}
    asked = quantities.parse((spec.get("resources") or {}).get("requests")).get("storage", ZERO)
    used = {"requests.storage": asked}
    if name := spec.get("storageClassName"):
        used[f"{name}{_CLASS_SUFFIX}requests.storage"] = asked
        used[f"{name}{_CLASS_SUFFIX}persistentvolumeclaims"] = ONE
    return used


def in_scope(resource: Resource, obj: Object, quota: Object) -> bool:
    """Whether a quota's scopes select an object. A quota with scopes is about pods (and claims) alone."""
    spec = quota.get("spec") or {}
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    terms += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not terms:
        return True
    if resource.group or resource.kind not in ("Pod", "PersistentVolumeClaim"):
        return False
    matches = _matches if resource.kind == "Pod" else _matches_claim
    return all(matches(term, obj) for term in terms)


def _matches_claim(term: Object, claim: Object) -> bool:
    """Claims have one scope (KEP-3751): the attributes class that is wanted, is there, or is on its way."""
    if term["scopeName"] != "VolumeAttributesClass":
        return False
    status = claim.get("status") or {}
    found = {
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    } - {None, ""}
    values = set(term.get("values") or ())
    return {
        "Exists": bool(found),
        "DoesNotExist": not found,
        "In": bool(found & values),
        "NotIn": not found or bool(found - values),
    }.get(term.get("operator", ""), False)


def _matches(term: Object, pod: Object) -> bool:
    spec = pod["spec"]
    match term["scopeName"]:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return _best_effort(spec)
        case "NotBestEffort":
            return not _best_effort(spec)
        case "PriorityClass":
            name, values = spec.get("priorityClassName"), term.get("values") or ()
            return {
                "Exists": bool(name),
                "DoesNotExist": not name,
                "In": name in values,
                "NotIn": name not in values,
            }.get(term.get("operator", ""), False)
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(spec)
    return False


def _best_effort(spec: Object) -> bool:
    every = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ()), spec]
    return not any(
        (one.get("resources") or {}).get(key, {}).get(name)
        for one in every
        for key in ("requests", "limits")
        for name in ("cpu", "memory")
    )


def _crosses_namespaces(spec: Object) -> bool:
    affinity = spec.get("affinity") or {}
    for field in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(field) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        weighted = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [w["podAffinityTerm"] for w in weighted]
        if any(t.get("namespaces") or t.get("namespaceSelector") is not None for t in terms):
            return True
    return False


def measures(resource: Resource, hard: Set[str]) -> bool:
    """Whether objects of that resource count for any of the names."""
    if not hard.isdisjoint(count_names(resource)):
        return True
    if resource.group:
        return False
    if resource.kind == "Pod":
        return any(
            n in ("pods", *COMPUTE) or n.startswith(("requests.", "limits.", "hugepages-")) for n in hard
        )
    if resource.kind == "Service":
        return any(n.startswith("services.") for n in hard)
    if resource.kind == "PersistentVolumeClaim":
        return any(n == "requests.storage" or _CLASS_SUFFIX in n for n in hard)
    return False


def custom_counts(hard: Set[str]) -> list[str]:
    """The custom resources, such as `widgets.example.com`, that some of the names count."""
    builtin = {r.qualified for r in resources.stored()}
    named = (name.removeprefix("count/") for name in hard if name.startswith("count/"))
    return sorted(name for name in named if name not in builtin)
