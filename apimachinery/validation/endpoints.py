"""Validation of Endpoints, EndpointSlices, and of the addresses services are made of."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, invalid_value, not_supported, required, too_long, too_many
from apimachinery.validation.fields import (
    IMMUTABLE,
    PROTOCOLS,
    Errors,
    checked,
    cidr,
    immutable,
    in_range,
    ip,
    ip_version,
    is_ip,
    labels,
    not_special,
    port_number,
    required_enum,
)

Object = dict[str, Any]


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
            if port.get("appProtocol") is not None:
                checked(errs, f"{place}.appProtocol", port["appProtocol"], names.qualified_name)


def _endpoint_address(errs: Errors, path: str, address: Object) -> None:
    value = address.get("ip") or ""
    ip(errs, f"{path}.ip", value)
    if is_ip(value):
        not_special(errs, f"{path}.ip", value)
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
        not_special(errs, here, address)
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
