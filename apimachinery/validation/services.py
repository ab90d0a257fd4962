"""Validation of Services, Endpoints and EndpointSlices."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from apimachinery import names
from apimachinery.errors import (
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from apimachinery.validation.fields import (
    IMMUTABLE,
    IP_TEXT,
    PROTOCOLS,
    Errors,
    checked,
    cidr,
    enum,
    immutable,
    in_range,
    ip,
    ip_version,
    is_ip,
    labels,
    named,
    port_number,
    port_or_name,
    required_enum,
)

Object = dict[str, Any]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITY_SECONDS_MAX = 86400
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")


def service(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    kind = spec.get("type") or ""
    headless = spec.get("clusterIP") == "None"
    ports = spec.get("ports") or []
    if not ports and not headless and kind != "ExternalName":
        errs.append(required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        text = "may not be set to 'None' for LoadBalancer services"
        errs.append(invalid_value("spec.clusterIPs[0]", "None", text))
    if kind == "NodePort" and headless:
        text = "may not be set to 'None' for NodePort services"
        errs.append(invalid_value("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        _external_name(errs, spec)
    required_enum(errs, "spec.type", kind, _TYPES)
    _ports(errs, spec, headless)
    labels(errs, "spec.selector", spec.get("selector"))
    _affinity(errs, spec)
    _cluster_ips(errs, spec)
    for i, address in enumerate(spec.get("externalIPs") or ()):
        ip(errs, f"spec.externalIPs[{i}]", address)
        if is_ip(address):
            _not_special(errs, f"spec.externalIPs[{i}]", address)
    for i, source in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        if kind != "LoadBalancer":
            text = "may only be used when `type` is 'LoadBalancer'"
            errs.append(forbidden_field("spec.loadBalancerSourceRanges", text))
            break
        cidr(errs, f"spec.loadBalancerSourceRanges[{i}]", source.strip())
    if kind != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(field) is not None:
                text = "may only be used when `type` is 'LoadBalancer'"
                errs.append(forbidden_field(f"spec.{field}", text))
    elif spec.get("allocateLoadBalancerNodePorts") is None:
        errs.append(required("spec.allocateLoadBalancerNodePorts"))
    _traffic_policies(errs, spec)


def _external_name(errs: Errors, spec: Object) -> None:
    text = "may not be set for ExternalName services"
    if spec.get("clusterIP"):
        errs.append(forbidden_field("spec.clusterIPs[0]", text))
    for field in ("clusterIPs", "ipFamilies"):
        if spec.get(field) and not spec.get("clusterIP"):
            errs.append(forbidden_field(f"spec.{field}", text))
    if spec.get("ipFamilyPolicy") is not None:
        errs.append(forbidden_field("spec.ipFamilyPolicy", text))
    name = (spec.get("externalName") or "").removesuffix(".")
    named(errs, "spec.externalName", name, names.dns1123_subdomain)


def _ports(errs: Errors, spec: Object, headless: bool) -> None:
    ports = spec.get("ports") or []
    kind = spec.get("type")
    seen_names: set[str] = set()
    seen: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for i, port in enumerate(ports):
        here = f"spec.ports[{i}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            errs.append(required(f"{here}.name"))
        elif name:
            checked(errs, f"{here}.name", name, names.dns1123_label)
            if name in seen_names:
                errs.append(duplicate(f"{here}.name", name))
            seen_names.add(name)
        number, protocol = port.get("port") or 0, port.get("protocol") or ""
        port_number(errs, f"{here}.port", number)
        required_enum(errs, f"{here}.protocol", protocol, PROTOCOLS)
        port_or_name(errs, f"{here}.targetPort", port.get("targetPort"))
        if port.get("appProtocol") is not None:
            checked(errs, f"{here}.appProtocol", port["appProtocol"], names.qualified_name)
        if (protocol, number) in seen:
            errs.append(duplicate(here, {"protocol": protocol, "port": number}))
        seen.add((protocol, number))
        node_port = port.get("nodePort") or 0
        if node_port and kind in ("ClusterIP", "ExternalName"):
            text = f"may not be used when `type` is '{kind}'"
            errs.append(forbidden_field(f"{here}.nodePort", text))
        elif node_port:
            port_number(errs, f"{here}.nodePort", node_port)
            if (protocol, node_port) in node_ports:
                errs.append(duplicate(f"{here}.nodePort", node_port))
            node_ports.add((protocol, node_port))


def _affinity(errs: Errors, spec: Object) -> None:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    required_enum(errs, "spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        if seconds is None:
            errs.append(required(path, "when session affinity type is ClientIP"))
        elif not 0 < seconds <= _AFFINITY_SECONDS_MAX:
            text = f"must be greater than 0 and less than {_AFFINITY_SECONDS_MAX}"
            errs.append(invalid_value(path, seconds, text))
    elif config is not None:
        text = "must not be set when session affinity is None"
        errs.append(forbidden_field("spec.sessionAffinityConfig", text))


def _cluster_ips(errs: Errors, spec: Object) -> None:
    first, several = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if spec.get("type") == "ExternalName":
        return
    if several and not first:
        errs.append(forbidden_field("spec.clusterIPs", "must be empty when `clusterIP` is not specified"))
    elif several and several[0] != first:
        text = "first value must match `clusterIP`"
        errs.append(invalid_value("spec.clusterIPs", several, text))
    if len(several) > 2:
        errs.append(invalid_value("spec.clusterIPs", several, "may only hold up to 2 values"))
    addresses = several or ([first] if first else [])
    for i, address in enumerate(addresses):
        if address == "None":
            if len(addresses) > 1:
                text = "'None' must be the first and only value"
                errs.append(invalid_value("spec.clusterIPs", several, text))
            continue
        if not is_ip(address):
            errs.append(invalid_value(f"spec.clusterIPs[{i}]", address, IP_TEXT))
    families = spec.get("ipFamilies") or []
    for i, family in enumerate(families):
        enum(errs, f"spec.ipFamilies[{i}]", family, _FAMILIES)
        if family in families[:i]:
            errs.append(duplicate(f"spec.ipFamilies[{i}]", family))
    if spec.get("ipFamilyPolicy") is not None:
        enum(errs, "spec.ipFamilyPolicy", spec["ipFamilyPolicy"], _FAMILY_POLICIES)


def _traffic_policies(errs: Errors, spec: Object) -> None:
    kind = spec.get("type")
    external = spec.get("externalTrafficPolicy")
    exposed = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if external and not exposed:
        text = "may only be set for externally-accessible services"
        errs.append(invalid_value("spec.externalTrafficPolicy", external, text))
    elif exposed:
        required_enum(errs, "spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    health = spec.get("healthCheckNodePort") or 0
    if health and not (kind == "LoadBalancer" and external == "Local"):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errs.append(invalid_value("spec.healthCheckNodePort", health, text))
    if spec.get("internalTrafficPolicy") is not None:
        enum(errs, "spec.internalTrafficPolicy", spec["internalTrafficPolicy"], ("Cluster", "Local"))
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        supported = ("PreferClose", "PreferSameNode", "PreferSameZone")
        enum(errs, "spec.trafficDistribution", distribution, supported)


def update_service(errs: Errors, new: Object, old: Object) -> None:
    """Cluster IPs and families stay while the type needs them. Unset ones are filled in by the registry before."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("type") != "ExternalName" and after.get("type") != "ExternalName":
        was, now = before.get("clusterIP") or "", after.get("clusterIP") or ""
        if was and now != was:
            several = after.get("clusterIPs") or ([now] if now else [])
            errs.append(invalid_value("spec.clusterIPs[0]", several, "may not change once set"))
        families, were = after.get("ipFamilies") or [], before.get("ipFamilies") or []
        if were and families and families[0] != were[0]:
            text = "primary ipFamily can not be changed once set"
            errs.append(invalid_value("spec.ipFamilies[0]", families, text))
    both_balanced = before.get("type") == after.get("type") == "LoadBalancer"
    if both_balanced and before.get("loadBalancerClass") != after.get("loadBalancerClass"):
        text = "may not change once set"
        errs.append(invalid_value("spec.loadBalancerClass", after.get("loadBalancerClass"), text))
    service(errs, new)


def update_service_status(errs: Errors, new: Object, old: Object) -> None:
    kind = (new.get("spec") or {}).get("type")
    ingress = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if ingress and kind != "LoadBalancer":
        text = 'may only be used when `spec.type` is "LoadBalancer"'
        errs.append(forbidden_field("status.loadBalancer.ingress", text))
    for i, entry in enumerate(ingress):
        here = f"status.loadBalancer.ingress[{i}]"
        if entry.get("ip"):
            ip(errs, f"{here}.ip", entry["ip"])
        if entry.get("hostname"):
            checked(errs, f"{here}.hostname", entry["hostname"], names.dns1123_subdomain)


@lru_cache(maxsize=8192)
def _special(value: str) -> tuple[str, ...]:
    """Why no traffic from elsewhere can have this address: unspecified, loopback or link-local."""
    address = ipaddress.ip_address(value)
    problems = []
    if address.is_unspecified:
        problems.append(f"may not be unspecified ({value})")
    if address.is_loopback:
        problems.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        problems.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address in _LINK_LOCAL_MULTICAST[address.version]:
        problems.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(problems)


_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def _not_special(errs: Errors, path: str, value: str) -> None:
    for problem in _special(value):
        errs.append(invalid_value(path, value, problem))


def endpoints(errs: Errors, obj: Object) -> None:
    for i, subset in enumerate(obj.get("subsets") or ()):
        here = f"subsets[{i}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errs.append(required(here, "must specify `addresses` or `notReadyAddresses`"))
        for field in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(subset.get(field) or ()):
                _endpoint_address(errs, f"{here}.{field}[{j}]", address)
        ports = subset.get("ports") or []
        for j, port in enumerate(ports):
            place = f"{here}.ports[{j}]"
            if not port.get("name") and len(ports) > 1:
                errs.append(required(f"{place}.name"))
            elif port.get("name"):
                checked(errs, f"{place}.name", port["name"], names.dns1123_label)
            port_number(errs, f"{place}.port", port.get("port") or 0)
            required_enum(errs, f"{place}.protocol", port.get("protocol"), PROTOCOLS)


def _endpoint_address(errs: Errors, path: str, address: Object) -> None:
    value = address.get("ip") or ""
    ip(errs, f"{path}.ip", value)
    if is_ip(value):
        _not_special(errs, f"{path}.ip", value)
    if address.get("hostname"):
        checked(errs, f"{path}.hostname", address["hostname"], names.dns1123_label)
    if address.get("nodeName") is not None:
        checked(errs, f"{path}.nodeName", address["nodeName"], names.dns1123_subdomain)


def update_endpoints(errs: Errors, new: Object, old: Object) -> None:
    endpoints(errs, new)


_ENDPOINTS_MAX = 1000
_SLICE_PORTS_MAX = 20000
_ADDRESSES_MAX = 100
_TOPOLOGY_MAX = 16


def endpoint_slice(errs: Errors, obj: Object) -> None:
    family = obj.get("addressType") or ""
    if not family:
        errs.append(required("addressType"))
    elif family not in ("IPv4", "IPv6", "FQDN"):
        errs.append(not_supported("addressType", family, ("FQDN", "IPv4", "IPv6")))
    items = obj.get("endpoints") or []
    if len(items) > _ENDPOINTS_MAX:
        errs.append(too_many("endpoints", len(items), _ENDPOINTS_MAX))
    for i, endpoint in enumerate(items):
        _endpoint(errs, f"endpoints[{i}]", endpoint, family)
    ports = obj.get("ports") or []
    if len(ports) > _SLICE_PORTS_MAX:
        errs.append(too_many("ports", len(ports), _SLICE_PORTS_MAX))
    seen: set[str] = set()
    for i, port in enumerate(ports):
        here = f"ports[{i}]"
        name = port.get("name") or ""
        if name:
            checked(errs, f"{here}.name", name, names.dns1123_label)
        if name in seen:
            errs.append(duplicate(f"{here}.name", name))
        seen.add(name)
        required_enum(errs, f"{here}.protocol", port.get("protocol"), PROTOCOLS)
        if port.get("port") is not None:
            in_range(errs, f"{here}.port", port["port"], 1, 65535)
        if port.get("appProtocol") is not None:
            checked(errs, f"{here}.appProtocol", port["appProtocol"], names.qualified_name)


def _endpoint(errs: Errors, path: str, endpoint: Object, family: str) -> None:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        errs.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > _ADDRESSES_MAX:
        errs.append(too_many(f"{path}.addresses", len(addresses), _ADDRESSES_MAX))
    for i, address in enumerate(addresses):
        here = f"{path}.addresses[{i}]"
        if family == "FQDN":
            checked(errs, here, address, names.dns1123_subdomain)
            continue
        ip(errs, here, address)
        if not is_ip(address):
            continue
        if family in ("IPv4", "IPv6") and ip_version(address) != int(family[-1]):
            errs.append(invalid_value(here, address, f"must be an {family} address"))
        _not_special(errs, here, address)
    if endpoint.get("nodeName") is not None:
        checked(errs, f"{path}.nodeName", endpoint["nodeName"], names.dns1123_subdomain)
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > _TOPOLOGY_MAX:
        errs.append(too_many(f"{path}.deprecatedTopology", len(topology), _TOPOLOGY_MAX))
    labels(errs, f"{path}.deprecatedTopology", topology)
    hostname = endpoint.get("hostname")
    if hostname is not None:
        if len(hostname) > names.DNS1123_LABEL_MAX:
            errs.append(too_long(f"{path}.hostname", names.DNS1123_LABEL_MAX))
        checked(errs, f"{path}.hostname", hostname, names.dns1123_label)


def update_endpoint_slice(errs: Errors, new: Object, old: Object) -> None:
    endpoint_slice(errs, new)
    if new.get("addressType") != old.get("addressType"):
        errs.append(invalid_value("addressType", new.get("addressType"), IMMUTABLE))


def ip_address(errs: Errors, obj: Object) -> None:
    """An IPAddress names its owner."""
    parent = (obj.get("spec") or {}).get("parentRef")
    if parent is None:
        errs.append(required("spec.parentRef"))
        return
    for field in ("resource", "name"):
        if not parent.get(field):
            errs.append(required(f"spec.parentRef.{field}"))


def update_ip_address(errs: Errors, new: Object, old: Object) -> None:
    immutable(
        errs,
        "spec.parentRef",
        (new.get("spec") or {}).get("parentRef"),
        (old.get("spec") or {}).get("parentRef"),
    )


def service_cidr(errs: Errors, obj: Object) -> None:
    ranges = (obj.get("spec") or {}).get("cidrs") or []
    if not ranges:
        errs.append(required("spec.cidrs", "at least one CIDR required"))
    if len(ranges) > 2:
        errs.append(invalid_value("spec.cidrs", ranges, "may only hold up to 2 values"))
    for i, value in enumerate(ranges):
        cidr(errs, f"spec.cidrs[{i}]", value)


def update_service_cidr(errs: Errors, new: Object, old: Object) -> None:
    before, after = (old.get("spec") or {}).get("cidrs") or [], (new.get("spec") or {}).get("cidrs") or []
    if after[: len(before)] != before:
        errs.append(invalid_value("spec.cidrs", after, IMMUTABLE))
