"""Rollouts keep their bounds and reach their end, whatever order things happen in."""

from __future__ import annotations

from typing import Any

import pytest
from clustermodel import ClusterModel
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import resources
from controllermanager.plans import deployment as deployments
from controllermanager.plans import deployment_scaling as scaling
from controllermanager.plans import deployment_sets as sets_of
from controllermanager.plans import replicaset as replicasets
from controllermanager.plans.actions import Create
from controllermanager.plans.deployment_sets import DEPLOYMENTS, REPLICA_SETS

PODS = resources.get("pods")


def template(version: int) -> dict[str, Any]:
    containers = [{"name": "c", "image": f"app:{version}"}]
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}


def deployment(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(1),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


class Rollout(ClusterModel):
    """A deployment with its two control loops, and a node that obeys."""

    def deployment(self) -> dict[str, Any]:
        return self.get(DEPLOYMENTS, "web")

    def condition(self, kind: str) -> dict[str, Any]:
        return next(c for c in self.deployment()["status"]["conditions"] if c["type"] == kind)

    def sync_deployment(self) -> None:
        unfinished: dict[str, int] = {}
        for pod in self.pods(PODS):
            controller = pod.controller
            if controller is not None and not pod.finished:
                unfinished[controller.uid] = unfinished.get(controller.uid, 0) + 1
        snapshot = deployments.Snapshot(self.deployment(), self.of(REPLICA_SETS), unfinished)
        self.carry_out(deployments.plan(snapshot, self.now))

    def sync_set(self, name: str, failure: str = "") -> None:
        owner = self.get(REPLICA_SETS, name)
        snapshot = replicasets.Snapshot(owner, REPLICA_SETS, self.pods(PODS), self.pods(PODS))
        plan = replicasets.plan(snapshot, self.now, self.suffixes())
        self.carry_out(list(plan.claims))
        if not failure:
            self.carry_out([*plan.creates, *plan.deletes], graceful=True)
        snapshot = replicasets.Snapshot(self.get(REPLICA_SETS, name), REPLICA_SETS, (), ())
        uid = owner["metadata"]["uid"]
        mine = [p for p in self.pods(PODS) if p.controller is not None and p.controller.uid == uid]
        self.carry_out(replicasets.plan_status(snapshot, mine, failure, plan.reason, self.now))

    def make_ready(self, name: str) -> None:
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": self.stamp()}
        self.change(PODS, name, {"status": {"phase": "Running", "conditions": [condition]}})

    def settle(self, rounds: int = 60) -> None:
        """Everything happens, in a fair order, until nothing changes any more."""
        for _ in range(rounds):
            before = self.revision, len(self.objects)
            self.sync_deployment()
            for replica_set in self.of(REPLICA_SETS):
                self.sync_set(replica_set["metadata"]["name"])
            for pod in self.pods(PODS):
                if pod.deleting:
                    self.remove(PODS, pod.name)
                elif not pod.ready:
                    self.make_ready(pod.name)
            if (self.revision, len(self.objects)) == before:
                return
        raise AssertionError("it does not come to rest")

    def replicas(self) -> dict[str, int]:
        """spec.replicas by image."""
        return {
            rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs["spec"]["replicas"]
            for rs in self.of(REPLICA_SETS)
        }


def rollout(replicas: int = 3, **spec: Any) -> Rollout:
    model = Rollout()
    model.add(DEPLOYMENTS, deployment(replicas, **spec))
    return model


BOUND = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda p: f"{p}%"))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_rolling_update_keeps_its_bounds_in_any_order_and_ends(data: st.DataObject) -> None:
    strategy = {"maxSurge": data.draw(BOUND), "maxUnavailable": data.draw(BOUND)}
    replicas = data.draw(st.integers(0, 8))
    model = rollout(replicas, strategy={"type": "RollingUpdate", "rollingUpdate": strategy})
    model.settle()
    surge, unavailable = scaling.fenceposts(model.deployment())
    for version in range(2, 2 + data.draw(st.integers(1, 3))):
        model.change(DEPLOYMENTS, "web", {"spec": {"template": template(version)}})
        for _ in range(data.draw(st.integers(0, 40))):
            step = data.draw(st.sampled_from(["deployment", "set", "ready", "gone"]))
            if step == "deployment":
                model.sync_deployment()
            elif step == "set":
                name = data.draw(st.sampled_from([o["metadata"]["name"] for o in model.of(REPLICA_SETS)]))
                model.sync_set(name)
            elif step == "ready":
                waiting = [p.name for p in model.pods(PODS) if not p.ready and not p.deleting]
                if waiting:
                    model.make_ready(data.draw(st.sampled_from(waiting)))
            elif going := [p.name for p in model.pods(PODS) if p.deleting]:
                model.remove(PODS, data.draw(st.sampled_from(going)))
            active = [p for p in model.pods(PODS) if p.active]
            assert len(active) <= replicas + surge
            assert sum(model.replicas().values()) <= replicas + surge
            assert sum(1 for p in active if p.ready) >= replicas - unavailable
    model.settle()
    live = {image: count for image, count in model.replicas().items() if count}
    assert live == ({f"app:{version}": replicas} if replicas else {})
    assert sum(1 for p in model.pods(PODS) if p.ready) == replicas
    progressing = model.condition("Progressing")
    assert (progressing["status"], progressing["reason"]) == ("True", "NewReplicaSetAvailable")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), min_size=1, max_size=5))
def test_scaling_in_the_middle_of_a_rollout_ends_at_what_was_asked_for(steps: list[tuple[int, int]]) -> None:
    model = rollout(4)
    model.settle()
    model.change(DEPLOYMENTS, "web", {"spec": {"template": template(2)}})
    for replicas, syncs in steps:
        model.change(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}})
        for _ in range(syncs):
            model.sync_deployment()
            for replica_set in model.of(REPLICA_SETS):
                model.sync_set(replica_set["metadata"]["name"])
    model.settle()
    assert {i: n for i, n in model.replicas().items() if n} == ({"app:2": replicas} if replicas else {})


def test_the_first_rollout_tells_its_story_as_kubernetes_does() -> None:
    model = rollout(3)
    model.sync_deployment()
    (replica_set,) = model.of(REPLICA_SETS)
    name = replica_set["metadata"]["name"]
    hashed = name.removeprefix("web-")
    assert 1 <= len(hashed) <= 10
    assert set(hashed) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hashed}
    assert replica_set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == hashed
    assert replica_set["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert [e.message for e in model.events] == [f"Scaled up replica set {name} from 0 to 3"]
    progressing = model.condition("Progressing")
    assert (progressing["reason"], progressing["message"]) == (
        "NewReplicaSetCreated",
        f'Created new replica set "{name}"',
    )
    available = model.condition("Available")
    assert (available["status"], available["reason"]) == ("False", "MinimumReplicasUnavailable")
    assert model.requeue == pytest.approx(601)
    model.settle()
    status = model.deployment()["status"]
    assert {k: v for k, v in status.items() if k != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "terminatingReplicas": 0,
    }
    assert model.condition("Progressing")["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    assert model.condition("Available")["message"] == "Deployment has minimum availability."
    assert model.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"


def test_going_back_to_an_old_template_takes_its_set_with_a_new_revision() -> None:
    model = rollout(2)
    model.settle()
    for version in (2, 1):
        model.change(DEPLOYMENTS, "web", {"spec": {"template": template(version)}})
        model.settle()
    assert len(model.of(REPLICA_SETS)) == 2
    first = next(s for s in model.of(REPLICA_SETS) if s["spec"]["replicas"])
    annotations = first["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert model.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


def test_history_beyond_the_limit_is_deleted_oldest_first() -> None:
    model = rollout(1, revisionHistoryLimit=1)
    for version in (1, 2, 3, 4):
        model.change(DEPLOYMENTS, "web", {"spec": {"template": template(version)}})
        model.settle()
    assert sorted(model.replicas()) == ["app:3", "app:4"]


def test_recreate_starts_nothing_before_the_last_old_pod_is_gone() -> None:
    model = rollout(2, strategy={"type": "Recreate"})
    model.settle()
    model.change(DEPLOYMENTS, "web", {"spec": {"template": template(2)}})
    for _ in range(3):
        model.sync_deployment()
        for replica_set in model.of(REPLICA_SETS):
            model.sync_set(replica_set["metadata"]["name"])
    assert model.replicas() == {"app:1": 0}
    assert all(p.deleting for p in model.pods(PODS))
    model.settle()
    assert model.replicas() == {"app:1": 0, "app:2": 2}


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    model = rollout(2)
    model.settle()
    model.change(DEPLOYMENTS, "web", {"spec": {"paused": True, "replicas": 5, "template": template(2)}})
    model.settle()
    assert model.replicas() == {"app:1": 5}
    progressing = model.condition("Progressing")
    assert (progressing["status"], progressing["reason"]) == ("Unknown", "DeploymentPaused")
    model.change(DEPLOYMENTS, "web", {"spec": {"paused": False}})
    model.settle()
    assert model.replicas() == {"app:1": 0, "app:2": 5}


def test_a_rollout_that_does_not_progress_says_so_at_its_deadline() -> None:
    model = rollout(2, progressDeadlineSeconds=30)
    model.sync_deployment()
    name = model.of(REPLICA_SETS)[0]["metadata"]["name"]
    model.sync_set(name)
    model.sync_deployment()
    model.advance(31)
    model.sync_deployment()
    progressing = model.condition("Progressing")
    assert (progressing["status"], progressing["reason"], progressing["message"]) == (
        "False",
        "ProgressDeadlineExceeded",
        f'ReplicaSet "{name}" has timed out progressing.',
    )
    model.settle()
    assert model.condition("Progressing")["reason"] == "NewReplicaSetAvailable"


def test_a_refused_pod_shows_on_set_and_deployment_until_it_is_not() -> None:
    model = rollout(2)
    model.sync_deployment()
    name = model.of(REPLICA_SETS)[0]["metadata"]["name"]
    model.sync_set(name, failure="exceeded quota")
    model.sync_deployment()
    failure = model.condition("ReplicaFailure")
    assert (failure["status"], failure["reason"], failure["message"]) == (
        "True",
        "FailedCreate",
        "exceeded quota",
    )
    model.settle()
    kinds = {c["type"] for c in model.deployment()["status"]["conditions"]}
    assert kinds == {"Available", "Progressing"}


def test_pods_count_as_available_after_min_ready_seconds() -> None:
    model = rollout(1, minReadySeconds=10)
    model.sync_deployment()
    name = model.of(REPLICA_SETS)[0]["metadata"]["name"]
    model.sync_set(name)
    model.make_ready(model.pods(PODS)[0].name)
    model.sync_set(name)
    assert model.requeue == pytest.approx(10.05)
    assert "availableReplicas" not in model.get(REPLICA_SETS, name)["status"]
    model.advance(10)
    model.sync_set(name)
    assert model.get(REPLICA_SETS, name)["status"]["availableReplicas"] == 1


def test_a_taken_name_leads_to_another_hash() -> None:
    model = rollout(1)
    actions = deployments.plan(deployments.Snapshot(model.deployment(), [], {}), model.now)
    create = next(a for a in actions if isinstance(a, Create))
    foreign = {"metadata": {"name": create.obj["metadata"]["name"]}, "spec": {"template": template(9)}}
    again = deployments.collision(model.deployment(), foreign)
    assert again is not None
    model.carry_out([again])
    assert model.deployment()["status"]["collisionCount"] == 1
    other = sets_of.new_set(model.deployment())
    assert other.name != create.obj["metadata"]["name"]
    model.settle()
    assert model.deployment()["status"]["collisionCount"] == 1
    own = model.of(REPLICA_SETS)[0]
    assert deployments.collision(model.deployment(), own) is None


def test_matching_sets_without_a_controller_are_adopted_and_strangers_released() -> None:
    model = rollout(1)
    model.settle()
    (own,) = model.of(REPLICA_SETS)
    orphan = {
        "metadata": {"name": "orphan", "labels": {"app": "web"}},
        "spec": {**own["spec"], "replicas": 0},
    }
    model.add(REPLICA_SETS, orphan)
    model.settle()
    assert model.get(REPLICA_SETS, "orphan")["metadata"]["ownerReferences"][0]["uid"] == "uid-0"
    model.change(REPLICA_SETS, "orphan", {"metadata": {"labels": {"app": "other"}}})
    model.sync_deployment()
    assert not model.get(REPLICA_SETS, "orphan")["metadata"].get("ownerReferences")


def test_null_fields_do_not_make_a_new_template() -> None:
    model = rollout(1)
    model.settle()
    changed = {**template(1), "metadata": {"labels": {"app": "web"}, "creationTimestamp": None}}
    obj = model.deployment()
    obj = {**obj, "spec": {**obj["spec"], "template": changed}}
    states = [sets_of.SetState.of(s) for s in model.of(REPLICA_SETS)]
    assert sets_of.find_new(obj, states) is states[0]
