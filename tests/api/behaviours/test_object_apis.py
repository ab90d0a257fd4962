"""Area common/node, scheduling: the life cycles of kinds that only the API serves."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiclient import JSON_PATCH, STRATEGIC, Api
from lifecycle import LifeCycle, covers, fine, until

Object = dict[str, Any]
CONTAINER: Object = {"name": "c", "image": "busybox"}

# ConfigMaps and Secrets


def test_configmap_lifecycle(api: Api, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"valueName": "value"}}
    life = LifeCycle(api, body, namespace)
    with api.watch(life.everywhere + life.query) as events:
        life.make("test-configmap")
        until(events, "ADDED", name="test-configmap")
        patch = {"metadata": {"labels": {"test-configmap": "patched"}}, "data": {"valueName": "value1"}}
        fine(api.patch(life.at("test-configmap"), patch, STRATEGIC))
        seen = until(events, "MODIFIED")
        assert seen["metadata"]["labels"]["test-configmap"] == "patched"
        assert seen["data"] == {"valueName": "value1"}
        (listed,) = life.list(life.everywhere)
        assert listed["data"] == {"valueName": "value1"}
        fine(api.delete(life.path + life.query))
        until(events, "DELETED", name="test-configmap")
    life.run({"data": {"more": "yes"}})


def test_configmap_update(api: Api, namespace: str) -> None:
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}}, namespace)
    made = life.make("configmap-update")
    made["data"] = {"data": "value"}
    assert fine(api.put(life.at("configmap-update"), made))["data"] == {"data": "value"}
    assert life.get("configmap-update")["data"] == {"data": "value"}


def test_configmap_with_empty_key(api: Api, namespace: str) -> None:
    """ConfigMap, with empty-key."""
    body = {"metadata": {"name": "empty"}, "data": {"": "value-1"}}
    refused = api.post(f"/api/v1/namespaces/{namespace}/configmaps", body)
    assert (refused.code, refused["reason"]) == (422, "Invalid")


def test_secret_patching(api: Api, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "data": {"key": "dmFsdWU="}}
    life = LifeCycle(api, body, namespace)
    life.make("test-secret")
    assert [s["metadata"]["name"] for s in life.list(life.everywhere)] == ["test-secret"]
    patch = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": "dmFsdWUx"}}
    fine(api.patch(life.at("test-secret"), patch, STRATEGIC))
    changed = life.get("test-secret")
    assert changed["metadata"]["labels"]["testsecret"] == "true"
    assert changed["data"] == {"key": "dmFsdWUx"}
    fine(api.delete(life.path + "?labelSelector=testsecret%3Dtrue"))
    assert life.list(life.everywhere) == []
    life.run({"data": {"key": "dmFsdWUx"}})


def test_secrets_with_empty_key(api: Api, namespace: str) -> None:
    body = {"metadata": {"name": "empty"}, "data": {"": "dmFsdWUtMQo="}}
    refused = api.post(f"/api/v1/namespaces/{namespace}/secrets", body)
    assert (refused.code, refused["reason"]) == (422, "Invalid")


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_immutable_if_immutable_field_is_set(api: Api, namespace: str, kind: str) -> None:
    """Secrets Volume and ConfigMap Volume, immutability."""
    one, other = ("dmFsdWU=", "dmFsdWUx")
    life = LifeCycle(api, {"apiVersion": "v1", "kind": kind, "data": {"a": one}}, namespace)
    made = life.make("immutable")
    made["data"]["a"] = other
    made = fine(api.put(life.at("immutable"), made))
    made["immutable"] = True
    made = fine(api.put(life.at("immutable"), made))
    for change in ({"immutable": False}, {"data": {"a": one}}):
        refused = api.put(life.at("immutable"), {**made, **change})
        assert (refused.code, refused["reason"]) == (422, "Invalid")
    labelled = copy.deepcopy(made)
    labelled["metadata"]["labels"]["more"] = "yes"
    fine(api.put(life.at("immutable"), labelled))


# PodTemplates, Leases, RuntimeClasses


def _template(api: Api, namespace: str) -> LifeCycle:
    template = {"spec": {"containers": [CONTAINER]}}
    return LifeCycle(api, {"apiVersion": "v1", "kind": "PodTemplate", "template": template}, namespace)


def test_podtemplate_lifecycle(api: Api, namespace: str) -> None:
    life = _template(api, namespace)
    life.make("nginx-pod-template")
    fine(
        api.patch(
            life.at("nginx-pod-template"), {"metadata": {"labels": {"podtemplate": "patched"}}}, STRATEGIC
        )
    )
    assert life.get("nginx-pod-template")["metadata"]["labels"]["podtemplate"] == "patched"
    (listed,) = life.list(life.everywhere)
    assert listed["metadata"]["labels"]["podtemplate"] == "patched"
    deleted = fine(api.delete(life.at("nginx-pod-template")))
    assert deleted["metadata"]["name"] == "nginx-pod-template"
    assert life.list(life.everywhere) == []


def test_podtemplate_delete_a_collection(api: Api, namespace: str) -> None:
    life = _template(api, namespace)
    for number in (1, 2, 3):
        life.make(f"test-podtemplate-{number}")
    assert len(life.list()) == 3
    fine(api.delete(life.path + life.query))
    assert life.list() == []
    life.run()


def test_podtemplate_replace(api: Api, namespace: str) -> None:
    life = _template(api, namespace)
    made = life.make("podtemplate-replace")
    made["metadata"]["annotations"] = {"updated": "true"}
    replaced = fine(api.put(life.at("podtemplate-replace"), made))
    assert replaced["metadata"]["annotations"] == {"updated": "true"}
    assert int(replaced["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_lease_api_should_be_available(api: Api, namespace: str) -> None:
    spec = {
        "holderIdentity": "holder",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-01-02T03:04:05.678900Z",
        "renewTime": "2026-01-02T03:04:10.678900Z",
        "leaseTransitions": 0,
    }
    life = LifeCycle(api, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}, namespace)
    made = life.make("lease")
    assert made["spec"] == spec
    changed = {**spec, "holderIdentity": "holder2", "renewTime": "2026-01-02T04:04:10.000001Z"}
    fine(api.put(life.at("lease"), {**made, "spec": changed}))
    assert life.get("lease")["spec"] == changed
    patched = {"spec": {"leaseDurationSeconds": 50, "leaseTransitions": 7, "acquireTime": None}}
    fine(api.patch(life.at("lease"), patched, STRATEGIC))
    assert covers(life.get("lease")["spec"], {"leaseDurationSeconds": 50, "leaseTransitions": 7})
    first = life.query
    life.template["metadata"]["labels"]["deletecollection"] = "true"
    life.make("lease2")
    assert len(life.list()) == 2
    fine(api.delete(life.path + "?labelSelector=deletecollection%3Dtrue"))
    assert [lease["metadata"]["name"] for lease in life.list()] == ["lease"]
    fine(api.delete(life.at("lease")))
    assert api.get(life.at("lease")).code == 404
    assert life.query == first
    life.run({"spec": {"holderIdentity": "me"}})


def test_runtimeclass_api(api: Api) -> None:
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "e2e-handler"}
    life = LifeCycle(api, body)
    life.run()
    made = life.make()
    name = made["metadata"]["name"]
    assert api.patch(life.at(name), {"handler": "other"}).code == 422
    fine(api.delete(life.path + life.query))


# Pods


def test_pods_patching_status(api: Api, namespace: str) -> None:
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [CONTAINER]}}, namespace)
    life.make("pod-status")
    status = {"message": "Patched by e2e test", "reason": "E2E"}
    body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}
    patched = fine(api.patch(life.at("pod-status", "status"), body, STRATEGIC))
    assert covers(patched["status"], status)
    life.check_status("pod-status", {"reason": "Again"}, {"message": "Updated"})
    assert life.get("pod-status", "status")["status"]["message"] == "Updated"


def test_ephemeral_container_update_ephemeral_containers(api: Api, namespace: str) -> None:
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [CONTAINER]}}, namespace)
    life.make("ephemeral-containers-target-pod")
    at = life.at("ephemeral-containers-target-pod", "ephemeralcontainers")
    first = {"name": "debugger", "image": "busybox", "stdin": True, "tty": True}
    patched = fine(api.patch(at, {"spec": {"ephemeralContainers": [first]}}, STRATEGIC))
    assert [c["name"] for c in patched["spec"]["ephemeralContainers"]] == ["debugger"]
    pod = fine(api.get(at))
    assert len(pod["spec"]["ephemeralContainers"]) == 1
    pod["spec"]["ephemeralContainers"].append({"name": "debugger2", "image": "busybox"})
    updated = fine(api.put(at, pod))
    assert [c["name"] for c in updated["spec"]["ephemeralContainers"]] == ["debugger", "debugger2"]
    assert updated["metadata"]["generation"] == 3
    # They come and never go, and not by way of the pod itself.
    pod["metadata"].pop("resourceVersion")
    pod["spec"]["ephemeralContainers"].pop()
    assert api.put(at, pod).code == 422
    add = [{"op": "add", "path": "/spec/ephemeralContainers/-", "value": {"name": "x", "image": "busybox"}}]
    assert api.patch(life.at("ephemeral-containers-target-pod"), add, JSON_PATCH).code == 422


# PriorityClasses and LimitRanges


def test_scheduler_verify_priorityclass_endpoints(api: Api) -> None:
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 100}
    life = LifeCycle(api, body)
    life.run({"description": "a higher priority"})
    made = life.make("p1")
    assert made["preemptionPolicy"] == "PreemptLowerPriority"
    made["description"] = "updated description"
    assert fine(api.put(life.at("p1"), made))["description"] == "updated description"
    patched = fine(api.patch(life.at("p1"), {"description": "patched", "globalDefault": False}, STRATEGIC))
    assert patched["description"] == "patched"
    for change in ({"value": 101}, {"preemptionPolicy": "Never"}):
        refused = api.patch(life.at("p1"), change)
        assert (refused.code, refused["reason"]) == (422, "Invalid"), change
        fresh = life.get("p1")
        refused = api.put(life.at("p1"), {**fresh, **change})
        assert (refused.code, refused["reason"]) == (422, "Invalid"), change
        assert ("may not be changed in an update." in refused.message) is ("value" in change)
    fine(api.delete(life.path + life.query))


LIMITS: Object = {
    "limits": [
        {
            "type": "Container",
            "min": {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"},
            "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
            "default": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
            "defaultRequest": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"},
        }
    ]
}


def _pod(name: str, requests: Object | None = None, limits: Object | None = None) -> Object:
    resources = {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}
    spec = {"containers": [{**CONTAINER, "resources": resources}]}
    return {"metadata": {"name": name}, "spec": spec}


def test_limitrange_resources(api: Api, namespace: str) -> None:
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "LimitRange", "spec": LIMITS}, namespace)
    with api.watch(life.path + life.query) as events:
        made = life.make("limit-range")
        until(events, "ADDED", name="limit-range")
    assert made["spec"]["limits"][0]["defaultRequest"] == LIMITS["limits"][0]["defaultRequest"]
    pods = f"/api/v1/namespaces/{namespace}/pods"

    def resources(name: str) -> Object:
        pod = fine(api.get(f"{pods}/{name}"))
        return dict(pod["spec"]["containers"][0]["resources"])

    fine(api.post(pods, _pod("pod-no-resources")), 201)
    entry = LIMITS["limits"][0]
    assert resources("pod-no-resources") == {"requests": entry["defaultRequest"], "limits": entry["default"]}
    # A limit that is given is a request where none is.
    given = {"requests": {"cpu": "300m", "memory": "150Mi"}, "limits": {"cpu": "300m", "memory": "500Mi"}}
    partial = _pod(
        "pod-partial-resources", {"memory": "150Mi", "ephemeral-storage": "150Gi"}, {"cpu": "300m"}
    )
    fine(api.post(pods, partial), 201)
    found = resources("pod-partial-resources")
    assert covers(found, given)
    assert found["requests"]["ephemeral-storage"] == "150Gi"
    assert found["limits"]["ephemeral-storage"] == "500Gi"

    refused = api.post(pods, _pod("pod-less", {"cpu": "10m", "memory": "50Mi"}))
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    assert "minimum cpu usage per Container is 50m, but request is 10m" in refused.message
    refused = api.post(pods, _pod("pod-more", None, {"cpu": "600m", "memory": "600Mi"}))
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    assert "maximum cpu usage per Container is 500m, but limit is 600m" in refused.message

    lower = copy.deepcopy(LIMITS)
    lower["limits"][0]["min"] = {"cpu": "9m", "memory": "49Mi", "ephemeral-storage": "49Gi"}
    updated = fine(api.put(life.at("limit-range"), {**made, "spec": lower}))
    assert updated["spec"]["limits"][0]["min"]["cpu"] == "9m"
    fine(
        api.post(pods, _pod("pod-less-2", {"cpu": "10m", "memory": "50Mi", "ephemeral-storage": "50Gi"})), 201
    )
    assert api.post(pods, _pod("pod-more-2", None, {"cpu": "600m", "memory": "600Mi"})).code == 403
    fine(api.delete(life.at("limit-range")))
    assert api.get(life.at("limit-range")).code == 404
    fine(api.post(pods, _pod("pod-more-3", None, {"cpu": "600m", "memory": "600Mi"})), 201)


def test_limitrange_list_patch_and_delete_a_limitrange_by_collection(api: Api, namespace: str) -> None:
    other = fine(api.post("/api/v1/namespaces", {"metadata": {"generateName": "limitrange-"}}), 201)
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "LimitRange", "spec": LIMITS}, namespace)
    life.make("limits")
    elsewhere = f"/api/v1/namespaces/{other['metadata']['name']}/limitranges"
    body = {**life.template, "metadata": {**life.template["metadata"], "name": "limits"}}
    fine(api.post(elsewhere, body), 201)
    assert len(life.list(life.everywhere)) == 2
    entry = {
        "type": "Container",
        "min": {"cpu": "1m"},
        "default": {"cpu": "2m"},
        "defaultRequest": {"cpu": "1m"},
    }
    patch = {"metadata": {"labels": {"limits": "patched"}}, "spec": {"limits": [entry]}}
    patched = fine(api.patch(life.at("limits"), patch, STRATEGIC))
    assert patched["metadata"]["labels"]["limits"] == "patched"
    assert patched["spec"]["limits"][0]["min"] == {"cpu": "1m"}
    fine(api.delete(life.path + "?labelSelector=limits%3Dpatched"))
    (left,) = life.list(life.everywhere)
    assert left["metadata"]["namespace"] == other["metadata"]["name"]
    life.run()
