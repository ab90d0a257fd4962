"""Discovery, OpenAPI, tables, protobuf bodies and server-side apply, over HTTP."""

from __future__ import annotations

from typing import Any

from apiclient import APPLY, Api, Object

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def test_discovery_is_aggregated_where_asked_and_not_sent_twice(api: Api) -> None:
    first = api.get("/apis", Accept=f"{AGGREGATED},application/json")
    assert first["kind"] == "APIGroupDiscoveryList"
    assert first.headers["Content-Type"] == AGGREGATED
    again = api.get("/apis", Accept=AGGREGATED, If_None_Match=first.headers["ETag"])
    assert (again.code, again.raw) == (304, b"")
    assert api.get("/apis")["kind"] == "APIGroupList"
    assert api.get("/apis/apps/v1")["groupVersion"] == "apps/v1"
    assert api.get("/apis/nope").code == 404
    assert api.post("/apis", {}).code == 405


def test_openapi_documents_have_hashes(api: Api) -> None:
    index = api.get("/openapi/v3")["paths"]
    url = index["apis/apps/v1"]["serverRelativeURL"]
    document = api.get(url)
    assert document["openapi"] == "3.0.0"
    assert document.headers["Cache-Control"] == "public, immutable"
    assert api.get(url, If_None_Match=document.headers["ETag"]).code == 304
    stale = api.get("/openapi/v3/apis/apps/v1?hash=OLD")
    assert (stale.code, stale.headers["Location"]) == (301, url)
    assert api.get("/openapi/v2")["swagger"] == "2.0"
    name = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    assert api.get("/openapi/v2", Accept=name).headers["Content-Type"] == name.replace("@", ".")
    assert api.get("/openapi/v3/apis/nope/v1").code == 404


def test_lists_and_objects_as_tables(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.post(path, {"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}})
    for where in (path, f"{path}/m"):
        table = api.get(where, Accept=TABLE)
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert table["rows"][0]["cells"][:2] == ["m", 2]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_body_in_protobuf(api: Api, namespace: str) -> None:
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    message = field(1, field(1, b"m")) + field(2, field(1, b"key") + field(2, b"value"))
    body = b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"ConfigMap")) + field(2, message)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.post(path, body, content=PROTOBUF, Accept=f"{PROTOBUF},application/json")
    assert made.code == 201, made.body
    assert made["data"] == {"key": "value"}
    assert api.post(path, b"k8s\x00\xff", content=PROTOBUF).code == 400
    assert api.get(path, Accept=PROTOBUF).code == 406


def deployment(**spec: Any) -> Object:
    labels = {"app": "web"}
    container = {"name": "c", "image": "i"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def managers(obj: Any) -> list[tuple[str, str, str]]:
    entries = obj["metadata"]["managedFields"]
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in entries]


def test_applies_by_several_managers_and_through_subresources(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"

    def apply(manager: str, body: Object, where: str = "", force: bool = False) -> Any:
        query = f"?fieldManager={manager}" + ("&force=true" if force else "")
        return api.patch(path + where + query, body, APPLY)

    first = apply("a", deployment(replicas=2))
    assert first.code == 201, first.body
    same = apply("a", deployment(replicas=2))
    assert same["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    scale = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web"},
        "spec": {"replicas": 5},
    }
    refused = apply("hpa", scale, "/scale")
    assert refused.code == 409
    assert refused.message == 'Apply failed with 1 conflict: conflict with "a": .spec.replicas'
    assert refused["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    assert apply("hpa", scale, "/scale", force=True)["spec"] == {"replicas": 5}
    assert sorted(managers(api.get(path))) == [("a", "Apply", ""), ("hpa", "Apply", "scale")]
    assert apply("a", deployment()).code == 200
    assert api.get(path)["spec"]["replicas"] == 5
    status = {**deployment(), "status": {"replicas": 3}}
    assert apply("operator", status, "/status")["status"]["replicas"] == 3
    assert ("operator", "Apply", "status") in managers(api.get(path))
    assert apply("a", {**deployment(), "spec": {"nope": 1}}).code == 400
    assert api.patch(path, deployment(), APPLY).code == 422  # no manager


def test_configurations_that_cannot_be_applied_say_why(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web?fieldManager=a"

    def refused(body: Any, query: str = "") -> str:
        answer = api.patch(path + query, body, APPLY)
        assert answer.code == 400, answer.body
        return answer.message

    unknown = {**deployment(), "spec": {"nope": 1}}
    assert refused(unknown).endswith("Kind=Deployment): .spec.nope: field not declared in schema")
    assert refused("a: [").startswith("error decoding YAML: ")
    assert refused("[]").startswith("error decoding YAML: ")
    twice = "apiVersion: apps/v1\nkind: Deployment\nkind: Deployment\nmetadata: {name: web}\n"
    assert 'key "kind" already set in map' in refused(twice, "&fieldValidation=Strict")
    assert "does not match the expected kind (Deployment)" in refused({**deployment(), "kind": "Pod"})
    managed = {**deployment(), "metadata": {"name": "web", "managedFields": [{}]}}
    assert refused(managed) == "metadata.managedFields must be nil"
