"""Two API servers on one etcd: what one acknowledges the other knows, and nothing is given out twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from apiclient import Api
from objects import config, service
from servers import serving


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, Api]]:
    flags = ["--storage", "etcd", "--disable-admission-plugins", "ServiceAccount"]
    for endpoint in request.getfixturevalue("etcd").endpoints:
        flags += ["--etcd-servers", endpoint]
    root: Path = tmp_path_factory.mktemp("pair")
    with serving(root / "one", *flags) as one, serving(root / "two", *flags) as two:
        api = one.client()
        api.post("/api/v1/namespaces", {"metadata": {"name": "pair"}})
        yield api, two.client()


def test_reads_see_what_the_other_wrote(pair: tuple[Api, Api]) -> None:
    one, two = pair
    path = "/api/v1/namespaces/pair/configmaps"
    for number in range(20):
        writer, reader = (one, two) if number % 2 else (two, one)
        assert writer.post(path, config(f"c{number}")).code == 201
        assert reader.get(f"{path}/c{number}").code == 200
        assert reader.post(path, config(f"c{number}")).code == 409
    assert one.get(path)["items"] == two.get(path)["items"]


def test_conflicts_are_found_across_servers(pair: tuple[Api, Api]) -> None:
    one, two = pair
    path = "/api/v1/namespaces/pair/configmaps"
    first = one.post(path, config("shared", n="0")).body
    assert two.put(f"{path}/shared", {**first, "data": {"n": "1"}}).code == 200
    assert one.put(f"{path}/shared", {**first, "data": {"n": "2"}}).code == 409


def test_patches_of_both_all_count(pair: tuple[Api, Api]) -> None:
    path = "/api/v1/namespaces/pair/configmaps"
    pair[0].post(path, config("counters"))

    def patch(number: int) -> int:
        client = Api(pair[number % 2].kubeconfig)
        code = client.patch(f"{path}/counters", {"data": {f"k{number}": "x"}}).code
        client.close()
        return code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(patch, range(24))) == {200}
    assert len(pair[0].get(f"{path}/counters")["data"]) == 24


def test_watches_see_the_other_servers_changes(pair: tuple[Api, Api]) -> None:
    one, two = pair
    path = "/api/v1/namespaces/pair/secrets"
    version = one.get(path)["metadata"]["resourceVersion"]
    with one.watch(f"{path}?resourceVersion={version}") as events:
        two.post(path, {"metadata": {"name": "s"}})
        event = next(events)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "s")


def test_no_address_or_port_is_given_twice(pair: tuple[Api, Api]) -> None:
    path = "/api/v1/namespaces/pair/services"

    def make(number: int) -> tuple[str, int]:
        client = Api(pair[number % 2].kubeconfig)
        made = client.post(path, service(f"s{number}", type="NodePort"))
        client.close()
        assert made.code == 201, made.body
        return made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(make, range(24)))
    assert len({address for address, _ in given}) == 24
    assert len({port for _, port in given}) == 24


def test_both_are_behind_the_kubernetes_service(pair: tuple[Api, Api]) -> None:
    endpoints = pair[0].get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    assert endpoints["endpoints"], "the servers share one address here, so there is one endpoint"


def test_what_one_defines_both_serve(pair: tuple[Api, Api]) -> None:
    """Custom resources: served everywhere as soon as the definition says Established."""
    one, two = pair
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {
        "group": "pair.example.com",
        "scope": "Namespaced",
        "names": {"plural": "pears", "kind": "Pear"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
    }
    path = "/apis/pair.example.com/v1/namespaces/pair/pears"
    for turn in range(5):
        first, second = (one, two) if turn % 2 else (two, one)
        assert first.post(crds, {"metadata": {"name": "pears.pair.example.com"}, "spec": spec}).code == 201
        with first.watch(f"{crds}?fieldSelector=metadata.name%3Dpears.pair.example.com") as events:
            for event in events:
                conditions = event["object"]["status"].get("conditions") or ()
                if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                    break
        made = second.post(path, {"metadata": {"name": "p"}, "turn": turn})
        assert made.code == 201, made.body
        assert first.get(f"{path}/p")["turn"] == turn
        assert [item["turn"] for item in second.get(path)["items"]] == [turn]
        assert second.delete(f"{crds}/pears.pair.example.com").code == 200
        with second.watch(f"{crds}?fieldSelector=metadata.name%3Dpears.pair.example.com") as events:
            if second.get(f"{crds}/pears.pair.example.com").code != 404:
                assert any(event["type"] == "DELETED" for event in events)
