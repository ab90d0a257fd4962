"""Validation of dynamic admission: webhooks, and policies with their bindings."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.cel import expressions
from apimachinery.cel.types import DYN
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required
from apimachinery.validation.fields import (
    Errors,
    checked,
    enum,
    label_selector,
    named,
    required_enum,
    service_reference,
    webhook_url,
)

Object = dict[str, Any]

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_TIMEOUT_MAX = 30
_MATCH_CONDITIONS_MAX = 64


def webhooks(errs: Errors, obj: Object) -> None:
    """A Mutating- or ValidatingWebhookConfiguration."""
    seen: set[str] = set()
    for i, webhook in enumerate(obj.get("webhooks") or ()):
        here = f"webhooks[{i}]"
        name = webhook.get("name") or ""
        _full_name(errs, f"{here}.name", name)
        if name in seen:
            errs.append(duplicate(f"{here}.name", name))
        seen.add(name)
        _webhook(errs, here, webhook)


def update_webhooks(errs: Errors, new: Object, old: Object) -> None:
    webhooks(errs, new)


def _full_name(errs: Errors, path: str, name: str) -> None:
    if not name:
        errs.append(required(path))
        return
    for message in names.fully_qualified_name(name):
        errs.append(invalid_value(path, name, message))


def _webhook(errs: Errors, path: str, webhook: Object) -> None:
    for i, rule in enumerate(webhook.get("rules") or ()):
        _rule(errs, f"{path}.rules[{i}]", rule)
    enum(errs, f"{path}.failurePolicy", webhook.get("failurePolicy"), ("Fail", "Ignore"))
    enum(errs, f"{path}.matchPolicy", webhook.get("matchPolicy"), ("Equivalent", "Exact"))
    if webhook.get("sideEffects") is None:
        errs.append(required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun"))
    else:
        enum(errs, f"{path}.sideEffects", webhook["sideEffects"], ("None", "NoneOnDryRun"))
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= _TIMEOUT_MAX:
        text = "the timeout value must be between 1 and 30 seconds"
        errs.append(invalid_value(f"{path}.timeoutSeconds", seconds, text))
    for field in ("namespaceSelector", "objectSelector"):
        label_selector(errs, f"{path}.{field}", webhook.get(field))
    if webhook.get("reinvocationPolicy") is not None:
        enum(errs, f"{path}.reinvocationPolicy", webhook["reinvocationPolicy"], ("IfNeeded", "Never"))
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        text = "must specify one of v1, v1beta1"
        errs.append(required(f"{path}.admissionReviewVersions", text))
    for i, version in enumerate(versions):
        if version in versions[:i]:
            errs.append(invalid_value(f"{path}.admissionReviewVersions[{i}]", version, "duplicate version"))
        else:
            checked(errs, f"{path}.admissionReviewVersions[{i}]", version, names.dns1035_label)
    if versions and not {"v1", "v1beta1"} & set(versions):
        text = "must include at least one of v1, v1beta1"
        errs.append(invalid_value(f"{path}.admissionReviewVersions", versions, text))
    client_config(errs, f"{path}.clientConfig", webhook.get("clientConfig") or {})
    _match_conditions(errs, f"{path}.matchConditions", webhook.get("matchConditions") or [])


def client_config(errs: Errors, path: str, config: Object) -> None:
    url, service = config.get("url"), config.get("service")
    if url is not None and service is None:
        webhook_url(errs, f"{path}.url", url)
    elif service is None or url is not None:
        errs.append(required(path, "exactly one of url or service is required"))
    else:
        service_reference(errs, f"{path}.service", service)


def _rule(errs: Errors, path: str, rule: Object) -> None:
    for field in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(field) or []
        if not values:
            errs.append(required(f"{path}.{field}"))
        if len(values) > 1 and "*" in values and field in _OTHERS:
            text = f"if '*' is present, must not specify other {_OTHERS[field]}"
            errs.append(invalid_value(f"{path}.{field}", values, text))
    for i, operation in enumerate(rule.get("operations") or ()):
        enum(errs, f"{path}.operations[{i}]", operation, _OPERATIONS)
    for field in ("apiVersions", "resources"):
        for i, value in enumerate(rule.get(field) or ()):
            if not value:
                errs.append(required(f"{path}.{field}[{i}]"))
    _resources(errs, f"{path}.resources", rule.get("resources") or [])
    if rule.get("scope") is not None:
        enum(errs, f"{path}.scope", rule["scope"], _SCOPES)


def _resources(errs: Errors, path: str, values: list[str]) -> None:
    """Wildcards beside what they already mean."""
    whole: set[str] = set()  # x of x/*
    everywhere: set[str] = set()  # y of */y
    for i, value in enumerate(values):
        resource, slash, subresource = value.partition("/")
        if not slash:
            continue
        if resource in whole:
            text = f"if '{resource}/*' is present, must not specify {value}"
            errs.append(invalid_value(f"{path}[{i}]", value, text))
        if subresource in everywhere:
            text = f"if '*/{subresource}' is present, must not specify {value}"
            errs.append(invalid_value(f"{path}[{i}]", value, text))
        if subresource == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(subresource)
    if len(values) > 1 and "*/*" in values:
        errs.append(invalid_value(path, values, "if '*/*' is present, must not specify other resources"))
    if "*" in values and any(value != "*" and "/" not in value for value in values):
        text = "if '*' is present, must not specify other resources without subresources"
        errs.append(invalid_value(path, values, text))


_OTHERS = {
    "operations": "operations",
    "apiGroups": "API groups",
    "apiVersions": "API versions",
}


def _expression(
    errs: Errors,
    path: str,
    value: str | None,
    scope: Object,
    missing: str = "",
    results: tuple[str, ...] = (),
) -> None:
    """A CEL expression that may use the variables of `scope`, and must come to one of `results`."""
    if not (value or "").strip():
        errs.append(required(path, missing))
        return
    problem = expressions.problem(str(value), scope, results)
    if problem:
        errs.append(invalid_value(path, value, problem))


def _match_conditions(errs: Errors, path: str, conditions: list[Object], more: Object | None = None) -> None:
    if len(conditions) > _MATCH_CONDITIONS_MAX:
        text = f"must have at most {_MATCH_CONDITIONS_MAX} items"
        errs.append(invalid_value(path, len(conditions), text))
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        name = condition.get("name") or ""
        if not name:
            errs.append(required(f"{path}[{i}].name"))
        else:
            checked(errs, f"{path}[{i}].name", name, names.qualified_name)
            if name in seen:
                errs.append(duplicate(f"{path}[{i}].name", name))
        seen.add(name)
        _expression(
            errs,
            f"{path}[{i}].expression",
            condition.get("expression"),
            {**expressions.conditions(), **(more or {})},
            results=("bool",),
        )


def _match_resources(errs: Errors, path: str, match: Object) -> None:
    if match.get("matchPolicy") is not None:
        enum(errs, f"{path}.matchPolicy", match["matchPolicy"], ("Equivalent", "Exact"))
    for field in ("namespaceSelector", "objectSelector"):
        label_selector(errs, f"{path}.{field}", match.get(field))
    for field in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(match.get(field) or ()):
            _rule(errs, f"{path}.{field}[{i}]", rule)


def validating_policy(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    _policy(errs, spec)
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        text = "validations or auditAnnotations must contain at least one item"
        errs.append(required("spec.validations", text))
    scope = expressions.scope_of(spec)
    for i, validation in enumerate(spec.get("validations") or ()):
        here = f"spec.validations[{i}]"
        _expression(
            errs,
            f"{here}.expression",
            validation.get("expression"),
            scope,
            "expression is not specified",
            ("bool",),
        )
        if validation.get("messageExpression"):
            message = validation["messageExpression"]
            _expression(errs, f"{here}.messageExpression", message, scope, results=("string",))
    for i, annotation in enumerate(spec.get("auditAnnotations") or ()):
        here = f"spec.auditAnnotations[{i}].valueExpression"
        _expression(
            errs,
            here,
            annotation.get("valueExpression"),
            scope,
            "valueExpression is not specified",
            ("string", "null_type"),
        )


def mutating_policy(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    _policy(errs, spec)
    if not spec.get("mutations"):
        errs.append(required("spec.mutations", "mutations must contain at least one item"))
    for i, mutation in enumerate(spec.get("mutations") or ()):
        enum(
            errs,
            f"spec.mutations[{i}].patchType",
            mutation.get("patchType"),
            ("ApplyConfiguration", "JSONPatch"),
        )
        for field in ("applyConfiguration", "jsonPatch"):
            if mutation.get(field) is not None:
                here = f"spec.mutations[{i}].{field}.expression"
                results = ("list",) if field == "jsonPatch" else ()
                scope = expressions.scope_of(spec)
                _expression(errs, here, mutation[field].get("expression"), scope, results=results)
    if not spec.get("reinvocationPolicy"):
        errs.append(required("spec.reinvocationPolicy"))
    else:
        enum(errs, "spec.reinvocationPolicy", spec["reinvocationPolicy"], ("IfNeeded", "Never"))


def _policy(errs: Errors, spec: Object) -> None:
    enum(errs, "spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    if spec.get("paramKind") is not None:
        for field in ("apiVersion", "kind"):
            if not spec["paramKind"].get(field):
                errs.append(required(f"spec.paramKind.{field}"))
    if spec.get("matchConstraints") is None:
        errs.append(required("spec.matchConstraints"))
    else:
        _match_resources(errs, "spec.matchConstraints", spec["matchConstraints"])
        if not spec["matchConstraints"].get("resourceRules"):
            errs.append(required("spec.matchConstraints.resourceRules"))
    params = {"params": DYN} if spec.get("paramKind") is not None else {}
    more = {**params, "namespaceObject": DYN}
    _match_conditions(errs, "spec.matchConditions", spec.get("matchConditions") or [], more)
    for i, variable in enumerate(spec.get("variables") or ()):
        here = f"spec.variables[{i}]"
        if not variable.get("name"):
            errs.append(required(f"{here}.name", "name is not specified"))
        elif not variable["name"].isidentifier():
            errs.append(invalid_value(f"{here}.name", variable["name"], "name is not a valid CEL identifier"))
        before = {**spec, "variables": spec["variables"][:i]}
        scope = expressions.scope_of(before)
        _expression(
            errs, f"{here}.expression", variable.get("expression"), scope, "expression is not specified"
        )


def update_validating_policy(errs: Errors, new: Object, old: Object) -> None:
    validating_policy(errs, new)


def update_mutating_policy(errs: Errors, new: Object, old: Object) -> None:
    mutating_policy(errs, new)


def policy_binding(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    named(errs, "spec.policyName", spec.get("policyName"), names.dns1123_subdomain)
    reference = spec.get("paramRef")
    if reference is not None:
        if reference.get("name") and reference.get("selector") is not None:
            text = "name and selector are mutually exclusive"
            errs.append(forbidden_field("spec.paramRef.name", text))
        elif not reference.get("name") and reference.get("selector") is None:
            errs.append(required("spec.paramRef", "one of name or selector must be specified"))
        action = reference.get("parameterNotFoundAction")
        required_enum(errs, "spec.paramRef.parameterNotFoundAction", action, ("Allow", "Deny"))
    if spec.get("matchResources") is not None:
        _match_resources(errs, "spec.matchResources", spec["matchResources"])
    if obj.get("kind") != "ValidatingAdmissionPolicyBinding":
        return
    actions = spec.get("validationActions") or []
    if not actions:
        errs.append(required("spec.validationActions", "at least one validation action is required"))
    for i, action in enumerate(actions):
        enum(errs, f"spec.validationActions[{i}]", action, ("Audit", "Deny", "Warn"))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errs.append(invalid_value("spec.validationActions", actions, text))


def update_policy_binding(errs: Errors, new: Object, old: Object) -> None:
    policy_binding(errs, new)
