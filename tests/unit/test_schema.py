"""The compiled schema: complete for the table of resources, lazy, and right about lists and special types."""

from __future__ import annotations

import pytest

from apimachinery import resources, schema


@pytest.mark.parametrize("resource", resources.BUILTIN, ids=lambda r: f"{r.api_version}/{r.kind}")
def test_every_kind_of_the_table_has_a_schema(resource: resources.Resource) -> None:
    node = schema.for_resource(resource)
    assert node.gvk == (resource.group, resource.version, resource.kind)
    assert node.type == "object"
    if "list" in resource.verbs:
        listed = schema.for_kind(resource.api_version, resource.list_kind)
        assert listed is not None
        items = listed.fields["items"].items
        assert items is node  # shared, not copied


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("v1", "DeleteOptions"), ("apps/v1", "DeleteOptions"), ("policy/v1", "Eviction"), ("autoscaling/v1", "Scale"),
        ("authentication.k8s.io/v1", "TokenRequest"), ("v1", "Status"), ("v1", "APIResourceList"), ("v1", "Binding"),
    ],
)  # fmt: skip
def test_kinds_that_are_only_bodies(api_version: str, kind: str) -> None:
    assert schema.for_kind(api_version, kind) is not None


def test_unknown_kinds_have_none() -> None:
    assert schema.for_kind("v1", "Nothing") is None
    assert schema.for_kind("example.com/v1", "Pod") is None


def field(path: str, api_version: str = "v1", kind: str = "Pod") -> schema.Schema:
    node = schema.for_kind(api_version, kind)
    for part in path.split("."):
        assert node is not None
        node = node.items if part == "[]" else node.fields[part]
    assert node is not None
    return node


def test_list_topology_and_patch_strategy() -> None:
    containers = field("spec.containers")
    assert (containers.list_type, containers.list_map_keys) == ("map", ("name",))
    assert (containers.patch_strategy, containers.patch_merge_key) == (("merge",), "name")
    ports = field("spec.containers.[].ports")
    assert ports.list_map_keys == ("containerPort", "protocol")
    assert field("spec.volumes").patch_strategy == ("merge", "retainKeys")
    assert field("metadata.finalizers").list_type == "set"
    assert field("spec.tolerations").list_type == "atomic"
    assert field("spec.strategy", "apps/v1", "Deployment").patch_strategy == ("retainKeys",)
    assert field("spec.selector", "apps/v1", "Deployment").map_type == "atomic"


def test_special_types() -> None:
    limits = field("spec.containers.[].resources.limits").values
    assert limits is not None
    assert limits.format == "quantity"
    assert field("spec.ports.[].targetPort", "v1", "Service").int_or_string
    assert field("metadata.creationTimestamp").format == "date-time"
    assert field("spec.renewTime", "coordination.k8s.io/v1", "Lease").format == "micro-time"
    assert field("metadata.managedFields.[].fieldsV1").preserve_unknown
    data = field("data", "v1", "Secret").values
    assert data is not None
    assert data.format == "byte"
    crd = "spec.versions.[].schema.openAPIV3Schema"
    props = field(crd, "apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert props.fields["properties"].values is props  # recursive
    assert props.fields["default"].preserve_unknown
    assert field("data", "apps/v1", "ControllerRevision").preserve_unknown


def test_references_with_extensions_keep_what_they_refer_to() -> None:
    strategy = field("spec.strategy", "apps/v1", "Deployment")
    assert strategy.ref == "io.k8s.api.apps.v1.DeploymentStrategy"
    assert "rollingUpdate" in strategy.fields


def test_raw_definitions_are_separate_copies() -> None:
    name = schema.definition_of("v1", "Pod")
    assert name in schema.definition_names()
    raw = schema.raw_definition(name)
    raw.clear()
    assert schema.raw_definition(name)["type"] == "object"


def test_custom_resources() -> None:
    spec = {"type": "object", "properties": {"size": {"type": "integer"}}}
    node = schema.from_openapi({"type": "object", "properties": {"spec": spec}}, "example.com/v1", "Widget")
    assert node.gvk == ("example.com", "v1", "Widget")
    assert node.fields["metadata"].ref == schema.OBJECT_META
    assert node.fields["spec"].fields["size"].type == "integer"
    schema.register("example.com/v1", "Widget", node)
    try:
        assert schema.for_kind("example.com/v1", "Widget") is node
    finally:
        schema.register("example.com/v1", "Widget", None)
    assert schema.for_kind("example.com/v1", "Widget") is None
