"""Area apimachinery: CustomResourceDefinitions and what they define."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import JSON_PATCH, Api, selector
from registrations import CRDS, Registered, eventually, unique, version

Object = dict[str, Any]


def test_custom_resource_definition_create(api: Api, registered: Registered) -> None:
    foos = registered.define()
    assert api.get(foos.path)["metadata"]["name"] == f"foos.{foos.group}"
    assert api.delete(foos.path).code == 200
    eventually(lambda: api.get(foos.path).code == 404)
    eventually(lambda: api.get(foos.url()).code == 404)


def test_custom_resource_definition_list(api: Api, registered: Registered) -> None:
    label = unique("crds")
    other = registered.define()
    made = [registered.define(plural=f"items{number}s", labels={"list": label}) for number in range(10)]
    chosen = f"{CRDS}?labelSelector={selector(f'list={label}')}"
    names = {crd["metadata"]["name"] for crd in api.get(chosen)["items"]}
    assert names == {kind.path.rsplit("/", 1)[1] for kind in made}
    assert api.delete(chosen).code == 200
    eventually(lambda: not api.get(chosen)["items"])
    assert api.get(other.path).code == 200


def test_custom_resource_definition_status_sub_resource(api: Api, registered: Registered) -> None:
    foos = registered.define()
    status = api.get(f"{foos.path}/status").body
    assert status["status"]["acceptedNames"]["plural"] == "foos"
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
    condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    status["status"]["conditions"].append(condition)
    status["spec"]["scope"] = "Cluster"
    updated = api.put(f"{foos.path}/status", status)
    assert updated.code == 200, updated.body
    assert condition in updated["status"]["conditions"]
    assert updated["spec"]["scope"] == "Namespaced"
    conditions = [*updated["status"]["conditions"], {**condition, "type": "StatusPatched"}]
    patched = api.patch(f"{foos.path}/status", {"status": {"conditions": conditions}})
    assert patched.code == 200
    assert foos.condition("StatusPatched") == "True"


def test_custom_resource_definition_discovery(api: Api) -> None:
    group = "apiextensions.k8s.io"
    [found] = [g for g in api.get("/apis")["groups"] if g["name"] == group]
    assert {"groupVersion": f"{group}/v1", "version": "v1"} in found["versions"]
    assert {"groupVersion": f"{group}/v1", "version": "v1"} in api.get(f"/apis/{group}")["versions"]
    names = [r["name"] for r in api.get(f"/apis/{group}/v1")["resources"]]
    assert "customresourcedefinitions" in names


def test_custom_resource_definition_defaulting(api: Api, registered: Registered) -> None:
    text: Object = {"type": "string"}
    schema: Object = {"type": "object", "properties": {"a": text, "b": text}}
    foos = registered.define(version("v1", schema))
    first = api.post(foos.url(), foos.object("first"))
    assert "a" not in first.body

    def default(**defaults: str) -> None:
        def change(spec: Object) -> None:
            fields = {k: {**text, **({"default": defaults[k]} if k in defaults else {})} for k in "ab"}
            spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = fields

        foos.change(change)

    default(a="A")
    eventually(lambda: api.get(foos.url("first")).body.get("a") == "A")
    second = api.post(foos.url(), foos.object("second"))
    assert second["a"] == "A"
    default(b="B")
    eventually(lambda: api.get(foos.url("second")).body.get("b") == "B")
    assert api.get(foos.url("second"))["a"] == "A"
    assert "a" not in api.get(foos.url("first")).body
    assert {o["metadata"]["name"]: o.get("b") for o in api.get(foos.url())["items"]} == {
        "first": "B",
        "second": "B",
    }


def test_custom_resource_definition_watch(api: Api, registered: Registered) -> None:
    foos = registered.define(scope="Cluster")
    revision = api.get(foos.url())["metadata"]["resourceVersion"]

    def watch(name: str) -> Any:
        chosen = selector(f"metadata.name={name}")
        return api.watch(f"{foos.url()}?fieldSelector={chosen}&resourceVersion={revision}")

    with watch("name1") as first, watch("name2") as second:
        for name in ("name1", "name2"):
            assert api.post(foos.url(), foos.object(name)).code == 201
        for name in ("name1", "name2"):
            patch = [{"op": "add", "path": "/spec", "value": {"patched": True}}]
            assert api.patch(foos.url(name), patch, JSON_PATCH).code == 200
        for name in ("name1", "name2"):
            assert api.delete(foos.url(name)).code == 200
        for name, events in (("name1", first), ("name2", second)):
            seen = [next(events) for _ in range(3)]
            assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
            assert {event["object"]["metadata"]["name"] for event in seen} == {name}


RULES: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-validations": [{"rule": "self.x + self.y > 0"}],
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
        },
        "status": {
            "type": "object",
            "x-kubernetes-validations": [{"rule": "self.health == 'ok' || self.health == 'unhealthy'"}],
            "properties": {"health": {"type": "string"}},
        },
    },
}


def test_custom_resources_that_satisfy_the_validation_rules_are_created(
    api: Api, registered: Registered
) -> None:
    foos = registered.define(version("v1", RULES))
    assert api.post(foos.url(), foos.object(spec={"x": 1, "y": 0})).code == 201


def test_custom_resources_that_do_not_satisfy_the_validation_rules_are_refused(
    api: Api, registered: Registered
) -> None:
    foos = registered.define(version("v1", RULES))
    refused = api.post(foos.url(), foos.object(spec={"x": 0, "y": 0}))
    assert refused.code == 422
    assert "failed rule" in refused.message


def ruled(rule: str, **properties: Object) -> Object:
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": [{"rule": rule}]}
    return {"type": "object", "properties": {"spec": spec}}


UNBOUNDED: Object = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (ruled("self.z == 100", x={"type": "integer"}), "undefined field 'z'"),
        (ruled("self = 42", x={"type": "integer"}), "Syntax error"),
        (ruled("self.x + 1", x={"type": "integer"}), "must evaluate to a bool"),
        (
            ruled("self.x == 'a'", x={"type": "integer"}),
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            ruled(
                "self.x.all(i, i.y == 1)",
                x={"type": "array", "items": {"type": "object", "properties": {"z": {"type": "integer"}}}},
            ),
            "undefined field 'y'",
        ),
        (
            ruled("self.x.all(a, self.x.all(b, a.all(c, b.all(d, c == d))))", x=UNBOUNDED),
            "estimated rule cost exceeds budget by factor of",
        ),
    ],
)
def test_definitions_with_validation_rules_that_cannot_be_are_refused(
    api: Api, schema: Object, problem: str
) -> None:
    """MUST fail create of a definition whose rule refers to a property that does not exist, is no CEL, costs much."""
    group = f"{unique('rules')}.example.com"
    names = {"plural": "foos", "kind": "Foo"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version("v1", schema)]}
    refused = api.post(f"{CRDS}?dryRun=All", {"metadata": {"name": f"foos.{group}"}, "spec": spec})
    assert refused.code == 422
    assert problem in refused.message


def test_transition_rules_compare_with_what_was(api: Api, registered: Registered) -> None:
    """MUST fail update of a custom resource that does not satisfy a transition rule."""
    schema = ruled("self.num == 0 || self.num == oldSelf.num", num={"type": "integer"})
    foos = registered.define(version("v1", schema))
    made = api.post(foos.url(), foos.object(spec={"num": 10}))
    assert made.code == 201
    refused = api.put(foos.url("a"), {**made.body, "spec": {"num": 15}})
    assert refused.code == 422
    assert "failed rule" in refused.message
    assert api.put(foos.url("a"), {**made.body, "spec": {"num": 0}}).code == 200


def test_what_was_invalid_before_a_schema_changed_may_stay(api: Api, registered: Registered) -> None:
    """CRD validation ratcheting: MUST NOT fail to update a resource due to unchanged invalid values."""
    loose: Object = {
        "type": "object",
        "properties": {"field": {"type": "string"}, "other": {"type": "string"}},
    }
    foos = registered.define(version("v1", loose))
    made = api.post(foos.url(), foos.object(field="too long a text"))
    assert made.code == 201

    def tighten(spec: Object) -> None:
        properties = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        properties["field"]["maxLength"] = 3

    foos.change(tighten)
    eventually(lambda: api.post(foos.url(), foos.object("b", field="long")).code == 422)
    changed = api.patch(foos.url("a"), {"other": "x"})
    assert changed.code == 200, changed.body
    assert api.patch(foos.url("a"), {"field": "still too long"}).code == 422
