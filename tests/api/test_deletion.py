"""Deleting: graceful, by finalizers, with preconditions and propagation policies, one and many."""

from __future__ import annotations

from apiclient import MERGE, Api
from objects import config, deployment, pod


def test_deletion_answers_with_a_status(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = api.post(path, deployment()).body
    gone = api.delete(f"{path}/web")
    assert gone.code == 200
    assert gone.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "web", "group": "apps", "kind": "deployments", "uid": made["metadata"]["uid"]},
    }
    assert api.delete(f"{path}/web").code == 404


def test_a_pod_that_never_ran_goes_at_once(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod())
    gone = api.delete(f"{path}/web")
    assert gone.code == 200
    assert gone["kind"] == "Pod"
    assert api.get(f"{path}/web").code == 404


def test_a_bound_pod_has_its_grace_period(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod(nodeName="n1"))
    marked = api.delete(f"{path}/web")
    assert marked.code == 200
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert marked["metadata"]["deletionTimestamp"] > marked["metadata"]["creationTimestamp"]
    assert marked["metadata"]["generation"] == 2
    shorter = api.delete(f"{path}/web?gracePeriodSeconds=5")
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shorter["metadata"]["deletionTimestamp"] < marked["metadata"]["deletionTimestamp"]
    longer = api.delete(f"{path}/web", {"gracePeriodSeconds": 60})
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 5, "a grace period is never made longer"
    assert api.delete(f"{path}/web", {"gracePeriodSeconds": 0}).code == 200
    assert api.get(f"{path}/web").code == 404


def test_finalizers_hold_an_object(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = config()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    api.post(path, body)
    marked = api.delete(f"{path}/c")
    assert marked.code == 200
    assert marked["kind"] == "ConfigMap"
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    version = marked["metadata"]["resourceVersion"]
    with api.watch(f"{path}?resourceVersion={version}") as events:
        released = api.patch(f"{path}/c", {"metadata": {"finalizers": None}}, MERGE)
        assert released.code == 200
        assert next(events)["type"] == "DELETED"
    assert api.get(f"{path}/c").code == 404


def test_propagation_policies_become_finalizers(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        name = policy.lower()
        api.post(path, deployment(name))
        marked = api.delete(f"{path}/{name}", {"propagationPolicy": policy})
        assert marked["metadata"]["finalizers"] == [finalizer]
        assert marked["metadata"]["deletionTimestamp"]
    wrong = api.delete(f"{path}/foreground", {"propagationPolicy": "Sideways"})
    assert wrong.code == 422
    both = api.delete(f"{path}/foreground", {"propagationPolicy": "Orphan", "orphanDependents": True})
    assert both.code == 422


def test_preconditions(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.post(path, config()).body
    refused = api.delete(f"{path}/c", {"preconditions": {"uid": "other"}})
    assert refused.code == 409
    assert "Precondition failed: UID in precondition: other" in refused.message
    assert api.delete(f"{path}/c", {"preconditions": {"resourceVersion": "1"}}).code == 409
    uid = made["metadata"]["uid"]
    assert api.delete(f"{path}/c", {"preconditions": {"uid": uid}}).code == 200


def test_delete_collection_takes_what_is_selected(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("a", "b", "keep"):
        body = config(name)
        body["metadata"]["labels"] = {"keep": str(name == "keep").lower()}
        api.post(path, body)
    gone = api.delete(f"{path}?labelSelector=keep%3Dfalse")
    assert gone.code == 200
    assert [item["metadata"]["name"] for item in api.get(path)["items"]] == ["keep"]


def test_namespaces_end_when_they_are_finalized(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    marked = api.delete(path)
    assert marked.code == 200
    assert marked["status"] == {"phase": "Terminating"}
    assert marked["metadata"]["deletionTimestamp"]
    refused = api.post(f"{path}/configmaps", config())
    assert refused.code == 403
    assert "because it is being terminated" in refused.message
    body = api.get(path).body
    body["spec"] = {"finalizers": []}
    assert api.put(f"{path}/finalize", body).code == 200
    assert api.get(path).code == 404
