"""What patches are refused with: recorded from Kubernetes's answers (kubectl patch, edit and apply print them)."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import schema, strategicpatch
from apimachinery.decode_patched import decode_patched, go_text
from apimachinery.errors import StatusError

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}},
}


def node() -> schema.Schema:
    found = schema.for_kind("apps/v1", "Deployment")
    assert found is not None
    return found


def refused(patch: dict[str, Any], kind: str = "strategic", validation: str = "Strict") -> StatusError:
    new = strategicpatch.strategic_merge(DEPLOYMENT, patch, node())
    with pytest.raises(StatusError) as caught:
        decode_patched(new, patch, kind, node(), validation)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    return caught.value


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (
            {"spec": {"replicaz": 1}},
            '"map[spec:map[replicaz:1]]": strict decoding error: unknown field "spec.replicaz"',
        ),
        ({"spec": {"replicas": "x"}}, '"map[spec:map[replicas:x]]": unrecognized type: int32'),
        ({"spec": {"replicas": 1.5}}, '"map[spec:map[replicas:1.5]]": cannot convert float64 to int32'),
        ({"spec": {"paused": "no"}}, '"map[spec:map[paused:no]]": unrecognized type: bool'),
        (
            {"spec": {"selector": {"matchLabels": {"a": 1}}}},
            '"map[spec:map[selector:map[matchLabels:map[a:1]]]]": cannot convert int64 to string',
        ),
        (
            {"metadata": {"labels": {"a": True}}},
            '"map[metadata:map[labels:map[a:true]]]": unrecognized type: string',
        ),
        (
            {"metadata": {"finalizers": "a"}},
            '"map[metadata:map[finalizers:a]]": cannot restore slice from string',
        ),
        ({"spec": {"strategy": 1}}, '"map[spec:map[strategy:1]]": cannot restore struct from: int64'),
    ],
)
def test_a_strategic_patch_is_shown_as_go_prints_it(patch: dict[str, Any], words: str) -> None:
    problem = refused(patch)
    assert str(problem) == f' "" is invalid: patch: Invalid value: {words}'
    assert problem.details is not None
    assert problem.details["causes"] == [
        {"reason": "FieldValueInvalid", "message": f"Invalid value: {words}", "field": "patch"}
    ]


def test_a_merge_patch_is_refused_with_the_patched_document_and_the_decoders_words() -> None:
    problem = refused({"spec": {"replicas": "x"}}, "merge")
    assert str(problem).startswith(' "" is invalid: patch: Invalid value: "{\\"apiVersion\\":\\"apps/v1\\"')
    assert str(problem).endswith(
        ": json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    )


def test_unknown_fields_warn_or_pass() -> None:
    new = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicaz": 1}}
    obj, warnings = decode_patched(new, {}, "merge", node(), "Warn")
    assert warnings == ['unknown field "spec.replicaz"']
    assert "replicaz" not in obj["spec"]
    assert decode_patched(new, {}, "merge", node(), "Ignore")[1] == []
    assert "replicaz" in new["spec"]


def test_go_text() -> None:
    assert go_text({"b": [1, {"c": None}], "a": False}) == "map[a:false b:[1 map[c:<nil>]]]"
