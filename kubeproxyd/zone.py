"""The cluster's DNS names, answered from Services and EndpointSlices: pure.

Implements the Kubernetes DNS specification 1.1.0 for IPv4: Services, headless Services, SRV, ExternalName,
pods by address, and the reverse zones of the cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .views import Endpoint, EndpointSlice, Service

TTL = 5
_SPECIFICATION = "1.1.0"


class Snapshot(Protocol):
    """What names are answered from."""

    def service(self, namespace: str, name: str) -> Service | None: ...

    def slices(self, namespace: str, name: str) -> Iterable[EndpointSlice]: ...

    def namespace_exists(self, namespace: str) -> bool: ...

    def names_of(self, address: str) -> Iterable[tuple[str, str, str]]:
        """(namespace, service, host label or "") of a Service or endpoint address."""


@dataclass(frozen=True, slots=True)
class Record:
    """One answer; `data` is an address, a target name, an SRV's `port target`, or a text."""

    name: str
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`exists` False is NXDOMAIN; True without records is NODATA. `chase` is a name to resolve further."""

    exists: bool
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    chase: str = ""


def dashed(address: str) -> str:
    return address.replace(".", "-")


def host_label(endpoint: Endpoint, address: str) -> str:
    return endpoint.hostname or dashed(address)


def _published(
    service: Service, slices: Iterable[EndpointSlice]
) -> list[tuple[Endpoint, str, EndpointSlice]]:
    found: dict[str, tuple[Endpoint, str, EndpointSlice]] = {}
    for piece in slices:
        if piece.address_type != "IPv4":
            continue
        for endpoint in piece.endpoints:
            if endpoint.ready or service.spec.publish_not_ready_addresses:
                for address in endpoint.addresses:
                    found.setdefault(f"{address}/{piece.metadata.name}", (endpoint, address, piece))
    return [found[key] for key in sorted(found)]


def answer(snapshot: Snapshot, domain: str, name: str, kind: str) -> Answer | None:
    """The answer for `name` (lower case, no final dot) and record type `kind`; None where upstream is asked."""
    if name.endswith(".in-addr.arpa"):
        return _reverse(snapshot, domain, name, kind)
    if name != domain and not name.endswith("." + domain):
        return None
    labels = name.removesuffix(domain).rstrip(".").split(".") if name != domain else []
    if not labels:
        return Answer(True)
    if labels == ["dns-version"]:
        records = (Record(name, "TXT", _SPECIFICATION),) if kind == "TXT" else ()
        return Answer(True, records)
    if labels[-1] == "svc":
        return _service_name(snapshot, domain, name, labels[:-1], kind)
    if labels[-1] == "pod":
        return _pod_name(snapshot, name, labels[:-1], kind)
    return Answer(False)


def _pod_name(snapshot: Snapshot, name: str, labels: list[str], kind: str) -> Answer:
    if len(labels) <= 1:
        return Answer(not labels or snapshot.namespace_exists(labels[0]))
    if len(labels) > 2 or not snapshot.namespace_exists(labels[1]):
        return Answer(False)
    try:
        address = str(ipaddress.IPv4Address(labels[0].replace("-", ".")))
    except ValueError:
        return Answer(False)
    return Answer(True, (Record(name, "A", address),) if kind in ("A", "ANY") else ())


def _service_name(snapshot: Snapshot, domain: str, name: str, labels: list[str], kind: str) -> Answer:
    if len(labels) <= 1:
        return Answer(not labels or snapshot.namespace_exists(labels[0]))
    service = snapshot.service(labels[-1], labels[-2])
    if service is None:
        return Answer(False)
    base = f"{labels[-2]}.{labels[-1]}.svc.{domain}"
    if service.spec.type == "ExternalName":
        target = service.spec.external_name.rstrip(".").lower()
        return (
            Answer(True, (Record(name, "CNAME", target),), chase=target)
            if len(labels) == 2
            else Answer(False)
        )
    headless = service.spec.cluster_ip in ("", "None")
    rest = labels[:-2]
    if not rest:
        return _addresses(snapshot, service, name, base, kind, headless)
    if rest[-1] in ("_tcp", "_udp", "_sctp"):
        if len(rest) == 1:
            return Answer(True)
        if len(rest) == 2 and rest[0].startswith("_"):
            return _srv(snapshot, service, name, base, rest[0][1:], rest[1][1:].upper(), kind, headless)
        return Answer(False)
    if len(rest) == 1 and headless:
        published = _published(service, snapshot.slices(*service.key))
        found = sorted(
            {address for endpoint, address, _ in published if host_label(endpoint, address) == rest[0]}
        )
        records = tuple(Record(name, "A", address) for address in found) if kind in ("A", "ANY") else ()
        return Answer(bool(found), records)
    return Answer(False)


def _addresses(
    snapshot: Snapshot, service: Service, name: str, base: str, kind: str, headless: bool
) -> Answer:
    if kind == "SRV":
        return _srv(snapshot, service, name, base, "", "", kind, headless)
    if not headless:
        return Answer(True, (Record(name, "A", service.spec.cluster_ip),) if kind in ("A", "ANY") else ())
    found = sorted({address for _, address, _ in _published(service, snapshot.slices(*service.key))})
    if not found:
        return Answer(False)
    return Answer(True, tuple(Record(name, "A", a) for a in found) if kind in ("A", "ANY") else ())


def _srv(
    snapshot: Snapshot,
    service: Service,
    name: str,
    base: str,
    port_name: str,
    protocol: str,
    kind: str,
    headless: bool,
) -> Answer:
    """SRV of one named port, or with an empty `port_name` of every port."""
    records: dict[Record, None] = {}
    additional: dict[Record, None] = {}
    if headless:
        for endpoint, address, piece in _published(service, snapshot.slices(*service.key)):
            target = f"{host_label(endpoint, address)}.{base}"
            for port in piece.ports or ():
                named = port_name == (port.name or "") and port.protocol == protocol
                if port.port and (named or not port_name):
                    records[Record(name, "SRV", f"{port.port} {target}")] = None
                    additional[Record(target, "A", address)] = None
    else:
        for service_port in service.spec.ports:
            named = port_name == service_port.name and service_port.protocol == protocol
            if named or not port_name:
                records[Record(name, "SRV", f"{service_port.port} {base}")] = None
                additional[Record(base, "A", service.spec.cluster_ip)] = None
    exists = bool(records) or not port_name
    if kind not in ("SRV", "ANY"):
        return Answer(exists)
    return Answer(exists, tuple(records), tuple(additional))


def _reverse(snapshot: Snapshot, domain: str, name: str, kind: str) -> Answer | None:
    octets = name.removesuffix(".in-addr.arpa").split(".")
    names = list(snapshot.names_of(".".join(reversed(octets)))) if len(octets) == 4 else []
    if not names:
        return None
    if kind not in ("PTR", "ANY"):
        return Answer(True)
    targets = [
        f"{host}.{svc}.{ns}.svc.{domain}" if host else f"{svc}.{ns}.svc.{domain}" for ns, svc, host in names
    ]
    return Answer(True, tuple(Record(name, "PTR", target) for target in sorted(set(targets))))


@dataclass(slots=True)
class State:
    """Services, slices and namespaces as the informers have them, indexed for both the rules and the names."""

    services: dict[tuple[str, str], Service]
    by_service: dict[tuple[str, str], dict[str, EndpointSlice]]
    namespaces: set[str]
    by_address: dict[str, dict[tuple[str, str, str], None]]

    @classmethod
    def empty(cls) -> State:
        return cls({}, {}, set(), {})

    def service(self, namespace: str, name: str) -> Service | None:
        return self.services.get((namespace, name))

    def slices(self, namespace: str, name: str) -> Iterable[EndpointSlice]:
        return self.by_service.get((namespace, name), {}).values()

    def namespace_exists(self, namespace: str) -> bool:
        return namespace in self.namespaces

    def names_of(self, address: str) -> Iterable[tuple[str, str, str]]:
        return self.by_address.get(address, ())

    def grouped(self) -> Mapping[tuple[str, str], list[EndpointSlice]]:
        """Slices by their Service, as `plan` takes them."""
        return {key: list(pieces.values()) for key, pieces in self.by_service.items()}

    def set_service(self, old: Service | None, new: Service | None) -> None:
        if old is not None:
            self.services.pop(old.key, None)
            self._forget(old.spec.cluster_ip, (*old.key, ""))
        if new is not None:
            self.services[new.key] = new
            if new.spec.cluster_ip not in ("", "None"):
                self.by_address.setdefault(new.spec.cluster_ip, {})[(*new.key, "")] = None

    def set_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if old is not None:
            pieces = self.by_service.get(old.service, {})
            pieces.pop(old.metadata.name, None)
            if not pieces:
                self.by_service.pop(old.service, None)
            for endpoint in old.endpoints:
                for address in endpoint.addresses:
                    self._forget(address, (*old.service, host_label(endpoint, address)))
        if new is not None and new.service[1]:
            self.by_service.setdefault(new.service, {})[new.metadata.name] = new
            for endpoint in new.endpoints:
                for address in endpoint.addresses:
                    name = (*new.service, host_label(endpoint, address))
                    self.by_address.setdefault(address, {})[name] = None

    def set_namespace(self, old: str | None, new: str | None) -> None:
        if old is not None:
            self.namespaces.discard(old)
        if new is not None:
            self.namespaces.add(new)

    def _forget(self, address: str, name: tuple[str, str, str]) -> None:
        names = self.by_address.get(address)
        if names is not None:
            names.pop(name, None)
            if not names:
                del self.by_address[address]
