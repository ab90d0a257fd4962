"""Bodies to objects: types, canonical forms, nulls, unknown and repeated fields, in Kubernetes's words."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import schema
from apimachinery.decode import decode
from apimachinery.errors import StatusError

Object = dict[str, Any]


def node(api_version: str, kind: str) -> schema.Schema:
    found = schema.for_kind(api_version, kind)
    assert found is not None
    return found


POD = node("v1", "Pod")
DEPLOYMENT = node("apps/v1", "Deployment")
SECRET = node("v1", "Secret")


def accepted(body: Any, kind: schema.Schema = POD, mode: str = "Strict") -> Object:
    obj, warnings = decode(body if isinstance(body, bytes) else orjson.dumps(body), "json", kind, mode)
    assert not warnings
    return obj


def refused(body: Any, kind: schema.Schema = POD, mode: str = "Strict", content: str = "json") -> str:
    with pytest.raises(StatusError) as caught:
        decode(body if isinstance(body, bytes) else orjson.dumps(body), content, kind, mode)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    return caught.value.message


def test_unknown_fields_are_dropped_named_or_refused() -> None:
    body = {"spec": {"template": {"spec": {"containers": [{"name": "a", "foo": 1}]}}, "bar": {"x": 1}}}
    fields = 'unknown field "spec.template.spec.containers[0].foo", unknown field "spec.bar"'
    start = 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
    assert refused(body, DEPLOYMENT) == start + fields
    obj, warnings = decode(orjson.dumps(body), "json", DEPLOYMENT, "Warn")
    assert warnings == fields.split(", ")
    assert obj["spec"] == {"template": {"spec": {"containers": [{"name": "a"}]}}}
    assert decode(orjson.dumps(body), "json", DEPLOYMENT, "Ignore") == (obj, [])


def test_names_are_case_sensitive() -> None:
    assert refused({"spec": {"Containers": []}}).endswith(
        'strict decoding error: unknown field "spec.Containers"'
    )


def test_repeated_fields_are_named_and_the_last_counts() -> None:
    body = b'{"metadata":{"labels":{"a":"1","a":"2"}},"spec":{"nodeName":"x","nodeName":"y"}}'
    message = refused(body)
    assert message.endswith('duplicate field "metadata.labels.a", duplicate field "spec.nodeName"')
    obj, warnings = decode(body, "json", POD, "Ignore")
    assert (obj["metadata"]["labels"], obj["spec"]["nodeName"], warnings) == ({"a": "2"}, "y", [])


def test_a_repeated_field_cannot_hide_behind_escaped_quotes() -> None:
    body = rb'{"metadata":{"labels":{"a":"\u0022\u0022","b":"1","b":"\u0022"}}}'
    assert refused(body).endswith('duplicate field "metadata.labels.b"')


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (DEPLOYMENT, {"spec": {"replicas": "3"}}, "string > DeploymentSpec.spec.replicas : int32"),
        (POD, {"spec": {"priority": 1.5}}, "number 1.5 > PodSpec.spec.priority : int32"),
        (POD, {"spec": {"priority": 2**31}}, "number 2147483648 > PodSpec.spec.priority : int32"),
        (POD, {"spec": {"priority": True}}, "bool > PodSpec.spec.priority : int32"),
        (POD, {"spec": {"hostNetwork": "yes"}}, "string > PodSpec.spec.hostNetwork : bool"),
        (POD, {"spec": {"containers": {}}}, "object > PodSpec.spec.containers : []v1.Container"),
        (POD, {"spec": []}, "array > Pod.spec : v1.PodSpec"),
        (POD, {"spec": {"containers": [{"image": 5}]}}, "number > Container.spec.containers.image : string"),
        (POD, {"metadata": {"labels": {"a": 1}}}, "number > ObjectMeta.metadata.labels : string"),
        (POD, {"metadata": {"labels": ["a"]}}, "array > ObjectMeta.metadata.labels : map[string]string"),
        (DEPLOYMENT, {"spec": {"strategy": {"rollingUpdate": {"maxSurge": True}}}}, "bool into Go value : int32"),
    ],
)  # fmt: skip
def test_wrong_types(kind: schema.Schema, body: Object, field: str) -> None:
    problem = field.replace(" > ", " into Go struct field ").replace(" : ", " of type ")
    assert kind.gvk is not None
    start = f'{kind.gvk[2]} in version "v1" cannot be handled as a {kind.gvk[2]}: json: cannot unmarshal '
    assert refused(body, kind, "Ignore") == start + problem


def test_quantities_become_canonical() -> None:
    limits = {"cpu": 1, "memory": "1024Mi", "example.com/x": 0.5, "ephemeral-storage": " 1Gi "}
    obj = accepted({"spec": {"containers": [{"resources": {"limits": limits}}]}})
    spelled = {"cpu": "1", "memory": "1Gi", "example.com/x": "500m", "ephemeral-storage": "1Gi"}
    assert obj["spec"]["containers"][0]["resources"]["limits"] == spelled
    for wrong in ("abc", "", True, []):
        body = {"spec": {"containers": [{"resources": {"limits": {"cpu": wrong}}}]}}
        assert "quantities must match the regular expression" in refused(body)


def test_times_become_utc() -> None:
    def created(text: Any) -> Any:
        return accepted({"metadata": {"creationTimestamp": text}})["metadata"].get("creationTimestamp")

    assert created("2024-01-02T03:04:05Z") == "2024-01-02T03:04:05Z"
    assert created("2024-01-02T03:04:05.9+02:00") == "2024-01-02T01:04:05Z"
    assert created(None) is None
    lease = accepted(
        {"spec": {"renewTime": "2024-01-02T03:04:05.123456Z"}}, node("coordination.k8s.io/v1", "Lease")
    )
    assert lease["spec"]["renewTime"] == "2024-01-02T03:04:05.123456Z"
    for wrong in ("yesterday", "2024-01-02", "2024-13-02T03:04:05Z"):
        assert f'parsing time "{wrong}"' in refused({"metadata": {"creationTimestamp": wrong}})


def test_base64_is_checked_and_joined() -> None:
    assert accepted({"data": {"a": "YQ==", "b": "YW\nJj"}}, SECRET)["data"] == {"a": "YQ==", "b": "YWJj"}
    assert refused({"data": {"a": "zz*z"}}, SECRET).endswith("illegal base64 data at input byte 2")
    assert refused({"data": {"a": "YWJ"}}, SECRET).endswith("illegal base64 data at input byte 0")


def test_nulls_are_unset_fields_and_zero_items() -> None:
    body = {
        "metadata": {"labels": {"a": None}, "annotations": None},
        "spec": {"containers": [None], "nodeName": None},
    }
    obj = accepted(body)
    assert obj["metadata"] == {"labels": {"a": ""}}
    assert obj["spec"] == {"containers": [{}]}


def test_raw_parts_are_left_alone() -> None:
    raw = {"a": None, "b": [1, {"c": 1.5}], "metadata": 5}
    revision = accepted({"data": raw, "revision": 1}, node("apps/v1", "ControllerRevision"))
    assert revision["data"] == raw
    fields = {"f:spec": {".": {}}}
    obj = accepted({"metadata": {"managedFields": [{"manager": "m", "fieldsV1": fields}]}})
    assert obj["metadata"]["managedFields"][0]["fieldsV1"] == fields


def test_schemas_of_custom_resources_are_checked_all_the_way_down() -> None:
    crd = node("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    props = {"type": "object", "properties": {"a": {"type": "string", "default": {"x": 1}, "foo": 1}}}
    path = "spec.versions[0].schema.openAPIV3Schema.properties.a.foo"
    body = {"spec": {"versions": [{"schema": {"openAPIV3Schema": props}}]}}
    assert refused(body, crd).endswith(f'unknown field "{path}"')
    deep = b'{"not":' * 900 + b"{}" + b"}" * 900
    body = b'{"spec":{"versions":[{"schema":{"openAPIV3Schema":' + deep + b"}}]}}"
    for mode in ("Ignore", "Strict"):
        assert "exceeded max depth" in refused(body, crd, mode)


def test_repeated_fields_of_custom_resources_are_found_wherever_they_are() -> None:
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    kind = schema.from_openapi({"type": "object", "properties": {"spec": loose}}, "example.com/v1", "Widget")
    assert refused(b'{"spec":{"a":{"b":1,"b":2}}}', kind).endswith('duplicate field "spec.a.b"')
    assert accepted({"spec": {"a": {"b": None}}}, kind)["spec"] == {"a": {"b": None}}
    assert refused({"spec": {}, "other": 1, "metadata": {"x": 1}}, kind).endswith(
        'unknown field "other", unknown field "metadata.x"'
    )


def test_apiversion_and_kind() -> None:
    assert accepted({})["kind"] == "Pod"
    assert accepted({"kind": "Pod"})["apiVersion"] == "v1"
    assert 'Service in version "v1" cannot be handled as a Pod' in refused({"kind": "Service"})
    assert 'no kind "Foo" is registered for version "v1"' in refused({"kind": "Foo"})
    hpa = node("autoscaling/v2", "HorizontalPodAutoscaler")
    body = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}
    text = "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"
    assert refused(body, hpa) == text
    options = node("v1", "DeleteOptions")
    body = {"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    assert accepted(body, options)["gracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b'{"a":', 'unexpected end of JSON input ({"a":)'),
        (b'{"a" 1}', "invalid character '1' after object key ("),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string ("),
        (b'{"a":x}', "invalid character 'x' looking for beginning of value ("),
        (b"{}}", "invalid character '}' after top-level value ("),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair ("),
        (b"[]", "json: cannot unmarshal array into Go value of type struct {"),
        (b'"x"', "json: cannot unmarshal string into Go value of type struct {"),
        (b'{"kind":5}', "json: cannot unmarshal number into Go struct field .kind of type string ("),
        (b"[" * 100_000, "couldn't get version/kind; json parse error"),
        (b'{"a":"\xff"}', "couldn't get version/kind; json parse error"),
    ],
)
def test_broken_json(body: bytes, problem: str) -> None:
    message = refused(body)
    assert message.startswith(
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind;"
    )
    assert problem in message


def test_yaml() -> None:
    text = b"spec:\n  priority: 1e3\n  nodeName: 'yes'\n  foo: 1\nmetadata:\n  labels: {a: x, a: z}\n"
    obj, warnings = decode(text, "yaml", POD, "Warn")
    assert obj["spec"] == {"priority": 1000, "nodeName": "yes"}
    assert warnings == [
        'yaml: unmarshal errors:\n  line 6: key "a" already set in map',
        'unknown field "spec.foo"',
    ]
    assert "did not find expected" in refused(b"a: [1\nb: {", content="yaml")
    assert "cannot unmarshal bool into Go struct field PodSpec.spec.nodeName" in refused(
        b"spec: {nodeName: yes}", content="yaml"
    )


scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text("ab", max_size=3), st.just("1Gi"))


def values_of(schema_: schema.Schema, depth: int = 4) -> st.SearchStrategy[Any]:
    """Values of a schema's type, mostly valid, sometimes not."""
    if depth == 0 or not schema_.type:
        return scalars
    if schema_.fields:
        names = sorted(schema_.fields)[:12]
        known = {name: values_of(schema_.fields[name], depth - 1) for name in names}
        return st.fixed_dictionaries({}, optional={**known, "unknown": scalars})
    if schema_.type == "object":
        inner = values_of(schema_.values, depth - 1) if schema_.values else scalars
        return st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
    if schema_.type == "array":
        assert schema_.items is not None
        return st.lists(values_of(schema_.items, depth - 1), max_size=2)
    plain: dict[str, st.SearchStrategy[Any]] = {
        "string": st.sampled_from(
            ["", "a", "1024Mi", "YQ==", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05+01:00"]
        ),
        "boolean": st.booleans(),
    }
    return plain.get(schema_.type, st.integers(0, 9))


@given(st.one_of(values_of(POD.fields["spec"]), values_of(DEPLOYMENT.fields["metadata"])))
def test_what_decodes_decodes_again_to_itself_and_strict_agrees_with_ignore(value: Any) -> None:
    for kind, field in ((POD, "spec"), (DEPLOYMENT, "metadata")):
        body = orjson.dumps({field: value})
        try:
            loose, _ = decode(body, "json", kind, "Ignore")
        except StatusError as error:
            assert error.code == 400
            continue
        canonical = orjson.dumps(loose)
        assert decode(canonical, "json", kind, "Strict") == (loose, [])
        try:
            strict, warnings = decode(body, "json", kind, "Strict")
        except StatusError as error:
            assert "unknown field" in error.message
            continue
        assert (strict, warnings) == (loose, [])


@given(st.binary(max_size=64))
def test_any_bytes_are_answered(body: bytes) -> None:
    for content in ("json", "yaml"):
        try:
            decode(body, content, POD, "Strict")
        except StatusError as error:
            assert error.code == 400


@given(
    st.recursive(
        scalars, lambda s: st.one_of(st.lists(s, max_size=3), st.dictionaries(st.text(max_size=3), s))
    )
)
def test_json_is_read_the_same_as_yaml(value: Any) -> None:
    text = json.dumps({"metadata": {"annotations": {"a": json.dumps(value)}}}, ensure_ascii=True).encode()
    assert decode(text, "json", POD, "Strict") == decode(text, "yaml", POD, "Strict")


pairs = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["1", '"x"', "null", '"\\u0022"', '"\\""'])), max_size=5
)


@given(pairs, st.booleans())
def test_a_repeated_key_is_always_found(items: list[tuple[str, str]], bare: bool) -> None:
    body = "{" + ",".join(f'"{key}":{value}' for key, value in items) + "}"
    head = "" if bare else '"apiVersion":"apps/v1","kind":"ControllerRevision",'
    text = f'{{{head}"revision":1,"metadata":{{"name":"x"}},"data":{body},"revision":2}}'.encode()
    kind = node("apps/v1", "ControllerRevision")
    assert 'duplicate field "revision"' in refused(text, kind)
    labels = "{" + ",".join(f'"{key}":{json.dumps(value)}' for key, value in items) + "}"
    names = [key for key, _ in items]
    text = f'{{"metadata":{{"labels":{labels}}}}}'.encode()
    _, warnings = decode(text, "json", kind, "Warn")
    assert bool(warnings) is (len(set(names)) < len(names))
