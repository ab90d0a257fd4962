"""Whether a pod may be on a node at all: its node selector, its required node affinity, the node's taints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controllermanager.plans.taints import tolerates

Object = dict[str, Any]


def _expression(values: Mapping[str, str], expression: Object) -> bool:
    operator, wanted = expression["operator"], expression.get("values") or ()
    value = values.get(expression["key"])
    if operator == "In":
        return value is not None and value in wanted
    if operator == "NotIn":
        return value is None or value not in wanted
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if (
        value is None
        or not wanted
        or not value.lstrip("+-").isdigit()
        or not wanted[0].lstrip("+-").isdigit()
    ):
        return False
    return int(value) > int(wanted[0]) if operator == "Gt" else int(value) < int(wanted[0])


def _term(node: Object, term: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = node["metadata"].get("labels") or {}
    name = {"metadata.name": node["metadata"]["name"]}
    return all(_expression(labels, e) for e in expressions) and all(_expression(name, e) for e in fields)


def selected(spec: Object, node: Object) -> bool:
    """By `nodeName`, `nodeSelector` and the required node affinity of a pod's spec."""
    if spec.get("nodeName") and spec["nodeName"] != node["metadata"]["name"]:
        return False
    labels = node["metadata"].get("labels") or {}
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(node, term) for term in required.get("nodeSelectorTerms") or ())


def untolerated(tolerations: Iterable[Object], node: Object, effects: Iterable[str]) -> bool:
    """Whether the node has a taint of those effects that nothing tolerates."""
    tolerations = list(tolerations)
    effects = set(effects)
    return any(
        taint["effect"] in effects and not any(tolerates(t, taint) for t in tolerations)
        for taint in (node.get("spec") or {}).get("taints") or ()
    )
