"""Area apimachinery: server side field validation of typed objects and of custom resources."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apiclient import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api
from registrations import Kind, Registered, version

Object = dict[str, Any]
STRICT = "fieldManager=field_validation_mgr&fieldValidation=Strict"

PORT: Object = {
    "type": "object",
    "required": ["containerPort", "protocol"],
    "properties": {
        "containerPort": {"type": "integer", "format": "int32"},
        "hostPort": {"type": "integer", "format": "int32"},
        "hostIP": {"type": "string"},
        "name": {"type": "string"},
        "protocol": {"type": "string"},
    },
}
SPEC: Object = {
    "foo": {"type": "string"},
    "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
    "ports": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
        "items": PORT,
    },
}
TEMPLATE: Object = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": {"type": "object"},
    },
}


def schema(*, preserve: bool = False) -> Object:
    spec: Object = {"type": "object", "properties": SPEC}
    if preserve:
        spec = {
            "type": "object",
            "properties": {**SPEC, "template": TEMPLATE},
            "x-kubernetes-preserve-unknown-fields": True,
        }
    return {"type": "object", "properties": {"spec": spec}}


def deployment(metadata: str = "", spec: str = "") -> str:
    """JSON as text, so that keys can be there twice."""
    template = '{"metadata":{"labels":{"app":"nginx"}},"spec":{"containers":[{"name":"n","image":"nginx"}]}}'
    return (
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"my-dep",'
        f'{metadata}"labels":{{"app":"nginx"}}}},"spec":{{{spec}"selector":{{"matchLabels":{{"app":"nginx"}}}},'
        f'"template":{template}}}}}'
    )


def test_server_side_field_validation_typed_object(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments?{STRICT}"
    body = deployment(spec='"unknownField":"foo","replicas":2,"replicas":3,')
    refused = api.post(path, body)
    assert refused.code == 400
    assert (
        'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"'
        in refused.message
    )


def test_server_side_field_validation_typed_unknown_metadata(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments?{STRICT}"
    refused = api.post(path, deployment(metadata='"unknownMeta":"foo",'))
    assert refused.code == 400
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in refused.message


def document(kind: Kind, head: str = "", metadata: str = "", spec: str = "") -> str:
    """YAML as an apply sends it."""
    return f"""
apiVersion: {kind.group}/v1
kind: {kind.kind}
metadata:
  name: mytest{metadata}
  finalizers:
  - test-finalizer{head}
spec:{spec}
  foo: foo1
  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP
"""


def applied(api: Api, kind: Kind, body: str) -> Any:
    answer = api.patch(f"{kind.url('mytest')}?{STRICT}", body, APPLY)
    if answer.code < 300:
        assert api.patch(kind.url("mytest"), {"metadata": {"finalizers": None}}).code == 200
    return answer


def test_server_side_field_validation_valid_cr_with_validation_schema(
    api: Api, registered: Registered
) -> None:
    foos = registered.define(version("v1", schema()), scope="Cluster")
    answer = applied(api, foos, document(foos))
    assert answer.code == 201, answer.body
    assert answer["spec"]["ports"] == [{"name": "x", "containerPort": 80, "protocol": "TCP"}]


def test_server_side_field_validation_unknown_fields_cr_no_validation_schema(
    api: Api, registered: Registered
) -> None:
    foos = registered.define(version("v1"), scope="Cluster")
    answer = applied(api, foos, document(foos, spec="\n  unknown: uk1"))
    assert answer.code == 201, answer.body
    assert answer["spec"]["unknown"] == "uk1"


def test_server_side_field_validation_unknown_fields_cr_fails_validation(
    api: Api, registered: Registered
) -> None:
    foos = registered.define(version("v1", schema()), scope="Cluster")
    refused = applied(api, foos, document(foos, head="\nunknownField: unknown"))
    assert refused.code >= 400
    assert ".unknownField: field not declared in schema" in refused.message


def test_server_side_field_validation_unknown_metadata(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v1", schema(preserve=True)), scope="Cluster")
    template = """
  template:
    apiVersion: foo/v1
    kind: Sub
    metadata:
      unknownSubMeta: unknown
      name: subobject"""
    root = applied(api, foos, document(foos, metadata="\n  unknownMeta: unknown"))
    assert root.code >= 400
    assert ".metadata.unknownMeta: field not declared in schema" in root.message
    for text in (template, ""):
        body = document(foos, metadata="" if text else "\n  unknownMeta: unknown", spec=text)
        path = f"{foos.url('mytest')}?{STRICT}"
        refused = api.patch(path, body, APPLY)
        assert refused.code >= 400, refused.body
    posted = {
        "metadata": {"name": "posted", "unknownMeta": "x"},
        "spec": {"template": {"metadata": {"name": "sub", "unknownSubMeta": "x"}}},
    }
    both = api.post(f"{foos.url()}?{STRICT}", {**foos.object(), **posted})
    assert both.code == 400
    assert 'unknown field "metadata.unknownMeta"' in both.message
    assert 'unknown field "spec.template.metadata.unknownSubMeta"' in both.message


def test_server_side_field_validation_cr_duplicates(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v1", schema(preserve=True)), scope="Cluster")
    body = document(foos, spec="\n  unknown: uk1\n  foo: foo0")
    refused = applied(api, foos, body)
    assert refused.code == 400
    assert 'line 11: key "foo" already set in map' in refused.message
    text = json.dumps(foos.object("mytest", spec={"foo": "a"}))
    twice = text.replace('"foo": "a"', '"foo": "a", "foo": "b", "unknown": 1, "unknown": 2')
    posted = api.post(f"{foos.url()}?{STRICT}", twice)
    assert posted.code == 400
    assert 'duplicate field "spec.foo", duplicate field "spec.unknown"' in posted.message


@pytest.mark.parametrize("content", [MERGE, STRATEGIC, JSON_PATCH])
def test_patches_are_validated_as_asked(api: Api, namespace: str, content: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert api.post(path, deployment()).code == 201
    patch: Any = '{"spec":{"unknown":1,"replicas":2,"replicas":3}}'
    if content == JSON_PATCH:
        twice = '{"op":"add","op":"add","path":"/spec/replicas","value":3}'
        patch = f'[{{"op":"add","path":"/spec/unknown","value":1}},{twice}]'
    strict = api.patch(f"{path}/my-dep?fieldValidation=Strict", patch, content)
    assert strict.code in (400, 422), strict.body
    assert 'unknown field "spec.unknown"' in strict.message
    assert "duplicate field" in strict.message
    warned = api.patch(f"{path}/my-dep?fieldValidation=Warn", patch, content)
    assert warned.code == 200
    warnings = warned.headers.get_all("Warning") or []
    assert any("spec.unknown" in warning for warning in warnings)
    assert any("duplicate field" in warning for warning in warnings)
    ignored = api.patch(f"{path}/my-dep?fieldValidation=Ignore", patch, content)
    assert ignored.code == 200
    assert "Warning" not in ignored.headers
    wrong = api.patch(f"{path}/my-dep?fieldValidation=Perhaps", patch, content)
    assert wrong.code in (400, 422)
    assert "Perhaps" in wrong.message
