"""Area apimachinery: versions of custom resources, conversion by webhook, and fields that selectors may name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from apiclient import APPLY, Api, selector
from registrations import Kind, Registered, eventually, version
from webhookserver import WebhookServer

Object = dict[str, Any]
TEXT: Object = {"type": "string"}
HOST_PORT: Object = {"type": "object", "properties": {"hostPort": TEXT}}
HOST_AND_PORT: Object = {"type": "object", "properties": {"host": TEXT, "port": TEXT}}


def convert(request: Object) -> Object:
    """v1 has `hostPort`, v2 `host` and `port`."""
    wanted = request["desiredAPIVersion"]
    objects = []
    for obj in request["objects"]:
        changed = {**obj, "apiVersion": wanted}
        if wanted.endswith("/v2"):
            host, _, port = changed.pop("hostPort", "").partition(":")
            changed |= {"host": host, "port": port}
        else:
            changed["hostPort"] = f"{changed.pop('host', '')}:{changed.pop('port', '')}"
        objects.append(changed)
    return {"result": {"status": "Success"}, "convertedObjects": objects}


def converted(registered: Registered, hooks: WebhookServer, *, storage: str = "v1", **fields: Any) -> Kind:
    webhook = {
        "clientConfig": hooks.on("/crdconvert", convert),
        "conversionReviewVersions": ["v1", "v1beta1"],
    }
    return registered.define(
        version("v1", HOST_PORT, storage=storage == "v1", **fields.get("v1", {})),
        version("v2", HOST_AND_PORT, storage=storage == "v2", **fields.get("v2", {})),
        conversion={"strategy": "Webhook", "webhook": webhook},
    )


def test_custom_resource_definition_conversion_webhook_conversion_custom_resource(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    foos = converted(registered, hooks)
    assert api.post(foos.url(), foos.object(hostPort="localhost:8080")).code == 201
    found = api.get(foos.url("a", "v2"))
    assert found.code == 200
    assert (found["host"], found["port"], found["apiVersion"]) == ("localhost", "8080", f"{foos.group}/v2")
    assert "hostPort" not in found.body


def test_custom_resource_definition_conversion_webhook_convert_mixed_version_list(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    foos = converted(registered, hooks)
    assert api.post(foos.url(), foos.object("one", hostPort="localhost:8080")).code == 201

    def store_v2(spec: Object) -> None:
        for each in spec["versions"]:
            each["storage"] = each["name"] == "v2"

    foos.change(store_v2)
    eventually(lambda: api.get(foos.path)["status"]["storedVersions"] == ["v1", "v2"])
    made = api.post(foos.url("", "v1"), foos.object("two", hostPort="example.com:80"))
    assert made.code == 201
    listed = api.get(foos.url("", "v2"))
    assert [(o["metadata"]["name"], o["host"], o["port"]) for o in listed["items"]] == [
        ("one", "localhost", "8080"),
        ("two", "example.com", "80"),
    ]
    assert {o["apiVersion"] for o in listed["items"]} == {f"{foos.group}/v2"}
    assert [o["hostPort"] for o in api.get(foos.url("", "v1"))["items"]] == [
        "localhost:8080",
        "example.com:80",
    ]


SELECTABLE = {
    "v1": {"selectableFields": [{"jsonPath": ".hostPort"}]},
    "v2": {"selectableFields": [{"jsonPath": ".host"}, {"jsonPath": ".port"}]},
}


class Events:
    """The names of a watch's ADDED and DELETED events, as they come."""

    def __init__(self, events: Iterator[Object]) -> None:
        self.added: list[str] = []
        self.deleted: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(events,), daemon=True)
        self._thread.start()

    def _read(self, events: Iterator[Object]) -> None:
        try:
            for event in events:
                kept = {"ADDED": self.added, "DELETED": self.deleted}.get(event["type"])
                if kept is not None:
                    kept.append(event["object"]["metadata"]["name"])
        except (OSError, ValueError, AttributeError):
            return  # the test has closed the connection


@pytest.mark.parametrize("start", ["", "0", "list"])
def test_custom_resource_definition_field_selectors_list_watch(
    api: Api, hooks: WebhookServer, registered: Registered, start: str
) -> None:
    foos = converted(registered, hooks, **SELECTABLE)

    def url(version: str, fields: str) -> str:
        return f"{foos.url('', version)}?fieldSelector={selector(fields)}"

    def names(version: str, fields: str) -> list[str]:
        answer = api.get(url(version, fields))
        assert answer.code == 200, answer.body
        return [obj["metadata"]["name"] for obj in answer["items"]]

    since = api.get(foos.url())["metadata"]["resourceVersion"] if start == "list" else start
    query = f"&resourceVersion={since}" if since else ""
    with (
        api.watch(url("v2", "host=host1") + query) as by_host,
        api.watch(url("v2", "host=host1,port=80") + query) as by_both,
        api.watch(url("v1", "hostPort=host1:80") + query) as by_one,
    ):
        host, both, one = Events(by_host), Events(by_both), Events(by_one)
        for name, fields in (
            ("a", {"host": "host1", "port": "80"}),
            ("b", {"host": "host1", "port": "8080"}),
            ("c", {"host": "host2"}),
        ):
            made = api.post(foos.url("", "v2"), foos.object(name, "v2", **fields))
            assert made.code == 201, made.body
        assert names("v2", "host=host1") == ["a", "b"]
        assert names("v2", "host=host1,port=80") == ["a"]
        assert names("v1", "hostPort=host1:80") == ["a"]
        assert names("v1", "hostPort=host1:8080") == ["b"]
        eventually(lambda: host.added == ["a", "b"])
        eventually(lambda: both.added == one.added == ["a"])
        assert api.delete(url("v2", "host=host1,port=80")).code == 200
        changed = api.get(foos.url("b", "v2")).body
        assert api.put(foos.url("b", "v2"), {**changed, "host": "host2"}).code == 200
        assert names("v2", "host=host1") == names("v2", "host=host1,port=80") == []
        eventually(lambda: host.deleted == ["a", "b"])
        eventually(lambda: both.deleted == one.deleted == ["a"])
        assert host.added == ["a", "b"]
    unknown = api.get(url("v1", "host=host1"))
    assert unknown.code == 400
    assert unknown.message == "field label not supported: host"


def test_each_version_has_its_own_selectable_fields_without_a_webhook(
    api: Api, registered: Registered
) -> None:
    both: Object = {"type": "object", "properties": {"color": TEXT, "size": TEXT}}
    foos = registered.define(
        version("v1", both, selectableFields=[{"jsonPath": ".color"}]),
        version("v2", both, storage=False, selectableFields=[{"jsonPath": ".size"}]),
    )
    for name, color, size in (("a", "red", "s"), ("b", "blue", "l")):
        assert api.post(foos.url(), foos.object(name, color=color, size=size)).code == 201

    def names(version: str, fields: str) -> list[str]:
        listed = api.get(f"{foos.url('', version)}?fieldSelector={selector(fields)}")
        return [obj["metadata"]["name"] for obj in listed["items"]]

    assert names("v1", "color=red") == ["a"]
    assert names("v2", "size=l") == ["b"]
    assert api.get(f"{foos.url('', 'v2')}?fieldSelector={selector('color=red')}").code == 400


def test_a_watch_goes_on_where_it_was_when_the_schema_changes(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v1", HOST_PORT))
    assert api.post(foos.url(), foos.object("a", hostPort="a:1")).code == 201
    revision = api.get(foos.url())["metadata"]["resourceVersion"]
    assert api.post(foos.url(), foos.object("b", hostPort="b:1")).code == 201

    def describe(spec: Object) -> None:
        schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["weight"] = {"type": "integer", "default": 1}

    with api.watch(f"{foos.url()}?resourceVersion={revision}") as events:
        assert next(events)["object"]["metadata"]["name"] == "b"
        foos.change(describe)
        eventually(lambda: api.get(foos.url("a")).body.get("weight") == 1)
    with api.watch(f"{foos.url()}?resourceVersion={revision}") as events:
        event = next(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
        assert event["object"]["weight"] == 1
        assert api.delete(foos.url("a")).code == 200
        event = next(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "a")


def test_managers_of_several_versions_keep_their_fields(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    """Server-side apply in one version, then in another: ownership is told in the version it was taken in."""
    foos = converted(registered, hooks)

    def apply(manager: str, version: str, **fields: Any) -> Any:
        path = f"{foos.url('a', version)}?fieldManager={manager}&fieldValidation=Strict"
        return api.patch(path, foos.object("a", version, **fields), APPLY)

    assert apply("first", "v1", hostPort="localhost:8080").code == 201
    conflict = apply("second", "v2", host="example.com")
    assert conflict.code == 409
    assert 'conflict with "first"' in conflict.message
    own = apply("first", "v2", host="example.com", port="443")
    assert own.code == 200, own.body
    assert (own["host"], own["port"]) == ("example.com", "443")
    [kept] = own["metadata"]["managedFields"]
    assert (kept["manager"], kept["apiVersion"]) == ("first", f"{foos.group}/v2")
    assert api.get(foos.url("a"))["hostPort"] == "example.com:443"
