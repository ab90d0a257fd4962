"""CustomResourceDefinitions: what is accepted, published, taken and deleted."""

from __future__ import annotations

import copy

import pytest
from apiclient import Api
from customresources import CRDS, Kind, Object, eventually, version


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
