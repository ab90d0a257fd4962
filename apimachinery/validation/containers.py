"""Validation of a pod's containers: ports, environment, mounts, probes, hooks, resources."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import names
from apimachinery.errors import (
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    not_supported,
    required,
)
from apimachinery.validation import resourceamounts, securitycontext
from apimachinery.validation.fields import (
    PROTOCOLS,
    Errors,
    checked,
    enum,
    named,
    not_negative,
    port_number,
    port_or_name,
    positive,
    relative_path,
    required_enum,
)

Object = dict[str, Any]

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
MORE_THAN_ONE = "may not have more than one field specified at a time"


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
            _lifecycle(errs, f"{here}.lifecycle", item["lifecycle"])
        _probes(errs, here, item)
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
        environment(errs, f"{path}.env", item["env"], volumes)
    if item.get("envFrom"):
        _env_from(errs, f"{path}.envFrom", item["envFrom"])
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
            _lifecycle(errs, f"{path}.lifecycle", item["lifecycle"])
        _probes(errs, path, item)
        return
    for field in ("lifecycle", *_PROBES):
        if item.get(field) is not None:
            text = "may not be set for init containers without restartPolicy=Always"
            errs.append(forbidden_field(f"{path}.{field}", text))


_NOT_EPHEMERAL = ("lifecycle", *_PROBES, "ports", "resources", "resizePolicy")


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


FIELD_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELD_PATHS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def environment(errs: Errors, path: str, variables: list[Object], volumes: dict[str, Object]) -> None:
    for i, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            errs.append(required(f"{path}[{i}].name"))
        elif not name.isidentifier():
            checked(errs, f"{path}[{i}].name", name, names.env_var_name)
        source = variable.get("valueFrom")
        if source is None:
            continue
        here = f"{path}[{i}].valueFrom"
        given = [kind for kind in _ENV_SOURCES if source.get(kind) is not None]
        if not given:
            text = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` "
                "or `fileKeyRef`"
            )
            errs.append(invalid_value(here, "", text))
        elif variable.get("value"):
            errs.append(invalid_value(here, "", "may not be specified when `value` is not empty"))
        elif len(given) > 1:
            errs.append(invalid_value(here, "", MORE_THAN_ONE))
        if source.get("fieldRef") is not None:
            field_reference(errs, f"{here}.fieldRef", source["fieldRef"], FIELD_PATHS)
        if source.get("resourceFieldRef") is not None:
            resource_field_reference(
                errs, f"{here}.resourceFieldRef", source["resourceFieldRef"], volume=False
            )
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if source.get(kind) is not None:
                named(errs, f"{here}.{kind}.key", source[kind].get("key"), names.config_map_key)
        if source.get("fileKeyRef") is not None:
            _file_key(errs, f"{here}.fileKeyRef", source["fileKeyRef"], volumes)


def _file_key(errs: Errors, path: str, reference: Object, volumes: dict[str, Object]) -> None:
    named(errs, f"{path}.key", reference.get("key"), names.env_var_name)
    if not reference.get("path"):
        errs.append(required(f"{path}.path"))
    else:
        relative_path(errs, f"{path}.path", reference["path"])
    name = reference.get("volumeName")
    if not name:
        errs.append(required(f"{path}.volumeName"))
    elif name not in volumes:
        errs.append(not_found_value(f"{path}.volumeName", name))


def field_reference(errs: Errors, path: str, reference: Object, supported: tuple[str, ...]) -> None:
    """An ObjectFieldSelector; labels and annotations may be taken one by one."""
    field = reference.get("fieldPath") or ""
    if not reference.get("apiVersion"):
        errs.append(required(f"{path}.apiVersion"))
        return
    if not field:
        errs.append(required(f"{path}.fieldPath"))
        return
    subscripted = _SUBSCRIPT.fullmatch(field)
    if subscripted is not None:
        check = names.qualified_name
        checked(errs, f"{path}.fieldPath", subscripted[2].lower(), check)
    elif field not in supported:
        errs.append(not_supported(f"{path}.fieldPath", field, supported))


def resource_field_reference(errs: Errors, path: str, reference: Object, *, volume: bool) -> None:
    if volume and not reference.get("containerName"):
        errs.append(required(f"{path}.containerName"))
    resource = reference.get("resource") or ""
    if not resource:
        errs.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not re.fullmatch(r"(limits|requests)\.hugepages-.+", resource):
        errs.append(not_supported(f"{path}.resource", resource, _RESOURCES))


def _env_from(errs: Errors, path: str, sources: list[Object]) -> None:
    for i, source in enumerate(sources):
        here = f"{path}[{i}]"
        if source.get("prefix"):
            checked(errs, f"{here}.prefix", source["prefix"], names.env_var_name)
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in given:
            named(errs, f"{here}.{kind}.name", source[kind].get("name"), names.dns1123_subdomain)
        if not given:
            errs.append(invalid_value(here, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errs.append(invalid_value(here, "", MORE_THAN_ONE))


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


def _probes(errs: Errors, path: str, item: Object) -> None:
    for field in _PROBES:
        probe = item.get(field)
        if probe is None:
            continue
        here = f"{path}.{field}"
        _handler(errs, here, probe, _HANDLERS)
        for timing in (
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ):
            not_negative(errs, f"{here}.{timing}", probe.get(timing))
        grace = probe.get("terminationGracePeriodSeconds")
        if field == "readinessProbe":
            if grace is not None:
                text = "must not be set for readinessProbes"
                errs.append(invalid_value(f"{here}.terminationGracePeriodSeconds", grace, text))
        else:
            positive(errs, f"{here}.terminationGracePeriodSeconds", grace)
            if probe.get("successThreshold") != 1:
                errs.append(
                    invalid_value(f"{here}.successThreshold", probe.get("successThreshold"), "must be 1")
                )


def _lifecycle(errs: Errors, path: str, lifecycle: Object) -> None:
    for field in ("postStart", "preStop"):
        if lifecycle.get(field) is not None:
            _handler(errs, f"{path}.{field}", lifecycle[field], _HOOK_HANDLERS)


def _handler(errs: Errors, path: str, handler: Object, kinds: tuple[str, ...]) -> None:
    given = [kind for kind in kinds if handler.get(kind) is not None]
    if not given:
        errs.append(required(path, "must specify a handler type"))
        return
    for kind in given[1:]:
        errs.append(forbidden_field(f"{path}.{kind}", "may not specify more than 1 handler type"))
    kind, action = given[0], handler[given[0]]
    here = f"{path}.{kind}"
    if kind == "exec":
        if not action.get("command"):
            errs.append(required(f"{here}.command"))
    elif kind == "httpGet":
        if not action.get("path"):
            errs.append(required(f"{here}.path"))
        port_or_name(errs, f"{here}.port", action.get("port"))
        enum(errs, f"{here}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
        for header in action.get("httpHeaders") or ():
            checked(errs, f"{here}.httpHeaders", header.get("name") or "", names.http_header_name)
    elif kind == "tcpSocket":
        port_or_name(errs, f"{here}.port", action.get("port"))
    elif kind == "grpc":
        port_number(errs, f"{here}.port", action.get("port") or 0)
    else:
        not_negative(errs, f"{here}.seconds", action.get("seconds"))
