"""Priority and fairness against a real server: floods stay in their level, and the objects keep themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from apiclient import Api
from floods import (
    AUTOUPDATE,
    CONFIG_MAPS,
    LEVELS,
    SCHEMAS,
    Flood,
    Levels,
    Metrics,
    acting,
    eventually,
    schema,
)
from servers import Server, serving
from webhookserver import WebhookServer

Object = dict[str, Any]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of few seats, where the group `testers` may do anything."""
    flags = ("--storage", "memory", "--max-requests-inflight", "20", "--max-mutating-requests-inflight", "10")
    with serving(tmp_path_factory.mktemp("flow") / "server", *flags) as server:
        binding = {
            "metadata": {"name": "testers"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "testers"}],
        }
        api = server.client()
        path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        assert api.post(path, binding).code == 201
        api.close()
        yield server


@pytest.fixture(scope="module")
def admin(small: Server) -> Iterator[Api]:
    client = small.client()
    yield client
    client.close()


@pytest.fixture
def metrics(admin: Api) -> Metrics:
    return Metrics(admin)


@pytest.fixture
def levels(admin: Api) -> Iterator[Levels]:
    made = Levels(admin)
    yield made
    made.close()


@pytest.fixture
def flood(small: Server, admin: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flood]:
    hooks = WebhookServer(tmp_path_factory.mktemp("webhook"))
    made = Flood(small, hooks, admin)
    yield made
    made.close()
    hooks.close()


QUEUES = {"queues": 16, "handSize": 2, "queueLengthLimit": 10}


def test_a_client_that_floods_one_level_starves_no_other(
    small: Server, admin: Api, levels: Levels, flood: Flood, metrics: Metrics
) -> None:
    levels.add("flooded", ["flooder", "neighbour"], QUEUES)
    levels.add("quiet", ["quiet"])
    seats = int(metrics("nominal_limit_seats", priority_level="flooded"))
    assert seats >= 1
    answers = flood.send("flooder", seats + 12)
    eventually(lambda: metrics("current_inqueue_requests", priority_level="flooded") == 12)
    assert metrics("current_executing_seats", priority_level="flooded") == seats
    # The other level is served meanwhile, and so are those that are exempt; the same level waits.
    with acting(small, "quiet") as get:
        for _ in range(20):
            assert get(CONFIG_MAPS).code == 200
    assert metrics("current_inqueue_requests", priority_level="flooded") == 12
    (waiting,) = flood.send("neighbour", 1)
    eventually(lambda: metrics("current_inqueue_requests", priority_level="flooded") == 13)
    assert not waiting.done()
    flood.let_go()
    assert {answer.result(30).code for answer in [*answers, waiting]} == {201}
    assert metrics("dispatched_requests_total", flow_schema="flooded") == seats + 13
    assert metrics("current_executing_seats", priority_level="flooded") == 0
    waits = metrics("request_wait_duration_seconds_count", flow_schema="flooded", execute="true")
    assert waits == seats + 13


def test_requests_beyond_the_queue_are_refused_as_kubernetes_refuses_them(
    small: Server, levels: Levels, flood: Flood, metrics: Metrics
) -> None:
    levels.add("short", ["flooder"], {"queues": 1, "handSize": 1, "queueLengthLimit": 3})
    seats = int(metrics("nominal_limit_seats", priority_level="short"))
    answers = flood.send("flooder", seats + 3)
    eventually(lambda: metrics("current_inqueue_requests", priority_level="short") == 3)
    with acting(small, "flooder") as get:
        refused = get(CONFIG_MAPS)
    assert refused.code == 429
    assert refused.raw == b"Too many requests, please try again later.\n"
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert refused.headers["X-Kubernetes-PF-FlowSchema-UID"]
    assert metrics("rejected_requests_total", priority_level="short", reason="queue-full") == 1
    flood.let_go()
    assert {answer.result(30).code for answer in answers} == {201}


def test_a_level_that_rejects_has_no_queue(
    small: Server, levels: Levels, flood: Flood, metrics: Metrics
) -> None:
    levels.add("strict", ["flooder"])
    seats = int(metrics("nominal_limit_seats", priority_level="strict"))
    answers = flood.send("flooder", seats)
    eventually(lambda: metrics("current_executing_seats", priority_level="strict") == seats)
    with acting(small, "flooder") as get:
        assert get(CONFIG_MAPS).code == 429
        assert metrics("rejected_requests_total", priority_level="strict", reason="concurrency-limit") == 1
        flood.let_go()
        assert {answer.result(30).code for answer in answers} == {201}
        assert get(CONFIG_MAPS).code == 200


def test_a_client_that_leaves_waits_no_longer(
    small: Server, levels: Levels, flood: Flood, metrics: Metrics
) -> None:
    levels.add("left", ["flooder", "leaver"], QUEUES)
    seats = int(metrics("nominal_limit_seats", priority_level="left"))
    answers = flood.send("flooder", seats)
    eventually(lambda: metrics("current_executing_seats", priority_level="left") == seats)
    leaver = small.client()
    connection = leaver._connect()
    headers = {"Impersonate-User": "leaver", "Impersonate-Group": "testers"}
    connection.request("GET", CONFIG_MAPS, headers=headers)
    eventually(lambda: metrics("current_inqueue_requests", priority_level="left") == 1)
    connection.close()
    eventually(lambda: metrics("current_inqueue_requests", priority_level="left") == 0)
    assert metrics("rejected_requests_total", priority_level="left", reason="cancelled") == 1
    flood.let_go()
    assert {answer.result(30).code for answer in answers} == {201}


def test_watches_have_a_seat_only_while_they_begin(
    small: Server, admin: Api, levels: Levels, metrics: Metrics
) -> None:
    levels.add("watched", ["watcher"], shares=1)
    assert metrics("nominal_limit_seats", priority_level="watched") == 1
    identity = {"Impersonate-User": "watcher", "Impersonate-Group": "testers"}
    watcher = small.client()
    with watcher.watch(CONFIG_MAPS, **identity) as first, watcher.watch(CONFIG_MAPS, **identity) as second:
        assert next(first)["type"] == next(second)["type"] == "ADDED"
        assert metrics("current_executing_seats", priority_level="watched") == 0
        with acting(small, "watcher") as get:
            assert get(CONFIG_MAPS).code == 200
    watcher.close()


def test_answers_name_the_schema_and_the_level_of_the_request(admin: Api, levels: Levels) -> None:
    levels.add("classified", ["noxu"])
    schema_uid = admin.get(f"{SCHEMAS}/classified")["metadata"]["uid"]
    level_uid = admin.get(f"{LEVELS}/classified")["metadata"]["uid"]
    refused = admin.get("/nothing", Impersonate_User="noxu")
    assert refused.code == 403
    assert refused.headers["X-Kubernetes-PF-FlowSchema-UID"] == schema_uid
    assert refused.headers["X-Kubernetes-PF-PriorityLevel-UID"] == level_uid
    other = admin.get("/nothing", Impersonate_User="foo")
    everybody = admin.get(f"{SCHEMAS}/global-default")["metadata"]["uid"]
    assert other.headers["X-Kubernetes-PF-FlowSchema-UID"] == everybody


def test_default_objects_are_there_from_the_start(admin: Api) -> None:
    rows = {
        s["metadata"]["name"]: (
            s["spec"]["priorityLevelConfiguration"]["name"],
            s["spec"]["matchingPrecedence"],
        )
        for s in admin.get(SCHEMAS)["items"]
    }
    assert rows == {
        "exempt": ("exempt", 1),
        "probes": ("exempt", 2),
        "system-leader-election": ("leader-election", 100),
        "endpoint-controller": ("workload-high", 150),
        "workload-leader-election": ("leader-election", 200),
        "system-node-high": ("node-high", 400),
        "system-nodes": ("system", 500),
        "kube-controller-manager": ("workload-high", 800),
        "kube-scheduler": ("workload-high", 800),
        "kube-system-service-accounts": ("workload-high", 900),
        "service-accounts": ("workload-low", 9000),
        "global-default": ("global-default", 9900),
        "catch-all": ("catch-all", 10000),
    }
    found = {level["metadata"]["name"]: level["spec"] for level in admin.get(LEVELS)["items"]}
    shares = {
        name: spec["limited"]["nominalConcurrencyShares"]
        for name, spec in found.items()
        if spec["type"] == "Limited"
    }
    assert shares == {
        "catch-all": 5, "global-default": 20, "leader-election": 10, "node-high": 40, "system": 30,
        "workload-high": 40, "workload-low": 100,
    }  # fmt: skip
    assert found["exempt"] == {
        "type": "Exempt",
        "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
    }


def test_default_objects_come_back(admin: Api) -> None:
    for path in (f"{LEVELS}/catch-all", f"{SCHEMAS}/exempt", f"{SCHEMAS}/service-accounts"):
        before = admin.get(path)["metadata"]["uid"]
        assert admin.delete(path).code == 200

        def back(path: str = path, before: str = before) -> bool:
            now = admin.get(path)
            return now.code == 200 and now["metadata"]["uid"] != before

        eventually(back)


def test_a_suggested_object_is_its_own_to_change_when_it_says_so(admin: Api) -> None:
    path = f"{LEVELS}/workload-low"
    changed = {"spec": {"limited": {"nominalConcurrencyShares": 77}}}

    def shares() -> int:
        return int(admin.get(path)["spec"]["limited"]["nominalConcurrencyShares"])

    assert admin.patch(path, changed).code == 200
    eventually(lambda: shares() == 100)
    assert admin.patch(path, changed | {"metadata": {"annotations": {AUTOUPDATE: "false"}}}).code == 200
    # Another object that is restored meanwhile tells that the changes have been seen.
    mandatory = f"{SCHEMAS}/catch-all"
    assert admin.patch(mandatory, {"metadata": {"annotations": {AUTOUPDATE: "false"}}}).code == 200
    eventually(lambda: bool(admin.get(mandatory)["metadata"]["annotations"][AUTOUPDATE] == "true"))
    assert shares() == 77
    assert admin.patch(path, {"metadata": {"annotations": {AUTOUPDATE: "true"}}}).code == 200
    eventually(lambda: shares() == 100)


def test_what_every_server_needs_cannot_be_changed(admin: Api) -> None:
    refused = admin.patch(f"{SCHEMAS}/catch-all", {"spec": {"matchingPrecedence": 9}})
    assert refused.code == 422
    assert refused.message.endswith("spec of 'catch-all' must equal the fixed value")
    refused = admin.patch(f"{LEVELS}/catch-all", {"spec": {"limited": {"nominalConcurrencyShares": 6}}})
    assert refused.message.endswith("spec of 'catch-all' must equal the fixed value")
    reserved = {"spec": {"exempt": {"nominalConcurrencyShares": 3}}}
    assert admin.patch(f"{LEVELS}/exempt", reserved).code == 200
    assert admin.get(f"{LEVELS}/exempt")["spec"]["exempt"]["nominalConcurrencyShares"] == 3
    back = {"spec": {"exempt": {"nominalConcurrencyShares": 0}}}
    assert admin.patch(f"{LEVELS}/exempt", back).code == 200


def test_objects_that_are_as_they_must_be_are_not_written_again(admin: Api) -> None:
    eventually(lambda: all(s.get("status", {}).get("conditions") for s in admin.get(SCHEMAS)["items"]))
    before = admin.get(SCHEMAS)["items"], admin.get(LEVELS)["items"]
    # A change has everything looked at again.
    assert admin.post(SCHEMAS, schema("passing", "catch-all", ["nobody"])).code == 201
    eventually(lambda: bool(admin.get(f"{SCHEMAS}/passing").body.get("status", {}).get("conditions")))
    assert admin.delete(f"{SCHEMAS}/passing").code == 200
    assert before == (admin.get(SCHEMAS)["items"], admin.get(LEVELS)["items"])


def test_a_schema_without_its_level_dangles_and_matches_nothing(admin: Api, levels: Levels) -> None:
    def dangling() -> Object:
        conditions = admin.get(f"{SCHEMAS}/orphan")["status"].get("conditions") or [{}]
        return {k: v for k, v in conditions[0].items() if k != "lastTransitionTime"}

    assert admin.post(SCHEMAS, schema("orphan", "later", ["orphan"])).code == 201
    text = 'This FlowSchema references the PriorityLevelConfiguration object named "later" '
    missing = {
        "type": "Dangling",
        "status": "True",
        "reason": "NotFound",
        "message": text + "but there is no such object",
    }
    try:
        eventually(lambda: dangling() == missing)
        uid = admin.get(f"{SCHEMAS}/orphan")["metadata"]["uid"]
        header = "X-Kubernetes-PF-FlowSchema-UID"
        assert admin.get("/version", Impersonate_User="orphan").headers[header] != uid
        levels.add("later", ["somebody"])
        found = {**missing, "status": "False", "reason": "Found", "message": text + "and it exists"}
        eventually(lambda: dangling() == found)
        assert admin.get("/version", Impersonate_User="orphan").headers[header] == uid
    finally:
        admin.delete(f"{SCHEMAS}/orphan")
