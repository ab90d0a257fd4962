"""The rules of ClusterRoles that collect those of others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery import meta, resources, selectors
from controllermanager.plans.actions import Action, Patch

Object = dict[str, Any]

CLUSTER_ROLES = resources.get("clusterroles", "rbac.authorization.k8s.io")


def aggregates(role: Object) -> bool:
    return role.get("aggregationRule") is not None


def plan(role: Object, roles: Iterable[Object]) -> list[Action]:
    """`roles` are all ClusterRoles. Rules come in the order of selectors, then of roles' names, each once."""
    if not aggregates(role):
        return []
    by_name = sorted(roles, key=lambda r: str(r["metadata"]["name"]))
    rules: list[Object] = []
    for given in role["aggregationRule"].get("clusterRoleSelectors") or ():
        selector = selectors.from_label_selector(given)
        for other in by_name:
            if other["metadata"]["name"] != role["metadata"]["name"] and selector.matches(meta.labels(other)):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    if rules == (role.get("rules") or []):
        return []
    metadata = role["metadata"]
    patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "rules": rules}
    return [Patch(CLUSTER_ROLES, "", metadata["name"], patch, missing_ok=True)]
