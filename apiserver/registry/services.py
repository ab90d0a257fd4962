"""Services: what their type does to the fields that addresses and ports are allocated for. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def prepare_create(new: Object) -> None:
    """A new Service has the address its clusterIPs say, and no more."""
    _align(new.get("spec") or {})


def prepare_update(new: Object, old: Object) -> None:
    """Keep allocated addresses and ports that an update leaves out, and drop those the new type has no use for."""
    spec, before = new.setdefault("spec", {}), old.get("spec") or {}
    kind, was = spec.get("type", "ClusterIP"), before.get("type", "ClusterIP")
    if kind == "ExternalName":
        if was != "ExternalName":
            for key in ("clusterIP", "clusterIPs"):
                if spec.get(key) == before.get(key):
                    spec.pop(key, None)
            _drop(spec, "ipFamilies", "ipFamilyPolicy")
            _drop_node_ports(spec, before)
            _drop_unneeded(spec, before)
        return
    if was != "ExternalName":
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for key in ("clusterIP", "clusterIPs"):
                if key in before:
                    spec[key] = before[key]
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(key) and key in before:
                spec[key] = before[key]
    moved = spec.get("clusterIP") and spec.get("clusterIP") != before.get("clusterIP")
    if moved and spec.get("clusterIPs") == before.get("clusterIPs"):
        spec.pop("clusterIPs", None)
    if kind in ("NodePort", "LoadBalancer"):
        _keep_node_ports(spec, before)
    elif was in ("NodePort", "LoadBalancer"):
        _drop_node_ports(spec, before)
    _drop_unneeded(spec, before)
    if spec.get("healthCheckNodePort") is None and before.get("healthCheckNodePort") and _needs_health(spec):
        spec["healthCheckNodePort"] = before["healthCheckNodePort"]
    _align(spec)


def _external(spec: Object) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))


def _balanced(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer"


def _drop_unneeded(spec: Object, before: Object) -> None:
    """Fields that only the old type had a use for go, unless the client changed them (then validation complains)."""
    for key, needed in (
        ("externalTrafficPolicy", _external),
        ("healthCheckNodePort", _needs_health),
        ("allocateLoadBalancerNodePorts", _balanced),
        ("loadBalancerClass", _balanced),
    ):
        if needed(before) and not needed(spec) and spec.get(key) == before.get(key):
            spec.pop(key, None)


def _needs_health(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _drop(spec: Object, *keys: str) -> None:
    for key in keys:
        spec.pop(key, None)


def _align(spec: Object) -> None:
    """clusterIP is the first of clusterIPs: fill the one from the other."""
    addresses = spec.get("clusterIPs")
    if spec.get("clusterIP") and not addresses:
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif addresses and not spec.get("clusterIP"):
        spec["clusterIP"] = addresses[0]


def _identity(port: Object) -> tuple[str, int]:
    return port.get("protocol", "TCP"), port.get("port", 0)


def _keep_node_ports(spec: Object, before: Object) -> None:
    """Ports that an update does not number keep the node port they had."""
    known = {_identity(port): port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
    used = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    for port in spec.get("ports") or ():
        kept = known.get(_identity(port))
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept


def _drop_node_ports(spec: Object, before: Object) -> None:
    """Changing away from NodePort gives up ports the client merely sent back."""
    known = {port.get("nodePort") for port in before.get("ports") or ()}
    for port in spec.get("ports") or ():
        if port.get("nodePort") in known:
            port.pop("nodePort", None)


def wanted_node_ports(spec: Object) -> bool:
    """Whether each of the Service's ports needs a node port."""
    kind = spec.get("type", "ClusterIP")
    return kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def addresses(spec: Object) -> list[str]:
    """The cluster addresses a Service holds; none for headless and external ones."""
    return [ip for ip in spec.get("clusterIPs") or () if ip and ip != "None"]


def node_ports(spec: Object) -> list[tuple[str, int]]:
    """The (protocol, node port) pairs a Service holds."""
    ports = [(p.get("protocol", "TCP"), p["nodePort"]) for p in spec.get("ports") or () if p.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        ports.append(("TCP", spec["healthCheckNodePort"]))
    return ports
