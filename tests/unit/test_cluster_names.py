"""kubeproxyd.zone: the names of Services, endpoints and pods (Kubernetes DNS specification 1.1.0)."""

from __future__ import annotations

from typing import Any

import pytest

from kubeproxyd import views
from kubeproxyd.zone import Answer, Record, State, answer

DOMAIN = "cluster.local"


def service(name: str, **spec: Any) -> views.Service:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return views.service({"metadata": {"name": name, "namespace": "ns"}, "spec": {"ports": ports, **spec}})


def piece(service_name: str, *endpoints: dict[str, Any]) -> views.EndpointSlice:
    labels = {"kubernetes.io/service-name": service_name}
    return views.endpoint_slice(
        {
            "metadata": {"name": f"{service_name}-x", "namespace": "ns", "labels": labels},
            "endpoints": list(endpoints),
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
    )


@pytest.fixture
def state() -> State:
    state = State.empty()
    state.set_namespace(None, "ns")
    state.set_service(None, service("web", clusterIP="10.96.0.5"))
    state.set_service(None, service("each", clusterIP="None"))
    state.set_service(None, service("early", clusterIP="None", publishNotReadyAddresses=True))
    state.set_service(None, service("away", type="ExternalName", externalName="Example.COM."))
    unready = {"addresses": ["10.244.1.4"], "conditions": {"ready": False}}
    state.set_slice(
        None,
        piece(
            "each", {"addresses": ["10.244.1.2"], "hostname": "db-0"}, {"addresses": ["10.244.1.3"]}, unready
        ),
    )
    state.set_slice(None, piece("early", unready))
    return state


def ask(state: State, name: str, kind: str = "A") -> Answer | None:
    return answer(state, DOMAIN, name, kind)


def data(state: State, name: str, kind: str = "A") -> list[str]:
    found = ask(state, name, kind)
    assert found is not None
    return [record.data for record in found.records]


def test_a_service_has_its_address_and_no_other_type(state: State) -> None:
    assert data(state, "web.ns.svc.cluster.local") == ["10.96.0.5"]
    assert ask(state, "web.ns.svc.cluster.local", "AAAA") == Answer(True)


def test_a_headless_service_has_its_ready_endpoints(state: State) -> None:
    assert data(state, "each.ns.svc.cluster.local") == ["10.244.1.2", "10.244.1.3"]
    assert data(state, "early.ns.svc.cluster.local") == ["10.244.1.4"]


def test_endpoints_have_names_by_hostname_or_address(state: State) -> None:
    assert data(state, "db-0.each.ns.svc.cluster.local") == ["10.244.1.2"]
    assert data(state, "10-244-1-3.each.ns.svc.cluster.local") == ["10.244.1.3"]
    assert ask(state, "db-1.each.ns.svc.cluster.local") == Answer(False)


def test_srv_names_the_port_and_where_it_is(state: State) -> None:
    assert data(state, "_http._tcp.web.ns.svc.cluster.local", "SRV") == ["80 web.ns.svc.cluster.local"]
    found = ask(state, "_http._tcp.each.ns.svc.cluster.local", "SRV")
    assert found is not None
    assert [r.data for r in found.records] == [
        "8080 db-0.each.ns.svc.cluster.local",
        "8080 10-244-1-3.each.ns.svc.cluster.local",
    ]
    assert Record("db-0.each.ns.svc.cluster.local", "A", "10.244.1.2") in found.additional
    assert ask(state, "_other._tcp.web.ns.svc.cluster.local", "SRV") == Answer(False)
    assert ask(state, "_http._udp.web.ns.svc.cluster.local", "SRV") == Answer(False)


def test_an_external_name_is_an_alias_to_follow(state: State) -> None:
    found = ask(state, "away.ns.svc.cluster.local")
    assert found == Answer(
        True, (Record("away.ns.svc.cluster.local", "CNAME", "example.com"),), chase="example.com"
    )


def test_pods_have_names_by_address_in_their_namespace(state: State) -> None:
    assert data(state, "10-244-1-9.ns.pod.cluster.local") == ["10.244.1.9"]
    assert ask(state, "10-244-1-9.other.pod.cluster.local") == Answer(False)
    assert ask(state, "no-address.ns.pod.cluster.local") == Answer(False)


def test_addresses_have_names(state: State) -> None:
    assert data(state, "5.0.96.10.in-addr.arpa", "PTR") == ["web.ns.svc.cluster.local"]
    assert data(state, "2.1.244.10.in-addr.arpa", "PTR") == ["db-0.each.ns.svc.cluster.local"]
    assert ask(state, "1.1.1.1.in-addr.arpa", "PTR") is None


@pytest.mark.parametrize(
    "name", ["none.ns.svc.cluster.local", "web.other.svc.cluster.local", "x.cluster.local"]
)
def test_what_is_not_there_does_not_exist(state: State, name: str) -> None:
    assert ask(state, name) == Answer(False)


@pytest.mark.parametrize(
    "name", ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "_tcp.web.ns.svc.cluster.local"]
)
def test_what_only_has_names_below_it_exists_without_records(state: State, name: str) -> None:
    assert ask(state, name) == Answer(True)


def test_other_names_are_for_upstream(state: State) -> None:
    assert ask(state, "example.com") is None
    assert ask(state, "notcluster.local") is None


def test_the_versions_name(state: State) -> None:
    assert data(state, "dns-version.cluster.local", "TXT") == ["1.1.0"]


def test_what_goes_is_forgotten(state: State) -> None:
    state.set_service(state.service("ns", "web"), None)
    state.set_slice(next(iter(state.slices("ns", "each"))), None)
    assert ask(state, "web.ns.svc.cluster.local") == Answer(False)
    assert ask(state, "each.ns.svc.cluster.local") == Answer(False)
    assert state.by_address.keys() == {"10.244.1.4"}
