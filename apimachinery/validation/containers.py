"""Validation of a pod's containers: names, images, ports, mounts. Probes and environment have files of their own."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import (
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    required,
)
from apimachinery.validation import environment, probes, resourceamounts, securitycontext
from apimachinery.validation.fields import (
    PROTOCOLS,
    Errors,
    enum,
    named,
    port_number,
    relative_path,
    required_enum,
)

Object = dict[str, Any]

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")


def containers(errs: Errors, path: str, spec: Object) -> None:
    """All containers of a pod's spec at `path`."""
    regular = spec.get("containers")
    if not regular:
        errs.append(required(f"{path}.containers"))
    volumes = {v.get("name"): v for v in spec.get("volumes") or ()}
    seen: set[str] = set()
    for i, item in enumerate(spec.get("initContainers") or ()):
        _init_container(errs, f"{path}.initContainers[{i}]", item, volumes, seen)
    for i, item in enumerate(regular or ()):
        here = f"{path}.containers[{i}]"
        container(errs, here, item, volumes)
        name = item.get("name")
        if name in seen:
            errs.append(duplicate(f"{here}.name", name))
        elif name:
            seen.add(name)
        if item.get("lifecycle"):
            probes.lifecycle(errs, f"{here}.lifecycle", item["lifecycle"])
        probes.probes(errs, here, item)
        _restart_rules(errs, here, item)
    for i, item in enumerate(spec.get("ephemeralContainers") or ()):
        _ephemeral_container(errs, f"{path}.ephemeralContainers[{i}]", item, volumes, seen, spec)
    _host_ports(errs, path, spec)


def container(errs: Errors, path: str, item: Object, volumes: dict[str, Object]) -> None:
    """What containers of all three lists have in common."""
    named(errs, f"{path}.name", item.get("name"), names.dns1123_label)
    image = item.get("image") or ""
    if not image:
        errs.append(required(f"{path}.image"))
    elif image != image.strip():
        errs.append(invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace"))
    required_enum(
        errs, f"{path}.terminationMessagePolicy", item.get("terminationMessagePolicy"), _MESSAGE_POLICIES
    )
    required_enum(errs, f"{path}.imagePullPolicy", item.get("imagePullPolicy"), _PULL_POLICIES)
    if item.get("ports"):
        _ports(errs, f"{path}.ports", item["ports"])
    if item.get("env"):
        environment.variables(errs, f"{path}.env", item["env"], volumes)
    if item.get("envFrom"):
        environment.env_from(errs, f"{path}.envFrom", item["envFrom"])
    if item.get("volumeMounts") or item.get("volumeDevices"):
        _mounts(errs, path, item, volumes)
    if item.get("resources"):
        resourceamounts.requirements(errs, f"{path}.resources", item["resources"])
    if item.get("securityContext"):
        securitycontext.container(errs, f"{path}.securityContext", item["securityContext"])
    for i, policy in enumerate(item.get("resizePolicy") or ()):
        here = f"{path}.resizePolicy[{i}]"
        enum(errs, f"{here}.resourceName", policy.get("resourceName"), ("cpu", "memory"))
        required_enum(
            errs, f"{here}.restartPolicy", policy.get("restartPolicy"), ("NotRequired", "RestartContainer")
        )


def _init_container(
    errs: Errors, path: str, item: Object, volumes: dict[str, Object], seen: set[str]
) -> None:
    container(errs, path, item, volumes)
    name = item.get("name")
    if name in seen:
        errs.append(duplicate(f"{path}.name", name))
    elif name:
        seen.add(name)
    _restart_rules(errs, path, item)
    if item.get("restartPolicy") == "Always":
        if item.get("lifecycle"):
            probes.lifecycle(errs, f"{path}.lifecycle", item["lifecycle"])
        probes.probes(errs, path, item)
        return
    for field in ("lifecycle", *probes.PROBES):
        if item.get(field) is not None:
            text = "may not be set for init containers without restartPolicy=Always"
            errs.append(forbidden_field(f"{path}.{field}", text))


_NOT_EPHEMERAL = ("lifecycle", *probes.PROBES, "ports", "resources", "resizePolicy")


def _ephemeral_container(
    errs: Errors, path: str, item: Object, volumes: dict[str, Object], seen: set[str], spec: Object
) -> None:
    container(errs, path, item, volumes)
    name = item.get("name")
    if name in seen:
        errs.append(duplicate(f"{path}.name", name))
    elif name:
        seen.add(name)
    target = item.get("targetContainerName")
    known = [c.get("name") for c in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]]
    if target and target not in known:
        errs.append(not_found_value(f"{path}.targetContainerName", target))
    for field in _NOT_EPHEMERAL:
        if item.get(field):
            text = "cannot be set for an Ephemeral Container"
            errs.append(forbidden_field(f"{path}.{field}", text))
    if item.get("restartPolicy"):
        errs.append(forbidden_field(f"{path}.restartPolicy", "may not be set for ephemeral containers"))
    for i, mount in enumerate(item.get("volumeMounts") or ()):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                text = "cannot be set for an Ephemeral Container"
                errs.append(forbidden_field(f"{path}.volumeMounts[{i}].{field}", text))


def _restart_rules(errs: Errors, path: str, item: Object) -> None:
    policy, rules = item.get("restartPolicy"), item.get("restartPolicyRules") or ()
    if policy is not None:
        enum(errs, f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    elif rules:
        errs.append(
            required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
        )
    for i, rule in enumerate(rules):
        here = f"{path}.restartPolicyRules[{i}]"
        enum(errs, f"{here}.action", rule.get("action"), ("Restart", "RestartAllContainers"))
        codes = rule.get("exitCodes")
        if codes is None:
            errs.append(required(f"{here}.exitCodes", "must be specified"))
        else:
            enum(errs, f"{here}.exitCodes.operator", codes.get("operator"), ("In", "NotIn"))


def _ports(errs: Errors, path: str, ports: list[Object]) -> None:
    seen: set[str] = set()
    for i, port in enumerate(ports):
        here = f"{path}[{i}]"
        name = port.get("name")
        if name:
            problems = names.port_name(name)
            for message in problems:
                errs.append(invalid_value(f"{here}.name", name, message))
            if name in seen:
                errs.append(duplicate(f"{here}.name", name))
            seen.add(name)
        if not port.get("containerPort"):
            errs.append(required(f"{here}.containerPort"))
        else:
            port_number(errs, f"{here}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            port_number(errs, f"{here}.hostPort", port["hostPort"])
        required_enum(errs, f"{here}.protocol", port.get("protocol"), PROTOCOLS)


def _host_ports(errs: Errors, path: str, spec: Object) -> None:
    """No host port twice; on the host's network container and host ports are the same."""
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        if field == "initContainers":
            seen = set()
        for i, item in enumerate(spec.get(field) or ()):
            for j, port in enumerate(item.get("ports") or ()):
                host = port.get("hostPort") or 0
                here = f"{path}.{field}[{i}].ports[{j}]"
                if spec.get("hostNetwork") and host and host != port.get("containerPort"):
                    text = "must match `hostPort` when `hostNetwork` is true"
                    errs.append(invalid_value(f"{here}.containerPort", port.get("containerPort"), text))
                if not host:
                    continue
                key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{host}"
                if key in seen:
                    errs.append(duplicate(f"{here}.hostPort", key))
                seen.add(key)


def _mounts(errs: Errors, path: str, item: Object, volumes: dict[str, Object]) -> None:
    places: set[str] = set()
    devices = {d.get("devicePath") for d in item.get("volumeDevices") or ()}
    privileged = bool((item.get("securityContext") or {}).get("privileged"))
    for i, mount in enumerate(item.get("volumeMounts") or ()):
        here = f"{path}.volumeMounts[{i}]"
        name, place = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errs.append(required(f"{here}.name"))
        elif name not in volumes:
            errs.append(not_found_value(f"{here}.name", name))
        if not place:
            errs.append(required(f"{here}.mountPath"))
        if place in places:
            errs.append(invalid_value(f"{here}.mountPath", place, "must be unique"))
        places.add(place)
        if place in devices:
            text = "must not already exist as a path in volumeDevices"
            errs.append(invalid_value(f"{here}.mountPath", place, text))
        if mount.get("subPath"):
            relative_path(errs, f"{here}.subPath", mount["subPath"])
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                text = "subPathExpr and subPath are mutually exclusive"
                errs.append(invalid_value(f"{here}.subPathExpr", mount["subPathExpr"], text))
            relative_path(errs, f"{here}.subPathExpr", mount["subPathExpr"])
        propagation = mount.get("mountPropagation")
        if propagation is not None:
            enum(errs, f"{here}.mountPropagation", propagation, ("Bidirectional", "HostToContainer", "None"))
            if propagation == "Bidirectional" and not privileged:
                text = "Bidirectional mount propagation is available only to privileged containers"
                errs.append(forbidden_field(f"{here}.mountPropagation", text))
    claimed: set[str] = set()
    for i, device in enumerate(item.get("volumeDevices") or ()):
        here = f"{path}.volumeDevices[{i}]"
        name, place = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            errs.append(required(f"{here}.name"))
        elif name not in volumes:
            errs.append(not_found_value(f"{here}.name", name))
        elif "persistentVolumeClaim" not in volumes[name] and "ephemeral" not in volumes[name]:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errs.append(invalid_value(f"{here}.name", name, text))
        if not place:
            errs.append(required(f"{here}.devicePath"))
        elif place in claimed:
            errs.append(invalid_value(f"{here}.devicePath", place, "must be unique"))
        claimed.add(place)
