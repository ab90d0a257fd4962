"""Validation of Services."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, not_supported, required
from apimachinery.validation.fields import (
    PROTOCOLS,
    Errors,
    checked,
    cidr,
    enum,
    ip,
    ip_version,
    is_ip,
    labels,
    not_special,
    port_number,
    port_or_name,
    required_enum,
)

Object = dict[str, Any]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITY_SECONDS_MAX = 86400
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def service(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if annotations.get(_MODE, annotations.get(_HINTS)) != annotations.get(_HINTS, annotations.get(_MODE)):
        text = f"must match annotations[{_HINTS}] when both are specified"
        errs.append(invalid_value(f"metadata.annotations[{_MODE}]", annotations[_MODE], text))
    kind = spec.get("type") or ""
    headless = _headless(spec)
    ports = spec.get("ports") or []
    if not ports and not headless and kind != "ExternalName":
        errs.append(required("spec.ports"))
    if kind in ("LoadBalancer", "NodePort") and headless:
        text = f"may not be set to 'None' for {kind} services"
        errs.append(invalid_value("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        _external_name(errs, spec)
    _ports(errs, ports)
    if spec.get("selector"):
        labels(errs, "spec.selector", spec["selector"])
    _affinity(errs, spec)
    if kind != "ExternalName":
        _cluster_ips(errs, spec, headless)
    for i, address in enumerate(spec.get("externalIPs") or ()):
        ip(errs, f"spec.externalIPs[{i}]", address)
        if is_ip(address):
            not_special(errs, f"spec.externalIPs[{i}]", address)
    required_enum(errs, "spec.type", kind, _TYPES)
    _node_ports(errs, ports, kind)
    _source_ranges(errs, spec, annotations)
    balanced = kind == "LoadBalancer"
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        errs.append(forbidden_field("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED))
    elif balanced and spec.get("allocateLoadBalancerNodePorts") is None:
        errs.append(required("allocateLoadBalancerNodePorts"))
    if spec.get("loadBalancerClass") is not None:
        if balanced:
            checked(errs, "spec.loadBalancerClass", spec["loadBalancerClass"], names.qualified_name)
        else:
            errs.append(forbidden_field("spec.loadBalancerClass", _ONLY_BALANCED))
    _traffic_policies(errs, spec)


_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"


def _headless(spec: Object) -> bool:
    return spec.get("clusterIP") == "None" and (spec.get("clusterIPs") or ["None"]) == ["None"]


def _external_name(errs: Errors, spec: Object) -> None:
    text = "may not be set for ExternalName services"
    if spec.get("clusterIP") or spec.get("clusterIPs"):
        errs.append(forbidden_field("spec.clusterIPs", text))
    if spec.get("ipFamilies"):
        errs.append(forbidden_field("spec.ipFamilies", text))
    if spec.get("ipFamilyPolicy") is not None:
        errs.append(forbidden_field("spec.ipFamilyPolicy", text))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        errs.append(required("spec.externalName"))
    else:
        checked(errs, "spec.externalName", name, names.dns1123_subdomain)


def _ports(errs: Errors, ports: list[Object]) -> None:
    seen: set[str] = set()
    for i, port in enumerate(ports):
        here = f"spec.ports[{i}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            errs.append(required(f"{here}.name"))
        elif name:
            checked(errs, f"{here}.name", name, names.dns1123_label)
            if name in seen:
                errs.append(duplicate(f"{here}.name", name))
            seen.add(name)
        port_number(errs, f"{here}.port", port.get("port") or 0)
        required_enum(errs, f"{here}.protocol", port.get("protocol"), PROTOCOLS)
        port_or_name(errs, f"{here}.targetPort", port.get("targetPort"))
        if port.get("appProtocol") is not None:
            checked(errs, f"{here}.appProtocol", port["appProtocol"], names.qualified_name)


def _node_ports(errs: Errors, ports: list[Object], kind: str) -> None:
    """Node ports, where the type has them, and no port or node port twice."""
    seen: set[tuple[str, int]] = set()
    taken: set[tuple[str, int]] = set()
    for i, port in enumerate(ports):
        here, protocol = f"spec.ports[{i}]", port.get("protocol") or ""
        number, node_port = port.get("port") or 0, port.get("nodePort") or 0
        if node_port:
            if kind == "ClusterIP":
                text = "may not be used when `type` is 'ClusterIP'"
                errs.append(forbidden_field(f"{here}.nodePort", text))
            if (protocol, node_port) in taken:
                errs.append(duplicate(f"{here}.nodePort", node_port))
            taken.add((protocol, node_port))
        if (protocol, number) in seen:
            errs.append(duplicate(here, {"protocol": protocol, "port": number}))
        seen.add((protocol, number))


def _source_ranges(errs: Errors, spec: Object, annotations: dict[str, str]) -> None:
    ranges, balanced = spec.get("loadBalancerSourceRanges") or [], spec.get("type") == "LoadBalancer"
    path = "spec.LoadBalancerSourceRanges"
    if ranges:
        if not balanced:
            errs.append(forbidden_field(path, _ONLY_BALANCED))
        for i, source in enumerate(ranges):
            cidr(errs, f"{path}[{i}]", source.strip())
    elif _RANGES in annotations:
        path = f"metadata.annotations[{_RANGES}]"
        if not balanced:
            errs.append(forbidden_field(path, _ONLY_BALANCED))
        text = annotations[_RANGES].strip()
        for source in text.split(",") if text else ():
            cidr(errs, path, source.strip())


def _affinity(errs: Errors, spec: Object) -> None:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    required_enum(errs, "spec.sessionAffinity", affinity, ("ClientIP", "None"))
    path, why = "spec.sessionAffinityConfig", "when session affinity type is ClientIP"
    if affinity == "None" and config is not None:
        errs.append(forbidden_field(path, "must not be set when session affinity is None"))
    if affinity != "ClientIP":
        return
    if config is None:
        errs.append(required(path, why))
    elif config.get("clientIP") is None:
        errs.append(required(f"{path}.clientIP", why))
    elif config["clientIP"].get("timeoutSeconds") is None:
        errs.append(required(f"{path}.clientIP.timeoutSeconds", why))
    elif not 0 < config["clientIP"]["timeoutSeconds"] <= _AFFINITY_SECONDS_MAX:
        text = f"must be greater than 0 and less than {_AFFINITY_SECONDS_MAX}"
        seconds = config["clientIP"]["timeoutSeconds"]
        errs.append(invalid_value(f"{path}.clientIP.timeoutSeconds", seconds, text))


def _cluster_ips(errs: Errors, spec: Object, headless: bool) -> None:
    first, several = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    path = "spec.clusterIPs"
    if several and not first:
        errs.append(invalid_value(path, several, "must be empty when `clusterIP` is not specified"))
    elif several and several[0] != first:
        errs.append(invalid_value(path, several, "first value must match `clusterIP`"))
    addresses = several or ([first] if first else [])
    families = spec.get("ipFamilies") or []
    for i, family in enumerate(families):
        enum(errs, f"spec.ipFamilies[{i}]", family, _FAMILIES)
        if family in families[:i]:
            errs.append(duplicate(f"spec.ipFamilies[{i}]", family))
    if spec.get("ipFamilyPolicy") is not None:
        enum(errs, "spec.ipFamilyPolicy", spec["ipFamilyPolicy"], _FAMILY_POLICIES)
    before = len(errs)
    for i, address in enumerate(addresses):
        if i == 0 and address == "None":
            if len(addresses) > 1:
                errs.append(invalid_value(path, several, "'None' must be the first and only value"))
            continue
        ip(errs, f"{path}[{i}]", address)
    wrong = len(errs) > before
    if len(several) > 2:
        errs.append(invalid_value(path, several, "may only hold up to 2 values"))
    if wrong or headless or not addresses:
        return
    if len(addresses) > 1 and {ip_version(a) for a in addresses} != {4, 6}:
        text = "may specify no more than one IP for each IP family"
        errs.append(invalid_value(path, several, text))
    for i, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if family in _FAMILIES and ip_version(address) != int(family[-1]):
            text = f"expected an {family} value as indicated by `ipFamilies[{i}]`"
            errs.append(invalid_value(f"{path}[{i}]", address, text))


def _traffic_policies(errs: Errors, spec: Object) -> None:
    kind = spec.get("type")
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    exposed = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if external and not exposed:
        text = "may only be set for externally-accessible services"
        errs.append(invalid_value("spec.externalTrafficPolicy", external, text))
    elif exposed:
        required_enum(errs, "spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    health = spec.get("healthCheckNodePort") or 0
    if health and not _checks_health(spec):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errs.append(invalid_value("spec.healthCheckNodePort", health, text))
    elif health:
        port_number(errs, "spec.healthCheckNodePort", health)
    if internal is not None:
        enum(errs, "spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    elif kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        errs.append(required("spec.internalTrafficPolicy"))
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        supported = ("PreferClose", "PreferSameNode", "PreferSameZone")
        enum(errs, "spec.trafficDistribution", distribution, supported)


def _checks_health(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def update_service(errs: Errors, new: Object, old: Object) -> None:
    """Cluster IPs and families stay while the type needs them. Unset ones are filled in by the registry before."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" not in (before.get("type"), after.get("type")):
        _addresses_kept(errs, after, before)
        _families_kept(errs, after, before)
    both_balanced = before.get("type") == after.get("type") == "LoadBalancer"
    if both_balanced and before.get("loadBalancerClass") != after.get("loadBalancerClass"):
        text = "may not change once set"
        errs.append(invalid_value("spec.loadBalancerClass", after.get("loadBalancerClass"), text))
    port, was = after.get("healthCheckNodePort") or 0, before.get("healthCheckNodePort") or 0
    if port != was and _checks_health(before) and _checks_health(after):
        errs.append(forbidden_field("spec.healthCheckNodePort", "field is immutable"))
    service(errs, new)


def _addresses(spec: Object) -> list[str]:
    return spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])


_KEPT = "may not change once set"


def _addresses_kept(errs: Errors, after: Object, before: Object) -> None:
    now, was = _addresses(after), _addresses(before)
    path = "spec.clusterIPs"
    if _headless(before) and _headless(after):
        return
    if len(now) == len(was):
        for i, address in enumerate(was):
            if address != now[i]:
                errs.append(invalid_value(f"{path}[{i}]", now, _KEPT))
        return
    if was and not now:
        errs.append(invalid_value(f"{path}[0]", now, "primary clusterIP can not be unset"))
    elif was and now[0] != was[0]:
        errs.append(invalid_value(f"{path}[0]", now, _KEPT))
    if len(was) > len(now) == 1 and after.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        errs.append(invalid_value("spec.ipFamilyPolicy", after.get("ipFamilyPolicy"), text))


def _families_kept(errs: Errors, after: Object, before: Object) -> None:
    now, was = after.get("ipFamilies") or [], before.get("ipFamilies") or []
    if _headless(after) or _headless(before) or now == was or not was:
        return
    if len(now) < len(was) and not _addresses(after):
        errs.append(invalid_value("spec.ipFamilies[0]", now, "primary ipFamily can not be unset"))
    if now and (now[0] != was[0] or len(now) == len(was)):
        errs.append(invalid_value("spec.ipFamilies[0]", now, _KEPT))
    if len(was) > len(now) == 1 and after.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        errs.append(invalid_value("spec.ipFamilyPolicy", after.get("ipFamilyPolicy"), text))


def update_service_status(errs: Errors, new: Object, old: Object) -> None:
    kind = (new.get("spec") or {}).get("type")
    ingress = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    path = "status.loadBalancer.ingress"
    if ingress and kind != "LoadBalancer":
        errs.append(forbidden_field(path, "may only be used when `spec.type` is 'LoadBalancer'"))
        return
    for i, entry in enumerate(ingress):
        here, address, mode = f"{path}[{i}]", entry.get("ip"), entry.get("ipMode")
        if address:
            ip(errs, f"{here}.ip", address)
            if mode is None:
                errs.append(required(f"{here}.ipMode", "must be specified when `ip` is set"))
            elif mode not in ("Proxy", "VIP"):
                errs.append(not_supported(f"{here}.ipMode", mode, ("Proxy", "VIP")))
        elif mode is not None:
            errs.append(forbidden_field(f"{here}.ipMode", "may not be specified when `ip` is not set"))
        if entry.get("hostname"):
            checked(errs, f"{here}.hostname", entry["hostname"], names.dns1123_subdomain)
            if is_ip(entry["hostname"]):
                text = "must be a DNS name, not an IP address"
                errs.append(invalid_value(f"{here}.hostname", entry["hostname"], text))
