"""Validation of what steers a pod's scheduling: affinity, tolerations, spreading, gates."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, not_supported, required
from apimachinery.validation.fields import (
    Errors,
    checked,
    enum,
    label_name,
    label_selector,
    labels,
    node_selector,
    node_selector_term,
)

Object = dict[str, Any]

TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def scheduling(errs: Errors, path: str, spec: Object) -> None:
    if spec.get("nodeSelector"):
        labels(errs, f"{path}.nodeSelector", spec["nodeSelector"])
    if spec.get("affinity"):
        affinity(errs, f"{path}.affinity", spec["affinity"])
    if spec.get("tolerations"):
        tolerations(errs, f"{path}.tolerations", spec["tolerations"])
    if spec.get("topologySpreadConstraints"):
        _spread(errs, f"{path}.topologySpreadConstraints", spec["topologySpreadConstraints"])
    for field, key in (("readinessGates", "conditionType"), ("schedulingGates", "name")):
        seen: set[str] = set()
        for i, gate in enumerate(spec.get(field) or ()):
            value = gate.get(key) or ""
            here = f"{path}.{field}[{i}].{key}" if field == "readinessGates" else f"{path}.{field}[{i}]"
            checked(errs, here, value, names.qualified_name)
            if value in seen and field == "schedulingGates":
                errs.append(duplicate(here, value))
            seen.add(value)


def tolerations(errs: Errors, path: str, items: list[Object]) -> None:
    for i, toleration in enumerate(items):
        here = f"{path}[{i}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            label_name(errs, f"{here}.key", key)
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errs.append(invalid_value(f"{here}.operator", operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errs.append(invalid_value(f"{here}.effect", effect, text))
        if operator in ("", "Equal"):
            for message in names.label_value(value):
                errs.append(invalid_value(f"{here}.operator", value, message))
        elif operator == "Exists":
            if value:
                text = "value must be empty when `operator` is 'Exists'"
                errs.append(invalid_value(f"{here}.operator", value, text))
        else:
            errs.append(not_supported(f"{here}.operator", operator, ("Equal", "Exists")))
        if effect:
            enum(errs, f"{here}.effect", effect, TAINT_EFFECTS)


def affinity(errs: Errors, path: str, obj: Object) -> None:
    node = obj.get("nodeAffinity") or {}
    here = f"{path}.nodeAffinity"
    if node.get("requiredDuringSchedulingIgnoredDuringExecution") is not None:
        field = "requiredDuringSchedulingIgnoredDuringExecution"
        node_selector(errs, f"{here}.{field}", node[field])
    for i, term in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        place = f"{here}.preferredDuringSchedulingIgnoredDuringExecution[{i}]"
        _weight(errs, f"{place}.weight", term.get("weight") or 0)
        node_selector_term(errs, f"{place}.preference", term.get("preference") or {}, preferred=True)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = obj.get(kind) or {}
        field = f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution"
        for i, term in enumerate(pods.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            _pod_term(errs, f"{field}[{i}]", term)
        field = f"{path}.{kind}.preferredDuringSchedulingIgnoredDuringExecution"
        for i, weighted in enumerate(pods.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
            _weight(errs, f"{field}[{i}].weight", weighted.get("weight") or 0)
            _pod_term(errs, f"{field}[{i}].podAffinityTerm", weighted.get("podAffinityTerm") or {})


def _weight(errs: Errors, path: str, weight: int) -> None:
    if not 1 <= weight <= 100:
        errs.append(invalid_value(path, weight, "must be in the range 1-100"))


def _pod_term(errs: Errors, path: str, term: Object) -> None:
    label_selector(errs, f"{path}.labelSelector", term.get("labelSelector"))
    label_selector(errs, f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        checked(errs, f"{path}.namespace", name, names.dns1123_label)
    if term.get("matchLabelKeys") or term.get("mismatchLabelKeys"):
        _label_keys(errs, path, term)
    key = term.get("topologyKey") or ""
    if not key:
        errs.append(required(f"{path}.topologyKey", "can not be empty"))
    label_name(errs, f"{path}.topologyKey", key)


def _label_keys(errs: Errors, path: str, term: Object) -> None:
    """Keys whose values are taken from the pod itself, beside its selector."""
    selector = term.get("labelSelector")
    same, other = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    for field, keys in (("matchLabelKeys", same), ("mismatchLabelKeys", other)):
        if keys and selector is None:
            text = "must not be specified when labelSelector is not set"
            errs.append(forbidden_field(f"{path}.{field}", text))
        elif keys:
            for i, key in enumerate(keys):
                label_name(errs, f"{path}.{field}[{i}]", key)
    seen = set((selector or {}).get("matchLabels") or ())
    for expression in (selector or {}).get("matchExpressions") or ():
        key = expression.get("key") or ""
        # What the keys themselves gave the selector stands there once.
        if key in same and key in seen:
            text = "exists in both matchLabelKeys and labelSelector"
            errs.append(invalid_value(f"{path}[{same.index(key)}]", key, text))
        seen.add(key)
    for i, key in enumerate(same):
        if key in other:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            errs.append(invalid_value(f"{path}.matchLabelKeys[{i}]", key, text))


def _spread(errs: Errors, path: str, constraints: list[Object]) -> None:
    pairs = [(c.get("topologyKey") or "", c.get("whenUnsatisfiable") or "") for c in constraints]
    for i, constraint in enumerate(constraints):
        here = f"{path}[{i}]"
        skew = constraint.get("maxSkew") or 0
        if skew <= 0:
            errs.append(invalid_value(f"{here}.maxSkew", skew, "must be greater than zero"))
        key, action = pairs[i]
        if not key:
            errs.append(required(f"{here}.topologyKey", "can not be empty"))
        enum(errs, f"{here}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if pairs[i] in pairs[i + 1 :]:
            errs.append(duplicate(f"{here}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errs.append(invalid_value(f"{here}.minDomains", domains, "must be greater than zero"))
            if action != "DoNotSchedule":
                text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errs.append(invalid_value(f"{here}.minDomains", domains, text))
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None:
                enum(errs, f"{here}.{field}", constraint[field], ("Honor", "Ignore"))
        selector = constraint.get("labelSelector")
        if constraint.get("matchLabelKeys"):
            _spread_keys(errs, f"{here}.matchLabelKeys", constraint["matchLabelKeys"], selector)
        label_selector(errs, f"{here}.labelSelector", selector)


def _spread_keys(errs: Errors, path: str, keys: list[str], selector: Object | None) -> None:
    if selector is None:
        errs.append(forbidden_field(path, "must not be specified when labelSelector is not set"))
    known = {
        *((selector or {}).get("matchLabels") or ()),
        *(e.get("key") for e in (selector or {}).get("matchExpressions") or ()),
    }
    for i, key in enumerate(keys):
        label_name(errs, f"{path}[{i}]", key)
        if key in known:
            text = "exists in both matchLabelKeys and labelSelector"
            errs.append(invalid_value(f"{path}[{i}]", key, text))
