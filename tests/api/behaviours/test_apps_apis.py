"""Area apps: the APIs of workloads: life cycles, status and scale subresources, collections, disruption budgets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiclient import STRATEGIC, Api
from lifecycle import LifeCycle, check_discovery, covers, fine, until
from registrations import eventually

Object = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
LABELS = {"name": "pod", "app": "behaviours"}
TEMPLATE: Object = {
    "metadata": {"labels": LABELS},
    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "httpd", "image": "httpd"}]},
}
SELECTOR = {"matchLabels": LABELS}
JOB_TEMPLATE: Object = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
SPECS: dict[str, Object] = {
    "Deployment": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE},
    "ReplicaSet": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE},
    "StatefulSet": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE, "serviceName": "test"},
    "DaemonSet": {"selector": SELECTOR, "template": TEMPLATE},
    "ReplicationController": {"replicas": 1, "selector": LABELS, "template": TEMPLATE},
    "Job": {"suspend": True, "parallelism": 2, "completions": 4, "template": JOB_TEMPLATE},
}
VERSIONS = {"ReplicationController": "v1", "Job": "batch/v1"}
CONDITION = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}


def _life(api: Api, namespace: str, kind: str, **spec: Any) -> LifeCycle:
    body = {"apiVersion": VERSIONS.get(kind, "apps/v1"), "kind": kind, "spec": {**SPECS[kind], **spec}}
    return LifeCycle(api, copy.deepcopy(body), namespace)


@pytest.mark.parametrize("kind", [kind for kind in SPECS if kind not in ("Job", "DaemonSet")])
def test_completes_the_scaling_of_a_subresource(api: Api, namespace: str, kind: str) -> None:
    """Deployment, ReplicaSet, StatefulSet and Replication Controller: get, update and patch scale."""
    life = _life(api, namespace, kind)
    life.make("scaled")
    check_discovery(api, life.resource, "scale")
    scale = life.get("scaled", "scale")
    assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
    assert scale["spec"]["replicas"] == 1
    assert scale["status"]["replicas"] == 0
    assert "name=pod" in scale["status"]["selector"]
    assert scale["metadata"]["uid"] == life.get("scaled")["metadata"]["uid"]
    scale["metadata"]["resourceVersion"] = ""
    scale["spec"]["replicas"] = 2
    assert fine(api.put(life.at("scaled", "scale"), scale))["spec"]["replicas"] == 2
    assert life.get("scaled")["spec"]["replicas"] == 2
    assert life.get("scaled")["metadata"]["generation"] == 2
    patched = fine(api.patch(life.at("scaled", "scale"), {"spec": {"replicas": 4}}, STRATEGIC))
    assert patched["spec"]["replicas"] == 4
    assert life.get("scaled")["spec"]["replicas"] == 4


@pytest.mark.parametrize("kind", [kind for kind in SPECS if kind != "Job"])
def test_status_sub_resource(api: Api, namespace: str, kind: str) -> None:
    """Deployment, ReplicaSet, StatefulSet, DaemonSet and Replication Controller: read, update, patch status."""
    life = _life(api, namespace, kind)
    made = life.make("with-status")
    other = {**CONDITION, "type": "StatusPatched", "reason": "E2E patched"}
    with api.watch(life.path + life.query) as events:
        updated = life.check_status("with-status", {"conditions": [CONDITION]}, {"conditions": [other]})
        seen = until(events, "MODIFIED", patchedstatus="true")
        assert covers(seen["status"]["conditions"], [CONDITION])
        assert covers(until(events, "MODIFIED")["status"]["conditions"], [other])
    assert updated["metadata"]["generation"] == made["metadata"]["generation"] == 1


@pytest.mark.parametrize("kind", SPECS)
def test_list_patch_and_delete_a_collection(api: Api, namespace: str, kind: str) -> None:
    """Every workload, and ReplicaSet and StatefulSet by name: list by label, patch, delete the collection."""
    _life(api, namespace, kind).run({"spec": {"template": {"metadata": {"annotations": None}}}})


def test_a_daemonset_counts_its_templates(api: Api, namespace: str) -> None:
    life = _life(api, namespace, "DaemonSet")
    made = life.make("counted")

    def count(obj: Object) -> str:
        return str(obj["metadata"]["annotations"]["deprecated.daemonset.template.generation"])

    assert count(made) == "1"
    patch: Object = {"metadata": {"annotations": {"deprecated.daemonset.template.generation": "7", "a": "b"}}}
    assert count(fine(api.patch(life.at("counted"), patch))) == "1"
    patch = {"spec": {"template": {"metadata": {"annotations": {"new": "yes"}}}}}
    assert count(fine(api.patch(life.at("counted"), patch))) == "2"
    patch = {"spec": {"minReadySeconds": 1}}
    changed = fine(api.patch(life.at("counted"), patch))
    assert (count(changed), changed["metadata"]["generation"]) == ("2", 3)


def test_a_statefulset_has_no_max_unavailable(api: Api, namespace: str) -> None:
    """Its feature gate is off in v1.36: the field is not kept."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
    life = _life(api, namespace, "StatefulSet", updateStrategy=strategy)
    assert life.make("one")["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}
    changed = fine(api.patch(life.at("one"), {"spec": {"updateStrategy": strategy}}))
    assert changed["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}


def test_replicaset_is_created_replaced_and_patched(cluster: Api, space: str) -> None:
    life = _life(cluster, space, "ReplicaSet")
    life.make("test-rs")
    eventually(lambda: life.get("test-rs")["status"].get("fullyLabeledReplicas") == 1)
    scale = life.get("test-rs", "scale")
    scale["spec"]["replicas"] = 2
    scale["metadata"]["resourceVersion"] = ""
    fine(cluster.put(life.at("test-rs", "scale"), scale))
    eventually(lambda: life.get("test-rs")["status"]["replicas"] == 2)
    patch = {
        "metadata": {"labels": {"test-rs": "patched"}},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "httpd", "image": "other"}]}}},
    }
    patched = fine(cluster.patch(life.at("test-rs"), patch, STRATEGIC))
    assert patched["metadata"]["labels"]["test-rs"] == "patched"
    eventually(lambda: life.get("test-rs")["status"]["replicas"] == 3)
    fine(cluster.delete(life.path + life.query))


def test_replication_controller_lifecycle(cluster: Api, space: str) -> None:
    life = _life(cluster, space, "ReplicationController")
    with cluster.watch(life.path + life.query) as events:
        life.make("rc-test")
        until(events, "ADDED", name="rc-test")
        eventually(lambda: life.get("rc-test")["status"]["replicas"] == 1)
        fine(cluster.patch(life.at("rc-test"), {"metadata": {"labels": {"test-rc": "patched"}}}, STRATEGIC))
        status = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        fine(cluster.patch(life.at("rc-test", "status"), status, STRATEGIC))
        fine(cluster.patch(life.at("rc-test", "scale"), {"spec": {"replicas": 2}}, STRATEGIC))
        eventually(lambda: life.get("rc-test")["status"]["replicas"] == 2)
        assert len(life.list(life.everywhere)) == 1
        status = life.get("rc-test", "status")
        assert status["metadata"]["labels"]["test-rc"] == "patched"
        fine(cluster.delete(life.path + life.query))
        until(events, "DELETED", name="rc-test")


def test_deployment_completes_the_lifecycle_of_a_deployment(cluster: Api, space: str) -> None:
    life = _life(cluster, space, "Deployment", replicas=2)
    life.make("test-deployment")
    eventually(lambda: life.get("test-deployment")["status"].get("replicas") == 2)
    assert len(life.list(life.everywhere)) == 1
    patch = {
        "metadata": {"labels": {"test-deployment": "patched"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "httpd", "image": "other"}]}}},
    }
    fine(cluster.patch(life.at("test-deployment"), patch, STRATEGIC))
    eventually(lambda: life.get("test-deployment")["status"].get("observedGeneration") == 2)
    body = {"status": {"readyReplicas": 0}}
    fine(cluster.patch(life.at("test-deployment", "status"), body, STRATEGIC))
    obj = life.get("test-deployment", "status")
    assert obj["metadata"]["labels"]["test-deployment"] == "patched"
    # The controller writes the status too: who comes too late tries again.
    status = life.at("test-deployment", "status")
    eventually(lambda: cluster.put(status, life.get("test-deployment")).code == 200)
    with cluster.watch(life.path + life.query) as events:
        fine(cluster.delete(life.path + life.query))
        until(events, "DELETED", name="test-deployment")


def test_controllerrevision_resource_lifecycle(cluster: Api, space: str) -> None:
    daemons = _life(cluster, space, "DaemonSet")
    label = daemons.template["metadata"]["labels"]
    daemons.template["spec"]["template"]["metadata"]["labels"] = {**LABELS, **label}
    made = daemons.make("e2e-daemon-set")
    path = f"/apis/apps/v1/namespaces/{space}/controllerrevisions"

    def revisions() -> list[Object]:
        return list(fine(cluster.get(path + daemons.query))["items"])

    eventually(lambda: len(revisions()) == 1)
    (initial,) = revisions()
    assert initial["revision"] == 1
    assert initial["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    name = initial["metadata"]["name"]
    patched = fine(cluster.patch(f"{path}/{name}", {"metadata": {"labels": {name: "patched"}}}, STRATEGIC))
    assert patched["metadata"]["labels"][name] == "patched"

    new = {
        "metadata": {
            "name": f"{name}-new",
            "labels": initial["metadata"]["labels"],
            "ownerReferences": initial["metadata"]["ownerReferences"],
        },
        "data": initial["data"],
        "revision": initial["revision"] + 1,
    }
    fine(cluster.post(path, new), 201)
    assert len(revisions()) == 2
    fine(cluster.delete(f"{path}/{name}"))
    eventually(lambda: [r["metadata"]["name"] for r in revisions()] == [f"{name}-new"])
    left = fine(cluster.get(f"{path}/{name}-new"))
    left["metadata"]["labels"][f"{name}-new"] = "updated"
    assert fine(cluster.put(f"{path}/{name}-new", left))["metadata"]["labels"][f"{name}-new"] == "updated"
    # What a revision holds is for good.
    changed = fine(cluster.get(f"{path}/{name}-new"))
    changed["data"] = {"other": True}
    assert cluster.put(f"{path}/{name}-new", changed).code == 422

    template = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
    fine(cluster.patch(daemons.at("e2e-daemon-set"), template, STRATEGIC))
    eventually(lambda: max(r["revision"] for r in revisions()) == 3)
    current = [r for r in revisions() if r["revision"] == 3]
    assert len(current) == 1
    fine(cluster.delete(f"{path}?labelSelector={name}-new%3Dupdated"))
    eventually(lambda: cluster.get(f"{path}/{name}-new").code == 404)
    fine(cluster.delete(daemons.path + daemons.query))
    eventually(lambda: not revisions())


# Jobs and CronJobs


def test_cronjob_api_operations(api: Api, namespace: str) -> None:
    spec = {
        "schedule": "* */1 * * ?",
        "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": {"template": JOB_TEMPLATE}},
    }
    life = LifeCycle(api, {"apiVersion": "batch/v1", "kind": "CronJob", "spec": spec}, namespace)
    life.run()
    made = life.make("mycronjob")
    assert made["spec"]["successfulJobsHistoryLimit"] == 3
    assert made["spec"]["failedJobsHistoryLimit"] == 1
    assert made["spec"]["suspend"] is False
    now = "2026-01-02T03:04:05Z"
    life.check_status("mycronjob", {"lastScheduleTime": now}, {"lastScheduleTime": "2026-01-02T03:05:05Z"})
    invalid = {**life.template, "metadata": {"name": "invalid"}, "spec": {**spec, "schedule": "invalid"}}
    assert api.post(life.path, invalid).code == 422


def test_jobs_manage_lifecycle(api: Api, namespace: str) -> None:
    life = _life(api, namespace, "Job")
    made = life.make("e2e-job")
    assert made["spec"]["suspend"] is True
    assert made["spec"]["completionMode"] == "NonIndexed"
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    patch = {"metadata": {"labels": {"e2e-job": "patched"}}}
    assert fine(api.patch(life.at("e2e-job"), patch, STRATEGIC))["metadata"]["labels"]["e2e-job"] == "patched"
    assert life.update("e2e-job", updated="true")["metadata"]["annotations"]["updated"] == "true"
    assert len(life.list(life.everywhere)) == 1
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
    fine(api.delete(life.path + life.query, body))
    assert life.list() == []


def test_jobs_apply_changes_to_status(api: Api, namespace: str) -> None:
    life = _life(api, namespace, "Job", suspend=False)
    life.make("e2e-job")
    start = "2026-01-02T03:04:05Z"
    condition = {"type": "CustomConditionType", "status": "True", "lastTransitionTime": start}
    patch = {"startTime": start, "conditions": [condition]}
    life.check_status("e2e-job", patch, {"conditions": [condition, {**condition, "type": "Other"}]})
    read = life.get("e2e-job", "status")
    assert read["metadata"]["annotations"]["patchedstatus"] == "true"
    assert [c["type"] for c in read["status"]["conditions"]] == ["CustomConditionType", "Other"]


# Disruption budgets

BUDGET: Object = {"minAvailable": 1, "selector": {"matchLabels": {"foo": "bar"}}}


def _budget(api: Api, namespace: str, **spec: Any) -> LifeCycle:
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": spec or BUDGET}
    return LifeCycle(api, body, namespace)


def _pods(api: Api, namespace: str, number: int) -> list[str]:
    """Pods that are ready, told so by the test in the node's place."""
    path = f"{NAMESPACES}/{namespace}/pods"
    eventually(lambda: api.get(f"{NAMESPACES}/{namespace}/serviceaccounts/default").code == 200)
    names = []
    for index in range(number):
        name = f"pod-{index}"
        metadata = {"name": name, "labels": {"foo": "bar"}}
        fine(api.post(path, {"metadata": metadata, "spec": TEMPLATE["spec"]}), 201)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}
        status = {"status": {"phase": "Running", "podIP": f"10.9.0.{index + 1}", "conditions": [ready]}}
        fine(api.patch(f"{path}/{name}/status", status))
        names.append(name)
    return names


def test_poddisruptionbudget_create_update_patch_and_delete_object(api: Api, namespace: str) -> None:
    life = _budget(api, namespace)
    made = life.make("foo")
    assert made["spec"]["minAvailable"] == 1
    made["spec"]["minAvailable"] = 2
    assert fine(api.put(life.at("foo"), made))["spec"]["minAvailable"] == 2
    patched = fine(api.patch(life.at("foo"), {"spec": {"minAvailable": "3%"}}, STRATEGIC))
    assert patched["spec"]["minAvailable"] == "3%"
    assert patched["metadata"]["generation"] == 3
    assert fine(api.delete(life.at("foo")))["kind"] in ("Status", "PodDisruptionBudget")
    assert api.get(life.at("foo")).code == 404
    life.run({"spec": {"minAvailable": 2}})


def test_poddisruptionbudget_list_and_delete_collection(api: Api, namespace: str) -> None:
    other = fine(api.post(NAMESPACES, {"metadata": {"generateName": "pdb-"}}), 201)["metadata"]["name"]
    life = _budget(api, namespace)
    life.make("foo")
    life.make("foo2")
    body = {**life.template, "metadata": {**life.template["metadata"], "name": "foo3"}}
    fine(api.post(f"/apis/policy/v1/namespaces/{other}/poddisruptionbudgets", body), 201)
    assert len(life.list(life.everywhere)) == 3
    assert sorted(b["metadata"]["name"] for b in life.list()) == ["foo", "foo2"]
    fine(api.delete(life.path + life.query))
    assert [b["metadata"]["name"] for b in life.list(life.everywhere)] == ["foo3"]


def test_poddisruptionbudget_update_and_patch_status(api: Api, namespace: str) -> None:
    life = _budget(api, namespace)
    life.make("foo")
    old = {"disruptedPods": {"pod-1": "2026-01-02T03:04:05Z"}, "disruptionsAllowed": 1}
    life.check_status("foo", old, {"disruptedPods": {"pod-2": "2026-01-02T03:04:05Z"}})
    patched = fine(api.patch(life.at("foo", "status"), {"status": {"disruptedPods": None}}))
    assert "disruptedPods" not in patched["status"]
    assert life.get("foo", "status")["status"] == patched["status"]


def test_poddisruptionbudget_status_updates(cluster: Api, space: str) -> None:
    life = _budget(cluster, space)
    life.make("foo")
    _pods(cluster, space, 3)
    eventually(lambda: life.get("foo")["status"].get("disruptionsAllowed") == 2)
    status = life.get("foo")["status"]
    assert (status["expectedPods"], status["currentHealthy"], status["desiredHealthy"]) == (3, 3, 1)
    assert status["observedGeneration"] == 1
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"]) == ("DisruptionAllowed", "True")


def test_poddisruptionbudget_block_an_eviction_until_the_pdb_is_updated_to_allow_it(
    cluster: Api, space: str
) -> None:
    life = _budget(cluster, space, minAvailable=3, selector=BUDGET["selector"])
    life.make("foo")
    (first, second, _) = _pods(cluster, space, 3)
    eventually(lambda: life.get("foo")["status"].get("currentHealthy") == 3)

    def evict(name: str) -> Any:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": space}}
        return cluster.post(f"{NAMESPACES}/{space}/pods/{name}/eviction", body)

    refused = evict(first)
    assert (refused.code, refused["reason"]) == (429, "TooManyRequests")
    assert refused["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.message
    assert refused.headers["Retry-After"] or "retryAfterSeconds" not in refused["details"]
    fine(cluster.patch(life.at("foo"), {"spec": {"minAvailable": 2}}))
    eventually(lambda: evict(first).code == 201)
    assert cluster.get(f"{NAMESPACES}/{space}/pods/{first}").code == 404
    # The next one is refused until there are enough again, and allowed once nobody asks for any.
    eventually(lambda: life.get("foo")["status"].get("currentHealthy") == 2)
    assert evict(second).code == 429
    fine(cluster.delete(life.at("foo")))
    eventually(lambda: evict(second).code == 201)
