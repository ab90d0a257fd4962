"""What the server answers to requests that are wrong: always a Status that says what, never half a write."""

from __future__ import annotations

import json

import pytest
from apiclient import MERGE, Api
from objects import config, deployment, pod


def test_broken_json_and_yaml(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    for body, content in (("{", "application/json"), ("a: [", "application/yaml"), ("", "application/json")):
        answer = api.post(path, body, content=content)
        assert answer.code == 400, answer.body
        assert answer["reason"] == "BadRequest"
        assert answer["kind"] == "Status"


def test_yaml_is_as_good_as_json(api: Api, namespace: str) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yam}\ndata: {a: '1'}\n"
    made = api.post(f"/api/v1/namespaces/{namespace}/configmaps", text, content="application/yaml")
    assert made.code == 201
    shown = api.get(f"/api/v1/namespaces/{namespace}/configmaps/yam", Accept="application/yaml")
    assert shown.headers["Content-Type"] == "application/yaml"
    assert "a: '1'" in shown.body


def test_wrong_kinds_and_versions(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    body = pod()
    body["kind"] = "Podd"
    answer = api.post(path, body)
    assert answer.code == 400
    assert 'no kind "Podd" is registered for version "v1"' in answer.message
    body = pod()
    body["apiVersion"] = "v2"
    assert api.post(path, body).code == 400
    assert api.post("/apis/apps/v9/namespaces/default/deployments", deployment()).code == 404
    assert api.get("/apis/nosuch.example.com/v1/things").code == 404
    assert api.get("/api/v1/podds").message == "the server could not find the requested resource"


def test_unknown_fields_follow_field_validation(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    body = pod()
    body["spec"]["replicsa"] = 3
    strict = api.post(f"{path}?fieldValidation=Strict", body)
    assert strict.code == 400
    assert 'strict decoding error: unknown field "spec.replicsa"' in strict.message
    warned = api.post(path, body)
    assert warned.code == 201
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.replicsa\\""'
    assert "replicsa" not in warned["spec"]
    body["metadata"]["name"] = "other"
    ignored = api.post(f"{path}?fieldValidation=Ignore", body)
    assert ignored.code == 201
    assert "Warning" not in ignored.headers
    patched = api.patch(f"{path}/web?fieldValidation=Strict", {"spec": {"nosuch": 1}})
    assert patched.code == 422
    assert 'unknown field "spec.nosuch"' in patched.message
    wrong = api.post(f"{path}?fieldValidation=Maybe", body)
    assert wrong.code == 422


def test_duplicate_fields_are_told(api: Api, namespace: str) -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"a":"1","a":"2"}}'
    path = f"/api/v1/namespaces/{namespace}/configmaps?fieldValidation=Strict"
    answer = api.post(path, text)
    assert answer.code == 400
    assert 'duplicate field "data.a"' in answer.message


def test_wrong_types(api: Api, namespace: str) -> None:
    body = deployment()
    body["spec"]["replicas"] = "two"
    answer = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
    assert answer.code == 400
    assert (
        "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        in answer.message
    )


def test_invalid_values_name_the_field(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    body = deployment()
    body["spec"]["replicas"] = -1
    answer = api.post(path, body)
    assert answer.code == 422
    assert answer["reason"] == "Invalid"
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in answer.message
    cause = answer["details"]["causes"][0]
    assert (cause["reason"], cause["field"]) == ("FieldValueInvalid", "spec.replicas")
    assert api.get(f"{path}/web").code == 404
    body = pod()
    del body["spec"]["containers"][0]["image"]
    answer = api.post(f"/api/v1/namespaces/{namespace}/pods", body)
    assert answer.code == 422
    assert answer.message == 'Pod "web" is invalid: spec.containers[0].image: Required value'
    long = api.post(f"/api/v1/namespaces/{namespace}/configmaps", config("x" * 254))
    assert long.code == 422
    assert "must be no more than 253" in long.message
    nameless = api.post(f"/api/v1/namespaces/{namespace}/configmaps", {"data": {}})
    assert nameless.code == 422
    assert "metadata.name: Required value: name or generateName is required" in nameless.message


def test_immutable_fields_stay(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment())
    answer = api.patch(f"{path}/web", {"spec": {"selector": {"matchLabels": {"other": "label"}}}})
    assert answer.code == 422
    assert "field is immutable" in answer.message


def test_bodies_that_are_too_large(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = api.post(path, config(a="x" * (10 << 20)))
    assert answer.code == 413
    assert answer["reason"] == "RequestEntityTooLarge"
    api.close()
    assert api.get(f"{path}/c").code == 404


@pytest.mark.parametrize("content", ["text/plain", "application/xml"])
def test_content_types_that_cannot_be_read(api: Api, namespace: str, content: str) -> None:
    answer = api.post(f"/api/v1/namespaces/{namespace}/pods", "x", content=content)
    assert answer.code == 415
    assert answer["reason"] == "UnsupportedMediaType"


def test_representations_that_cannot_be_made(api: Api, namespace: str) -> None:
    protobuf = "application/vnd.kubernetes.protobuf"
    refused = api.get("/api/v1/pods", Accept=protobuf)
    assert refused.code == 406
    assert refused["reason"] == "NotAcceptable"
    assert api.get("/api/v1/pods", Accept=f"{protobuf}, application/json")["kind"] == "PodList"
    assert api.get("/api/v1/pods", Accept=f"{protobuf}, */*")["kind"] == "PodList"


def test_methods_that_are_not_allowed(api: Api, namespace: str) -> None:
    for method, path in (
        ("POST", "/api/v1/pods"),
        ("PUT", f"/api/v1/namespaces/{namespace}/pods"),
        ("POST", f"/api/v1/namespaces/{namespace}/pods/web"),
        ("DELETE", "/api/v1/namespaces"),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    ):
        answer = api.request(method, path, {} if method != "GET" else None)
        assert answer.code == 405, (method, path, answer.body)
        assert answer["reason"] == "MethodNotAllowed"


def test_strangers_and_users_without_rights(server: object, api: Api, namespace: str) -> None:
    from conftest import Server

    assert isinstance(server, Server)
    nobody = server.client(anonymous=True)
    refused = nobody.get("/api/v1/pods")
    assert refused.code == 403
    assert refused.message == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'
    )
    assert nobody.get("/healthz").raw == b"ok"
    assert server.client(token="wrong").get("/api/v1/pods").code == 401
    bob = api.get(f"/api/v1/namespaces/{namespace}/pods", Impersonate_User="bob")
    assert bob.code == 403
    grant = {
        "metadata": {"name": "bob"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}],
    }
    made = api.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", grant)
    assert made.code == 201, made.body
    assert api.get(f"/api/v1/namespaces/{namespace}/pods", Impersonate_User="bob").code == 200
    assert api.get(f"/api/v1/namespaces/{namespace}/secrets", Impersonate_User="bob").code == 403


def test_patches_that_cannot_be_read(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.post(path, config())
    assert api.patch(f"{path}/c", "{", MERGE).code == 400
    assert api.patch(f"{path}/c", "[]", MERGE).code == 400
    assert api.patch(f"{path}/c", json.dumps({"metadata": {"name": "d"}}), MERGE).code == 400
    assert api.patch(f"{path}/none", "{}", MERGE).code == 404
