"""Validation of a pod's containers: names, images, ports, mounts. Probes and environment have files of their own."""

from __future__ import annotations

from typing import Any, NamedTuple

from apimachinery import names
from apimachinery.errors import (
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    required,
    too_long,
)
from apimachinery.validation import environment, probes, resourceamounts, securitycontext, volumemounts
from apimachinery.validation.fields import (
    PROTOCOLS,
    Errors,
    enum,
    named,
    port_number,
    required_enum,
)

Object = dict[str, Any]

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")


class Pod(NamedTuple):
    """What containers are checked against: the pod's volumes, claims and settings. A template is no pod."""

    spec: Object
    volumes: dict[str, Object]
    claims: frozenset[str]
    is_pod: bool


def containers(errs: Errors, path: str, pod: Pod) -> None:
    """All containers of a pod's spec at `path`."""
    spec = pod.spec
    regular = spec.get("containers")
    if not regular:
        errs.append(required(f"{path}.containers"))
    grace = spec.get("terminationGracePeriodSeconds")
    seen: set[str] = set()
    for i, item in enumerate(regular or ()):
        here = f"{path}.containers[{i}]"
        container(errs, here, item, pod)
        _unique(errs, here, item, seen)
        if item.get("lifecycle"):
            probes.lifecycle(errs, f"{here}.lifecycle", item["lifecycle"], grace)
        probes.probes(errs, here, item)
        _restart_rules(errs, here, item)
    for i, item in enumerate(spec.get("initContainers") or ()):
        _init_container(errs, f"{path}.initContainers[{i}]", item, pod, seen)
    for i, item in enumerate(spec.get("ephemeralContainers") or ()):
        _ephemeral_container(errs, f"{path}.ephemeralContainers[{i}]", item, pod, seen)
    _host_ports(errs, path, pod)


def _unique(errs: Errors, path: str, item: Object, seen: set[str]) -> None:
    name = item.get("name")
    if name in seen:
        errs.append(duplicate(f"{path}.name", name))
    elif name:
        seen.add(name)


def container(errs: Errors, path: str, item: Object, pod: Pod) -> None:
    """What containers of all three lists have in common."""
    named(errs, f"{path}.name", item.get("name"), names.dns1123_label)
    image = item.get("image") or ""
    if not image:
        errs.append(required(f"{path}.image"))
    elif pod.is_pod and image != image.strip():
        errs.append(invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace"))
    required_enum(
        errs, f"{path}.terminationMessagePolicy", item.get("terminationMessagePolicy"), _MESSAGE_POLICIES
    )
    if item.get("ports"):
        _ports(errs, f"{path}.ports", item["ports"])
    if item.get("env"):
        environment.variables(errs, f"{path}.env", item["env"], pod.volumes)
    if item.get("envFrom"):
        environment.env_from(errs, f"{path}.envFrom", item["envFrom"])
    if item.get("volumeMounts") or item.get("volumeDevices"):
        volumemounts.mounts(errs, path, item, pod.volumes)
    required_enum(errs, f"{path}.imagePullPolicy", item.get("imagePullPolicy"), _PULL_POLICIES)
    if item.get("resources"):
        resourceamounts.requirements(errs, f"{path}.resources", item["resources"], pod.claims)
    if item.get("resizePolicy"):
        _resize_policy(errs, f"{path}.resizePolicy", item["resizePolicy"], pod.spec.get("restartPolicy"))
    if item.get("securityContext"):
        host_users = pod.spec.get("hostUsers") is not False
        securitycontext.container(errs, f"{path}.securityContext", item["securityContext"], host_users)


def _resize_policy(errs: Errors, path: str, policies: list[Object], restart: str | None) -> None:
    seen: set[str] = set()
    for i, policy in enumerate(policies):
        resource, action = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            errs.append(duplicate(f"{path}[{i}]", resource))
        seen.add(resource)
        required_enum(errs, path, resource, ("cpu", "memory"))
        required_enum(errs, path, action, ("NotRequired", "RestartContainer"))
        if restart == "Never" and action != "NotRequired":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errs.append(invalid_value(path, action, text))


def _init_container(errs: Errors, path: str, item: Object, pod: Pod, seen: set[str]) -> None:
    container(errs, path, item, pod)
    _restart_rules(errs, path, item)
    _unique(errs, path, item, seen)
    if item.get("restartPolicy") == "Always":
        if item.get("lifecycle"):
            grace = pod.spec.get("terminationGracePeriodSeconds")
            probes.lifecycle(errs, f"{path}.lifecycle", item["lifecycle"], grace)
        probes.probes(errs, path, item)
        return
    for field in ("lifecycle", *probes.PROBES):
        if item.get(field) is not None:
            text = "may not be set for init containers without restartPolicy=Always"
            errs.append(forbidden_field(f"{path}.{field}", text))


_NOT_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe",
    "startupProbe", "lifecycle",
)  # fmt: skip


def _ephemeral_container(errs: Errors, path: str, item: Object, pod: Pod, seen: set[str]) -> None:
    container(errs, path, item, pod)
    _unique(errs, path, item, seen)
    target = item.get("targetContainerName")
    spec = pod.spec
    known = [c.get("name") for c in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]]
    if target and target not in known:
        errs.append(not_found_value(f"{path}.targetContainerName", target))
    for field in _NOT_EPHEMERAL:
        if item.get(field):
            text = "cannot be set for an Ephemeral Container"
            errs.append(forbidden_field(f"{path}.{field}", text))
    for i, mount in enumerate(item.get("volumeMounts") or ()):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                text = "cannot be set for an Ephemeral Container"
                errs.append(forbidden_field(f"{path}.volumeMounts[{i}].{field}", text))


_RULES_MAX = 20
_EXIT_CODES_MAX = 255


def _restart_rules(errs: Errors, path: str, item: Object) -> None:
    policy, rules = item.get("restartPolicy"), item.get("restartPolicyRules") or ()
    if policy is not None:
        enum(errs, f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    elif rules:
        errs.append(
            required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
        )
    if len(rules) > _RULES_MAX:
        errs.append(too_long(f"{path}.restartPolicyRules", _RULES_MAX))
    for i, rule in enumerate(rules):
        here = f"{path}.restartPolicyRules[{i}]"
        required_enum(errs, f"{here}.action", rule.get("action"), ("Restart", "RestartAllContainers"))
        codes = rule.get("exitCodes")
        if codes is None:
            errs.append(required(f"{here}.exitCodes", "must be specified"))
            continue
        required_enum(errs, f"{here}.exitCodes.operator", codes.get("operator"), ("In", "NotIn"))
        if len(codes.get("values") or ()) > _EXIT_CODES_MAX:
            errs.append(too_long(f"{here}.exitCodes.values", _EXIT_CODES_MAX))


def _ports(errs: Errors, path: str, ports: list[Object]) -> None:
    seen: set[str] = set()
    for i, port in enumerate(ports):
        here = f"{path}[{i}]"
        name = port.get("name")
        if name:
            problems = names.port_name(name)
            for message in problems:
                errs.append(invalid_value(f"{here}.name", name, message))
            if not problems and name in seen:
                errs.append(duplicate(f"{here}.name", name))
            seen.add(name)
        if not port.get("containerPort"):
            errs.append(required(f"{here}.containerPort"))
        else:
            port_number(errs, f"{here}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            port_number(errs, f"{here}.hostPort", port["hostPort"])
        required_enum(errs, f"{here}.protocol", port.get("protocol"), PROTOCOLS)


def _host_ports(errs: Errors, path: str, pod: Pod) -> None:
    """No host port twice; on the host's network container and host ports are the same."""
    spec = pod.spec
    on_host = bool(spec.get("hostNetwork"))
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        for i, item in enumerate(spec.get(field) or ()):
            if field == "initContainers":
                seen = set()  # they run one by one
            for j, port in enumerate(item.get("ports") or ()):
                host = port.get("hostPort") or 0
                here = f"{path}.{field}[{i}].ports[{j}]"
                if host:
                    key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{host}"
                    if key in seen:
                        errs.append(duplicate(f"{here}.hostPort", key))
                    seen.add(key)
                checked_here = on_host and field == "containers" and (pod.is_pod or host)
                if checked_here and host != (port.get("containerPort") or 0):
                    text = "must match `containerPort` when `hostNetwork` is true"
                    errs.append(invalid_value(f"{here}.hostPort", host, text))
