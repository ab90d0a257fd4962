"""Custom resources in several versions, and what webhooks make of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apiclient import Api
from customresources import CRDS, Define, Kind, Object, eventually, version
from webhookserver import WebhookServer, patching


def test_versions_without_conversion(api: Api, define: Define) -> None:
    kind = define(version("v1"), version("v2", storage=False, deprecated=True))
    made = api.post(kind.url(version="v2"), kind.object(version="v2", spec={"color": "red"}))
    assert made["apiVersion"] == f"{kind.group}/v2"
    assert made.headers.get_all("Warning") == [f'299 - "{kind.group}/v2 Widget is deprecated"']
    assert api.get(kind.url("a"))["apiVersion"] == f"{kind.group}/v1"
    listed = api.get(kind.url(version="v2"))
    assert [item["apiVersion"] for item in listed["items"]] == [f"{kind.group}/v2"]

    def swap(spec: Object) -> None:
        for found in spec["versions"]:
            found["storage"] = not found["storage"]

    kind.change(swap)
    assert api.get(f"{CRDS}/{kind.name}")["status"]["storedVersions"] == ["v1", "v2"]
    eventually(lambda: api.get(kind.url("a"))["apiVersion"] == f"{kind.group}/v1")
    changed = api.patch(kind.url("a", "v2"), {"spec": {"color": "blue"}})
    assert (changed["apiVersion"], changed["spec"]["color"]) == (f"{kind.group}/v2", "blue")
    with api.watch(kind.url() + "?resourceVersion=0") as events:
        assert next(events)["object"]["apiVersion"] == f"{kind.group}/v1"


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    server = WebhookServer(tmp_path_factory.mktemp("webhook"))
    yield server
    server.close()


def strings(*names: str) -> Object:
    """The schema of an object with fields of text."""
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def convert(request: Object) -> Object:
    """v1 has `hostPort`, v2 `host` and `port`."""
    converted = []
    for obj in request["objects"]:
        new = {**obj, "apiVersion": request["desiredAPIVersion"]}
        if obj["apiVersion"].endswith("/v1"):
            new["host"], _, new["port"] = new.pop("hostPort", "").partition(":")
        else:
            new["hostPort"] = f"{new.pop('host', '')}:{new.pop('port', '')}"
        converted.append(new)
    return {"result": {"status": "Success"}, "convertedObjects": converted}


def test_a_webhook_converts(api: Api, define: Define, hooks: WebhookServer) -> None:
    """Custom Resource Definition Conversion Webhook: custom resource, mixed version list."""
    config = hooks.on("/convert", convert)
    kind = define(
        version("v1", schema=strings("hostPort")),
        version("v2", schema=strings("host", "port"), storage=False),
        conversion={
            "strategy": "Webhook",
            "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]},
        },
    )
    made = api.post(kind.url(), kind.object(hostPort="local:80"))
    assert made.code == 201
    shown = api.get(kind.url("a", "v2"))
    assert (shown["host"], shown["port"], shown["apiVersion"]) == ("local", "80", f"{kind.group}/v2")
    assert "hostPort" not in shown.body

    def swap(spec: Object) -> None:
        for found in spec["versions"]:
            found["storage"] = not found["storage"]

    kind.change(swap)
    made = api.post(kind.url(version="v2"), kind.object("b", "v2", host="far", port="81"))
    assert made.code == 201, made.body
    for number, key, values in (("v1", "hostPort", ["local:80", "far:81"]), ("v2", "port", ["80", "81"])):
        listed = api.get(kind.url(version=number))
        assert [item[key] for item in listed["items"]] == values
        assert {item["apiVersion"] for item in listed["items"]} == {f"{kind.group}/{number}"}
    changed = api.patch(kind.url("a"), {"hostPort": "near:82"})
    assert changed["hostPort"] == "near:82"
    with api.watch(kind.url(version="v1") + "?resourceVersion=0") as events:
        assert [next(events)["object"]["hostPort"] for _ in range(2)] == ["near:82", "far:81"]
        api.patch(kind.url("b", "v2"), {"port": "83"})
        assert next(events)["object"]["hostPort"] == "far:83"
    broken: Object = {"result": {"status": "Failed", "message": "cannot"}}
    hooks.on("/convert", lambda request: broken)
    failed = api.get(kind.url("a"))
    assert failed.code == 500
    assert failed.message == f"conversion webhook for {kind.group}/v2, Kind=Widget failed: cannot"


def test_mutating_webhooks_and_pruning(api: Api, widgets: Kind, hooks: WebhookServer, namespace: str) -> None:
    """Admission webhook, mutate custom resource with pruning."""
    config = hooks.on(
        "/mutate",
        patching(
            {"op": "add", "path": "/spec/name", "value": "given"},
            {"op": "add", "path": "/spec/unknown", "value": "gone"},
        ),
    )
    rule = {
        "operations": ["CREATE"],
        "apiGroups": [widgets.group],
        "apiVersions": ["v1"],
        "resources": ["widgets"],
    }
    webhook = {
        "name": "hook.example.com",
        "clientConfig": config,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [rule],
    }
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    name = f"{widgets.group}-hook"
    assert api.post(path, {"metadata": {"name": name}, "webhooks": [webhook]}).code == 201
    try:
        made = api.post(widgets.url(), widgets.object(spec={"color": "red"}))
        assert made["spec"] == {"color": "red", "name": "given", "replicas": 1}
        assert hooks.seen["/mutate"][0]["object"]["apiVersion"] == f"{widgets.group}/v1"
    finally:
        api.delete(f"{path}/{name}")
