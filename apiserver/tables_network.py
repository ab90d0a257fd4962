"""Tables of networking.k8s.io and discovery.k8s.io."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apiserver.tables_format import NONE, UNSET, Printer, created, label_selector, name, printer, shortened

Object = dict[str, Any]


def _ingress(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    points = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [
        name(obj),
        spec.get("ingressClassName") or NONE,
        shortened(hosts, 3, nothing="*"),
        ",".join(filter(None, (point.get("ip") or point.get("hostname") for point in points))),
        "80, 443" if spec.get("tls") else "80",
        created(obj, now),
    ]


def _ingress_class(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    parameters = spec.get("parameters")
    shown = NONE
    if parameters:
        group = parameters.get("apiGroup")
        shown = parameters.get("kind", "") + (f".{group}" if group else "") + "/" + parameters.get("name", "")
    return [name(obj), spec.get("controller", ""), shown, created(obj, now)]


def _network_policy(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), label_selector((obj.get("spec") or {}).get("podSelector")), created(obj, now)]


def _address(obj: Object, now: datetime) -> list[Any]:
    parent = (obj.get("spec") or {}).get("parentRef")
    shown = NONE
    if parent:
        group = parent.get("group")
        shown = parent.get("resource", "") + (f".{group}" if group else "")
        for key in ("namespace", "name"):
            if parent.get(key):
                shown += "/" + parent[key]
    return [name(obj), shown.lower() if parent else NONE, created(obj, now)]


def _service_cidr(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), ",".join((obj.get("spec") or {}).get("cidrs") or ()), created(obj, now)]


def _endpoint_slice(obj: Object, now: datetime) -> list[Any]:
    ports = [str(p["port"]) if p.get("port") is not None else "*" for p in obj.get("ports") or ()]
    addresses = [a for endpoint in obj.get("endpoints") or () for a in endpoint.get("addresses") or ()]
    return [
        name(obj),
        obj.get("addressType", ""),
        shortened(ports, 3, nothing=UNSET),
        shortened(addresses, 3, nothing=UNSET),
        created(obj, now),
    ]


_GROUP = "networking.k8s.io"
PRINTERS: dict[tuple[str, str], Printer] = {
    (_GROUP, "ingresses"): printer("Name|Class|Hosts|Address|Ports|Age", _ingress),
    (_GROUP, "ingressclasses"): printer("Name|Controller|Parameters|Age", _ingress_class),
    (_GROUP, "networkpolicies"): printer("Name|Pod-Selector|Age", _network_policy),
    (_GROUP, "ipaddresses"): printer("Name|ParentRef|Age", _address),
    (_GROUP, "servicecidrs"): printer("Name|CIDRs|Age", _service_cidr),
    ("discovery.k8s.io", "endpointslices"): printer("Name|AddressType|Ports|Endpoints|Age", _endpoint_slice),
}
