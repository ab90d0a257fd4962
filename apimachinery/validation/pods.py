"""Validation of pods and pod templates: the spec as a whole. What updates may change: podupdates, podstatus."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required
from apimachinery.recurring import Recurring
from apimachinery.validation import (
    containers,
    objectmeta,
    podannotations,
    podresources,
    podscheduling,
    resourceamounts,
    securitycontext,
    volumes,
    windows,
)
from apimachinery.validation.fields import INT32_MAX, Errors, checked, in_range, ip, required_enum

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
    pod(errs, obj)
    podannotations.match_fields(errs, "spec", obj.get("metadata") or {}, spec)


def pod(errs: Errors, obj: Object) -> None:
    """A Pod's annotations and spec, on create and on every update."""
    metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    if metadata.get("annotations"):
        podannotations.check(errs, "metadata.annotations", metadata["annotations"], spec)
    pod_spec(errs, "spec", spec, metadata.get("name") or "-")
    if not spec.get("serviceAccountName"):
        _no_tokens(errs, spec)


def _no_tokens(errs: Errors, spec: Object) -> None:
    for i, volume in enumerate(spec.get("volumes") or ()):
        for j, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                place = f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken"
                text = "must not be specified when serviceAccountName is not set"
                errs.append(forbidden_field(place, text))


def template(errs: Errors, path: str, obj: Object) -> None:
    """A PodTemplateSpec."""
    metadata = obj.get("metadata") or {}
    # Kubernetes says `labels`, not `metadata.labels`, of templates.
    errs += objectmeta.template(metadata, path)
    spec = obj.get("spec") or {}
    if metadata.get("annotations"):
        podannotations.check(errs, f"{path}.annotations", metadata["annotations"], spec)
    pod_spec(errs, f"{path}.spec", spec)
    podannotations.match_fields(errs, f"{path}.spec", metadata, spec)
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errs.append(forbidden_field(f"{path}.spec.ephemeralContainers", text))


def create_template(errs: Errors, obj: Object) -> None:
    """A PodTemplate object."""
    template(errs, "template", obj.get("template") or {})


_NO_CLAIMS: frozenset[str] = frozenset()


#: Specs of pods, and of templates, that nothing is wrong with.
_sound: Recurring[bool] = Recurring()
_sound_templates: Recurring[bool] = Recurring()


def pod_spec(errs: Errors, path: str, spec: Object, pod_name: str = "") -> None:
    """A PodSpec at `path`, with its defaults set. `pod_name` is empty in templates, where some may be left open."""
    sound = _sound if pod_name else _sound_templates
    key = sound.key(spec)
    if sound.get(key):
        return
    count = len(errs)
    _pod_spec(errs, path, spec, pod_name)
    # Names of claims made for a pod depend on its own.
    if len(errs) == count and all(v.get("ephemeral") is None for v in spec.get("volumes") or ()):
        sound.put(key, True)


def _pod_spec(errs: Errors, path: str, spec: Object, pod_name: str) -> None:
    if spec.get("terminationGracePeriodSeconds") is None:
        errs.append(required(f"{path}.terminationGracePeriodSeconds"))
    found = volumes.volumes(errs, f"{path}.volumes", spec["volumes"], pod_name) if spec.get("volumes") else {}
    claims = _NO_CLAIMS
    if spec.get("resourceClaims"):
        _resource_claims(errs, f"{path}.resourceClaims", spec["resourceClaims"])
        claims = frozenset(c["name"] for c in spec["resourceClaims"] if c.get("name"))
    containers.containers(errs, path, containers.Pod(spec, found, claims, bool(pod_name)))
    if spec.get("resources"):
        podresources.resources(errs, f"{path}.resources", spec)
    required_enum(errs, f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    required_enum(errs, f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    podscheduling.scheduling(errs, path, spec)
    securitycontext.pod(errs, path, spec)
    windows.host_process(errs, path, spec)
    for field in _NAMED:
        if spec.get(field):
            checked(errs, f"{path}.{field}", spec[field], names.dns1123_subdomain)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            checked(errs, f"{path}.{field}", spec[field], names.dns1123_label)
    in_range(errs, f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, INT32_MAX)
    if spec.get("preemptionPolicy") is not None:
        policy = spec["preemptionPolicy"]
        required_enum(errs, f"{path}.preemptionPolicy", policy, ("Never", "PreemptLowerPriority"))
    if spec.get("hostAliases"):
        _host_aliases(errs, f"{path}.hostAliases", spec["hostAliases"])
    if spec.get("dnsPolicy") == "None" or spec.get("dnsConfig"):
        _dns_config(errs, f"{path}.dnsConfig", spec)
    if spec.get("overhead"):
        resourceamounts.requirements(errs, f"{path}.overhead", {"limits": spec["overhead"]})
    if spec.get("os") is not None:
        windows.system(errs, path, spec)
    if spec.get("hostnameOverride") is not None:
        if spec.get("hostNetwork"):
            text = "may not be specified when hostNetwork is true"
            errs.append(forbidden_field(f"{path}.hostnameOverride", text))
        checked(errs, f"{path}.hostnameOverride", spec["hostnameOverride"], names.dns1123_subdomain)


def _host_aliases(errs: Errors, path: str, aliases: list[Object]) -> None:
    for i, alias in enumerate(aliases):
        ip(errs, f"{path}[{i}].ip", alias.get("ip") or "")
        for j, name in enumerate(alias.get("hostnames") or ()):
            checked(errs, f"{path}[{i}].hostnames[{j}]", name, names.dns1123_subdomain)


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
            return
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
        if len(given) > 1:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errs.append(invalid_value(here, claim, text))
        elif not given:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errs.append(invalid_value(here, claim, text))
        for field in given:
            checked(errs, f"{here}.{field}", claim[field], names.dns1123_subdomain)
