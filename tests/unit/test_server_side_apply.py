"""Server-side apply: ownership, conflicts, removal, list types."""

import copy
from typing import Any

import orjson
import pytest
from fieldowners import DEPLOYMENT, EARLY, LATE, Object, containers, deployment, owners, ssa, update

from apimachinery import apply, managedfields
from apimachinery.errors import StatusError


def test_apply_creates_and_is_idempotent() -> None:
    wanted = deployment(
        replicas=2, **containers({"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]})
    )
    first = ssa(None, wanted)
    assert owners(first) == {
        ("a", "Apply"): [
            ".spec.replicas",
            '.spec.template.spec.containers[name="c"]',
            '.spec.template.spec.containers[name="c"].env[name="A"]',
            '.spec.template.spec.containers[name="c"].env[name="A"].name',
            '.spec.template.spec.containers[name="c"].env[name="A"].value',
            '.spec.template.spec.containers[name="c"].image',
            '.spec.template.spec.containers[name="c"].name',
        ]
    }
    assert ssa(first, wanted, now=LATE) == first


def test_a_conflict_names_the_manager_and_field() -> None:
    live = update(None, deployment(replicas=1), "kubectl-client-side-apply")
    with pytest.raises(StatusError) as error:
        ssa(live, deployment(replicas=2))
    status = error.value.to_status()
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["message"] == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    assert status["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-client-side-apply" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = ssa(None, deployment(replicas=1, paused=True), "x")
    with pytest.raises(StatusError) as error:
        ssa(live, deployment(replicas=2, paused=False), "y")
    assert error.value.message == (
        'Apply failed with 2 conflicts: conflicts with "x":\n- .spec.paused\n- .spec.replicas'
    )


def test_subresources_are_named_in_conflicts() -> None:
    live = update(None, deployment(replicas=1), "c")
    new = copy.deepcopy(live)
    new["spec"]["replicas"] = 3
    live = update(live, new, "autoscaler", sub="scale")
    with pytest.raises(
        StatusError, match=r'"autoscaler" with subresource "scale" using apps/v1: \.spec\.replicas'
    ):
        ssa(live, deployment(replicas=1))


def test_force_takes_the_field_over() -> None:
    live = ssa(None, deployment(replicas=1, paused=True), "x")
    result = ssa(live, deployment(replicas=2), "y", force=True)
    assert result["spec"]["replicas"] == 2
    assert owners(result) == {("x", "Apply"): [".spec.paused"], ("y", "Apply"): [".spec.replicas"]}


def test_equal_values_are_shared_and_go_with_the_last_owner() -> None:
    live = ssa(None, deployment(replicas=1, paused=True), "x")
    both = ssa(live, deployment(replicas=1), "y")
    assert owners(both)["x", "Apply"] == [".spec.paused", ".spec.replicas"]
    assert owners(both)["y", "Apply"] == [".spec.replicas"]
    one = ssa(both, deployment(paused=True), "x")
    assert one["spec"] == {"replicas": 1, "paused": True}
    none = ssa(one, deployment(), "y")
    assert none["spec"] == {"paused": True}


def test_what_is_not_applied_any_more_goes_away_with_what_defaulting_added_to_it() -> None:
    live = ssa(None, deployment(**containers({"name": "a", "image": "1"}, {"name": "b", "image": "1"})))
    live = copy.deepcopy(live)
    live["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always"
    live["spec"]["replicas"] = 1
    result = ssa(live, deployment(**containers({"name": "a", "image": "1"})))
    assert result["spec"] == {"replicas": 1, **containers({"name": "a", "image": "1"})}


def test_lists_of_maps_merge_with_what_others_own() -> None:
    live = ssa(None, deployment(**containers({"name": "a", "image": "1"})), "x")
    result = ssa(live, deployment(**containers({"name": "b", "image": "2"})), "y")
    names = [c["name"] for c in result["spec"]["template"]["spec"]["containers"]]
    assert names == ["a", "b"]
    back = ssa(result, deployment(), "y")
    assert back["spec"] == live["spec"]


def test_service_ports_without_a_protocol_match_the_defaulted_ones() -> None:
    def service(*ports: Object) -> Object:
        metadata = {"name": "s", "namespace": "n"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": list(ports)}}

    live = ssa(None, service({"port": 80}))
    live = copy.deepcopy(live)
    live["spec"]["ports"] = [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    result = ssa(live, service({"port": 80, "name": "http"}))
    assert result["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80, "name": "http"}]


def test_sets_hold_each_managers_values_and_atomic_lists_are_one_field() -> None:
    def pod(finalizers: list[str], **container: Any) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "finalizers": finalizers},
            "spec": {"containers": [{"name": "c", **container}]},
        }

    live = ssa(None, pod(["x/1"], args=["1"]), "x")
    result = ssa(live, pod(["y/2"]), "y")
    assert result["metadata"]["finalizers"] == ["x/1", "y/2"]
    with pytest.raises(StatusError, match=r'containers\[name="c"\]\.args$'):
        ssa(result, pod(["y/2"], args=["1", "2"]), "y")
    assert ssa(result, pod([]), "x")["metadata"]["finalizers"] == ["y/2"]


def test_selector_is_atomic() -> None:
    live = ssa(None, deployment(selector={"matchLabels": {"a": "1"}}), "x")
    with pytest.raises(StatusError, match=r"\.spec\.selector$"):
        ssa(live, deployment(selector={"matchLabels": {"b": "1"}}), "y")


def test_an_untracked_object_gets_before_first_apply() -> None:
    live = deployment(replicas=1, paused=True)
    result = ssa(live, deployment(replicas=1))
    assert owners(result) == {
        ("a", "Apply"): [".spec.replicas"],
        ("before-first-apply", "Update"): [".spec.paused", ".spec.replicas"],
    }
    with pytest.raises(
        StatusError, match=r'conflict with "before-first-apply" using apps/v1: \.spec\.replicas'
    ):
        ssa(live, deployment(replicas=2))


def test_kubectl_moves_from_client_side_apply_without_conflicts() -> None:
    wanted = deployment(replicas=1, paused=True)
    annotated = copy.deepcopy(wanted)
    annotated["metadata"]["annotations"] = {apply.LAST_APPLIED: orjson.dumps(wanted).decode() + "\n"}
    live = update(None, annotated, "kubectl-client-side-apply")
    result = ssa(live, deployment(replicas=2, paused=True), "kubectl")
    assert result["spec"] == {"replicas": 2, "paused": True}
    last = orjson.loads(result["metadata"]["annotations"][apply.LAST_APPLIED])
    assert last["spec"] == {"replicas": 2, "paused": True}
    scaled = copy.deepcopy(live)
    scaled["spec"]["replicas"] = 5
    scaled = update(live, scaled, "kubectl-scale")
    with pytest.raises(StatusError, match=r'conflict with "kubectl-scale" using apps/v1: \.spec\.replicas'):
        ssa(scaled, deployment(replicas=2, paused=True), "kubectl")


def test_apply_to_status_owns_status_only() -> None:
    live = ssa(None, deployment(replicas=1), "x")
    applied = deployment(replicas=9) | {"status": {"conditions": [{"type": "Fine", "status": "True"}]}}
    result = ssa(live, applied, "op", sub="status")
    assert result["spec"] == {"replicas": 1}
    assert result["status"]["conditions"][0]["type"] == "Fine"
    assert all(path.startswith(".status") for path in owners(result)["op", "Apply"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"managedFields": []}}, "metadata.managedFields must be nil"),
        (
            {"apiVersion": "apps/v1beta1"},
            "Incorrect version specified in apply patch. "
            "Specified patch version: apps/v1beta1, expected: apps/v1",
        ),
        (
            {"spec": {"replikas": 1}},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            ".spec.replikas: field not declared in schema",
        ),
        (
            {"spec": {"replicas": "two"}},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            ".spec.replicas: expected numeric (int or float), got string",
        ),
        (
            {"spec": containers({"name": "a"}, {"name": "a"})},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            '.spec.template.spec.containers: duplicate entries for key [name="a"]',
        ),
        (
            {"spec": containers({"image": "a"})},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            ".spec.template.spec.containers: element 0: associative list with keys has an element that omits "
            'all key fields ["name"] (and doesn\'t have default values for any key fields)',
        ),
    ],
)
def test_bad_configurations_say_why(change: Object, message: str) -> None:
    assert DEPLOYMENT is not None
    applied = deployment()
    applied = {**applied, **change, "metadata": {**applied["metadata"], **change.get("metadata", {})}}
    with pytest.raises(StatusError) as error:
        apply.server_side_apply(
            None, applied, manager="a", force=False, schema=DEPLOYMENT, api_version="apps/v1", now=EARLY
        )
    assert (error.value.code, error.value.message) == (400, message)


def test_the_manager_of_a_write() -> None:
    assert managedfields.manager_name("", "kubectl/v1.31.0 (linux/amd64)") == "kubectl"
    assert managedfields.manager_name("mine", "kubectl/v1") == "mine"
