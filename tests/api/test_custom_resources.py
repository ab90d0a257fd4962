"""The objects of custom resources, as clients meet them."""

from __future__ import annotations

import copy
import json
from typing import Any

from apiclient import APPLY, JSON_PATCH, STRATEGIC, Api
from customresources import CRDS, SCHEMA, Define, Kind, Object, eventually, version


def test_objects_are_validated_in_the_words_of_kubernetes(api: Api, widgets: Kind) -> None:
    spec = {
        "color": "green",
        "replicas": "three",
        "port": [],
        "name": "Too-long",
        "items": [{"name": "a"}, {"name": "a"}, {}],
        "template": {"metadata": {}},
    }
    refused = api.post(widgets.url(), widgets.object(spec=spec))
    assert refused.code == 422
    assert refused.message.startswith(f'Widget.{widgets.group} "a" is invalid: [')
    found = {f"{c['field']}: {c['message']}" for c in refused["details"]["causes"]}
    assert found == {
        'spec.color: Unsupported value: "green": supported values: "red", "blue"',
        'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        'spec.port: Invalid value: "array": spec.port in body must be of type integer,string: "array"',
        "spec.name: Too long: may not be more than 5 bytes",
        "spec.name: Invalid value: \"Too-long\": spec.name in body should match '^[a-z]+$'",
        'spec.items[1]: Duplicate value: {"name":"a"}',
        "spec.items[2].name: Required value",
        "spec.template.apiVersion: Required value: must not be empty",
        "spec.template.kind: Required value: must not be empty",
    }
    assert "spec.color: Required value" in api.post(widgets.url(), widgets.object(spec={})).message


def test_unknown_fields_are_pruned_warned_of_or_refused(api: Api, widgets: Kind) -> None:
    body = widgets.object(spec={"color": "red", "other": 1, "free": {"kept": 1}}, extra=True)
    made = api.post(widgets.url(), body)
    assert made.code == 201
    assert made["spec"] == {"color": "red", "free": {"kept": 1}, "replicas": 1}
    assert "extra" not in made.body
    assert sorted(made.headers.get_all("Warning") or ()) == [
        '299 - "unknown field \\"extra\\""',
        '299 - "unknown field \\"spec.other\\""',
    ]
    strict = api.post(f"{widgets.url()}?fieldValidation=Strict", {**body, "metadata": {"name": "b"}})
    assert strict.code == 400
    assert 'strict decoding error: unknown field "spec.other", unknown field "extra"' in strict.message
    ignored = api.post(f"{widgets.url()}?fieldValidation=Ignore", {**body, "metadata": {"name": "c"}})
    assert "Warning" not in ignored.headers


def test_nulls(api: Api, widgets: Kind) -> None:
    made = api.post(widgets.url(), widgets.object(spec={"color": "red", "note": None, "replicas": None}))
    assert made["spec"] == {"color": "red", "note": None, "replicas": 1}


def test_defaults_come_with_writes_and_with_reads(api: Api, widgets: Kind) -> None:
    """Custom Resource Definition, defaulting."""
    assert api.post(widgets.url(), widgets.object(spec={"color": "red"}))["spec"]["replicas"] == 1

    def add(spec: Object) -> None:
        properties = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        properties["size"] = {"type": "string", "default": "big"}

    widgets.change(add)
    eventually(lambda: api.get(widgets.url("a"))["spec"].get("size") == "big")
    assert api.get(widgets.url())["items"][0]["spec"]["size"] == "big"


def test_the_status_is_apart(api: Api, widgets: Kind) -> None:
    made = api.post(widgets.url(), widgets.object(spec={"color": "red"}, status={"replicas": 7}))
    assert "status" not in made.body
    changed = api.patch(f"{widgets.url('a')}/status", {"status": {"replicas": 2}, "spec": {"color": "blue"}})
    assert (changed["status"], changed["spec"]["color"]) == ({"replicas": 2}, "red")
    assert changed["metadata"]["generation"] == 1
    changed = api.patch(widgets.url("a"), {"spec": {"color": "blue"}, "status": {"replicas": 9}})
    assert (changed["status"], changed["spec"]["color"]) == ({"replicas": 2}, "blue")
    assert changed["metadata"]["generation"] == 2
    wrong = api.patch(f"{widgets.url('a')}/status", {"status": {"replicas": "x"}})
    assert wrong.code == 422


def test_scale(api: Api, widgets: Kind) -> None:
    api.post(widgets.url(), widgets.object(spec={"color": "red", "replicas": 2}))
    api.patch(f"{widgets.url('a')}/status", {"status": {"replicas": 1, "selector": "app=a"}})
    scale = api.get(f"{widgets.url('a')}/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "app=a"})
    assert api.patch(f"{widgets.url('a')}/scale", {"spec": {"replicas": 5}})["spec"] == {"replicas": 5}
    assert api.get(widgets.url("a"))["spec"]["replicas"] == 5


def test_patches(api: Api, widgets: Kind) -> None:
    api.post(widgets.url(), widgets.object(spec={"color": "red", "labels": {"a": "1"}}))
    merged = api.patch(widgets.url("a"), {"spec": {"labels": {"a": None, "b": "2"}}})
    assert merged["spec"]["labels"] == {"b": "2"}
    patched = api.patch(
        widgets.url("a"), [{"op": "replace", "path": "/spec/color", "value": "blue"}], JSON_PATCH
    )
    assert patched["spec"]["color"] == "blue"
    refused = api.patch(widgets.url("a"), {"spec": {"color": "red"}}, STRATEGIC)
    assert refused.code == 415
    stale = widgets.object(spec={"color": "red"})
    assert "metadata.resourceVersion: Invalid value: 0x0" in api.put(widgets.url("a"), stale).message


def test_server_side_apply_knows_the_list_types(api: Api, widgets: Kind) -> None:
    def apply(manager: str, *items: Object, force: bool = False) -> Any:
        body = widgets.object(spec={"color": "red", "items": list(items)})
        query = f"fieldManager={manager}" + ("&force=true" if force else "")
        return api.patch(f"{widgets.url('a')}?{query}", json.dumps(body), APPLY)

    assert apply("one", {"name": "x", "size": 1}).code == 201
    both = apply("two", {"name": "y", "size": 2})
    assert [item["name"] for item in both["spec"]["items"]] == ["x", "y"]
    conflict = apply("two", {"name": "x", "size": 3})
    assert conflict.code == 409
    assert conflict.message == (
        'Apply failed with 1 conflict: conflict with "one": .spec.items[name="x"].size'
    )
    assert apply("two", {"name": "x", "size": 3}, force=True)["spec"]["items"] == [{"name": "x", "size": 3}]


def test_tables_have_the_definitions_columns(api: Api, define: Define) -> None:
    columns = [
        {"name": "Color", "type": "string", "jsonPath": ".spec.color", "description": "What it looks like"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.items[?(@.name=='big')].size"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    kind = define(version(additionalPrinterColumns=columns))
    spec = {"color": "red", "items": [{"name": "small", "size": 1}, {"name": "big", "size": 9}]}
    api.post(kind.url(), kind.object(spec=spec))
    api.post(kind.url(), kind.object("b", spec={"color": "blue"}))
    table = api.get(kind.url(), Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "Color",
        "Replicas",
        "Size",
        "Age",
    ]
    assert [row["cells"][:4] for row in table["rows"]] == [["a", "red", 1, 9], ["b", "blue", 1, None]]


def test_selectable_fields(api: Api, define: Define) -> None:
    kind = define(version(selectableFields=[{"jsonPath": ".spec.color"}]))
    for name, color in (("a", "red"), ("b", "blue")):
        api.post(kind.url(), kind.object(name, spec={"color": color}))
    found = api.get(f"{kind.url()}?fieldSelector=spec.color%3Dblue")["items"]
    assert [item["metadata"]["name"] for item in found] == ["b"]
    refused = api.get(f"{kind.url()}?fieldSelector=spec.replicas%3D1")
    assert refused.code == 400
    assert refused.message == "field label not supported: spec.replicas"


def test_rules_hold(api: Api, define: Define) -> None:
    schema = copy.deepcopy(SCHEMA)
    spec = schema["properties"]["spec"]
    spec["x-kubernetes-validations"] = [
        {"rule": "self.replicas <= 10", "messageExpression": "'at most 10, not ' + string(self.replicas)"},
        {
            "rule": "self.color == 'red' || !has(self.port)",
            "reason": "FieldValueForbidden",
            "fieldPath": ".port",
        },
    ]
    spec["properties"]["color"]["x-kubernetes-validations"] = [
        {"rule": "self == oldSelf", "message": "Value is immutable"}
    ]
    kind = define(version(schema=schema))
    assert api.post(kind.url(), kind.object(spec={"color": "red", "port": 1})).code == 201
    refused = api.post(kind.url(), kind.object("b", spec={"color": "blue", "port": 1, "replicas": 11}))
    assert refused.code == 422
    assert [f"{c['field']}: {c['message']}" for c in refused["details"]["causes"]] == [
        'spec: Invalid value: "object": at most 10, not 11',
        "spec.port: Forbidden: failed rule: self.color == 'red' || !has(self.port)",
    ]
    refused = api.patch(kind.url("a"), {"spec": {"color": "blue", "port": None}})
    assert 'spec.color: Invalid value: "string": Value is immutable' in refused.message
    assert api.patch(kind.url("a"), {"spec": {"replicas": 10}}).code == 200


def test_what_was_wrong_may_stay_wrong(api: Api, widgets: Kind) -> None:
    api.post(widgets.url(), widgets.object(spec={"color": "red", "name": "ab"}))

    def tighten(spec: Object) -> None:
        properties = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        properties["name"]["maxLength"] = 1
        properties["extra"] = {"type": "string", "default": "there"}

    widgets.change(tighten)
    eventually(lambda: "extra" in api.get(widgets.url("a"))["spec"])
    assert api.patch(widgets.url("a"), {"spec": {"color": "blue"}}).code == 200
    assert api.patch(widgets.url("a"), {"spec": {"name": "abc"}}).code == 422


def test_watches_see_objects_and_end_with_the_definition(api: Api, widgets: Kind) -> None:
    with api.watch(widgets.url()) as events:
        api.post(widgets.url(), widgets.object(spec={"color": "red"}))
        api.patch(widgets.url("a"), {"spec": {"color": "blue"}})
        api.delete(widgets.url("a"))
        seen = [next(events) for _ in range(3)]
        assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
        assert seen[1]["object"]["spec"]["color"] == "blue"
        api.delete(f"{CRDS}/{widgets.name}")
        assert list(events) == []
