"""Admission webhooks, as Kubernetes calls them: what matches, what they may do, and what happens when they fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from apiclient import Api
from webhookserver import WebhookServer, allow, patching, refusing

from apimachinery.resources import Resource
from apiserver.webhookclient import WebhookClient

Object = dict[str, Any]
BASE = "/apis/admissionregistration.k8s.io/v1"
_numbers = count()


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    server = WebhookServer(tmp_path_factory.mktemp("webhook"))
    yield server
    server.close()


class Registrar:
    """Registers webhooks for the test's namespace, and takes them away again."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.made: list[str] = []

    def add(self, kind: str, config: Object, *, name: str = "", **fields: Any) -> str:
        rule = {
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["configmaps"],
        }
        webhook = {
            "name": "hook.example.com",
            "clientConfig": config,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [rule | fields.pop("rule", {})],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            **fields,
        }
        name = name or f"test-{next(_numbers)}"
        path = f"{BASE}/{kind}webhookconfigurations"
        made = self.api.post(path, {"metadata": {"name": name}, "webhooks": [webhook]})
        assert made.code == 201, made.body
        self.made.append(f"{path}/{name}")
        return f"{path}/{name}"

    def close(self) -> None:
        for path in self.made:
            self.api.delete(path)


@pytest.fixture
def register(api: Api, namespace: str) -> Iterator[Registrar]:
    registrar = Registrar(api, namespace)
    yield registrar
    registrar.close()


@pytest.fixture
def configmaps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def configmap(name: str = "a", **data: str) -> Object:
    return {"metadata": {"name": name}, "data": data}


def test_a_mutating_webhook_patches(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str, namespace: str
) -> None:
    config = hooks.on("/patch", patching({"op": "add", "path": "/data/added", "value": "yes"}))
    register.add("mutating", config)
    made = api.post(configmaps, configmap(own="1"))
    assert made.code == 201
    assert made["data"] == {"own": "1", "added": "yes"}
    asked = hooks.seen["/patch"][0]
    assert asked["operation"] == "CREATE"
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (asked["namespace"], asked["name"], asked["dryRun"]) == (namespace, "a", False)
    assert asked["object"]["data"] == {"own": "1"}
    assert asked["oldObject"] is None
    assert asked["options"]["kind"] == "CreateOptions"
    assert "system:masters" in asked["userInfo"]["groups"]


def test_a_validating_webhook_refuses(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    register.add("validating", hooks.on("/refuse", refusing("no such thing", code=403, reason="NotHere")))
    refused = api.post(configmaps, configmap())
    assert refused.code == 403
    assert refused["reason"] == "NotHere"
    assert refused.message == 'admission webhook "hook.example.com" denied the request: no such thing'
    assert api.get(f"{configmaps}/a").code == 404


def test_a_refusal_without_words(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    register.add("mutating", hooks.on("/refuse", refusing()))
    refused = api.post(configmaps, configmap())
    assert refused.code == 400
    assert refused.message == 'admission webhook "hook.example.com" denied the request without explanation'


def test_deletion_can_be_refused(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    api.post(configmaps, configmap())
    register.add("validating", hooks.on("/keep", refusing("keep it")), rule={"operations": ["DELETE"]})
    refused = api.delete(f"{configmaps}/a")
    assert refused.code == 400
    assert refused.message.endswith("denied the request: keep it")
    asked = hooks.seen["/keep"][0]
    assert asked["object"] is None
    assert asked["oldObject"]["metadata"]["name"] == "a"
    assert asked["options"]["kind"] == "DeleteOptions"
    assert api.get(f"{configmaps}/a").code == 200


def test_updates_and_patches_are_seen_with_both_objects(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    api.post(configmaps, configmap(a="1"))
    register.add("validating", hooks.on("/update", allow), rule={"operations": ["UPDATE"]})
    assert api.patch(f"{configmaps}/a", {"data": {"a": "2"}}).code == 200
    asked = hooks.seen["/update"][0]
    assert asked["oldObject"]["data"] == {"a": "1"}
    assert asked["object"]["data"] == {"a": "2"}


def test_a_webhook_that_cannot_be_reached(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    """Admission webhook, fail closed."""
    unreachable = {"url": "https://127.0.0.1:1/nobody", "caBundle": hooks.bundle}
    register.add("validating", unreachable)
    failed = api.post(configmaps, configmap())
    assert failed.code == 500
    assert failed["reason"] == "InternalError"
    assert failed.message.startswith(
        'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: '
        'Post "https://127.0.0.1:1/nobody?timeout=10s": '
    )
    register.close()
    register.add("validating", unreachable, failurePolicy="Ignore")
    assert api.post(configmaps, configmap()).code == 201


def test_certificates_are_verified(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    config = hooks.on("/allow", allow)
    register.add("validating", {"url": config["url"]})
    failed = api.post(configmaps, configmap())
    assert failed.code == 500
    assert "x509: certificate signed by unknown authority" in failed.message


def test_a_webhook_that_hangs(api: Api, hooks: WebhookServer, register: Registrar, configmaps: str) -> None:
    """Admission webhook, honor timeout."""
    register.add("validating", hooks.on("/hang", lambda request: None), timeoutSeconds=1)
    started = time.monotonic()
    failed = api.post(configmaps, configmap())
    assert failed.code == 500
    assert "context deadline exceeded" in failed.message
    assert time.monotonic() - started < 5


def test_selectors_decide_who_is_asked(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    config = hooks.on("/selected", refusing("selected"))
    register.add("validating", config, objectSelector={"matchLabels": {"checked": "yes"}})
    assert api.post(configmaps, configmap("plain")).code == 201
    labelled = {"metadata": {"name": "b", "labels": {"checked": "yes"}}}
    assert api.post(configmaps, labelled).code == 400
    assert api.post("/api/v1/namespaces/default/configmaps", labelled).code == 201
    assert api.delete("/api/v1/namespaces/default/configmaps/b").code == 200


def test_webhooks_run_in_order_and_again_where_they_want(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    first = hooks.on("/first", patching({"op": "add", "path": "/data/first", "value": "1"}))
    second = hooks.on("/second", patching({"op": "add", "path": "/data/second", "value": "2"}))
    register.add("mutating", second, name=f"b-{next(_numbers)}")
    register.add("mutating", first, name=f"a-{next(_numbers)}", reinvocationPolicy="IfNeeded")
    assert api.post(configmaps, configmap(own="0"))["data"] == {"own": "0", "first": "1", "second": "2"}
    assert len(hooks.seen["/first"]) == 2
    assert len(hooks.seen["/second"]) == 1
    assert hooks.seen["/first"][1]["object"]["data"] == {"own": "0", "first": "1", "second": "2"}


def test_what_a_webhook_adds_is_brought_into_shape(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    config = hooks.on("/odd", patching({"op": "add", "path": "/unknown", "value": 1}))
    register.add("mutating", config)
    made = api.post(configmaps, configmap())
    assert made.code == 201
    assert "unknown" not in made.body


def test_dry_runs_are_told(api: Api, hooks: WebhookServer, register: Registrar, configmaps: str) -> None:
    register.add("validating", hooks.on("/dry", allow))
    assert api.post(f"{configmaps}?dryRun=All", configmap()).code == 201
    assert hooks.seen["/dry"][0]["dryRun"] is True


def test_warnings_reach_the_client(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    register.add("validating", hooks.on("/warn", lambda _: {"allowed": True, "warnings": ["mind the gap"]}))
    made = api.post(configmaps, configmap())
    assert made.headers.get_all("Warning") == ['299 - "mind the gap"']


def test_an_answer_for_another_request(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    register.add("validating", hooks.on("/uid", lambda _: {"allowed": True, "uid": "other"}))
    failed = api.post(configmaps, configmap())
    assert failed.code == 500
    assert 'expected response.uid="' in failed.message


def test_webhook_configurations_are_exempt(
    api: Api, hooks: WebhookServer, register: Registrar, namespace: str
) -> None:
    """Admission webhook, admission control not allowed on webhook configuration objects."""
    rule = {
        "operations": ["*"],
        "apiGroups": ["admissionregistration.k8s.io"],
        "apiVersions": ["*"],
        "resources": ["*"],
    }
    for kind in ("mutating", "validating"):
        register.add(kind, hooks.on(f"/all-{kind}", refusing("all")), rule=rule, namespaceSelector={})
    path = register.add("validating", hooks.on("/dummy", allow))
    assert api.delete(path).code == 200
    assert hooks.seen["/all-mutating"] == hooks.seen["/all-validating"] == []


def test_subresources_are_asked_about_by_name(
    api: Api, hooks: WebhookServer, register: Registrar, namespace: str
) -> None:
    """Admission webhook, deny attach."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert api.post(pods, pod).code == 201
    config = hooks.on("/attach", refusing("no attaching"))
    register.add("validating", config, rule={"operations": ["CONNECT"], "resources": ["pods/attach"]})
    refused = api.get(f"{pods}/p/attach?stdout=true&container=c", Connection="Upgrade", Upgrade="websocket")
    assert refused.code == 400
    assert refused.message == 'admission webhook "hook.example.com" denied the request: no attaching'
    asked = hooks.seen["/attach"][0]
    assert asked["subResource"] == "attach"
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "PodAttachOptions"}
    assert asked["object"]["container"] == "c"


def test_a_webhook_behind_a_service(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    hooks.on("/service", patching({"op": "add", "path": "/data", "value": {"from": "service"}}))
    namespace = api.post("/api/v1/namespaces", {"metadata": {"name": "hooks"}})
    assert namespace.code in (201, 409)
    reference = {"name": "hook", "namespace": "hooks", "path": "/service", "port": 8443}
    register.add("mutating", {"service": reference, "caBundle": hooks.bundle})
    failed = api.post(configmaps, configmap())
    assert failed.code == 500
    assert 'service "hook" not found' in failed.message
    assert "https://hook.hooks.svc:8443/service?timeout=10s" in failed.message
    service = {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 8443, "targetPort": hooks.port}]}}
    assert api.post("/api/v1/namespaces/hooks/services", service).code == 201
    try:
        assert 'no endpoints available for service "hook"' in api.post(configmaps, configmap()).message
    finally:
        api.delete("/api/v1/namespaces/hooks/services/hook")


class OneService:
    """A reader that knows one Service and what is behind it. A slice with a loopback address cannot be created."""

    def __init__(self, port: int) -> None:
        self._service = {"spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]}}
        self._slices: list[Object] = [
            {
                "metadata": {"labels": {"kubernetes.io/service-name": "hook"}},
                "endpoints": [
                    {"addresses": ["127.0.0.2"], "conditions": {"ready": False}},
                    {"addresses": ["127.0.0.1"], "conditions": {"ready": True}},
                ],
                "ports": [{"name": "https", "port": port}],
            },
            {"metadata": {"labels": {"kubernetes.io/service-name": "other"}}, "endpoints": [], "ports": []},
        ]

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._service if (namespace, name) == ("hooks", "hook") else None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return self._slices


async def test_a_service_is_called_at_its_ready_endpoints(hooks: WebhookServer) -> None:
    hooks.on("/direct", allow)
    client = WebhookClient(OneService(hooks.port))
    config = {
        "service": {"name": "hook", "namespace": "hooks", "path": "/direct"},
        "caBundle": hooks.bundle,
    }
    try:
        answer = await client.post(config, {"request": {"uid": "1"}}, 5)
    finally:
        await client.close()
    assert answer["response"] == {"uid": "1", "allowed": True}


def test_match_conditions_decide_who_is_asked(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    """Mutating Admission webhook, mutating webhook excluding object with specific name."""
    config = hooks.on("/conditions", refusing("asked"))
    conditions = [
        {"name": "not-skipped", "expression": "object.metadata.name != 'skip-me'"},
        {"name": "by-rights", "expression": "authorizer.group('').resource('pods').check('list').allowed()"},
    ]
    path = register.add("validating", config, matchConditions=conditions)
    assert [c["name"] for c in api.get(path)["webhooks"][0]["matchConditions"]] == [
        "not-skipped",
        "by-rights",
    ]
    assert api.post(configmaps, configmap("skip-me")).code == 201
    assert api.post(configmaps, configmap("other")).code == 400
    assert len(hooks.seen["/conditions"]) == 1


def test_a_condition_that_fails_counts_as_the_webhook_says(
    api: Api, hooks: WebhookServer, register: Registrar, configmaps: str
) -> None:
    config = hooks.on("/broken", allow)
    broken = [{"name": "broken", "expression": "object.data.missing == ''"}]
    register.add("validating", config, matchConditions=broken)
    failed = api.post(configmaps, configmap(a="1"))
    assert failed.code == 500
    assert "no such key: missing" in failed.message
    register.close()
    register.add("validating", config, matchConditions=broken, failurePolicy="Ignore")
    assert api.post(configmaps, configmap(a="1")).code == 201
    assert hooks.seen["/broken"] == []
