"""kubeproxyd.plan and ruleset: which endpoints a service port goes to, and the scripts that say so to the kernel."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubeproxyd import ruleset, views
from kubeproxyd.plan import Backend, Ruleset, plan, preferred

NODE = views.node(
    {
        "metadata": {"name": "n1"},
        "spec": {"podCIDR": "10.244.1.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.244.1.1"}]},
    }
)
OTHER = views.node(
    {
        "metadata": {"name": "n2"},
        "spec": {"podCIDR": "10.244.2.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.244.2.1"}]},
    }
)


def service(name: str = "web", ip: str = "10.96.0.5", node_port: int = 0, **spec: Any) -> views.Service:
    port = {"port": 80, "nodePort": node_port, "protocol": "TCP", "name": "http"}
    return views.service(
        {"metadata": {"name": name, "namespace": "d"}, "spec": {"clusterIP": ip, "ports": [port], **spec}}
    )


def pieces(*endpoints: dict[str, Any], name: str = "web") -> views.EndpointSlice:
    return views.endpoint_slice(
        {
            "metadata": {
                "name": name + "-x",
                "namespace": "d",
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": list(endpoints),
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
    )


def endpoint(address: str, node: str = "n1", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def hinted(address: str, node: str, *, zone: str = "", nodes: bool = True) -> dict[str, Any]:
    hints = {"forNodes": [{"name": node}] if nodes else None, "forZones": [{"name": zone}] if zone else None}
    return {**endpoint(address, node, ready=True), "hints": hints}


def rules_of(svc: views.Service, *slices: views.EndpointSlice) -> Ruleset:
    return plan([svc], {svc.key: slices}, [NODE, OTHER])


def chain_for(rules: Ruleset, place: tuple[str, str]) -> tuple[str, ...]:
    return rules.chains[rules.elements[place].removeprefix("goto ")]


CLUSTER_IP = ("service_ips", "10.96.0.5 . tcp . 80")


def test_cluster_ip_goes_to_every_ready_endpoint() -> None:
    rules = rules_of(service(), pieces(endpoint("10.244.1.2"), endpoint("10.244.2.2", ready=True)))
    (rule,) = chain_for(rules, CLUSTER_IP)
    assert "10.244.1.2 . 8080" in rule and "10.244.2.2 . 8080" in rule and "mod 2" in rule
    assert ("hairpin", "10.244.1.2 . 10.244.1.2") in rules.elements


def test_unready_endpoints_get_nothing_and_terminating_ones_only_when_alone() -> None:
    stopping = endpoint("10.244.1.3", ready=False, serving=True, terminating=True)
    rules = rules_of(service(), pieces(endpoint("10.244.1.2"), stopping, endpoint("10.244.1.4", ready=False)))
    assert chain_for(rules, CLUSTER_IP) == ("meta l4proto tcp dnat ip to 10.244.1.2:8080",)
    alone = rules_of(
        service(), pieces(stopping, endpoint("10.244.1.4", ready=False, serving=False, terminating=True))
    )
    assert chain_for(alone, CLUSTER_IP) == ("meta l4proto tcp dnat ip to 10.244.1.3:8080",)


def test_a_service_without_endpoints_is_refused() -> None:
    rules = rules_of(service(node_port=30080))
    assert CLUSTER_IP not in rules.elements
    assert ("no_endpoints", "10.96.0.5 . tcp . 80") in rules.elements
    assert ("no_endpoints", "10.244.1.1 . tcp . 30080") in rules.elements


def test_node_port_is_masqueraded_under_cluster_policy() -> None:
    rules = rules_of(service(node_port=30080, type="NodePort"), pieces(endpoint("10.244.1.2")))
    mark, jump = chain_for(rules, ("node_ports", "tcp . 30080"))
    assert mark == "meta mark set meta mark or 0x4000"
    assert jump == rules.elements[CLUSTER_IP]


def test_local_external_policy_stays_on_the_node_asked_and_keeps_the_client() -> None:
    rules = rules_of(
        service(node_port=30080, type="NodePort", externalTrafficPolicy="Local"),
        pieces(endpoint("10.244.1.2")),
    )
    first, second, fallback = chain_for(rules, ("node_ports", "tcp . 30080"))
    assert first.startswith("ip daddr 10.244.1.1 goto local-")
    assert second == "ip daddr 10.244.2.1 drop"
    assert fallback.startswith("goto local-") and "mark" not in first + fallback


def test_local_internal_policy_goes_by_the_clients_node() -> None:
    rules = rules_of(service(internalTrafficPolicy="Local"), pieces(endpoint("10.244.2.2", "n2")))
    first, second, _ = chain_for(rules, CLUSTER_IP)
    assert first == "ip saddr 10.244.1.0/24 drop"
    assert second.startswith("ip saddr 10.244.2.0/24 goto local-")


def test_session_affinity_remembers_each_client() -> None:
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 7}}}
    rules = rules_of(service(**affinity), pieces(endpoint("10.244.1.2"), endpoint("10.244.1.3")))
    remembered_a, remembered_b, fresh = chain_for(rules, CLUSTER_IP)
    assert "@affinity-" in remembered_a and "@affinity-" in remembered_b and "vmap" in fresh
    assert all("timeout 7s" in text for text in rules.sets.values()) and len(rules.sets) == 2


def test_headless_external_name_and_locally_answered_services_have_no_rules() -> None:
    for svc in (service(ip="None"), service(type="ExternalName", ip=""), service(ip="10.96.0.10")):
        rules = plan([svc], {}, [NODE], local_addresses=frozenset({"10.96.0.10"}))
        assert not rules.elements and not rules.chains


addresses = st.lists(st.integers(2, 9).map(lambda n: f"10.244.1.{n}"), max_size=4, unique=True)
states = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.tuples(addresses, st.sampled_from(["None", "ClientIP"])), max_size=3
)


def rules_for(state: dict[str, tuple[list[str], str]]) -> Ruleset:
    services = [
        service(name, f"10.96.1.{ord(name)}", 30000 + ord(name), sessionAffinity=affinity)
        for name, (_, affinity) in state.items()
    ]
    slices = {("d", name): [pieces(*map(endpoint, found), name=name)] for name, (found, _) in state.items()}
    return plan(services, slices, [NODE])


class Kernel:
    """A model of what an nft script leaves behind: enough of the language for our own scripts."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.elements: dict[tuple[str, str], str] = {}
        self.sets: dict[str, str] = {}

    def run(self, script: str) -> None:
        for line in script.splitlines():
            verb, kind, rest = line.split(" ", 2)
            words = rest.split(" ", 2)
            name, more = words[2].split(" ", 1) if " " in words[2] else (words[2], "")
            getattr(self, f"{verb}_{kind}")(name, more)

    def add_chain(self, name: str, _: str) -> None:
        self.chains.setdefault(name, [])

    def flush_chain(self, name: str, _: str) -> None:
        self.chains[name].clear()

    def delete_chain(self, name: str, _: str) -> None:
        mentioned = any(name in rule for rules in self.chains.values() for rule in rules)
        assert not mentioned and name not in str(self.elements.values()), f"{name} is still referred to"
        del self.chains[name]

    def add_rule(self, name: str, rule: str) -> None:
        for word in rule.replace(",", " ").split():
            if word.startswith("@"):
                assert word[1:] in self.sets, rule
        self.chains[name].append(rule)

    def add_set(self, name: str, text: str) -> None:
        self.sets[name] = text.strip("{ }")

    def delete_set(self, name: str, _: str) -> None:
        assert not any(f"@{name} " in rule for rules in self.chains.values() for rule in rules)
        del self.sets[name]

    def add_element(self, name: str, text: str) -> None:
        key, _, value = text.strip("{ }").partition(" : ")
        if value:
            assert value.removeprefix("goto ") in self.chains
        self.elements[(name, key)] = value

    def delete_element(self, name: str, text: str) -> None:
        del self.elements[(name, text.strip("{ }"))]


@given(st.lists(states, min_size=1, max_size=4))
def test_differences_lead_where_the_whole_script_leads(
    sequence: list[dict[str, tuple[list[str], str]]],
) -> None:
    kernel, current = Kernel(), Ruleset()
    for state in sequence:
        wanted = rules_for(state)
        kernel.run(ruleset.difference("t", current, wanted))
        current = wanted
        assert {n: tuple(r) for n, r in kernel.chains.items()} == wanted.chains
        assert kernel.elements == wanted.elements
        assert set(kernel.sets) == set(wanted.sets)
    assert ruleset.difference("t", current, current) == ""


def near(rules: Ruleset) -> dict[str, tuple[str, ...]]:
    """The endpoints for the clients of each pod CIDR, and for all others ("")."""
    found: dict[str, tuple[str, ...]] = {}
    for rule in chain_for(rules, ("service_ips", "10.96.0.5 . tcp . 80")):
        source, _, chain = rule.rpartition("goto ")
        found[source.removeprefix("ip saddr ").strip()] = rules.chains[chain]
    return found


def test_clients_go_to_the_endpoints_meant_for_their_node() -> None:
    rules = rules_of(service(), pieces(hinted("10.244.1.2", "n1"), hinted("10.244.2.2", "n2")))
    found = near(rules)
    assert found["10.244.1.0/24"] == ("meta l4proto tcp dnat ip to 10.244.1.2:8080",)
    assert found["10.244.2.0/24"] == ("meta l4proto tcp dnat ip to 10.244.2.2:8080",)
    assert "numgen" in found[""][0]


def test_a_node_without_endpoints_has_those_of_its_zone() -> None:
    zones = {"n1": "a", "n2": "b", "n3": "b"}
    nodes = [
        views.node({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}})
        for name, zone in zones.items()
    ]
    first, second = pieces(hinted("10.0.0.1", "n1", zone="a"), hinted("10.0.0.2", "n2", zone="b")).endpoints
    targets = [
        Backend(e.addresses[0], 80, e.node_name or "", frozenset({e.node_name or ""}), frozenset({zone}))
        for e, zone in ((first, "a"), (second, "b"))
    ]
    assert [[t.address for t in preferred(targets, node)] for node in nodes] == [
        ["10.0.0.1"], ["10.0.0.2"], ["10.0.0.2"]
    ]  # fmt: skip


def test_hints_that_are_not_on_every_endpoint_are_none() -> None:
    plain = endpoint("10.244.2.2", "n2", ready=True)
    rules = rules_of(service(), pieces(hinted("10.244.1.2", "n1"), plain))
    assert "numgen" in chain_for(rules, ("service_ips", "10.96.0.5 . tcp . 80"))[0]
