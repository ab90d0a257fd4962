"""Protobuf bodies of Go clients become the JSON they would have sent; anything else is a clear error."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf_encoding import double, envelope, field

from apimachinery import protobuf, resources, schema
from apimachinery.errors import StatusError


def body(api_version: str, kind: str, *fields: bytes) -> bytes:
    return envelope(api_version, kind, b"".join(fields))


def number(definition: str, name: str) -> int:
    names = protobuf._names("io.k8s." + definition)
    assert names is not None
    return names.json.index(name) + 1


META = "apimachinery.pkg.apis.meta.v1.ObjectMeta"
POD_SPEC, CONTAINER = "api.core.v1.PodSpec", "api.core.v1.Container"


def metadata(*more: bytes) -> bytes:
    """An ObjectMeta as Go writes it: the fields without pointers are there even where empty."""
    empty = [field(number(META, "generateName"), ""), field(number(META, "uid"), "")]
    zero = [field(number(META, "generation"), 0), field(number(META, "creationTimestamp"), b"")]
    return field(1, field(number(META, "name"), "x") + b"".join([*empty, *zero, *more]))


def test_a_pod_with_maps_lists_inline_messages_and_special_types() -> None:
    label = field(number(META, "labels"), field(1, "app") + field(2, "web"))
    probe = field(1, field(2, field(1, "/ready") + field(2, field(1, 1) + field(2, 0) + field(3, "http"))))
    limits = field(1, field(1, "cpu") + field(2, field(1, "500m")))
    container = b"".join(
        [
            field(number(CONTAINER, "name"), "c"),
            field(number(CONTAINER, "image"), "i"),
            field(number(CONTAINER, "workingDir"), ""),
            field(number(CONTAINER, "args"), "-a"),
            field(number(CONTAINER, "args"), "-b"),
            field(number(CONTAINER, "resources"), limits),
            field(number(CONTAINER, "livenessProbe"), probe + field(2, 0)),
            field(number(CONTAINER, "tty"), 0),
        ]
    )
    volume = field(1, "v") + field(2, field(number("api.core.v1.VolumeSource", "emptyDir"), b""))
    spec = b"".join(
        [
            field(number(POD_SPEC, "volumes"), volume),
            field(number(POD_SPEC, "containers"), container),
            field(number(POD_SPEC, "terminationGracePeriodSeconds"), 0),
            field(number(POD_SPEC, "hostNetwork"), 0),
            field(number(POD_SPEC, "enableServiceLinks"), 0),
            field(number(POD_SPEC, "priority"), -5),
        ]
    )
    assert protobuf.decode(body("v1", "Pod", metadata(label), field(2, spec), field(3, b""))) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "labels": {"app": "web"}},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "args": ["-a", "-b"],
                    "resources": {"limits": {"cpu": "500m"}},
                    "livenessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                }
            ],
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
            "priority": -5,
        },
        "status": {},
    }


def test_bytes_times_and_empty_values() -> None:
    data = field(1, "key") + field(2, b"\x00\xff")
    when = field(number(META, "deletionTimestamp"), field(1, 1767225600) + field(2, 0))
    secret = protobuf.decode(body("v1", "Secret", metadata(when), field(2, data), field(3, "Opaque")))
    assert secret["data"] == {"key": base64.b64encode(b"\x00\xff").decode()}
    assert secret["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    lease = field(number("api.coordination.v1.LeaseSpec", "renewTime"), field(1, 1767225600) + field(2, 5000))
    renewed = protobuf.decode(body("coordination.k8s.io/v1", "Lease", field(2, lease)))
    assert renewed["spec"]["renewTime"] == "2026-01-01T00:00:00.000005Z"
    early = field(number("api.coordination.v1.LeaseSpec", "renewTime"), field(1, (1 << 64) - 62135596798))
    renewed = protobuf.decode(body("coordination.k8s.io/v1", "Lease", field(2, early)))
    assert renewed["spec"]["renewTime"] == "0001-01-01T00:00:02.000000Z"
    empty = protobuf.decode(body("v1", "ConfigMap", field(2, field(1, "blank") + field(2, ""))))
    assert empty["data"] == {"blank": ""}


def test_maps_of_lists_and_raw_json() -> None:
    groups = field(1, "scopes") + field(2, field(1, "a") + field(1, "b"))
    spec = field(number("api.authorization.v1.SubjectAccessReviewSpec", "extra"), groups)
    review = protobuf.decode(body("authorization.k8s.io/v1", "SubjectAccessReview", field(2, spec)))
    assert review["spec"]["extra"] == {"scopes": ["a", "b"]}
    raw = field(2, field(1, b'{"spec":{"a":[1]}}'))
    revision = protobuf.decode(body("apps/v1", "ControllerRevision", raw, field(3, 4)))
    assert (revision["data"], revision["revision"]) == ({"spec": {"a": [1]}}, 4)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", 400),
        (b"k8s\x00\xff", 400),
        (body("v1", "Pod", b"\x0a\xff"), 400),
        (body("v1", "Pod", field(1, 7)), 400),
        (body("v1", "Nope"), 415),
        (body("example.com/v1", "Widget"), 415),
    ],
)
def test_what_cannot_be_read_is_refused_whole(data: bytes, code: int) -> None:
    with pytest.raises(StatusError) as error:
        protobuf.decode(data)
    assert error.value.code == code


@given(st.binary(max_size=60), st.sampled_from(["Pod", "Service", "Secret"]))
def test_no_bytes_are_a_server_error(data: bytes, kind: str) -> None:
    for whole in (b"k8s\x00" + data, body("v1", kind, data), body("v1", kind, field(1, data)), data):
        try:
            protobuf.decode(whole)
        except StatusError as error:
            assert error.code in (400, 415)


def test_fields_of_later_versions_are_skipped() -> None:
    later = [field(900, "new"), field(901, 7)]
    assert protobuf.decode(body("v1", "ConfigMap", metadata(*later), *later))["metadata"] == {"name": "x"}


def served_kinds() -> list[tuple[str, str]]:
    """Every kind that can be the body of a request to a built-in resource."""
    kinds = {(r.api_version, r.kind) for r in resources.BUILTIN}
    for resource in resources.BUILTIN:
        kinds |= {(s.api_version, s.kind) for s in resource.subresources if s.kind}
    options = {(version, kind) for version, kind in kinds if kind.endswith("Options")}
    return sorted(kinds - options | {("v1", "Status"), ("v1", "DeleteOptions")})


@pytest.mark.parametrize(("api_version", "kind"), served_kinds())
def test_every_built_in_kind_can_be_read(api_version: str, kind: str) -> None:
    assert protobuf.is_known(api_version, kind)
    assert protobuf.decode(body(api_version, kind))["kind"] == kind


def test_every_message_a_kind_reaches_has_its_numbers_and_every_field_a_type() -> None:
    """Nothing a client may send is lost: each field of the schema has a number, and the other way round."""
    todo = [schema.definition_of(*kind) for kind in served_kinds()]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        node = schema.definition(name)
        if node.type != "object" or not node.fields:
            continue
        assert set(node.fields) - {"apiVersion", "kind"} == fields_of(name) - {"apiVersion", "kind"}, name
        for child in node.fields.values():
            todo += [n.ref for n in (child, child.items, child.values) if n is not None and n.ref]
    assert len(seen) > 450


def fields_of(definition: str) -> set[str]:
    """The names JSON has for a message's fields, those of inline messages too."""
    names = protobuf._names(definition)
    assert names is not None, definition
    found: set[str] = set()
    for name in filter(None, names.json):
        found |= fields_of(name[1:]) if name.startswith("=") else {name}
    return found


@pytest.mark.parametrize("group", ["v1", "apps/v1", "meta.k8s.io/v1", "example.com/v1alpha1"])
def test_delete_options_are_read_in_any_groups_name(group: str) -> None:
    """Typed clients name the options of a deletion by the version of what they delete."""
    preconditions = field(2, field(1, "u-1"))
    options = body(group, "DeleteOptions", field(1, 0), preconditions, field(4, "Foreground"))
    assert protobuf.decode(options) == {
        "apiVersion": group,
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u-1"},
        "propagationPolicy": "Foreground",
    }


CRD = "apiextensions-apiserver.pkg.apis.apiextensions.v1."


def props(*parts: tuple[str, bytes | str | int]) -> bytes:
    """A JSONSchemaProps."""
    return b"".join(field(number(CRD + "JSONSchemaProps", name), value) for name, value in parts)


def test_a_custom_resource_definitions_schema() -> None:
    """Its either-or types, raw JSON and doubles have a JSON form of their own."""
    string = props(("type", "string"))
    minimum = double(number(CRD + "JSONSchemaProps", "minimum"), 3.0)
    multiple = double(number(CRD + "JSONSchemaProps", "multipleOf"), 0.5)
    fields = [
        ("one", props(("items", field(1, string)))),
        ("many", props(("items", field(2, string) + field(2, props(("nullable", 1)))))),
        ("open", props(("additionalProperties", field(1, 1)))),
        ("shut", props(("additionalProperties", field(1, 0)))),
        ("map", props(("additionalProperties", field(1, 1) + field(2, string)))),
        (
            "enum",
            props(("enum", field(1, b'"a"')), ("enum", field(1, b"1")), ("default", field(1, b'{"b":[]}'))),
        ),
        ("limits", minimum + multiple + props(("maxLength", 0), ("title", ""), ("uniqueItems", 0))),
        ("need", props(("dependencies", field(1, "a") + field(2, field(2, "b") + field(2, "c"))))),
    ]
    entries = [("properties", field(1, name) + field(2, value)) for name, value in fields]
    root = props(("type", "object"), ("x-kubernetes-preserve-unknown-fields", 1), *entries)
    version = field(1, "v1") + field(2, 1) + field(3, 0) + field(4, field(1, root))
    spec = field(1, "example.com") + field(7, version)
    decoded = protobuf.decode(body("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, spec)))
    assert decoded["spec"]["group"] == "example.com"
    (shown,) = decoded["spec"]["versions"]
    assert (shown["name"], shown["served"], shown["storage"]) == ("v1", True, False)
    assert shown["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {
            "one": {"items": {"type": "string"}},
            "many": {"items": [{"type": "string"}, {"nullable": True}]},
            "open": {"additionalProperties": True},
            "shut": {"additionalProperties": False},
            "map": {"additionalProperties": {"type": "string"}},
            "enum": {"enum": ["a", 1], "default": {"b": []}},
            "limits": {"minimum": 3, "multipleOf": 0.5, "maxLength": 0},
            "need": {"dependencies": {"a": ["b", "c"]}},
        },
    }


def test_what_is_zero_is_left_out_where_gos_json_does() -> None:
    """Of fields that are no pointers Go writes zeros too; JSON has those that are not `omitempty`."""
    port = b"".join(
        field(number("api.core.v1.ServicePort", name), value)
        for name, value in (("name", ""), ("protocol", ""), ("port", 0), ("nodePort", 0), ("appProtocol", ""))
    )
    service = protobuf.decode(body("v1", "Service", field(2, field(1, port))))
    assert service["spec"]["ports"] == [{"port": 0, "appProtocol": ""}]
    request = field(number("api.resource.v1.ExactDeviceRequest", "count"), 0)
    claim = field(1, field(1, field(1, "gpu") + field(2, request)))
    made = protobuf.decode(body("resource.k8s.io/v1", "ResourceClaim", field(2, claim)))
    assert made["spec"]["devices"]["requests"] == [{"name": "gpu", "exactly": {}}]
