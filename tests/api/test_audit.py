"""The audit log by policy file: what is recorded of requests, in which words, and what a bad policy is answered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiclient import APPLY, Api
from auditlog import Log, auditing
from servers import ROOT, Server

Object = dict[str, Any]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Log]]:
    with auditing(tmp_path_factory.mktemp("audit")) as made:
        yield made


def config_map(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"colour": "green"},
    }


def test_an_event_says_who_did_what_and_how_it_ended(audited: tuple[Api, Log]) -> None:
    api, log = audited
    made = api.post("/api/v1/namespaces/half/secrets", {"metadata": {"name": "s"}}, User_Agent="me/1.0")
    (event,) = log.of(made.headers["Audit-Id"], 1)
    received, stage = event.pop("requestReceivedTimestamp"), event.pop("stageTimestamp")
    assert received <= stage and len(received) == len("2026-01-01T00:00:00.000000Z")
    user = event.pop("user")
    assert user["username"] == "kubernetes-admin" and "system:masters" in user["groups"]
    assert event == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": made.headers["Audit-Id"],
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/half/secrets",
        "verb": "create",
        "sourceIPs": ["127.0.0.1"],
        "userAgent": "me/1.0",
        "objectRef": {"resource": "secrets", "namespace": "half", "name": "s", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }


def test_the_id_of_the_client_is_kept(audited: tuple[Api, Log]) -> None:
    api, log = audited
    answer = api.get("/api/v1/namespaces/half/secrets/s?pretty=1", Audit_ID="my-own-id")
    assert answer.headers["Audit-Id"] == "my-own-id"
    (event,) = log.of("my-own-id", 1)
    assert (event["verb"], event["requestURI"]) == ("get", "/api/v1/namespaces/half/secrets/s?pretty=1")


def test_levels_say_how_much_of_the_objects_is_recorded(audited: tuple[Api, Log]) -> None:
    api, log = audited
    half = api.post("/api/v1/namespaces/half/configmaps", config_map("c"))
    (event,) = log.of(half.headers["Audit-Id"], 1)
    assert event["level"] == "Request"
    assert event["requestObject"] == config_map("c")
    assert "responseObject" not in event
    whole = api.post("/api/v1/namespaces/whole/configmaps", config_map("c"))
    (event,) = log.of(whole.headers["Audit-Id"], 1)
    assert event["level"] == "RequestResponse"
    assert event["requestObject"] == config_map("c")
    shown = {k: v for k, v in whole["metadata"].items() if k != "managedFields"}
    assert event["responseObject"] == whole.body | {"metadata": shown}
    listed = api.get("/api/v1/namespaces/whole/configmaps")
    (event,) = log.of(listed.headers["Audit-Id"], 1)
    names = [item["metadata"]["name"] for item in event["responseObject"]["items"]]
    assert names == ["c"]
    assert all("managedFields" not in item["metadata"] for item in event["responseObject"]["items"])


def test_updates_refer_to_the_object_they_were_made_from(audited: tuple[Api, Log]) -> None:
    api, log = audited
    made = api.post("/api/v1/namespaces/half/configmaps", config_map("updated"))
    put = api.put("/api/v1/namespaces/half/configmaps/updated", made.body | {"data": {}})
    (event,) = log.of(put.headers["Audit-Id"], 1)
    assert event["objectRef"]["uid"] == made["metadata"]["uid"]
    assert event["objectRef"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_patches_are_recorded_as_sent(audited: tuple[Api, Log]) -> None:
    api, log = audited
    api.post("/api/v1/namespaces/half/configmaps", config_map("patched"))
    path = "/api/v1/namespaces/half/configmaps/patched"
    merged = api.patch(path, {"data": {"a": "b"}})
    (event,) = log.of(merged.headers["Audit-Id"], 1)
    assert (event["verb"], event["requestObject"]) == ("patch", {"data": {"a": "b"}})
    body = yaml.safe_dump(config_map("patched"))
    applied = api.patch(f"{path}?fieldManager=me&force=true", body, APPLY)
    (event,) = log.of(applied.headers["Audit-Id"], 1)
    assert event["requestObject"] == config_map("patched")


def test_odd_requests_are_recorded_too(audited: tuple[Api, Log]) -> None:
    api, log = audited
    path = "/api/v1/namespaces/half/configmaps"
    broken = api.post(path, "{", content="application/yaml")
    (event,) = log.of(broken.headers["Audit-Id"], 1)
    assert (broken.code, event["requestObject"]) == (400, "{")
    odd = api.post(path, "1: 99999999999999999999\n2: 2001-01-01", content="application/yaml")
    assert log.of(odd.headers["Audit-Id"], 1)[0]["responseStatus"]["code"] == odd.code
    strange = api.get("/version", User_Agent="\xff\xfe")
    assert "userAgent" in log.of(strange.headers["Audit-Id"], 1)[0]


def test_errors_are_recorded_with_their_status(audited: tuple[Api, Log]) -> None:
    api, log = audited
    missing = api.get("/api/v1/namespaces/half/secrets/nothing")
    (event,) = log.of(missing.headers["Audit-Id"], 1)
    assert event["responseStatus"] == {
        "metadata": {},
        "status": "Failure",
        "message": 'secrets "nothing" not found',
        "reason": "NotFound",
        "details": {"name": "nothing", "kind": "secrets"},
        "code": 404,
    }


def test_a_refused_request_says_so_and_who_it_was_made_for(audited: tuple[Api, Log]) -> None:
    api, log = audited
    refused = api.post("/api/v1/namespaces/half/configmaps", config_map("x"), Impersonate_User="nobody")
    assert refused.code == 403
    (event,) = log.of(refused.headers["Audit-Id"], 1)
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["impersonatedUser"] == {"username": "nobody", "groups": ["system:authenticated"]}
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert "requestObject" not in event
    assert event["responseStatus"]["reason"] == "Forbidden"


def test_the_reason_names_the_binding_that_allows(audited: tuple[Api, Log]) -> None:
    api, log = audited
    seen = api.get("/api/v1/namespaces/half/pods", Impersonate_User="system:kube-scheduler")
    assert seen.code == 200
    (event,) = log.of(seen.headers["Audit-Id"], 1)
    assert event["annotations"] == {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": 'RBAC: allowed by ClusterRoleBinding "system:kube-scheduler" of ClusterRole '
        '"system:kube-scheduler" to User "system:kube-scheduler"',
    }


def test_a_failed_authentication_is_recorded(audited: tuple[Api, Log]) -> None:
    api, log = audited
    other = Api(api.kubeconfig, token="wrong")
    refused = other.get("/api/v1/namespaces")
    other.close()
    assert refused.code == 401
    (event,) = log.of(refused.headers["Audit-Id"], 1)
    assert event["stage"] == "ResponseStarted"
    assert event["user"] == {}
    assert event["responseStatus"]["code"] == 401
    assert event["responseStatus"]["message"].startswith("Authentication failed, attempted: ")


def test_watches_are_recorded_when_they_start_and_when_they_end(audited: tuple[Api, Log]) -> None:
    api, log = audited
    path = "/api/v1/namespaces/half/secrets?timeoutSeconds=1"
    with api.watch(path, **{"Audit-ID": "a-watch"}) as events:
        (started,) = log.of("a-watch", 1)
        assert (started["stage"], started["verb"]) == ("ResponseStarted", "watch")
        for _ in events:
            pass
    started, ended = log.of("a-watch", 2)
    assert ended["stage"] == "ResponseComplete"
    assert started["responseStatus"] == ended["responseStatus"] == {"metadata": {}, "code": 200}
    assert started["stageTimestamp"] < ended["stageTimestamp"]


def test_what_the_policy_leaves_out_is_not_recorded(audited: tuple[Api, Log]) -> None:
    api, log = audited
    for path in ("/readyz", "/readyz?verbose", "/api/v1/nodes"):
        assert api.get(path, Audit_ID="left-out").code == 200
    assert api.get("/version", Audit_ID="after").code == 200
    log.of("after", 1)
    log.of("left-out", 0)


def test_where_requests_come_from(audited: tuple[Api, Log]) -> None:
    api, log = audited
    seen = api.get("/version", X_Forwarded_For="10.1.2.3, 10.1.2.4", X_Real_Ip="10.1.2.5")
    (event,) = log.of(seen.headers["Audit-Id"], 1)
    assert event["sourceIPs"] == ["10.1.2.3", "10.1.2.4", "10.1.2.5", "127.0.0.1"]
    assert "objectRef" not in event


def test_a_clean_stop_loses_nothing_and_ends_watches(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}')
    flags = ("--audit-policy-file", str(policy), "--audit-log-path", "-", "--storage", "memory")
    server = Server(tmp_path / "server", *flags)
    server.start()
    api = server.client()
    with api.watch("/api/v1/namespaces", **{"Audit-ID": "the-watch"}) as events:
        next(events)
        ids = [api.get("/version").headers["Audit-Id"] for _ in range(20)]
        server.stop()
    # Standard output is the file that the server's own log goes to.
    lines = (tmp_path / "server.log").read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith('{"kind":"Event"')]
    stages = {(event["auditID"], event["stage"]) for event in found}
    assert {(i, stage) for i in ids for stage in ("RequestReceived", "ResponseComplete")} <= stages
    watch_stages = ("RequestReceived", "ResponseStarted", "ResponseComplete")
    assert {("the-watch", stage) for stage in watch_stages} <= stages
    api.close()


def test_a_bad_policy_is_named_at_the_start(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "All"}]}')
    command = [
        sys.executable, "-P", "-m", "apiserver", "--data-dir", str(tmp_path / "data"), "--secure-port", "0",
        "--storage", "memory", "--audit-policy-file", str(policy), "--audit-log-path", "-",
    ]  # fmt: skip
    ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1
    assert 'rules[0].level: Unsupported value: "All"' in ran.stderr
    assert str(policy) in ran.stderr
