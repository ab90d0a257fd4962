"""CustomResourceDefinitions and the objects they define, as clients meet them."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from apiclient import APPLY, JSON_PATCH, STRATEGIC, Api
from webhookserver import WebhookServer, patching

Object = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_numbers = count()

SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["color"],
            "properties": {
                "color": {"type": "string", "enum": ["red", "blue"]},
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "port": {"x-kubernetes-int-or-string": True},
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                "note": {"type": "string", "nullable": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                    },
                },
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
        },
    },
}
PARTS: Object = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}


def eventually(check: Callable[[], Any], seconds: float = 10) -> Any:
    """What `check` gives once that is true."""
    give_up = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < give_up, "it did not come to be"
        time.sleep(0.005)
    return found


class Kind:
    """A definition of the test's own, established, and the URLs of its objects."""

    def __init__(self, api: Api, namespace: str, versions: list[Object], **spec: Any) -> None:
        self.api = api
        self.group = f"g{next(_numbers)}.example.com"
        names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}
        self.name = f"widgets.{self.group}"
        self.crd: Object = {
            "metadata": {"name": self.name},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": names,
                "versions": versions,
                **spec,
            },
        }
        self.namespace = namespace
        made = api.post(CRDS, self.crd)
        assert made.code == 201, made.body
        eventually(lambda: self.condition("Established") == "True")

    def url(self, name: str = "", version: str = "v1") -> str:
        scope = f"/namespaces/{self.namespace}" if self.crd["spec"]["scope"] == "Namespaced" else ""
        return f"/apis/{self.group}/{version}{scope}/widgets" + (f"/{name}" if name else "")

    def object(self, name: str = "a", version: str = "v1", **fields: Any) -> Object:
        kind = {"apiVersion": f"{self.group}/{version}", "kind": "Widget"}
        return {**kind, "metadata": {"name": name}, **fields}

    def condition(self, kind: str) -> str:
        found = self.api.get(f"{CRDS}/{self.name}").body.get("status", {}).get("conditions") or ()
        return next((str(c["status"]) for c in found if c["type"] == kind), "")

    def change(self, change: Callable[[Object], None]) -> None:
        """Update the definition."""
        crd = copy.deepcopy(self.api.get(f"{CRDS}/{self.name}").body)
        change(crd["spec"])
        assert self.api.put(f"{CRDS}/{self.name}", crd).code == 200


def version(name: str = "v1", *, storage: bool = True, schema: Object = SCHEMA, **fields: Any) -> Object:
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": PARTS,
        **fields,
    }


Define = Callable[..., Kind]


@pytest.fixture
def define(api: Api, namespace: str) -> Iterator[Define]:
    made: list[Kind] = []

    def make(*versions: Object, **spec: Any) -> Kind:
        made.append(Kind(api, namespace, list(versions) or [version()], **spec))
        return made[-1]

    yield make
    for kind in made:
        api.delete(f"{CRDS}/{kind.name}")


@pytest.fixture
def widgets(define: Define) -> Kind:
    return define()


# Definitions


def test_a_definition_is_accepted_and_established(api: Api, widgets: Kind) -> None:
    status = api.get(f"{CRDS}/{widgets.name}")["status"]
    assert status["acceptedNames"] == {
        "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"],
        "categories": ["all"],
    }  # fmt: skip
    assert status["storedVersions"] == ["v1"]
    shown = {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}
    assert shown == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }


def test_discovery_and_openapi(api: Api, widgets: Kind) -> None:
    """Custom Resource Definition, discovery; Aggregated Discovery Endpoint Accept Headers CRDs."""
    listed = api.get(f"/apis/{widgets.group}/v1")["resources"]
    assert [entry["name"] for entry in listed] == ["widgets", "widgets/scale", "widgets/status"]
    assert listed[0]["shortNames"] == ["wd"]
    assert widgets.group in [group["name"] for group in api.get("/apis")["groups"]]
    for form in ("v2", "v2beta1"):
        accept = f"application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList"
        found = api.get("/apis", Accept=accept)["items"]
        assert widgets.group in [item["metadata"]["name"] for item in found]
    name = ".".join(reversed(widgets.group.split("."))) + ".v1.Widget"
    spec = api.get(f"/openapi/v3/apis/{widgets.group}/v1")["components"]["schemas"][name]["properties"][
        "spec"
    ]
    assert spec["properties"]["color"]["enum"] == ["red", "blue"]
    assert name in api.get("/openapi/v2")["definitions"]
    widgets.change(lambda spec: spec["versions"].append(version("v2", storage=False)))
    eventually(lambda: api.get(f"/apis/{widgets.group}/v2").code == 200)
    widgets.change(lambda spec: spec["versions"][1].update(served=False))
    eventually(lambda: api.get(f"/apis/{widgets.group}/v2").code == 404)
    assert f"apis/{widgets.group}/v2" not in api.get("/openapi/v3")["paths"]


def test_names_are_taken_once(api: Api, widgets: Kind) -> None:
    other = copy.deepcopy(widgets.crd)
    other["metadata"]["name"] = f"gadgets.{widgets.group}"
    other["spec"]["names"] = {"plural": "gadgets", "kind": "Widget"}
    assert api.post(CRDS, other).code == 201
    path = f"{CRDS}/gadgets.{widgets.group}"

    def conditions() -> dict[str, str]:
        found = api.get(path)["status"]["conditions"] or ()
        return {c["type"]: f"{c['status']} {c['reason']} {c['message']}" for c in found}

    eventually(conditions)
    assert conditions() == {
        "NamesAccepted": 'False ListKindConflict "WidgetList" is already in use',
        "Established": "False NotAccepted not all names are accepted",
    }
    assert api.delete(f"{CRDS}/{widgets.name}").code == 200
    eventually(lambda: conditions()["Established"].startswith("True"))
    assert api.delete(path).code == 200


def test_deleting_a_definition_deletes_its_objects(api: Api, widgets: Kind) -> None:
    held = widgets.object("held", spec={"color": "red"})
    held["metadata"]["finalizers"] = ["example.com/wait"]
    for obj in (held, widgets.object(spec={"color": "red"})):
        assert api.post(widgets.url(), obj).code == 201
    deleted = api.delete(f"{CRDS}/{widgets.name}")
    assert deleted.code == 200
    assert deleted["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    eventually(lambda: len(api.get(widgets.url())["items"]) == 1)
    assert widgets.condition("Terminating") == "True"
    refused = api.post(widgets.url(), widgets.object("late", spec={"color": "red"}))
    assert refused.code == 405
    assert api.patch(widgets.url("held"), {"metadata": {"finalizers": None}}).code == 200
    eventually(lambda: api.get(f"{CRDS}/{widgets.name}").code == 404)
    eventually(lambda: api.get(widgets.url()).code == 404)


def test_a_definition_that_comes_back_starts_empty(api: Api, widgets: Kind) -> None:
    assert api.post(widgets.url(), widgets.object(spec={"color": "red"})).code == 201
    api.delete(f"{CRDS}/{widgets.name}")
    eventually(lambda: api.get(f"{CRDS}/{widgets.name}").code == 404)
    crd = copy.deepcopy(widgets.crd)
    crd["spec"]["scope"] = "Cluster"
    assert api.post(CRDS, crd).code == 201
    url = f"/apis/{widgets.group}/v1/widgets"
    eventually(lambda: api.get(url).code == 200)
    assert api.get(url)["items"] == []
    assert api.post(url, widgets.object(spec={"color": "red"})).code == 201
    assert "namespace" not in api.get(f"{url}/a")["metadata"]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (
            {"type": "array", "items": {"type": "string"}},
            'openAPIV3Schema.type: Invalid value: "array": must be object at the root',
        ),
        (
            {"type": "object", "properties": {"spec": {}}},
            "openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array"}}},
            "openAPIV3Schema.properties[a].items: Required value: must be specified",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string", "uniqueItems": True}}},
            "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}},
            'properties[a].default in body must be of type integer: "string"',
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "self.x +"}]},
            "x-kubernetes-validations[0].rule: Invalid value: ",
        ),
    ],
)  # fmt: skip
def test_schemas_must_be_structural(api: Api, schema: Object, problem: str) -> None:
    spec = {
        "group": "bad.example.com",
        "scope": "Namespaced",
        "names": {"plural": "bads", "kind": "Bad"},
        "versions": [version(schema=schema)],
    }
    refused = api.post(CRDS, {"metadata": {"name": "bads.bad.example.com"}, "spec": spec})
    assert refused.code == 422
    assert problem in refused.message


# Objects


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


# Versions


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
