"""Validation of pods and pod templates: the spec as a whole, and what an update may change."""

from __future__ import annotations

import json
from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required
from apimachinery.recurring import Recurring
from apimachinery.validation import (
    containers,
    objectmeta,
    podscheduling,
    resourceamounts,
    securitycontext,
    volumes,
)
from apimachinery.validation.fields import (
    INT32_MAX,
    NOT_NEGATIVE,
    Errors,
    checked,
    enum,
    in_range,
    ip,
    labels,
    required_enum,
)

Object = dict[str, Any]

RESTART_POLICIES = ("Always", "Never", "OnFailure")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_NAMED = ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName")


def create(errs: Errors, obj: Object) -> None:
    """A Pod."""
    spec = obj.get("spec") or {}
    if spec.get("ephemeralContainers"):
        errs.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        errs.append(forbidden_field("spec.nodeName", text))
    pod_spec(errs, "spec", spec)


def template(errs: Errors, path: str, obj: Object) -> None:
    """A PodTemplateSpec."""
    errs += objectmeta.template(obj.get("metadata") or {}, f"{path}.metadata")
    spec = obj.get("spec") or {}
    pod_spec(errs, f"{path}.spec", spec)
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errs.append(forbidden_field(f"{path}.spec.ephemeralContainers", text))


def create_template(errs: Errors, obj: Object) -> None:
    """A PodTemplate object."""
    template(errs, "template", obj.get("template") or {})


#: Pod specs nothing is wrong with.
_sound: Recurring[bool] = Recurring()


def pod_spec(errs: Errors, path: str, spec: Object) -> None:
    """A PodSpec at `path`, with its defaults set."""
    key = _sound.key(spec)
    if _sound.get(key):
        return
    count = len(errs)
    _pod_spec(errs, path, spec)
    if len(errs) == count:
        _sound.put(key, True)


def _pod_spec(errs: Errors, path: str, spec: Object) -> None:
    if spec.get("volumes"):
        volumes.volumes(errs, f"{path}.volumes", spec["volumes"])
    containers.containers(errs, path, spec)
    required_enum(errs, f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    required_enum(errs, f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    podscheduling.scheduling(errs, path, spec)
    securitycontext.pod(errs, path, spec)
    for field in _NAMED:
        if spec.get(field):
            checked(errs, f"{path}.{field}", spec[field], names.dns1123_subdomain)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            checked(errs, f"{path}.{field}", spec[field], names.dns1123_label)
    in_range(errs, f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, INT32_MAX)
    if spec.get("preemptionPolicy") is not None:
        policy = spec["preemptionPolicy"]
        enum(errs, f"{path}.preemptionPolicy", policy, ("Never", "PreemptLowerPriority"))
    if spec.get("hostAliases"):
        _host_aliases(errs, f"{path}.hostAliases", spec["hostAliases"])
    if spec.get("dnsPolicy") == "None" or spec.get("dnsConfig"):
        _dns_config(errs, f"{path}.dnsConfig", spec)
    if spec.get("overhead"):
        resourceamounts.requirements(errs, f"{path}.overhead", {"limits": spec["overhead"]})
    if spec.get("resources"):
        _pod_resources(errs, f"{path}.resources", spec["resources"])
    if spec.get("resourceClaims"):
        _resource_claims(errs, f"{path}.resourceClaims", spec["resourceClaims"])
    if spec.get("os") is not None:
        required_enum(errs, f"{path}.os.name", spec["os"].get("name"), ("linux", "windows"))
    if spec.get("hostnameOverride") is not None:
        if spec.get("hostNetwork"):
            text = "may not be specified when hostNetwork is true"
            errs.append(forbidden_field(f"{path}.hostnameOverride", text))
        checked(errs, f"{path}.hostnameOverride", spec["hostnameOverride"], names.dns1123_subdomain)


def _host_aliases(errs: Errors, path: str, aliases: list[Object]) -> None:
    for i, alias in enumerate(aliases):
        ip(errs, f"{path}[{i}].ip", alias.get("ip") or "")
        for name in alias.get("hostnames") or ():
            checked(errs, f"{path}[{i}].hostnames", name, names.dns1123_subdomain)


_NAMESERVERS_MAX = 3
_SEARCHES_MAX = 32
_SEARCH_CHARACTERS_MAX = 2048


def _dns_config(errs: Errors, path: str, spec: Object) -> None:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            errs.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errs.append(required(f"{path}.nameservers", text))
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _NAMESERVERS_MAX:
        text = f"must not have more than {_NAMESERVERS_MAX} nameservers"
        errs.append(invalid_value(f"{path}.nameservers", servers, text))
    for i, server in enumerate(servers):
        ip(errs, f"{path}.nameservers[{i}]", server)
    if len(searches) > _SEARCHES_MAX:
        text = f"must not have more than {_SEARCHES_MAX} search paths"
        errs.append(invalid_value(f"{path}.searches", searches, text))
    if len(" ".join(searches)) > _SEARCH_CHARACTERS_MAX:
        text = f"must not have more than {_SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        errs.append(invalid_value(f"{path}.searches", searches, text))
    for i, search in enumerate(searches):
        # A lone dot means: only the name as given.
        if search != ".":
            plain = search.removesuffix(".").replace("_", "-")
            checked(errs, f"{path}.searches[{i}]", plain, names.dns1123_subdomain)
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errs.append(required(f"{path}.options[{i}]", "must not be empty"))


def _pod_resources(errs: Errors, path: str, resources: Object) -> None:
    resourceamounts.requirements(errs, path, resources)
    for field in ("limits", "requests"):
        for name in resources.get(field) or ():
            if name not in ("cpu", "memory") and not resourceamounts.is_hugepage(name):
                text = f"unsupported pod level resource: {name}"
                errs.append(invalid_value(f"{path}.{field}[{name}]", name, text))


def _resource_claims(errs: Errors, path: str, claims: list[Object]) -> None:
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        here = f"{path}[{i}]"
        name = claim.get("name") or ""
        if not name:
            errs.append(required(f"{here}.name"))
        elif name in seen:
            errs.append(duplicate(f"{here}.name", name))
        else:
            checked(errs, f"{here}.name", name, names.dns1123_label)
        seen.add(name)
        given = [f for f in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(f) is not None]
        if len(given) != 1:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            if not given:
                text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errs.append(invalid_value(here, claim, text))


_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def update(errs: Errors, new: Object, old: Object) -> None:
    """Only images, a shorter deadline, more tolerations, and fewer gates."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers"):
        if len(after.get(field) or ()) != len(before.get(field) or ()):
            errs.append(forbidden_field(f"spec.{field}", "pod updates may not add or remove containers"))
            return
        for i, item in enumerate(after.get(field) or ()):
            image = item.get("image") or ""
            if not image:
                errs.append(required(f"spec.{field}[{i}].image"))
            elif image != image.strip():
                text = "must not have leading or trailing whitespace"
                errs.append(invalid_value(f"spec.{field}[{i}].image", image, text))
    _deadline(errs, after, before)
    _gates(errs, after, before)
    _tolerations(errs, after, before)
    gated = bool(before.get("schedulingGates"))
    if gated:
        labels(errs, "spec.nodeSelector", after.get("nodeSelector"))
        kept = after.get("nodeSelector") or {}
        if any(kept.get(key) != value for key, value in (before.get("nodeSelector") or {}).items()):
            errs.append(
                invalid_value("spec.nodeSelector", kept, "additions only are allowed to nodeSelector")
            )
    changes = _differences(_fixed(after, before, gated), _fixed(before, before, gated), "")
    if changes:
        shown = "\n".join(f"  {line}" for line in changes)
        text = f"pod updates may not change fields other than {_UPDATABLE}\n{shown}\n"
        errs.append(forbidden_field("spec", text))


def _deadline(errs: Errors, after: Object, before: Object) -> None:
    deadline, was = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if deadline is not None:
        if not 0 <= deadline <= INT32_MAX:
            errs.append(invalid_value(path, deadline, f"must be between 0 and {INT32_MAX}, inclusive"))
        elif was is not None and was < deadline:
            errs.append(invalid_value(path, deadline, "must be less than or equal to previous value"))
    elif was is not None:
        errs.append(invalid_value(path, None, "must not update from a positive integer to nil value"))


def _gates(errs: Errors, after: Object, before: Object) -> None:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for gate in after.get("schedulingGates") or ():
        if gate.get("name") not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errs.append(forbidden_field("spec.schedulingGates", text))


def _tolerations(errs: Errors, after: Object, before: Object) -> None:
    def key(toleration: Object) -> str:
        return json.dumps({k: v for k, v in toleration.items() if k != "tolerationSeconds"}, sort_keys=True)

    tolerations = after.get("tolerations") or []
    kept = {key(t) for t in tolerations}
    if any(key(t) not in kept for t in before.get("tolerations") or ()):
        text = "existing toleration can not be modified except its tolerationSeconds"
        errs.append(forbidden_field("spec.tolerations", text))
    podscheduling.tolerations(errs, "spec.tolerations", tolerations)


_FREE = ("activeDeadlineSeconds", "tolerations", "schedulingGates")


def _fixed(spec: Object, before: Object, gated: bool) -> Object:
    """The spec without what may change."""
    fixed = {key: value for key, value in spec.items() if key not in _FREE}
    if gated:
        fixed.pop("nodeSelector", None)
        fixed.pop("affinity", None)
    for field in ("containers", "initContainers"):
        if fixed.get(field):
            fixed[field] = [{**item, "image": ""} for item in fixed[field]]
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        fixed["terminationGracePeriodSeconds"] = grace
    return fixed


def _differences(new: Any, old: Any, path: str) -> list[str]:
    """Changed fields, a line each; unset and empty are the same."""
    if (new or None) == (old or None) or (new == old and type(new) is type(old)):
        return []
    if isinstance(new, dict) and isinstance(old, dict):
        lines = []
        for key in sorted({*new, *old}):
            lines += _differences(new.get(key), old.get(key), f"{path}.{key}" if path else key)
        return lines
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        lines = []
        for i, (a, b) in enumerate(zip(new, old, strict=True)):
            lines += _differences(a, b, f"{path}[{i}]")
        return lines
    return [f"{path}: {json.dumps(old)} -> {json.dumps(new)}"]


def update_status(errs: Errors, new: Object, old: Object) -> None:
    """A node's report: nominated node, and no terminated container of a Never pod back to life."""
    status = new.get("status") or {}
    if status.get("nominatedNodeName"):
        checked(errs, "status.nominatedNodeName", status["nominatedNodeName"], names.dns1123_subdomain)
    policy = (old.get("spec") or {}).get("restartPolicy")
    fields = ["containerStatuses", "initContainerStatuses"] if policy in ("Never", "OnFailure") else []
    restarting = {c.get("name") for c in _restartable(old)}
    for field in fields:
        before = {s.get("name"): s for s in (old.get("status") or {}).get(field) or ()}
        for i, current in enumerate(status.get(field) or ()):
            ended = ((before.get(current.get("name")) or {}).get("state") or {}).get("terminated")
            if ended is None or current.get("name") in restarting:
                continue
            if policy == "OnFailure" and ended.get("exitCode") != 0:
                continue
            if (current.get("state") or {}).get("terminated") is None:
                text = "may not be transitioned to non-terminated state"
                errs.append(forbidden_field(f"status.{field}[{i}].state", text))
    for i, current in enumerate(status.get("containerStatuses") or ()):
        if (current.get("restartCount") or 0) < 0:
            path = f"status.containerStatuses[{i}].restartCount"
            errs.append(invalid_value(path, current["restartCount"], NOT_NEGATIVE))
    for i, address in enumerate(status.get("podIPs") or ()):
        ip(errs, f"status.podIPs[{i}]", address.get("ip") or "")


def _restartable(pod: Object) -> list[Object]:
    spec = pod.get("spec") or {}
    everyone = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return [c for c in everyone if c.get("restartPolicy") or c.get("restartPolicyRules")]


def update_ephemeral_containers(errs: Errors, new: Object, old: Object) -> None:
    """The ephemeralcontainers subresource: what is there stays as it is, more may come."""
    spec = new.get("spec") or {}
    pod_spec(errs, "spec", spec)
    wanted = {c.get("name"): c for c in spec.get("ephemeralContainers") or ()}
    for i, container in enumerate((old.get("spec") or {}).get("ephemeralContainers") or ()):
        after = wanted.get(container.get("name"))
        if after is None:
            text = f'existing ephemeral containers "{container.get("name")}" may not be removed\n'
            errs.append(forbidden_field("spec.ephemeralContainers", text))
        elif _differences(after, container, ""):
            text = f'existing ephemeral containers "{container.get("name")}" may not be changed\n'
            errs.append(forbidden_field(f"spec.ephemeralContainers[{i}]", text))


def update_resize(errs: Errors, new: Object, old: Object) -> None:
    """The resize subresource: CPU and memory of containers, nothing else, and no other quality of service."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    pod_spec(errs, "spec", after)
    for field in ("containers", "initContainers"):
        for i, item in enumerate(after.get(field) or ()):
            for name in _changed_amounts(item, (before.get(field) or [{}])[i : i + 1]):
                if name not in ("cpu", "memory"):
                    text = "only cpu and memory resources are mutable"
                    errs.append(forbidden_field(f"spec.{field}[{i}].resources", text))
    if _differences(_unsized(after), _unsized(before), ""):
        errs.append(forbidden_field("spec", "only cpu and memory resources are mutable"))


def _changed_amounts(item: Object, before: list[Object]) -> list[str]:
    was = (before[0].get("resources") or {}) if before else {}
    now = item.get("resources") or {}
    changed = []
    for field in ("limits", "requests"):
        a, b = now.get(field) or {}, was.get(field) or {}
        changed += [name for name in {*a, *b} if a.get(name) != b.get(name)]
    return sorted(set(changed))


def _unsized(spec: Object) -> Object:
    result = dict(spec)
    for field in ("containers", "initContainers"):
        if result.get(field):
            result[field] = [{**item, "resources": None} for item in result[field]]
    return result
