"""Whether this node takes a pod that was bound to it; the words of its refusal are Kubernetes's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery import quantity
from apimachinery.selectors import Requirement, Selector

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def requests(pod: Mapping[str, Any]) -> dict[str, int]:
    """What a pod asks for, in thousandths: the sum of its containers and sidecars or its largest init container.

    Where it has resources of its own, they say it for CPU and memory.
    """
    spec = pod["spec"]
    total: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        own = _own(container)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            own = total
        else:
            own = {name: own.get(name, 0) + total.get(name, 0) for name in {*own, *total}}
        for name, amount in own.items():
            peak[name] = max(peak.get(name, 0), amount)
    for container in spec["containers"]:
        _add(total, _own(container))
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    for name, amount in _own(spec).items():
        if name in ("cpu", "memory") or name.startswith("hugepages-"):
            total[name] = amount
    for name, text in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, 0) + quantity.to_milli(text)
    return total


def _own(container: Mapping[str, Any]) -> dict[str, int]:
    resources = container.get("resources") or {}
    given = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity.to_milli(text) for name, text in given.items()}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def matches_term(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """Whether a NodeSelectorTerm is about the node of that name and those labels."""
    for expression in term.get("matchExpressions") or ():
        if not _expression(expression, labels):
            return False
    for field in term.get("matchFields") or ():
        if not _expression(field, {"metadata.name": name}):
            return False
    return bool(term.get("matchExpressions") or term.get("matchFields"))


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values: tuple[str, ...] = tuple(expression.get("values") or ())
    if operator in ("Gt", "Lt"):
        try:
            have, want = int(labels[key]), int(values[0])
        except (KeyError, ValueError, IndexError):
            return False
        return have > want if operator == "Gt" else have < want
    return Selector([Requirement(key, _OPERATORS[operator], tuple(values))]).matches(labels)


def affinity_allows(pod: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """nodeSelector and required node affinity."""
    labels = node["metadata"].get("labels") or {}
    selector = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    terms = required.get("nodeSelectorTerms") or ()
    return any(matches_term(term, labels, node["metadata"]["name"]) for term in terms)


def _ports(pod: Mapping[str, Any]) -> set[tuple[str, int, str]]:
    return {
        (port.get("protocol") or "TCP", port["hostPort"], port.get("hostIP") or "0.0.0.0")
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def _clash(first: set[tuple[str, int, str]], second: set[tuple[str, int, str]]) -> bool:
    return any(
        p == q and a == b and (x == y or "0.0.0.0" in (x, y)) for p, a, x in first for q, b, y in second
    )


def _allocatable(node: Mapping[str, Any]) -> dict[str, int]:
    given = (node.get("status") or {}).get("allocatable") or {}
    return {name: quantity.to_milli(text) for name, text in given.items()}


def _shown(name: str, *numbers: int) -> tuple[int, ...]:
    """CPU is told in thousandths, everything else in whole units."""
    return numbers if name == "cpu" else tuple(-(-number // 1000) for number in numbers)


def _shortage(
    wanted: Mapping[str, int], allocatable: Mapping[str, int], others: Iterable[Mapping[str, Any]]
) -> tuple[str, str] | None:
    """The resource there is not enough of beside `others`, and the words for it."""
    others = list(others)
    used: dict[str, int] = {}
    for other in others:
        _add(used, requests(other))
    used["pods"] = 1000 * len(others)
    for name, amount in wanted.items():
        if not amount or (name not in allocatable and name in ("ephemeral-storage",)):
            continue
        taken, capacity = used.get(name, 0), allocatable.get(name, 0)
        if taken + amount > capacity:
            shown = _shown(name, amount, taken, capacity)
            amounts = f"requested: {shown[0]}, used: {shown[1]}, capacity: {shown[2]}"
            return name, f"Node didn't have enough resource: {name}, {amounts}"
    return None


def resize_refusal(
    pod: Mapping[str, Any], node: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> tuple[str, str] | None:
    """(reason, message) if a pod that runs here cannot be given what it asks for: never, or not now."""
    if (pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.source", "api") != "api":
        return "Infeasible", "In-place resize of static-pods is not supported"
    allocatable = _allocatable(node)
    wanted = {name: amount for name, amount in requests(pod).items() if name in ("cpu", "memory")}
    for name in ("memory", "cpu"):
        amount, capacity = wanted.get(name, 0), allocatable.get(name, 0)
        if amount > capacity:
            shown = _shown(name, amount, capacity)
            text = f"{name}, requested: {shown[0]}, capacity: {shown[1]}"
            return "Infeasible", f"Node didn't have enough capacity: {text}"
    short = _shortage(wanted, allocatable, others)
    return ("Deferred", short[1]) if short is not None else None


def refusal(
    pod: Mapping[str, Any], node: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> tuple[str, str] | None:
    """(reason, message) if the pod cannot run here; `others` are the pods that already do."""
    if not affinity_allows(pod, node):
        return (
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )
    allocatable = _allocatable(node)
    others = list(others)
    wanted = {**requests(pod), "pods": 1000}
    short = _shortage(wanted, allocatable, others)
    if short is not None:
        return f"OutOf{short[0]}", f"Pod was rejected: {short[1]}"
    ports = _ports(pod)
    if ports and any(_clash(ports, _ports(other)) for other in others):
        return (
            "NodePorts",
            "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        )
    return None
