"""Validation of RBAC roles and bindings."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, not_supported, required
from apimachinery.validation.fields import Errors, checked, label_selector

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"


def role(errs: Errors, obj: Object) -> None:
    for i, rule in enumerate(obj.get("rules") or ()):
        _rule(errs, f"rules[{i}]", rule, namespaced=True)


def cluster_role(errs: Errors, obj: Object) -> None:
    for i, rule in enumerate(obj.get("rules") or ()):
        _rule(errs, f"rules[{i}]", rule, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return
    selectors = aggregation.get("clusterRoleSelectors") or []
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errs.append(required("aggregationRule.clusterRoleSelectors", text))
    for i, selector in enumerate(selectors):
        label_selector(errs, f"aggregationRule.clusterRoleSelectors[{i}]", selector)


def update_role(errs: Errors, new: Object, old: Object) -> None:
    role(errs, new)


def update_cluster_role(errs: Errors, new: Object, old: Object) -> None:
    cluster_role(errs, new)


def _rule(errs: Errors, path: str, rule: Object, *, namespaced: bool) -> None:
    if not rule.get("verbs"):
        errs.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            errs.append(invalid_value(f"{path}.nonResourceURLs", urls, text))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errs.append(invalid_value(f"{path}.nonResourceURLs", urls, text))
        return
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        errs.append(required(f"{path}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        errs.append(required(f"{path}.resources", text))


def role_binding(errs: Errors, obj: Object) -> None:
    _binding(errs, obj, ("ClusterRole", "Role"), namespaced=True)


def cluster_role_binding(errs: Errors, obj: Object) -> None:
    _binding(errs, obj, ("ClusterRole",), namespaced=False)


def _binding(errs: Errors, obj: Object, kinds: tuple[str, ...], *, namespaced: bool) -> None:
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != GROUP:
        errs.append(not_supported("roleRef.apiGroup", reference.get("apiGroup") or "", (GROUP,)))
    if reference.get("kind") not in kinds:
        errs.append(not_supported("roleRef.kind", reference.get("kind") or "", kinds))
    name = reference.get("name") or ""
    if not name:
        errs.append(required("roleRef.name"))
    else:
        checked(errs, "roleRef.name", name, names.path_segment)
    for i, subject in enumerate(obj.get("subjects") or ()):
        _subject(errs, f"subjects[{i}]", subject, namespaced)


def _subject(errs: Errors, path: str, subject: Object, namespaced: bool) -> None:
    kind, group = subject.get("kind") or "", subject.get("apiGroup") or ""
    if not subject.get("name"):
        errs.append(required(f"{path}.name"))
    if kind == "ServiceAccount":
        if subject.get("name"):
            checked(errs, f"{path}.name", subject["name"], names.dns1123_subdomain)
        if group:
            errs.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            errs.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            errs.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
        if subject.get("namespace"):
            text = f"{kind.lower()} subjects may not have a namespace"
            errs.append(forbidden_field(f"{path}.namespace", text))
    else:
        errs.append(not_supported(f"{path}.kind", kind, ("Group", "ServiceAccount", "User")))


def update_role_binding(errs: Errors, new: Object, old: Object) -> None:
    role_binding(errs, new)
    _same_role(errs, new, old)


def update_cluster_role_binding(errs: Errors, new: Object, old: Object) -> None:
    cluster_role_binding(errs, new)
    _same_role(errs, new, old)


def _same_role(errs: Errors, new: Object, old: Object) -> None:
    if new.get("roleRef") != old.get("roleRef"):
        errs.append(invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef"))
