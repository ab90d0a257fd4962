"""What is found out about a pod's template once is not found out otherwise for the next pod of it."""

from __future__ import annotations

import copy
from typing import Any

from apimachinery import apply, defaults, resources, schema, validation, warnings
from apimachinery.recurring import Recurring

PODS = resources.get("pods")
NOW = "2026-01-02T03:04:05Z"


def pod(**spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "default", "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec},
    }
    defaults.apply(PODS, made)
    return made


def owned(obj: dict[str, Any]) -> Any:
    obj = copy.deepcopy(obj)
    apply.track(None, obj, manager="m", schema=schema.for_resource(PODS), api_version="v1", now=NOW)
    return obj["metadata"]["managedFields"]


def test_errors_are_told_every_time() -> None:
    for _ in range(2):
        assert not validation.create(PODS, pod())
        found = validation.create(PODS, pod(restartPolicy="Sometimes"))
        assert [error.field for error in found] == ["spec.restartPolicy"]


def test_a_sound_spec_excuses_nothing_else() -> None:
    assert not validation.create(PODS, pod())
    other = pod()
    other["metadata"]["name"] = "A b"
    assert [error.field for error in validation.create(PODS, other)] == ["metadata.name"]


def test_fields_of_the_second_pod_are_those_of_the_first() -> None:
    first = owned(pod(hostname="x"))
    assert owned(pod(hostname="x")) == first
    other = pod(hostname="x")
    other["metadata"]["labels"] = {"tier": "b"}
    fields = owned(other)[0]["fieldsV1"]
    assert fields["f:spec"] == first[0]["fieldsV1"]["f:spec"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:tier": {}}}
    assert "f:subdomain" in owned(pod(subdomain="y"))[0]["fieldsV1"]["f:spec"]


def test_warnings_are_told_every_time_and_depend_on_annotations() -> None:
    annotation = "security.alpha.kubernetes.io/sysctls"
    for _ in range(2):
        assert not warnings.of_new("", "pods", pod())
        annotated = pod()
        annotated["metadata"]["annotations"] = {annotation: "a=b"}
        assert annotation in warnings.of_new("", "pods", annotated)[0]


def test_only_so_many_and_small_values_are_kept() -> None:
    known: Recurring[int] = Recurring(most=2)
    keys = [known.key({"n": n}) for n in range(3)]
    for n, key in enumerate(keys):
        known.put(key, n)
    assert [known.get(key) for key in keys] == [None, 1, 2]
    large = known.key({"text": "x" * 100_000})
    known.put(large, 1)
    assert known.get(large) is None
    assert known.key({"huge": 1 << 70}) == b""
