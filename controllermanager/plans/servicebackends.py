"""Which pods are behind a Service, on which ports: what EndpointSlices and Endpoints are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from controllermanager.plans.views import PodView

Object = dict[str, Any]

# (name, port, protocol, appProtocol) of each port, in the service's order.
Ports = tuple[tuple[str, int, str, str], ...]
HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Backend:
    pod: PodView
    ip: str
    ports: Ports
    hostname: str


def has_backends(service: Object) -> bool:
    """Whether its endpoints are ours to make."""
    spec = service.get("spec") or {}
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def is_headless(service: Object) -> bool:
    return (service.get("spec") or {}).get("clusterIP") == "None"


def families(service: Object) -> list[str]:
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def selects(service: Object, labels: dict[str, str]) -> bool:
    return has_backends(service) and service["spec"]["selector"].items() <= labels.items()


def family_of(ip: str) -> str:
    return "IPv6" if ip_address(ip).version == 6 else "IPv4"


def backends(service: Object, pods: Iterable[PodView], family: str) -> list[Backend]:
    """Pods with an address of that family that have not ended, in the order of their names."""
    found = []
    for pod in pods:
        if pod.finished or not selects(service, pod.labels):
            continue
        ip = next((ip for ip in pod.ips if (":" in ip) == (family == "IPv6")), "")
        if ip:
            found.append(Backend(pod, ip, ports_of(service, pod), _hostname(service, pod)))
    return sorted(found, key=lambda backend: backend.pod.name)


def ports_of(service: Object, pod: PodView) -> Ports:
    """The service's ports on this pod; one whose name no container declares is left out."""
    resolved = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        target = port.get("targetPort", port.get("port"))
        number: int | None
        if isinstance(target, str):
            number = next((n for name, n, p in pod.ports if name == target and p == protocol), None)
        else:
            number = target or port.get("port")
        if number is not None:
            resolved.append((port.get("name") or "", number, protocol, port.get("appProtocol") or ""))
    return tuple(resolved)


def _hostname(service: Object, pod: PodView) -> str:
    return pod.hostname if pod.hostname and pod.subdomain == service["metadata"]["name"] else ""


def port_object(port: tuple[str, int, str, str], keep_empty_name: bool) -> Object:
    name, number, protocol, app_protocol = port
    result: Object = {"port": number, "protocol": protocol}
    if name or keep_empty_name:
        result = {"name": name, **result}
    if app_protocol:
        result["appProtocol"] = app_protocol
    return result


def target_reference(pod: PodView) -> Object:
    return {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
