"""Validation of Ingresses, IngressClasses and NetworkPolicies."""

from __future__ import annotations

import ipaddress
from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, required, too_long
from apimachinery.validation.fields import (
    IMMUTABLE,
    PROTOCOLS,
    Errors,
    checked,
    cidr,
    domain_prefixed_path,
    enum,
    ip,
    is_ip,
    label_selector,
    named,
    port_number,
    port_or_name,
)

Object = dict[str, Any]

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


_CLASS = "kubernetes.io/ingress.class"


def create_ingress(errs: Errors, obj: Object) -> None:
    ingress(errs, obj)
    annotation = ((obj.get("metadata") or {}).get("annotations") or {}).get(_CLASS)
    name = (obj.get("spec") or {}).get("ingressClassName")
    if annotation is not None and name is not None and annotation != name:
        text = "must match `ingressClassName` when both are specified"
        errs.append(invalid_value(f"annotations.{_CLASS}", annotation, text))


def ingress(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    rules = spec.get("rules") or []
    if not rules and spec.get("defaultBackend") is None:
        errs.append(invalid_value("spec", rules, "either `defaultBackend` or `rules` must be specified"))
    if spec.get("defaultBackend") is not None:
        _backend(errs, "spec.defaultBackend", spec["defaultBackend"])
    for i, rule in enumerate(rules):
        here = f"spec.rules[{i}]"
        if rule.get("host"):
            _host(errs, f"{here}.host", rule["host"])
        http = rule.get("http")
        if http is None:
            continue
        if not http.get("paths"):
            errs.append(required(f"{here}.http.paths"))
        for j, path in enumerate(http.get("paths") or ()):
            _path(errs, f"{here}.http.paths[{j}]", path)
    for i, tls in enumerate(spec.get("tls") or ()):
        for j, host in enumerate(tls.get("hosts") or ()):
            place = f"spec.tls[{i}].hosts[{j}]"
            check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
            checked(errs, place, host, check)
        if tls.get("secretName"):
            checked(errs, f"spec.tls[{i}].secretName", tls["secretName"], names.dns1123_subdomain)
    if spec.get("ingressClassName") is not None:
        checked(errs, "spec.ingressClassName", spec["ingressClassName"], names.dns1123_subdomain)


def _host(errs: Errors, path: str, host: str) -> None:
    if is_ip(host):
        errs.append(invalid_value(path, host, "must be a DNS name, not an IP address"))
    check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
    checked(errs, path, host, check)


_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")


def _path(errs: Errors, path: str, item: Object) -> None:
    kind, value = item.get("pathType"), item.get("path") or ""
    if kind is None:
        errs.append(required(f"{path}.pathType", "pathType must be specified"))
        return
    if kind not in _PATH_TYPES:
        enum(errs, f"{path}.pathType", kind, _PATH_TYPES)
    elif kind == "ImplementationSpecific":
        if value and not value.startswith("/"):
            errs.append(invalid_value(f"{path}.path", value, "must be an absolute path"))
    else:
        if not value.startswith("/"):
            errs.append(invalid_value(f"{path}.path", value, "must be an absolute path"))
        for sequence in _BAD_SEQUENCES:
            if sequence in value:
                errs.append(invalid_value(f"{path}.path", value, f"must not contain '{sequence}'"))
        for end in _BAD_ENDS:
            if value.endswith(end):
                errs.append(invalid_value(f"{path}.path", value, f"cannot end with '{end}'"))
    _backend(errs, f"{path}.backend", item.get("backend") or {})


def _backend(errs: Errors, path: str, backend: Object) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        text = "cannot set both resource and service backends"
        errs.append(invalid_value(path, "", text))
    elif resource is not None:
        _object_reference(errs, f"{path}.resource", resource)
    elif service is None:
        errs.append(invalid_value(path, "", "resource or service backend is required"))
    else:
        named(errs, f"{path}.service.name", service.get("name"), names.dns1123_label)
        port = service.get("port") or {}
        name, number = port.get("name") or "", port.get("number") or 0
        if name and number:
            text = "cannot set both port name & port number"
            errs.append(invalid_value(path, "", text))
        elif name:
            for message in names.port_name(name):
                errs.append(invalid_value(f"{path}.service.port.name", name, message))
        elif number:
            port_number(errs, f"{path}.service.port.number", number)
        else:
            errs.append(required(path, "port name or number is required"))


def _object_reference(errs: Errors, path: str, reference: Object) -> None:
    """A TypedLocalObjectReference."""
    if reference.get("apiGroup") is not None:
        checked(errs, f"{path}.apiGroup", reference["apiGroup"], names.dns1123_subdomain)
    for field in ("kind", "name"):
        named(errs, f"{path}.{field}", reference.get(field), names.path_segment)


def update_ingress(errs: Errors, new: Object, old: Object) -> None:
    ingress(errs, new)


def update_ingress_status(errs: Errors, new: Object, old: Object) -> None:
    balancer = (new.get("status") or {}).get("loadBalancer") or {}
    for i, entry in enumerate(balancer.get("ingress") or ()):
        here = f"status.loadBalancer.ingress[{i}]"
        if entry.get("ip"):
            ip(errs, f"{here}.ip", entry["ip"])
        if entry.get("hostname"):
            checked(errs, f"{here}.hostname", entry["hostname"], names.dns1123_subdomain)
            if is_ip(entry["hostname"]):
                text = "must be a DNS name, not an IP address"
                errs.append(invalid_value(f"{here}.hostname", entry["hostname"], text))


_CONTROLLER_MAX = 250


def ingress_class(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    controller = spec.get("controller") or ""
    if len(controller.encode()) > _CONTROLLER_MAX:
        errs.append(too_long("spec.controller", _CONTROLLER_MAX))
    domain_prefixed_path(errs, "spec.controller", controller)
    parameters = spec.get("parameters")
    if parameters is None:
        return
    path = "spec.parameters"
    _object_reference(errs, path, parameters)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        errs.append(required(f"{path}.scope"))
    elif scope not in ("Cluster", "Namespace"):
        enum(errs, f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace":
        if namespace is None:
            errs.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
        else:
            checked(errs, f"{path}.namespace", namespace, names.dns1123_label)
    elif namespace is not None:
        errs.append(forbidden_field(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))


def update_ingress_class(errs: Errors, new: Object, old: Object) -> None:
    after, before = (new.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller")
    if after != before:
        errs.append(invalid_value("spec.controller", after, IMMUTABLE))
    ingress_class(errs, new)


def network_policy(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    label_selector(errs, "spec.podSelector", spec.get("podSelector"))
    for field, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(field) or ()):
            here = f"spec.{field}[{i}]"
            for j, port in enumerate(rule.get("ports") or ()):
                _policy_port(errs, f"{here}.ports[{j}]", port)
            for j, peer in enumerate(rule.get(peers) or ()):
                _peer(errs, f"{here}.{peers}[{j}]", peer)
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        text = "may not specify more than two policyTypes"
        errs.append(invalid_value("spec.policyTypes", types, text))
        return
    for i, kind in enumerate(types):
        enum(errs, f"spec.policyTypes[{i}]", kind, ("Egress", "Ingress"))


def _policy_port(errs: Errors, path: str, port: Object) -> None:
    if port.get("protocol") is not None:
        enum(errs, f"{path}.protocol", port["protocol"], PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        port_or_name(errs, f"{path}.port", number)
    if end is None:
        return
    if number is None:
        text = "may not be specified when `port` is not specified"
        errs.append(invalid_value(f"{path}.endPort", end, text))
    elif isinstance(number, str):
        text = "may not be specified when `port` is non-numeric"
        errs.append(invalid_value(f"{path}.endPort", end, text))
    else:
        if end < number:
            errs.append(invalid_value(f"{path}.endPort", end, "must be greater than or equal to `port`"))
        port_number(errs, f"{path}.endPort", end)


def _peer(errs: Errors, path: str, peer: Object) -> None:
    given = [f for f in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(f) is not None]
    for field in ("podSelector", "namespaceSelector"):
        label_selector(errs, f"{path}.{field}", peer.get(field))
    if not given:
        errs.append(required(path, "must specify a peer"))
    elif "ipBlock" in given:
        if len(given) > 1:
            errs.append(forbidden_field(path, "may not specify both ipBlock and another peer"))
        _ip_block(errs, f"{path}.ipBlock", peer["ipBlock"])


def _ip_block(errs: Errors, path: str, block: Object) -> None:
    value = block.get("cidr") or ""
    if not value:
        errs.append(required(f"{path}.cidr"))
        return
    before = len(errs)
    cidr(errs, f"{path}.cidr", value)
    for i, part in enumerate(block.get("except") or ()):
        here = f"{path}.except[{i}]"
        count = len(errs)
        cidr(errs, here, part)
        if len(errs) == count == before:
            outer, inner = ipaddress.ip_network(value, strict=False), ipaddress.ip_network(part, strict=False)
            inside = inner.version == outer.version and inner.prefixlen > outer.prefixlen
            if not inside or inner.network_address not in outer:
                text = "must be a strict subset of `cidr`"
                errs.append(invalid_value(here, part, text))


def update_network_policy(errs: Errors, new: Object, old: Object) -> None:
    network_policy(errs, new)
