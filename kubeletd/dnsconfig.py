"""The resolver file of a pod's containers, by its dnsPolicy and dnsConfig. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubeletd.interfaces import Pod

# What resolvers of C libraries read.
MAX_SERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048
_LIMITS = "limits were exceeded, some"


@dataclass(frozen=True, slots=True)
class NodeDns:
    """`servers` of the cluster (none: pods use the host's), its `domain`, and the host's resolv.conf."""

    servers: tuple[str, ...] = ()
    domain: str = "cluster.local"
    host_file: str = ""


@dataclass(frozen=True, slots=True)
class Resolver:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        lines = [f"nameserver {server}" for server in self.servers]
        if self.searches:
            lines.append("search " + " ".join(self.searches))
        if self.options:
            lines.append("options " + " ".join(f"{k}:{v}" if v else k for k, v in self.options))
        return "\n".join(lines) + "\n"


def parse(text: str) -> Resolver:
    """A resolv.conf; of several search lines the last counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search", *given]:
                searches = [s if s == "." else s.removesuffix(".") for s in given]
            case ["options", *given]:
                for option in given:
                    name, _, value = option.partition(":")
                    options[name] = value
    return Resolver(tuple(servers), tuple(searches), tuple(options.items()))


def of_pod(pod: Pod, node: NodeDns) -> tuple[Resolver, list[tuple[str, str]]]:
    """What the pod's containers ask, and the (reason, message) of events about what it cannot have."""
    spec, said = pod["spec"], []
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    cluster = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not spec.get("hostNetwork")
    )
    base = Resolver() if policy == "None" else parse(node.host_file)
    if cluster and node.servers:
        own = (f"{pod['metadata']['namespace']}.svc.{node.domain}", f"svc.{node.domain}", node.domain)
        base = Resolver(node.servers, (*own, *base.searches), (("ndots", "5"),))
    elif cluster:
        meta = pod["metadata"]
        said.append(
            (
                "MissingClusterDNS",
                f'pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})". kubelet does not have ClusterDNS IP '
                'configured and cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.',
            )
        )
    config = spec.get("dnsConfig") or {}
    options = dict(base.options)
    options.update((o["name"], o.get("value") or "") for o in config.get("options") or ())
    wanted = Resolver(
        _unique((*base.servers, *(config.get("nameservers") or ()))),
        _unique((*base.searches, *(config.get("searches") or ()))),
        tuple(options.items()),
    )
    return _within_limits(wanted, said)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _within_limits(wanted: Resolver, said: list[tuple[str, str]]) -> tuple[Resolver, list[tuple[str, str]]]:
    servers, searches = wanted.servers[:MAX_SERVERS], wanted.searches[:MAX_SEARCHES]
    while len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches = searches[:-1]
    if servers != wanted.servers:
        text = f"Nameserver {_LIMITS} nameservers have been omitted, the applied nameserver line is: "
        said.append(("DNSConfigForming", text + " ".join(servers)))
    if searches != wanted.searches:
        text = f"Search Line {_LIMITS} search paths have been omitted, the applied search line is: "
        said.append(("DNSConfigForming", text + " ".join(searches)))
    return Resolver(servers, searches, wanted.options), said
