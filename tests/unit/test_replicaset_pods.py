"""Which pods a replica set creates, deletes first, adopts and lets go."""

from __future__ import annotations

from typing import Any

from clustermodel import START, ClusterModel
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import resources
from controllermanager.plans import replicaset as plans
from controllermanager.plans.views import PodView, pod_view

PODS = resources.get("pods")
REPLICA_SETS = resources.get("replicasets", "apps")
CONTROLLERS = resources.get("replicationcontrollers")


def replica_set(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    return {
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def pod(
    name: str, *, ready: str = "", labels: Any = None, annotations: Any = None, **more: Any
) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": more.get("phase", "Running")}
    if ready:
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}]
    if "restarts" in more:
        status["containerStatuses"] = [{"name": "c", "restartCount": more["restarts"]}]
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": name,
            "resourceVersion": "1",
            "labels": {"app": "web"} if labels is None else labels,
            "annotations": annotations or {},
            "creationTimestamp": more.get("created", "2025-12-31T00:00:00Z"),
            "ownerReferences": more.get("owners", []),
        },
        "spec": {"nodeName": more.get("node", "n")},
        "status": status,
    }


def order(*pods: dict[str, Any]) -> list[str]:
    views = [pod_view(p) for p in pods]
    return [p.name for p in plans.deletion_order(views, views, START)]


READY = "2025-12-31T12:00:00Z"


def test_what_goes_first() -> None:
    cost = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    assert order(
        pod("steady", ready=READY, node="a"),
        pod("crowded", ready=READY, node="b"),
        pod("crowded-too-but-older", ready="2025-01-01T00:00:00Z", node="b"),
        pod("cheap", ready=READY, annotations=cost, node="a1"),
        pod("not-ready", node="a2"),
        pod("pending", phase="Pending", node="a3"),
        pod("unassigned", phase="Pending", node=""),
    ) == ["unassigned", "pending", "not-ready", "cheap", "crowded", "crowded-too-but-older", "steady"]


def test_restarts_then_youth_decide_between_equals() -> None:
    young = "2025-12-31T23:59:50Z"
    assert order(pod("old"), pod("young", created=young), pod("flaky", restarts=3)) == [
        "flaky",
        "young",
        "old",
    ]


@given(st.permutations([pod(f"p{i}", ready=READY if i % 2 else "", restarts=i % 3) for i in range(6)]))
def test_the_order_does_not_depend_on_the_order_of_the_input(pods: list[dict[str, Any]]) -> None:
    assert order(*pods) == order(*sorted(pods, key=lambda p: str(p["metadata"]["name"])))


def plan(model: ClusterModel, resource: Any = REPLICA_SETS) -> plans.Plan:
    pods: list[PodView] = model.pods(PODS)
    return plans.plan(
        plans.Snapshot(model.get(resource, "web"), resource, pods, pods), model.now, model.suffixes()
    )


def test_pods_are_named_at_once_and_look_like_kubernetes_ones() -> None:
    model = ClusterModel()
    model.add(REPLICA_SETS, replica_set(1))
    (create,) = plan(model).creates
    assert create.obj["metadata"]["name"] == "web-00001"
    assert create.obj["metadata"]["generateName"] == "web-"
    assert create.obj["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web",
            "uid": "uid-0",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_one_round_creates_no_more_than_the_burst() -> None:
    model = ClusterModel()
    model.add(REPLICA_SETS, replica_set(1200))
    assert len(plan(model).creates) == plans.BURST


def test_finished_and_leaving_pods_are_replaced_but_not_deleted() -> None:
    model = ClusterModel()
    model.add(REPLICA_SETS, replica_set(1))
    owners = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "uid-0", "controller": True}
    ]
    model.add(PODS, pod("failed", phase="Failed", owners=owners))
    leaving = pod("leaving", owners=owners)
    leaving["metadata"]["deletionTimestamp"] = READY
    model.add(PODS, leaving)
    planned = plan(model)
    assert (len(planned.creates), list(planned.deletes)) == (1, [])


def test_orphans_are_adopted_strangers_released_and_others_left_alone() -> None:
    model = ClusterModel()
    owner = model.add(REPLICA_SETS, replica_set(1))
    mine = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "uid-0", "controller": True}
    ]
    other = [{**mine[0], "uid": "other"}]
    model.add(PODS, pod("orphan"))
    model.add(PODS, pod("stray", labels={"app": "else"}, owners=mine))
    model.add(PODS, pod("foreign", owners=other))
    planned = plan(model)
    assert not planned.creates and not planned.deletes
    model.carry_out(list(planned.claims))
    owned = {p.name: p.controller.uid if p.controller else None for p in model.pods(PODS)}
    assert owned == {"orphan": owner["metadata"]["uid"], "stray": None, "foreign": "other"}
    adoption = next(c for c in planned.claims if getattr(c, "guard", None))
    assert getattr(adoption, "guard").uid == "uid-0"  # noqa: B009


def test_a_set_on_its_way_out_touches_nothing() -> None:
    model = ClusterModel()
    gone = replica_set(3)
    gone["metadata"]["deletionTimestamp"] = READY
    model.add(REPLICA_SETS, gone)
    model.add(PODS, pod("orphan"))
    planned = plan(model)
    assert not planned.creates and not planned.deletes and not planned.claims


def test_replication_controllers_use_plain_label_maps() -> None:
    model = ClusterModel()
    controller = replica_set(2)
    controller["spec"]["selector"] = {"app": "web"}
    model.add(CONTROLLERS, controller)
    planned = plan(model, CONTROLLERS)
    assert len(planned.creates) == 2
    assert planned.creates[0].obj["metadata"]["ownerReferences"][0]["kind"] == "ReplicationController"


def test_the_status_counts_and_removes_what_became_zero() -> None:
    model = ClusterModel()
    model.add(REPLICA_SETS, {**replica_set(1), "status": {"replicas": 2, "readyReplicas": 2}})
    snapshot = plans.Snapshot(model.get(REPLICA_SETS, "web"), REPLICA_SETS, (), ())
    (patch,) = plans.plan_status(snapshot, [pod_view(pod("a"))], "", "", START)
    assert getattr(patch, "patch")["status"] == {  # noqa: B009
        "replicas": 1,
        "readyReplicas": None,
        "fullyLabeledReplicas": 1,
        "terminatingReplicas": 0,
        "observedGeneration": 1,
    }
