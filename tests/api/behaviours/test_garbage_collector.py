"""Area apimachinery: the garbage collector, with the three propagation policies."""

from __future__ import annotations

import threading
import time
from typing import Any

from apiclient import STRATEGIC, Api
from lifecycle import fine, until
from registrations import eventually

Object = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
GRACE = "?gracePeriodSeconds=0"


class Space:
    """One namespace, and what the tests make there."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.pods = f"{NAMESPACES}/{namespace}/pods"
        self.rcs = f"{NAMESPACES}/{namespace}/replicationcontrollers"
        self.deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self.sets = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
        eventually(lambda: api.get(f"{NAMESPACES}/{namespace}/serviceaccounts/default").code == 200)

    def items(self, path: str) -> list[Object]:
        return list(fine(self.api.get(path))["items"])

    def get(self, path: str, name: str) -> Object:
        return fine(self.api.get(f"{path}/{name}"))

    def gone(self, path: str, name: str = "") -> bool:
        if name:
            return eventually(lambda: self.api.get(f"{path}/{name}").code == 404) is True
        return eventually(lambda: not self.items(path)) is True

    def delete(self, path: str, name: str, policy: str = "") -> Object:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy} if policy else None
        answer = self.api.delete(f"{path}/{name}", body)
        assert answer.code in (200, 202), answer.body
        return dict(answer.body)

    def rc(self, name: str, replicas: int) -> Object:
        labels = {"name": name}
        template = {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "nginx", "image": "nginx"}]},
        }
        spec = {"replicas": replicas, "selector": labels, "template": template}
        made = fine(self.api.post(self.rcs, {"metadata": {"name": name}, "spec": spec}), 201)
        eventually(lambda: len(self.items(self.pods)) == replicas)
        return made

    def deployment(self, name: str) -> Object:
        labels = {"app": "gc-test"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "nginx", "image": "nginx"}]},
        }
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        made = fine(self.api.post(self.deployments, {"metadata": {"name": name}, "spec": spec}), 201)
        eventually(lambda: self.items(self.sets))
        eventually(lambda: len(self.items(self.pods)) == 2)
        return made

    def pod(self, name: str, **metadata: Any) -> Object:
        spec = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "nginx", "image": "nginx"}]}
        return fine(self.api.post(self.pods, {"metadata": {"name": name, **metadata}, "spec": spec}), 201)

    def settled(self, path: str, seconds: float = 1.0) -> list[Object]:
        """What is there when nothing of it has changed for a while: the collector has nothing more to do."""
        events: list[Object] = []
        version = fine(self.api.get(path))["metadata"]["resourceVersion"]
        with self.api.watch(f"{path}?resourceVersion={version}&timeoutSeconds={int(seconds)}") as changes:
            events.extend(changes)
        return self.items(path)


def test_garbage_collector_delete_replication_controller_propagation_policy_background(
    cluster: Api, space: str
) -> None:
    """Garbage Collector, delete replication controller, propagation policy background."""
    here = Space(cluster, space)
    rc = here.rc("simpletest.rc", 5)
    for pod in here.items(here.pods):
        (owner,) = pod["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("ReplicationController", rc["metadata"]["uid"])
        assert owner["controller"] is True
        assert owner["blockOwnerDeletion"] is True
    here.delete(here.rcs, "simpletest.rc", "Background")
    assert cluster.get(f"{here.rcs}/simpletest.rc").code == 404
    assert here.gone(here.pods)


def test_garbage_collector_delete_replication_controller_propagation_policy_orphan(
    cluster: Api, space: str
) -> None:
    here = Space(cluster, space)
    here.rc("simpletest.rc", 10)
    here.delete(here.rcs, "simpletest.rc", "Orphan")
    assert here.gone(here.rcs, "simpletest.rc")
    pods = here.settled(here.pods)
    assert len(pods) == 10
    for pod in pods:
        assert "ownerReferences" not in pod["metadata"]
        assert "deletionTimestamp" not in pod["metadata"]


def test_garbage_collector_orphans_if_delete_options_say_so_the_old_way(cluster: Api, space: str) -> None:
    """Should orphan pods created by rc if deleteOptions.OrphanDependents is true (the default of kubectl once)."""
    here = Space(cluster, space)
    here.rc("simpletest.rc", 2)
    fine(cluster.delete(f"{here.rcs}/simpletest.rc", {"orphanDependents": True}))
    assert here.gone(here.rcs, "simpletest.rc")
    assert len(here.settled(here.pods)) == 2


def test_garbage_collector_orphans_pods_of_rcs_and_jobs_by_default(cluster: Api, space: str) -> None:
    """Should orphan pods created by rc if deleteOptions.OrphanDependents is nil; v1 Jobs leave theirs as well."""
    here = Space(cluster, space)
    here.rc("simpletest.rc", 2)
    fine(cluster.delete(f"{here.rcs}/simpletest.rc", {}))
    assert here.gone(here.rcs, "simpletest.rc")
    jobs = f"/apis/batch/v1/namespaces/{space}/jobs"
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}
    fine(cluster.post(jobs, {"metadata": {"name": "job"}, "spec": {"template": {"spec": pod}}}), 201)
    eventually(lambda: len(here.items(here.pods)) == 3)
    answer = cluster.delete(f"{jobs}/job")
    assert "child pods are preserved by default when jobs are deleted" in answer.headers["Warning"]
    assert here.gone(jobs, "job")
    pods = here.settled(here.pods)
    assert len(pods) == 3
    assert all("ownerReferences" not in pod["metadata"] for pod in pods)


def test_garbage_collector_delete_deployment_propagation_policy_background(cluster: Api, space: str) -> None:
    here = Space(cluster, space)
    here.deployment("simpletest.deployment")
    here.delete(here.deployments, "simpletest.deployment", "Background")
    assert here.gone(here.deployments, "simpletest.deployment")
    assert here.gone(here.sets)
    assert here.gone(here.pods)


def test_garbage_collector_delete_deployment_propagation_policy_orphan(cluster: Api, space: str) -> None:
    here = Space(cluster, space)
    here.deployment("simpletest.deployment")
    here.delete(here.deployments, "simpletest.deployment", "Orphan")
    assert here.gone(here.deployments, "simpletest.deployment")
    (replicas,) = here.settled(here.sets)
    assert "ownerReferences" not in replicas["metadata"]
    pods = here.items(here.pods)
    assert len(pods) == 2
    assert {o["uid"] for p in pods for o in p["metadata"]["ownerReferences"]} == {replicas["metadata"]["uid"]}


def test_garbage_collector_delete_replication_controller_after_owned_pods(cluster: Api, space: str) -> None:
    here = Space(cluster, space)
    here.rc("simpletest.rc", 10)
    order: list[str] = []
    with cluster.watch(here.rcs) as rcs, cluster.watch(here.pods) as pods:

        def note() -> None:
            while order.count("pod") < 10:
                until(pods, "DELETED")
                order.append("pod")

        thread = threading.Thread(target=note)
        thread.start()
        answer = here.delete(here.rcs, "simpletest.rc", "Foreground")
        assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert answer["metadata"]["deletionTimestamp"]
        until(rcs, "DELETED", name="simpletest.rc")
        order.append("rc")
        thread.join(15)
    assert order == ["pod"] * 10 + ["rc"]


def test_garbage_collector_multiple_owners(cluster: Api, space: str) -> None:
    here = Space(cluster, space)
    first = here.rc("simpletest-rc-to-be-deleted", 10)
    pods = here.items(here.pods)
    second = fine(
        cluster.post(
            here.rcs,
            {
                "metadata": {"name": "simpletest-rc-to-stay"},
                "spec": {**first["spec"], "replicas": 0, "selector": {"name": "other"}}
                | {"template": {**first["spec"]["template"], "metadata": {"labels": {"name": "other"}}}},
            },
        ),
        201,
    )
    owner = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "name": "simpletest-rc-to-stay",
        "uid": second["metadata"]["uid"],
    }
    shared = [pod["metadata"]["name"] for pod in pods[:5]]
    for name in shared:
        fine(cluster.patch(f"{here.pods}/{name}", {"metadata": {"ownerReferences": [owner]}}, STRATEGIC))
        assert len(here.get(here.pods, name)["metadata"]["ownerReferences"]) == 2
    here.delete(here.rcs, "simpletest-rc-to-be-deleted", "Foreground")
    assert here.gone(here.rcs, "simpletest-rc-to-be-deleted")
    left = here.settled(here.pods)
    assert sorted(pod["metadata"]["name"] for pod in left) == sorted(shared)
    for pod in left:
        assert "deletionTimestamp" not in pod["metadata"]
        assert [o["uid"] for o in pod["metadata"]["ownerReferences"]] == [second["metadata"]["uid"]]


def test_garbage_collector_dependency_cycle(cluster: Api, space: str) -> None:
    here = Space(cluster, space)
    made = {name: here.pod(name)["metadata"]["uid"] for name in ("pod1", "pod2", "pod3")}
    for name, owner in (("pod1", "pod3"), ("pod2", "pod1"), ("pod3", "pod2")):
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": owner,
            "uid": made[owner],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        fine(cluster.patch(f"{here.pods}/{name}", {"metadata": {"ownerReferences": [reference]}}, STRATEGIC))
    here.delete(here.pods, "pod1", "Foreground")
    assert here.gone(here.pods)


def test_garbage_collector_waits_for_a_blocking_dependent(cluster: Api, space: str) -> None:
    """Should delete pods one by one in the foreground: an owner waits for what has a finalizer of its own."""
    here = Space(cluster, space)
    owner = here.pod("owner")
    reference = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    here.pod("dependent", ownerReferences=[reference], finalizers=["example.com/mine"])
    here.delete(here.pods, "owner", "Foreground")
    eventually(lambda: here.get(here.pods, "dependent")["metadata"].get("deletionTimestamp"))
    assert here.get(here.pods, "owner")["metadata"]["finalizers"] == ["foregroundDeletion"]
    fine(cluster.patch(f"{here.pods}/dependent", {"metadata": {"finalizers": None}}))
    assert here.gone(here.pods)


def test_garbage_collector_custom_resources(cluster: Api, space: str) -> None:
    """Should support cascading deletion and orphan deletion of custom resources."""
    plural = f"things{time.monotonic_ns()}"
    names = {"plural": plural, "singular": plural[:-1], "kind": f"Thing{time.monotonic_ns()}"}
    shape = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": shape}
    definition = {
        "metadata": {"name": f"{plural}.gc.example.com"},
        "spec": {"group": "gc.example.com", "scope": "Cluster", "names": names, "versions": [version]},
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    fine(cluster.post(definitions, definition), 201)
    path = f"/apis/gc.example.com/v1beta1/{plural}"
    eventually(lambda: cluster.get(path).code == 200)

    def make(name: str, *owners: Object) -> Object:
        references = [
            {
                "apiVersion": o["apiVersion"],
                "kind": o["kind"],
                **{k: o["metadata"][k] for k in ("name", "uid")},
            }
            for o in owners
        ]
        body = {
            "apiVersion": "gc.example.com/v1beta1",
            "kind": names["kind"],
            "metadata": {"name": name, "ownerReferences": references},
        }
        return fine(cluster.post(path, body), 201)

    owner = make("owner")
    make("dependent", owner)
    cluster.delete(f"{path}/owner")
    eventually(lambda: cluster.get(f"{path}/dependent").code == 404)
    other = make("other-owner")
    make("kept", other)
    fine(cluster.delete(f"{path}/other-owner?propagationPolicy=Orphan"))
    eventually(lambda: cluster.get(f"{path}/other-owner").code == 404)
    assert "ownerReferences" not in fine(cluster.get(f"{path}/kept"))["metadata"]
    fine(cluster.delete(f"{definitions}/{definition['metadata']['name']}"))
    eventually(lambda: cluster.get(path).code == 404)


def test_garbage_collector_goes_on_when_definitions_come_and_go(cluster: Api, space: str) -> None:
    """What is defined and gone again, before anyone could list it, holds up nothing."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    shape = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": shape}
    for number in range(8):
        names = {"plural": f"fleeting{number}s", "kind": f"Fleeting{number}"}
        spec = {"group": f"{space}.example.com", "scope": "Cluster", "names": names, "versions": [version]}
        name = f"fleeting{number}s.{space}.example.com"
        fine(cluster.post(definitions, {"metadata": {"name": name}, "spec": spec}), 201)
        cluster.delete(f"{definitions}/{name}")
    names = {"plural": "lastings", "kind": "Lasting"}
    spec = {"group": f"{space}.example.com", "scope": "Cluster", "names": names, "versions": [version]}
    name = f"lastings.{space}.example.com"
    fine(cluster.post(definitions, {"metadata": {"name": name}, "spec": spec}), 201)
    path = f"/apis/{space}.example.com/v1/lastings"
    eventually(lambda: cluster.get(path).code == 200)
    canary = {"apiVersion": f"{space}.example.com/v1", "kind": "Lasting", "metadata": {"name": "canary"}}
    fine(cluster.post(path, canary), 201)
    cluster.delete(f"{path}/canary?propagationPolicy=Foreground")
    eventually(lambda: cluster.get(f"{path}/canary").code == 404)
    fine(cluster.delete(f"{definitions}/{name}"))


def test_garbage_collector_cronjobs(cluster: Api, space: str) -> None:
    """Should delete jobs and pods created by cronjob."""
    here = Space(cluster, space)
    path = f"/apis/batch/v1/namespaces/{space}"
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    template = {"spec": {"template": {"spec": {**pod, "containers": [{"name": "c", "image": "busybox"}]}}}}
    cron = {"metadata": {"name": "simple"}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template}}
    made = fine(cluster.post(f"{path}/cronjobs", cron), 201)
    reference = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": "simple",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    job = {"metadata": {"name": "of-simple", "ownerReferences": [reference]}, "spec": template["spec"]}
    fine(cluster.post(f"{path}/jobs", job), 201)
    eventually(lambda: here.items(here.pods))
    cluster.delete(f"{path}/cronjobs/simple?propagationPolicy=Background")
    eventually(lambda: not here.items(f"{path}/jobs"))
    assert here.gone(here.pods)
