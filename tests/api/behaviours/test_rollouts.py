"""Area apps: Deployments and DaemonSets on three simulated nodes: images whose name has `missing` cannot be had."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiclient import STRATEGIC, Api
from hands import Hands, is_ready, owner
from lifecycle import LifeCycle, fine
from registrations import eventually

from pytest_pybernetes.servers import KubeServer

Object = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"
HASH = "controller-revision-hash"
LABELS = {"name": "sample-pod"}


class Rollout:
    """The workloads of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.hands = Hands(api, namespace)

    def life(self, kind: str, image: str = "app:1", **spec: Any) -> LifeCycle:
        pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image}]}
        template = {"metadata": {"labels": LABELS}, "spec": pod}
        body = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
        whole = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"labels": dict(LABELS)}, "spec": body}
        return LifeCycle(self.api, copy.deepcopy(whole), self.namespace)

    def set_image(self, life: LifeCycle, name: str, image: str) -> None:
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
        fine(self.api.patch(life.at(name), patch, STRATEGIC))

    def complete(self, life: LifeCycle, name: str) -> Object:
        """The Deployment once its rollout is."""

        def check() -> Object | None:
            obj = life.get(name)
            wanted, status = obj["spec"]["replicas"], obj["status"]
            counts = [status.get(k) for k in ("replicas", "updatedReplicas", "availableReplicas")]
            seen = status.get("observedGeneration") == obj["metadata"]["generation"]
            return obj if seen and counts == [wanted] * 3 else None

        found: Object = eventually(check, 30)
        return found

    def replica_sets(self) -> dict[str, Object]:
        """By image; those that run pods, and those that do not."""
        found = fine(self.api.get(f"/apis/apps/v1/namespaces/{self.namespace}/replicasets"))["items"]
        return {rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs for rs in found}


@pytest.fixture
def rollout(kube_cluster: KubeServer, kube_cluster_namespace: str) -> Rollout:
    return Rollout(Api(kube_cluster.kubeconfig), kube_cluster_namespace)


def test_deployment_rollingupdate(rollout: Rollout) -> None:
    """The ReplicaSet that is there is taken over as the old one, scaled down, and kept."""
    old = rollout.life("ReplicaSet", replicas=1)
    old.template["metadata"]["annotations"] = {REVISION: "3546343826724305832"}
    old.template["spec"]["selector"]["matchLabels"] = {**LABELS, "pod": "httpd"}
    old.template["spec"]["template"]["metadata"]["labels"] = {**LABELS, "pod": "httpd"}
    before = old.make("test-rolling-update-controller")
    eventually(lambda: len([p for p in rollout.hands.pods() if is_ready(p)]) == 1, 30)
    new = rollout.life("Deployment", "app:2", replicas=1)
    new.template["spec"]["strategy"] = {
        "type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}
    }  # fmt: skip
    made = new.make("test-rolling-update-deployment")
    done = rollout.complete(new, "test-rolling-update-deployment")
    assert done["metadata"]["annotations"][REVISION] == "3546343826724305833"
    sets = rollout.replica_sets()
    assert sorted(sets) == ["app:1", "app:2"]
    assert sets["app:1"]["metadata"]["uid"] == before["metadata"]["uid"]
    assert (sets["app:1"]["spec"]["replicas"], sets["app:2"]["spec"]["replicas"]) == (0, 1)
    assert {owner(each) for each in sets.values()} == {made["metadata"]["uid"]}
    eventually(lambda: [p["spec"]["containers"][0]["image"] for p in rollout.hands.pods()] == ["app:2"], 30)


def test_deployment_revisionhistorylimit(rollout: Rollout) -> None:
    old = rollout.life("ReplicaSet", replicas=1)
    old.make("test-cleanup-controller")
    eventually(lambda: len([p for p in rollout.hands.pods() if is_ready(p)]) == 1, 30)
    new = rollout.life("Deployment", "app:2", replicas=1, revisionHistoryLimit=0)
    new.make("test-cleanup-deployment")
    rollout.complete(new, "test-cleanup-deployment")
    eventually(lambda: list(rollout.replica_sets()) == ["app:2"], 30)


def test_deployment_rollover(rollout: Rollout) -> None:
    """A rollout that does not get on gives way to the next: what was begun of it is scaled down."""
    rollout.life("ReplicaSet", replicas=1).make("test-rollover-controller")
    eventually(lambda: len([p for p in rollout.hands.pods() if is_ready(p)]) == 1, 30)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    life = rollout.life("Deployment", "missing:1", replicas=1, strategy=strategy)
    life.make("test-rollover-deployment")
    eventually(lambda: rollout.replica_sets().get("missing:1", {}).get("status", {}).get("replicas") == 1, 30)
    stuck = life.get("test-rollover-deployment")
    assert stuck["metadata"]["annotations"][REVISION] == "1"
    eventually(lambda: life.get("test-rollover-deployment")["status"].get("updatedReplicas") == 1)
    rollout.set_image(life, "test-rollover-deployment", "app:3")
    rollout.complete(life, "test-rollover-deployment")
    sets = rollout.replica_sets()
    assert {image: rs["spec"]["replicas"] for image, rs in sets.items()} == {
        "app:1": 0, "missing:1": 0, "app:3": 1
    }  # fmt: skip
    assert sets["app:3"]["metadata"]["annotations"][REVISION] == "2"


def test_daemonset_creation(rollout: Rollout) -> None:
    life = rollout.life("DaemonSet")
    life.make("daemon-set")
    hands = rollout.hands

    def on_every_node() -> list[Object] | None:
        pods = [pod for pod in hands.pods() if is_ready(pod)]
        nodes = {node["metadata"]["name"] for node in fine(rollout.api.get("/api/v1/nodes"))["items"]}
        everywhere = {pod["spec"]["nodeName"] for pod in pods} == nodes and len(pods) == len(nodes)
        return pods if everywhere else None

    first = eventually(on_every_node, 30)
    for end in ("deleted", "failed"):
        name = first[0]["metadata"]["name"]
        if end == "deleted":
            fine(rollout.api.delete(f"{hands.path}/{name}"))
        else:
            status = {"status": {"phase": "Failed"}}
            fine(rollout.api.patch(f"{hands.path}/{name}/status", status, STRATEGIC))
        eventually(lambda name=name: name not in hands.names() and on_every_node(), 30)
        first = on_every_node()
    status = life.get("daemon-set")["status"]
    assert status["desiredNumberScheduled"] == status["currentNumberScheduled"] == len(first)
    fine(rollout.api.delete(life.at("daemon-set")))
    eventually(lambda: not hands.pods(), 30)


@pytest.mark.parametrize("surge", [0, 1])
def test_daemonset_rollingupdate(rollout: Rollout, surge: int) -> None:
    rolling = {"maxSurge": surge, "maxUnavailable": 1 - surge}
    life = rollout.life("DaemonSet", updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    life.make("daemon-set")
    hands = rollout.hands

    def settled(image: str) -> bool:
        obj, pods = life.get("daemon-set"), hands.pods()
        status = obj["status"]
        wanted = status["desiredNumberScheduled"]
        return (
            status.get("observedGeneration") == obj["metadata"]["generation"]
            and wanted > 0
            and status.get("updatedNumberScheduled") == status.get("numberAvailable") == wanted == len(pods)
            and {pod["spec"]["containers"][0]["image"] for pod in pods} == {image}
        )

    eventually(lambda: settled("app:1"), 30)
    first = {pod["metadata"]["labels"][HASH] for pod in hands.pods()}
    before = set(hands.names())
    rollout.set_image(life, "daemon-set", "app:2")
    eventually(lambda: settled("app:2"), 30)
    assert not before & set(hands.names())
    second = {pod["metadata"]["labels"][HASH] for pod in hands.pods()}
    assert len(first) == len(second) == 1
    assert first != second
    path = f"/apis/apps/v1/namespaces/{rollout.namespace}/controllerrevisions"
    revisions = fine(rollout.api.get(path))["items"]
    assert sorted(revision["revision"] for revision in revisions) == [1, 2]
    assert {revision["metadata"]["labels"][HASH] for revision in revisions} == first | second


def test_a_daemonset_that_is_rolled_back_leaves_alone_what_was_not_changed(rollout: Rollout) -> None:
    life = rollout.life("DaemonSet")
    life.make("daemon-set")
    hands = rollout.hands

    def ready() -> list[Object]:
        return [pod for pod in hands.pods() if is_ready(pod)]

    eventually(lambda: len(ready()) == 3, 30)
    before = set(hands.names())
    rollout.set_image(life, "daemon-set", "missing:2")
    eventually(lambda: any("missing" in p["spec"]["containers"][0]["image"] for p in hands.pods()), 30)
    rollout.set_image(life, "daemon-set", "app:1")
    eventually(
        lambda: (
            len(ready()) == 3 and all(p["spec"]["containers"][0]["image"] == "app:1" for p in hands.pods())
        ),
        30,
    )
    assert len(before & set(hands.names())) == 2
