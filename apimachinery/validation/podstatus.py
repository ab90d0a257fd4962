"""Validation of a pod's status as a node reports it."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value
from apimachinery.validation import podannotations
from apimachinery.validation.fields import (
    IMMUTABLE,
    INT32_MAX,
    Errors,
    checked,
    enum,
    in_range,
    ip,
    ip_version,
)

Object = dict[str, Any]

_SYSTEM_CONDITIONS = frozenset(["PodScheduled", "Ready", "Initialized", "ContainersReady"])
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def update(errs: Errors, new: Object, old: Object) -> None:
    """What a node may not report: other addresses' families, containers back from the dead, odd conditions."""
    status, before = new.get("status") or {}, old.get("status") or {}
    spec = old.get("spec") or {}
    after = (new.get("metadata") or {}).get("annotations") or {}
    were = (old.get("metadata") or {}).get("annotations") or {}
    if after != were:
        podannotations.updated(errs, "metadata.annotations", after, were)
        podannotations.check(errs, "metadata.annotations", after, spec)
    for i, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type") or ""
        if kind not in _SYSTEM_CONDITIONS:
            # Kubernetes names the metadata here.
            checked(errs, f"metadata.conditions[{i}].Type", kind, names.qualified_name)
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        checked(errs, "status.nominatedNodeName", nominated, names.dns1123_subdomain)
    if (status.get("qosClass") or "") != (before.get("qosClass") or ""):
        errs.append(invalid_value("status.qosClass", status.get("qosClass") or "", IMMUTABLE))
    _transitions(errs, status, before, spec)
    if status.get("resourceClaimStatuses"):
        _claims(errs, status["resourceClaimStatuses"], spec)
    _addresses(errs, "podIPs", status)
    if status.get("hostIPs"):
        if status["hostIPs"][0].get("ip") != (status.get("hostIP") or ""):
            text = "must be equal to `hostIP`"
            errs.append(invalid_value("status.hostIPs[0].ip", status["hostIPs"][0].get("ip") or "", text))
        _addresses(errs, "hostIPs", status)
    for field in _STATUSES:
        for i, current in enumerate(status.get(field) or ()):
            if current.get("user") is not None:
                _user(errs, f"status.{field}[{i}].linux", current["user"], spec)
            if current.get("allocatedResourcesStatus"):
                _devices(errs, f"status.{field}[{i}].allocatedResourcesStatus", field, current, spec)


def _transitions(errs: Errors, status: Object, before: Object, spec: Object) -> None:
    """Nothing that has ended for good is reported alive again."""
    if _all_may_restart(spec):
        return
    policy = spec.get("restartPolicy")
    restarting: set[Any] | None = None
    for field in _STATUSES:
        rule = "Never" if field == "ephemeralContainerStatuses" else policy
        if rule == "Always" or not before.get(field):
            continue
        alive = {
            s.get("name") for s in status.get(field) or () if (s.get("state") or {}).get("terminated") is None
        }
        if not alive:
            continue
        for i, was in enumerate(before[field]):
            ended = (was.get("state") or {}).get("terminated")
            if ended is None or was.get("name") not in alive:
                continue
            if rule == "OnFailure" and ended.get("exitCode"):
                continue
            if restarting is None:
                restarting = {c.get("name") for c in _restartable(spec)}
            if was.get("name") not in restarting:
                text = "may not be transitioned to non-terminated state"
                errs.append(forbidden_field(f"status.{field}[{i}].state", text))


def _all_may_restart(spec: Object) -> bool:
    """Whether a container's end may make the whole pod begin anew (KEP-5532)."""
    rules = (rule for container in _restartable(spec) for rule in container.get("restartPolicyRules") or ())
    return any(rule.get("action") == "RestartAllContainers" for rule in rules)


def _restartable(spec: Object) -> list[Object]:
    everyone = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return [c for c in everyone if c.get("restartPolicy") or c.get("restartPolicyRules")]


def _addresses(errs: Errors, field: str, status: Object) -> None:
    addresses = [address.get("ip") or "" for address in status.get(field) or ()]
    for i, address in enumerate(addresses):
        ip(errs, f"status.{field}[{i}]", address)
    if len(addresses) < 2:
        return
    if len(addresses) > 2 or {ip_version(address) for address in addresses} != {4, 6}:
        text = "may specify no more than one IP for each IP family"
        errs.append(invalid_value(f"status.{field}", status[field], text))
    for i, address in enumerate(addresses):
        if address in addresses[:i]:
            errs.append(duplicate(f"status.{field}[{i}]", status[field][i]))


def _claims(errs: Errors, statuses: list[Object], spec: Object) -> None:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for i, status in enumerate(statuses):
        here, name = f"status.resourceClaimStatuses[{i}].name", status.get("name") or ""
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            errs.append(invalid_value(here, name, text))
        if name in seen:
            errs.append(duplicate(here, name))
        seen.add(name)
        if status.get("resourceClaimName") is not None:
            checked(errs, here, status["resourceClaimName"], names.dns1123_subdomain)


def _user(errs: Errors, path: str, user: Object, spec: Object) -> None:
    linux = user.get("linux")
    if linux is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        errs.append(forbidden_field(path, "cannot be set for a windows pod"))
        return
    for field in ("uid", "gid"):
        in_range(errs, f"{path}.{field}", linux.get(field), 0, INT32_MAX)
    for i, group in enumerate(linux.get("supplementalGroups") or ()):
        in_range(errs, f"{path}.supplementalGroups[{i}]", group, 0, INT32_MAX)


def _devices(errs: Errors, path: str, field: str, current: Object, spec: Object) -> None:
    """The health of what a container was given, resource by resource."""
    if field == "ephemeralContainerStatuses":
        errs.append(forbidden_field(path, "must not be specified in container status"))
        return
    everyone = spec.get("containers" if field == "containerStatuses" else "initContainers") or ()
    container = next((c for c in everyone if c.get("name") == current.get("name")), None)
    for i, allocated in enumerate(current["allocatedResourcesStatus"]):
        here, name = f"{path}[{i}]", allocated.get("name") or ""
        if container is not None:
            wanted = container.get("resources") or {}
            text = "must match one of the container's resource requests"
            known = set(wanted.get("requests") or ())
            if name.startswith("claim:"):
                text = (
                    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' "
                    "or 'claim:<claimName>' if request is empty"
                )
                known = {
                    "claim:" + "/".join(filter(None, (c.get("name"), c.get("request"))))
                    for c in wanted.get("claims") or ()
                }
            if name not in known:
                errs.append(invalid_value(f"{here}.name", name, text))
        seen: set[str] = set()
        for j, device in enumerate(allocated.get("resources") or ()):
            place, identity = f"{here}.resources[{j}]", device.get("resourceID") or ""
            enum(errs, f"{place}.health", device.get("health"), ("Healthy", "Unhealthy", "Unknown"))
            if identity in seen:
                errs.append(duplicate(f"{place}.resourceID", identity))
            seen.add(identity)
