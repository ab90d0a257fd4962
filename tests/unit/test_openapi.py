"""OpenAPI documents: whole, with all that kubectl looks for, and cheap to ask for again."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from apimachinery import resources, schema
from apimachinery.resources import Resource
from apiserver import nodemetrics
from apiserver.openapi import OpenAPI

Object = dict[str, Any]

WIDGETS = Resource("example.com", "v1", "widgets", "Widget", True, singular="widget", list_kind="WidgetList",
                   storage=("example.com", "widgets"), custom=True)  # fmt: skip
WIDGET_SCHEMA = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
}
API = OpenAPI(
    (*resources.BUILTIN, *nodemetrics.RESOURCES, WIDGETS), {("example.com/v1", "Widget"): WIDGET_SCHEMA}
)


def v3(path: str) -> Object:
    document = API.v3(path)
    assert document is not None
    found: Object = orjson.loads(document.body)
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("path", API.paths())
def test_every_reference_of_a_v3_document_resolves(path: str) -> None:
    document = v3(path)
    schemas = document["components"]["schemas"]
    for reference in references(document):
        prefix, _, name = reference.rpartition("/")
        assert prefix == "#/components/schemas"
        assert name in schemas


def test_every_reference_of_the_v2_document_resolves_and_ids_are_unique() -> None:
    document = orjson.loads(API.v2().body)
    for reference in references(document):
        assert reference.removeprefix("#/definitions/") in document["definitions"]
    methods = ("get", "put", "post", "patch", "delete")
    ids = [item[m]["operationId"] for item in document["paths"].values() for m in methods if m in item]
    assert len(ids) == len(set(ids))
    assert "readCoreV1NamespacedPod" in ids
    assert "patchAppsV1NamespacedDeploymentScale" in ids


@pytest.mark.parametrize(
    "resource", [r for r in resources.BUILTIN if "patch" in r.verbs], ids=lambda r: r.qualified
)
def test_patches_say_they_take_dry_run_and_field_validation(resource: Resource) -> None:
    paths = v3(resource.base_path.strip("/"))["paths"]
    operation = paths[resource.path("{namespace}", "{name}")]["patch"]
    assert operation["x-kubernetes-group-version-kind"] == {
        "group": resource.group,
        "version": resource.version,
        "kind": resource.kind,
    }
    assert {"dryRun", "fieldValidation", "force"} <= {p["name"] for p in operation["parameters"]}


def test_schemas_keep_what_merging_needs() -> None:
    schemas = v3("api/v1")["components"]["schemas"]
    pod = schemas["io.k8s.api.core.v1.Pod"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] == {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    }
    strategy = v3("apis/apps/v1")["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"][
        "strategy"
    ]
    assert strategy["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"


def test_custom_resources_join() -> None:
    document = v3("apis/example.com/v1")
    widget = document["components"]["schemas"]["com.example.v1.Widget"]
    assert widget["properties"]["spec"]["properties"]["size"] == {"type": "integer"}
    assert "metadata" in widget["properties"]
    patches = document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" not in patches["requestBody"]["content"]
    assert "com.example.v1.WidgetList" in orjson.loads(API.v2().body)["definitions"]


def test_the_index_names_each_document_with_its_hash_and_hashes_follow_content() -> None:
    index = API.index()["paths"]
    assert (
        index["apis/apps/v1"]["serverRelativeURL"]
        == f"/openapi/v3/apis/apps/v1?hash={API.etag('apis/apps/v1')}"
    )
    assert set(index) == set(API.paths())
    other = OpenAPI((*resources.BUILTIN, WIDGETS), {("example.com/v1", "Widget"): {"type": "object"}})
    assert other.etag("apis/apps/v1") == API.etag("apis/apps/v1")
    assert other.etag("apis/example.com/v1") != API.etag("apis/example.com/v1")
    document = API.v3("apis/apps/v1")
    assert document is not None
    assert document.etag == API.etag("apis/apps/v1")
    assert API.v3("apis/nope/v1") is None


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a protobuf message: (number, payload)."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        assert key & 7 == 2
        length = varint()
        assert at + length <= len(data)
        yield key >> 3, data[at : at + length]
        at += length


def messages(data: bytes, number: int) -> list[bytes]:
    return [payload for n, payload in fields(data) if n == number and isinstance(payload, bytes)]


def test_the_protobuf_form_holds_the_same_definitions_and_paths() -> None:
    document = orjson.loads(API.v2().body)
    encoded = API.v2_protobuf()
    assert encoded.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    body = encoded.body
    assert messages(body, 1) == [b"2.0"]
    definitions = {messages(d, 1)[0].decode(): messages(d, 2)[0] for d in messages(messages(body, 9)[0], 1)}
    paths = {messages(p, 1)[0].decode(): messages(p, 2)[0] for p in messages(messages(body, 8)[0], 2)}
    assert set(definitions) == set(document["definitions"])
    assert set(paths) == set(document["paths"])
    spec = definitions["io.k8s.api.core.v1.PodSpec"]
    properties = {messages(p, 1)[0].decode(): messages(p, 2)[0] for p in messages(messages(spec, 25)[0], 1)}
    assert set(properties) == set(document["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"])
    extensions = {
        messages(e, 1)[0]: messages(messages(e, 2)[0], 2)[0] for e in messages(properties["containers"], 31)
    }
    assert extensions[b"x-kubernetes-patch-merge-key"] == b'"name"\n'
    assert messages(spec, 19) == [b"containers"]


def test_all_kinds_of_the_table_have_a_definition() -> None:
    names = set(orjson.loads(API.v2().body)["definitions"])
    for resource in resources.BUILTIN:
        assert schema.definition_of(resource.api_version, resource.kind) in names
