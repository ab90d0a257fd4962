"""Protobuf bodies of Go clients become the JSON they would have sent; anything else is a clear error."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import protobuf, resources, schema
from apimachinery.errors import StatusError


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, *fields: bytes) -> bytes:
    about = field(1, api_version) + field(2, kind)
    return b"k8s\x00" + field(1, about) + field(2, b"".join(fields)) + field(3, "") + field(4, "")


def number(definition: str, name: str) -> int:
    return protobuf._names("io.k8s." + definition).index(name) + 1


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
        (body("v1", "Pod", field(900, "new")), 400),
        (body("v1", "Nope"), 415),
        (body("apiextensions.k8s.io/v1", "CustomResourceDefinition"), 415),
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


def test_every_field_known_by_number_is_in_the_schema_or_inline() -> None:
    known = [r for r in resources.BUILTIN if protobuf.is_known(r.api_version, r.kind)]
    assert len(known) > 50
    for resource in known:
        node: Any = schema.for_resource(resource)
        names = [n for n in protobuf._names(node.ref) if n]
        assert all(n.startswith("=") or n in node.fields for n in names)
