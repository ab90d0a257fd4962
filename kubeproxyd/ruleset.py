"""Rulesets as nft scripts: the whole table, or the difference between two rulesets in one transaction. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .plan import MASQUERADE_MARK, Ruleset

_KEY = "ipv4_addr . inet_proto . inet_service"


def table_name(cluster: str) -> str:
    return f"pybernetes-{cluster}"


def _base(table: str, bridge: str, cluster_cidr: str, node_addresses: list[str]) -> str:
    """What does not depend on Services: hooks, maps and sets."""
    answering = ", ".join(["127.0.0.1", *node_addresses])
    return f"""add table ip {table}
delete table ip {table}
table ip {table} {{
  map service_ips {{ type {_KEY} : verdict; }}
  map node_ports {{ type inet_proto . inet_service : verdict; }}
  set no_endpoints {{ type {_KEY}; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  set node_addresses {{ type ipv4_addr; elements = {{ {answering} }}; }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @service_ips
    ip daddr @node_addresses meta l4proto . th dport vmap @node_ports
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat - 5; goto services; }}
  chain output {{ type nat hook output priority -105; goto services; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat - 5;
    meta mark & {MASQUERADE_MARK:#x} == {MASQUERADE_MARK:#x} \
meta mark set meta mark & {~MASQUERADE_MARK & 0xFFFFFFFF:#x} masquerade
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
  }}
  chain refuse {{ ip daddr . meta l4proto . th dport @no_endpoints reject; }}
  chain forward {{ type filter hook forward priority filter - 5; ct state new goto refuse; }}
  chain input {{ type filter hook input priority filter - 5; ct state new goto refuse; }}
  chain output_filter {{ type filter hook output priority filter - 5; ct state new goto refuse; }}
  chain loopback_guard {{
    type filter hook prerouting priority raw;
    # NodePorts on 127.0.0.1 need route_localnet on the bridge; pods must not reach the host's loopback by it.
    iifname "{bridge}" ip daddr 127.0.0.0/8 ip saddr {cluster_cidr} ct status != dnat drop
  }}
}}
"""


def _chains(table: str, rules: Ruleset, names: list[str]) -> Iterator[str]:
    # Every chain exists before any rule or element refers to one.
    for name in names:
        yield f"add chain ip {table} {name}"
        yield f"flush chain ip {table} {name}"
    for name in names:
        for rule in rules.chains[name]:
            yield f"add rule ip {table} {name} {rule}"


def _element(verb: str, table: str, place: tuple[str, str], value: str) -> str:
    container, key = place
    return f"{verb} element ip {table} {container} {{ {key}{f' : {value}' if value else ''} }}"


def whole(table: str, rules: Ruleset, *, bridge: str, cluster_cidr: str, node_addresses: list[str]) -> str:
    """A script that replaces the table in one transaction, whatever was there."""
    lines = [_base(table, bridge, cluster_cidr, node_addresses)]
    lines += [f"add set ip {table} {name} {{ {text} }}" for name, text in rules.sets.items()]
    lines += _chains(table, rules, list(rules.chains))
    lines += [_element("add", table, place, value) for place, value in rules.elements.items()]
    return "\n".join(lines) + "\n"


def difference(table: str, old: Ruleset, new: Ruleset) -> str:
    """A script that turns the table of `old` into that of `new`; empty when nothing changed."""
    lines: list[str] = []
    gone_sets = [name for name in old.sets if new.sets.get(name) != old.sets[name]]
    changed = [name for name, rules in new.chains.items() if old.chains.get(name) != rules]
    # A chain that refers to a set declared anew has to be written anew too.
    renewed = [name for name in gone_sets if name in new.sets]
    if renewed:
        mentions = [
            name
            for name, rules in new.chains.items()
            if any(f"@{s} " in rule for s in renewed for rule in rules)
        ]
        changed = list(dict.fromkeys([*changed, *mentions]))
    gone_chains = [name for name in old.chains if name not in new.chains]
    for place, value in old.elements.items():
        if new.elements.get(place) != value:
            lines.append(_element("delete", table, place, ""))
    lines += [f"flush chain ip {table} {name}" for name in (*gone_chains, *changed) if name in old.chains]
    lines += [f"delete chain ip {table} {name}" for name in gone_chains]
    lines += [f"delete set ip {table} {name}" for name in gone_sets]
    lines += [
        f"add set ip {table} {name} {{ {text} }}"
        for name, text in new.sets.items()
        if old.sets.get(name) != text
    ]
    lines += _chains(table, new, changed)
    for place, value in new.elements.items():
        if old.elements.get(place) != value:
            lines.append(_element("add", table, place, value))
    return "\n".join(lines) + "\n" if lines else ""
