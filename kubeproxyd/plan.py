"""From Services and EndpointSlices to a ruleset: pure, so that every rule can be tested without a kernel.

A packet costs one map lookup however many Services there are: `service_ips` and `node_ports` map
(address, protocol, port) to the chain of that service port, whose one rule picks an endpoint. The shape is
that of kube-proxy's nftables mode (KEP-3866).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .views import Endpoint, EndpointSlice, Node, Service, ServicePort

MASQUERADE_MARK = 0x4000
_ZONE = "topology.kubernetes.io/zone"
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}

Target = tuple[str, int]  # address, port


@dataclass(slots=True)
class Ruleset:
    """`chains`: name to rules; `elements`: (set or map, key) to value, empty for sets; `sets`: name to declaration."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    elements: dict[tuple[str, str], str] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint of a service port, the node it is on, and the nodes and zones whose clients it is meant for."""

    address: str
    port: int
    node: str
    for_nodes: frozenset[str] = frozenset()
    for_zones: frozenset[str] = frozenset()


def backends(service: Service, port: ServicePort, slices: Iterable[EndpointSlice]) -> list[Backend]:
    """Where traffic for `port` may go, in a stable order.

    Ready endpoints; where there is none, those that still serve while they terminate (KEP-1669).
    """
    ready: dict[Target, Backend] = {}
    terminating: dict[Target, Backend] = {}
    for piece in slices:
        if piece.address_type != "IPv4":
            continue
        for slice_port in piece.ports or ():
            if (
                (slice_port.name or "") != port.name
                or slice_port.protocol != port.protocol
                or not slice_port.port
            ):
                continue
            for endpoint in piece.endpoints:
                _sort(endpoint, slice_port.port, ready, terminating)
    chosen = ready or terminating
    return [chosen[key] for key in sorted(chosen)]


def _sort(
    endpoint: Endpoint, port: int, ready: dict[Target, Backend], terminating: dict[Target, Backend]
) -> None:
    if endpoint.ready:
        into = ready
    elif endpoint.serving_while_terminating:
        into = terminating
    else:
        return
    for address in endpoint.addresses[:1]:
        hints = endpoint.hints
        nodes = frozenset(hint.name for hint in (hints.for_nodes or ())) if hints else frozenset()
        zones = frozenset(hint.name for hint in (hints.for_zones or ())) if hints else frozenset()
        into[(address, port)] = Backend(address, port, endpoint.node_name or "", nodes, zones)


def _chain(kind: str, service: Service, port: ServicePort, suffix: str = "") -> str:
    identity = f"{service.metadata.namespace}/{service.metadata.name}/{port.protocol}/{port.port}/{port.name}{suffix}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    readable = f"{service.metadata.namespace}/{service.metadata.name}/{port.port}"[:80]
    return f"{kind}-{digest}-{readable}"


def _choose(protocol: str, targets: Sequence[Backend]) -> str:
    """One rule that rewrites the destination to a random target."""
    if len(targets) == 1:
        return f"meta l4proto {protocol} dnat ip to {targets[0].address}:{targets[0].port}"
    listed = ", ".join(f"{i} : {t.address} . {t.port}" for i, t in enumerate(targets))
    return f"meta l4proto {protocol} dnat ip to numgen random mod {len(targets)} map {{ {listed} }}"


def _balance(
    rules: Ruleset, chain: str, service: Service, port: ServicePort, protocol: str, targets: Sequence[Backend]
) -> None:
    """Fill `chain` so that it sends each connection to one of `targets`, the same for one client where asked."""
    if service.spec.session_affinity != "ClientIP":
        rules.chains[chain] = (_choose(protocol, targets),)
        return
    config = service.spec.session_affinity_config
    timeout = config.client_ip.timeout_seconds if config and config.client_ip else 10800
    remembered, fresh = [], []
    for index, target in enumerate(targets):
        suffix = f"|{chain}|{target.address}:{target.port}"
        member = _chain("endpoint", service, port, suffix)
        clients = "affinity" + member.removeprefix("endpoint")
        rules.sets[clients] = f"type ipv4_addr; size 65535; flags dynamic,timeout; timeout {timeout}s;"
        rules.chains[member] = (f"update @{clients} {{ ip saddr }}", _choose(protocol, [target]))
        remembered.append(f"ip saddr @{clients} goto {member}")
        fresh.append(f"{index} : goto {member}")
    rules.chains[chain] = (*remembered, f"numgen random mod {len(fresh)} vmap {{ {', '.join(fresh)} }}")


def plan(
    services: Iterable[Service],
    slices: Mapping[tuple[str, str], Sequence[EndpointSlice]],
    nodes: Sequence[Node],
    *,
    local_addresses: frozenset[str] = frozenset(),
) -> Ruleset:
    """The ruleset for this machine.

    `slices` are by (namespace, service name). `nodes` are those that this machine carries: NodePorts answer on
    their addresses, and policies `Local` go by them. `local_addresses` are service addresses answered by a
    process of this machine (the cluster DNS), which are left alone.
    """
    rules = Ruleset()
    ordered_nodes = sorted(nodes, key=lambda n: n.metadata.name)
    for service in sorted(services, key=lambda s: s.key):
        spec = service.spec
        if (
            spec.type == "ExternalName"
            or spec.cluster_ip in ("", "None")
            or spec.cluster_ip in local_addresses
        ):
            continue
        if ":" in spec.cluster_ip:
            continue
        for port in spec.ports:
            _service_port(rules, service, port, slices.get(service.key, ()), ordered_nodes)
    return rules


def _service_port(
    rules: Ruleset,
    service: Service,
    port: ServicePort,
    slices: Sequence[EndpointSlice],
    nodes: Sequence[Node],
) -> None:
    spec = service.spec
    protocol = _PROTOCOLS[port.protocol]
    targets = backends(service, port, slices)
    node_addresses = [n.internal_ip for n in nodes if n.internal_ip]
    outside = [*spec.external_ips, *(i.ip for i in service.status.load_balancer.ingress if i.ip)]
    outside = [address for address in outside if ":" not in address]
    if not targets:
        for address in (spec.cluster_ip, *outside):
            rules.elements[("no_endpoints", f"{address} . {protocol} . {port.port}")] = ""
        if port.node_port:
            for address in (*node_addresses, "127.0.0.1"):
                rules.elements[("no_endpoints", f"{address} . {protocol} . {port.node_port}")] = ""
        return
    for target in targets:
        # A pod that reaches itself through the Service would see its own address as the client's.
        rules.elements[("hairpin", f"{target.address} . {target.address}")] = ""

    cluster = _chain("service", service, port)
    _balance(rules, cluster, service, port, protocol, targets)
    inside = _near_by_source(rules, service, port, protocol, targets, nodes, cluster)
    if spec.internal_traffic_policy == "Local":
        inside = _chain("internal", service, port)
        rules.chains[inside] = tuple(
            _local_by_source(rules, service, port, protocol, targets, nodes, cluster)
        )
    rules.elements[("service_ips", f"{spec.cluster_ip} . {protocol} . {port.port}")] = f"goto {inside}"

    if not outside and not port.node_port:
        return
    external = _chain("external", service, port)
    if spec.external_traffic_policy == "Local":
        rules.chains[external] = tuple(_local_by_address(rules, service, port, protocol, targets, nodes))
    else:
        rules.chains[external] = (f"meta mark set meta mark or {MASQUERADE_MARK:#x}", f"goto {cluster}")
    for address in outside:
        rules.elements[("service_ips", f"{address} . {protocol} . {port.port}")] = f"goto {external}"
    if port.node_port:
        rules.elements[("node_ports", f"{protocol} . {port.node_port}")] = f"goto {external}"


def preferred(targets: Sequence[Backend], node: Node) -> Sequence[Backend]:
    """Those meant for clients on `node`, else those for its zone; all where hints are missing or name neither."""
    here = [t for t in targets if node.metadata.name in t.for_nodes]
    if here and all(t.for_nodes for t in targets):
        return here
    here = [t for t in targets if node.metadata.labels.get(_ZONE) in t.for_zones]
    return here if here and all(t.for_zones for t in targets) else targets


def _near_by_source(
    rules: Ruleset,
    service: Service,
    port: ServicePort,
    protocol: str,
    targets: Sequence[Backend],
    nodes: Sequence[Node],
    everywhere: str,
) -> str:
    """The chain that sends the clients of each node to the endpoints meant for them."""
    ways = []
    for node in nodes:
        chosen = preferred(targets, node)
        if node.spec.pod_cidr and len(chosen) < len(targets):
            chain = _chain("near", service, port, f"|{node.metadata.name}")
            _balance(rules, chain, service, port, protocol, chosen)
            ways.append(f"ip saddr {node.spec.pod_cidr} goto {chain}")
    if not ways:
        return everywhere
    near = _chain("near", service, port)
    rules.chains[near] = (*ways, f"goto {everywhere}")
    return near


def _on_node(
    rules: Ruleset, service: Service, port: ServicePort, protocol: str, targets: Sequence[Backend], node: str
) -> str:
    """The chain for those of `targets` that are on `node`, or "" where there is none."""
    here = [t for t in targets if t.node == node]
    if not here:
        return ""
    chain = _chain("local", service, port, f"|{node}")
    if chain not in rules.chains:
        _balance(rules, chain, service, port, protocol, here)
    return chain


def _local_by_source(
    rules: Ruleset,
    service: Service,
    port: ServicePort,
    protocol: str,
    targets: Sequence[Backend],
    nodes: Sequence[Node],
    fallback: str,
) -> Iterable[str]:
    """internalTrafficPolicy Local: a client's node is told by the pod CIDR its address is in."""
    for node in nodes:
        if node.spec.pod_cidr:
            chain = _on_node(rules, service, port, protocol, targets, node.metadata.name)
            yield f"ip saddr {node.spec.pod_cidr} " + (f"goto {chain}" if chain else "drop")
    # What is no pod is a process of this machine, to which every node here is local.
    yield f"goto {fallback}"


def _local_by_address(
    rules: Ruleset,
    service: Service,
    port: ServicePort,
    protocol: str,
    targets: Sequence[Backend],
    nodes: Sequence[Node],
) -> Iterable[str]:
    """externalTrafficPolicy Local: the node asked is told by its address; the client's address is kept."""
    any_local = ""
    for node in nodes:
        chain = _on_node(rules, service, port, protocol, targets, node.metadata.name)
        any_local = any_local or chain
        if node.internal_ip:
            yield f"ip daddr {node.internal_ip} " + (f"goto {chain}" if chain else "drop")
    if any_local:
        yield f"goto {any_local}"
    else:
        yield "drop"
