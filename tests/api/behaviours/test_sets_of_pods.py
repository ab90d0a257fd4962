"""Area apps: StatefulSets, ReplicaSets and ReplicationControllers, with their pods' nodes played by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiclient import STRATEGIC, Api
from hands import NODE, Hands, is_ready, owner
from lifecycle import LifeCycle, fine, until
from registrations import eventually

Object = dict[str, Any]
HASH = "controller-revision-hash"


class Sets:
    """The workloads of one kind in a namespace; their pods are bound to a node that is played."""

    def __init__(self, api: Api, namespace: str, kind: str) -> None:
        labels = {"app": "set"}
        container = {"name": "main", "image": "app:1"}
        template = {"metadata": {"labels": labels}, "spec": {"nodeName": NODE, "containers": [container]}}
        selector: Object = labels if kind == "ReplicationController" else {"matchLabels": labels}
        spec: Object = {"replicas": 1, "selector": selector, "template": template}
        if kind == "StatefulSet":
            spec["serviceName"] = "test"
        version = "v1" if kind == "ReplicationController" else "apps/v1"
        self.api = api
        self.hands = Hands(api, namespace)
        self.life = LifeCycle(api, {"apiVersion": version, "kind": kind, "spec": spec}, namespace)
        self.kind = kind

    def make(self, name: str = "ss", **spec: Any) -> Object:
        self.life.template["spec"] = {**copy.deepcopy(self.life.template["spec"]), **spec}
        return self.life.make(name)

    def change(self, **spec: Any) -> Object:
        return fine(self.api.patch(self.life.at("ss"), {"spec": spec}, STRATEGIC))

    def scale(self, replicas: int) -> None:
        fine(self.api.patch(self.life.at("ss", "scale"), {"spec": {"replicas": replicas}}))

    def image(self, image: str) -> None:
        self.change(template={"spec": {"containers": [{"name": "main", "image": image}]}})

    def status(self) -> Object:
        return dict(self.life.get("ss")["status"])

    def observed(self) -> bool:
        """The controller has acted on the set as it is."""
        obj = self.life.get("ss")
        return bool(obj["status"].get("observedGeneration") == obj["metadata"]["generation"])

    def runs(self, *names: str) -> None:
        """These pods come to be, and become ready."""

        def check() -> bool:
            return self.hands.names("app=set") == list(names) and all(
                map(is_ready, self.hands.pods("app=set"))
            )

        self.hands.until(check, lambda pod: self.hands.run(pod["metadata"]["name"]))
        eventually(lambda: self.status().get("readyReplicas", 0) == len(names))

    def images(self) -> dict[str, str]:
        pods = self.hands.pods("app=set")
        return {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in pods}

    def uids(self) -> dict[str, str]:
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.hands.pods("app=set")}


@pytest.fixture
def stateful(cluster: Api, space: str) -> Sets:
    return Sets(cluster, space, "StatefulSet")


@pytest.fixture
def controllers(cluster: Api, space: str) -> Sets:
    return Sets(cluster, space, "ReplicationController")


@pytest.fixture
def replicas(cluster: Api, space: str) -> Sets:
    return Sets(cluster, space, "ReplicaSet")


def test_statefulset_scaling(stateful: Sets) -> None:
    hands = stateful.hands
    with stateful.api.watch(hands.path) as events:
        stateful.make(replicas=3)
        eventually(lambda: hands.names() == ["ss-0"])
        hands.run("ss-0", ready=False)
        stateful.runs("ss-0", "ss-1", "ss-2")
        added = [until(events, "ADDED")["metadata"]["name"] for _ in range(3)]
        assert added == ["ss-0", "ss-1", "ss-2"]
    # Pods that are not well hold up both directions.
    hands.run("ss-0", ready=False)
    stateful.scale(5)
    eventually(stateful.observed)
    eventually(lambda: stateful.status().get("readyReplicas") == 2)
    assert hands.names() == ["ss-0", "ss-1", "ss-2"]
    hands.run("ss-0")
    stateful.runs("ss-0", "ss-1", "ss-2", "ss-3", "ss-4")
    hands.run(*hands.names(), ready=False)
    eventually(lambda: stateful.status().get("readyReplicas", 0) == 0)
    version = fine(stateful.api.get(hands.path))["metadata"]["resourceVersion"]
    stateful.scale(0)
    eventually(stateful.observed)
    assert len(hands.names()) == 5
    hands.run(*hands.names())
    hands.until(lambda: not fine(stateful.api.get(hands.path))["items"])
    with stateful.api.watch(f"{hands.path}?resourceVersion={version}") as events:
        gone = [until(events, "DELETED")["metadata"]["name"] for _ in range(5)]
    assert gone == ["ss-4", "ss-3", "ss-2", "ss-1", "ss-0"]
    eventually(lambda: stateful.status().get("replicas", 0) == 0)


def test_statefulset_burst_scaling(stateful: Sets) -> None:
    hands = stateful.hands
    stateful.make(replicas=2, podManagementPolicy="Parallel")
    eventually(lambda: hands.names() == ["ss-0", "ss-1"])
    hands.run("ss-0", "ss-1", ready=False)
    stateful.scale(4)
    eventually(lambda: hands.names() == ["ss-0", "ss-1", "ss-2", "ss-3"])
    stateful.scale(0)
    hands.until(lambda: not hands.pods())


def test_statefulset_recreate_failed_pod(stateful: Sets) -> None:
    stateful.make()
    stateful.runs("ss-0")
    before = stateful.uids()["ss-0"]
    stateful.hands.end("ss-0", "Failed", 1)
    stateful.hands.until(lambda: stateful.uids().get("ss-0", before) != before)
    stateful.runs("ss-0")


def test_statefulset_rolling_update(stateful: Sets) -> None:
    hands = stateful.hands
    stateful.make(replicas=3)
    stateful.runs("ss-0", "ss-1", "ss-2")
    status = stateful.status()
    first = status["currentRevision"]
    assert status["updateRevision"] == first
    assert {pod["metadata"]["labels"][HASH] for pod in hands.pods()} == {first}
    for image, back in (("app:2", False), ("app:1", True)):
        before = stateful.uids()
        version = fine(stateful.api.get(hands.path))["metadata"]["resourceVersion"]
        stateful.image(image)
        eventually(stateful.observed)
        status = stateful.status()
        assert (status["updateRevision"] == first) is back
        assert status["currentRevision"] != status["updateRevision"]

        def updated(before: Object = before) -> bool:
            return not set(before.values()) & set(stateful.uids().values())

        hands.until(updated, lambda pod: is_ready(pod) or hands.run(pod["metadata"]["name"]))
        stateful.runs("ss-0", "ss-1", "ss-2")
        assert set(stateful.images().values()) == {image}
        eventually(lambda: stateful.status()["currentRevision"] == stateful.status()["updateRevision"])
        with stateful.api.watch(f"{hands.path}?resourceVersion={version}") as events:
            order = [until(events, "DELETED")["metadata"]["name"] for _ in range(3)]
        assert order == ["ss-2", "ss-1", "ss-0"]
    assert stateful.status()["currentRevision"] == first
    revisions = hands.path.replace("api/v1", "apis/apps/v1").replace("pods", "controllerrevisions")
    assert len(fine(stateful.api.get(revisions))["items"]) == 2


def test_statefulset_rolling_update_with_partition(stateful: Sets) -> None:
    hands = stateful.hands

    def partition(number: int) -> Object:
        return {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}

    stateful.make(replicas=3, updateStrategy=partition(3))
    stateful.runs("ss-0", "ss-1", "ss-2")
    first = stateful.status()["currentRevision"]
    before = stateful.uids()
    stateful.image("app:2")
    eventually(stateful.observed)
    stateful.runs("ss-0", "ss-1", "ss-2")
    assert stateful.uids() == before
    stateful.change(updateStrategy=partition(2))
    hands.until(
        lambda: stateful.images().get("ss-2") == "app:2",
        lambda pod: is_ready(pod) or hands.run(pod["metadata"]["name"]),
    )
    stateful.runs("ss-0", "ss-1", "ss-2")
    assert stateful.images() == {"ss-0": "app:1", "ss-1": "app:1", "ss-2": "app:2"}
    # What is deleted comes back as it was.
    for name in ("ss-0", "ss-2"):
        fine(stateful.api.delete(f"{hands.path}/{name}"))
    hands.until(
        lambda: len(set(before.values()) & set(stateful.uids().values())) == 1,
        lambda pod: is_ready(pod) or hands.run(pod["metadata"]["name"]),
    )
    stateful.runs("ss-0", "ss-1", "ss-2")
    assert stateful.images() == {"ss-0": "app:1", "ss-1": "app:1", "ss-2": "app:2"}
    assert stateful.status()["currentRevision"] == first
    for number in (1, 0):
        stateful.change(updateStrategy=partition(number))
        hands.until(
            lambda number=number: stateful.images().get(f"ss-{number}") == "app:2",
            lambda pod: is_ready(pod) or hands.run(pod["metadata"]["name"]),
        )
        stateful.runs("ss-0", "ss-1", "ss-2")
    eventually(lambda: stateful.status()["currentRevision"] != first)
    assert stateful.status()["currentRevision"] == stateful.status()["updateRevision"]


def test_a_statefulset_begins_where_its_ordinals_do(stateful: Sets) -> None:
    stateful.make(replicas=2, ordinals={"start": 3})
    stateful.runs("ss-3", "ss-4")
    labels = stateful.hands.get("ss-3")["metadata"]["labels"]
    assert labels["apps.kubernetes.io/pod-index"] == "3"
    stateful.change(ordinals={"start": 4})
    stateful.runs("ss-4", "ss-5")


@pytest.mark.parametrize("when", ["whenScaled", "whenDeleted"])
def test_a_statefulset_deletes_its_claims_when_it_is_to(stateful: Sets, when: str) -> None:
    claims = stateful.hands.path.replace("pods", "persistentvolumeclaims")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"name": "data"}, "spec": spec}
    other = {"whenScaled": "whenDeleted", "whenDeleted": "whenScaled"}[when]
    made = stateful.make(
        replicas=2,
        volumeClaimTemplates=[template],
        persistentVolumeClaimRetentionPolicy={when: "Delete", other: "Retain"},
    )
    stateful.runs("ss-0", "ss-1")

    def found() -> list[str]:
        return sorted(claim["metadata"]["name"] for claim in fine(stateful.api.get(claims))["items"])

    assert found() == ["data-ss-0", "data-ss-1"]
    if when == "whenScaled":
        before = {each: fine(stateful.api.get(f"{claims}/{each}"))["metadata"]["uid"] for each in found()}
        stateful.scale(1)
        stateful.scale(2)
        stateful.hands.until(
            lambda: stateful.status().get("readyReplicas") == 2,
            lambda pod: is_ready(pod) or stateful.hands.run(pod["metadata"]["name"]),
        )
        assert found() == ["data-ss-0", "data-ss-1"]
        assert fine(stateful.api.get(f"{claims}/data-ss-0"))["metadata"]["uid"] == before["data-ss-0"]
        stateful.scale(1)
        stateful.hands.until(lambda: found() == ["data-ss-0"])
        assert stateful.hands.names() == ["ss-0"]
    else:
        claim = fine(stateful.api.get(f"{claims}/data-ss-0"))
        assert claim["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
        fine(stateful.api.delete(stateful.life.at("ss")))
        stateful.hands.until(lambda: not found())


def test_statefulset_list_patch_and_delete_a_collection_of_statefulsets(stateful: Sets) -> None:
    stateful.make()
    life = stateful.life
    assert len(life.list(life.everywhere)) == 1
    container = {"name": "main", "image": "app:2"}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    patch = {
        "metadata": {"labels": {"test-ss": "patched"}},
        "spec": {"replicas": 2, "template": {"spec": pod}},
    }
    patched = fine(stateful.api.patch(life.at("ss"), patch, STRATEGIC))
    assert patched["metadata"]["labels"]["test-ss"] == "patched"
    assert patched["spec"]["replicas"] == 2
    assert patched["spec"]["template"]["spec"]["containers"][0]["image"] == "app:2"
    stateful.runs("ss-0", "ss-1")
    fine(stateful.api.delete(life.path + life.query))
    assert life.list(life.everywhere) == []


def test_replicaset_list_and_delete_a_collection_of_replicasets(replicas: Sets) -> None:
    replicas.make(replicas=3)
    life = replicas.life
    eventually(lambda: len(replicas.hands.pods()) == 3)
    assert len(life.list(life.everywhere)) == 1
    fine(replicas.api.delete(f"{life.path}{life.query}&propagationPolicy=Background"))
    assert life.list() == []
    replicas.hands.until(lambda: not replicas.hands.pods())


def _adopts(sets: Sets) -> str:
    """A pod without an owner is taken on by the set that matches it. Returns its name."""
    container = {"name": "main", "image": "app:1"}
    body = {
        "metadata": {"name": "alone", "labels": {"app": "set"}},
        "spec": {"nodeName": NODE, "containers": [container]},
    }
    fine(sets.api.post(sets.hands.path, body), 201)
    sets.hands.run("alone")
    made = sets.make("ss")
    eventually(lambda: owner(sets.hands.get("alone")) == made["metadata"]["uid"])
    assert sets.hands.names() == ["alone"]
    return "alone"


def _releases(sets: Sets, name: str) -> None:
    """A pod that no longer matches is let go, and another one is made for it."""
    fine(sets.api.patch(f"{sets.hands.path}/{name}", {"metadata": {"labels": {"app": "other"}}}))
    eventually(lambda: not owner(sets.hands.get(name)))
    eventually(lambda: len(sets.hands.pods("app=set")) == 1)
    assert not sets.hands.get(name)["metadata"].get("deletionTimestamp")


def test_replica_set_adopt_matching_pods_and_release_non_matching_pods(replicas: Sets) -> None:
    _releases(replicas, _adopts(replicas))


def test_replication_controller_adopt_matching_pods(controllers: Sets) -> None:
    _adopts(controllers)


def test_replication_controller_release_pods(controllers: Sets) -> None:
    made = controllers.make("ss")
    (pod,) = eventually(controllers.hands.pods)
    assert owner(pod) == made["metadata"]["uid"]
    _releases(controllers, pod["metadata"]["name"])


def test_replication_controller_get_and_update_replicationcontroller_scale(controllers: Sets) -> None:
    life = controllers.life
    controllers.make("ss")
    eventually(lambda: len(controllers.hands.pods()) == 1)
    scale = life.get("ss", "scale")
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 1)
    scale["spec"]["replicas"] = 2
    scale["metadata"]["resourceVersion"] = ""  # whatever the controller writes meanwhile
    assert fine(controllers.api.put(life.at("ss", "scale"), scale))["spec"]["replicas"] == 2
    assert life.get("ss")["spec"]["replicas"] == 2
    eventually(lambda: len(controllers.hands.pods()) == 2)
