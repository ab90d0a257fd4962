"""Area apimachinery: ResourceQuotas, counted by admission and kept true by their controller."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiclient import STRATEGIC, Api
from lifecycle import LifeCycle, fine
from quotas import HARD, Quotas
from registrations import eventually


def test_resourcequota_object_count_quota_resourcequotas(quotas: Quotas) -> None:
    quotas.make()
    quotas.used(resourcequotas="1", pods="0", configmaps="1", services="0")
    assert quotas.status()["hard"] == HARD
    assert set(quotas.status()["used"]) == set(HARD)


def test_resourcequota_object_count_quota_service(quotas: Quotas) -> None:
    quotas.make()

    def service(name: str, kind: str, **fields: Any) -> Any:
        spec = {"type": kind, "ports": [{"port": 80}], **fields}
        return quotas.api.post(f"{quotas.root}/services", {"metadata": {"name": name}, "spec": spec})

    fine(service("test-service", "ClusterIP"), 201)
    fine(service("test-service-np", "NodePort"), 201)
    # A load balancer has a node port, unless it says that it wants none.
    refused = service("test-service-lb-with-node-port", "LoadBalancer")
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    fine(service("test-service-lb", "LoadBalancer", allocateLoadBalancerNodePorts=False), 201)
    quotas.used(services="3", services__nodeports="1", services__loadbalancers="1")
    refused = service("test-service-np-2", "NodePort")
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    assert (
        "exceeded quota: test-quota, requested: services.nodeports=1, used: services.nodeports=1, "
        "limited: services.nodeports=1" in refused.message
    )
    for name in ("test-service", "test-service-np", "test-service-lb"):
        fine(quotas.api.delete(f"{quotas.root}/services/{name}"))
    quotas.used(services="0", services__nodeports="0", services__loadbalancers="0")


def test_resourcequota_object_count_quota_secret(quotas: Quotas) -> None:
    quotas.make()
    path = f"{quotas.root}/secrets"
    quotas.used(resourcequotas="1", secrets="0")
    fine(
        quotas.api.post(path, {"metadata": {"name": "test-secret"}, "data": {"data-1": "dmFsdWUtMQo="}}), 201
    )
    quotas.used(resourcequotas="1", secrets="1")
    fine(quotas.api.delete(f"{path}/test-secret"))
    quotas.used(secrets="0")


def test_resourcequota_object_count_quota_configmap(quotas: Quotas) -> None:
    quotas.make()
    path = f"{quotas.root}/configmaps"
    quotas.used(configmaps="1")
    fine(quotas.api.post(path, {"metadata": {"name": "test-configmap"}, "data": {"a": "b"}}), 201)
    quotas.used(configmaps="2")
    fine(quotas.api.delete(f"{path}/test-configmap"))
    quotas.used(configmaps="1")


def test_resourcequota_object_count_quota_pod(quotas: Quotas) -> None:
    quotas.make()
    pods = f"{quotas.root}/pods"
    requests = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}
    made = fine(quotas.api.post(pods, quotas.pod("test-pod", requests)), 201)
    used = {
        "pods": "1", "cpu": "500m", "memory": "252Mi", "requests.ephemeral-storage": "30Gi",
        "requests.example.com/dongle": "2",
    }  # fmt: skip
    quotas.has("test-quota", used)
    # More than what is left, of each.
    for change in ({"cpu": "600m"}, {"memory": "300Mi"}, {"example.com/dongle": "2"}):
        more = {"cpu": "100m", "memory": "100Mi", "ephemeral-storage": "1Gi", **change}
        refused = quotas.api.post(pods, quotas.pod("fail-pod", more))
        assert (refused.code, refused["reason"]) == (403, "Forbidden")
        assert "exceeded quota: test-quota" in refused.message
    # The requirements of a pod that exists do not change by way of the pod.
    changed = copy.deepcopy(made)
    changed["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "100m"
    changed["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "100m"
    assert quotas.api.put(f"{pods}/test-pod", changed).code == 422
    quotas.has("test-quota", used)
    quotas.delete("pods/test-pod")
    quotas.has("test-quota", dict.fromkeys(used, "0"))


def test_resourcequota_object_count_quota_replicationcontroller(quotas: Quotas) -> None:
    quotas.make()
    path = f"{quotas.root}/replicationcontrollers"
    template = {"metadata": {"labels": {"name": "rc"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    spec = {"replicas": 0, "selector": {"name": "rc"}, "template": template}
    fine(quotas.api.post(path, {"metadata": {"name": "test-rc"}, "spec": spec}), 201)
    quotas.used(replicationcontrollers="1")
    fine(quotas.api.delete(f"{path}/test-rc"))
    quotas.used(replicationcontrollers="0")


def test_resourcequota_object_count_quota_replicaset(quotas: Quotas, space: str) -> None:
    """ResourceQuota, object count quota, replicaSet."""
    quotas.make()
    path = f"/apis/apps/v1/namespaces/{space}/replicasets"
    template = {"metadata": {"labels": {"name": "rs"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"name": "rs"}}, "template": template}
    fine(quotas.api.post(path, {"metadata": {"name": "test-rs"}, "spec": spec}), 201)
    quotas.has("test-quota", {"count/replicasets.apps": "1"})
    fine(quotas.api.delete(f"{path}/test-rs"))
    quotas.has("test-quota", {"count/replicasets.apps": "0"})


@pytest.mark.parametrize("storage_class", ["", "gold"])
def test_resourcequota_object_count_quota_pvc(quotas: Quotas, storage_class: str) -> None:
    """ResourceQuota, object count quota, pvc (with a storage class)."""
    quotas.make()
    path = f"{quotas.root}/persistentvolumeclaims"
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": storage_class,
    }
    fine(quotas.api.post(path, {"metadata": {"name": "test-claim"}, "spec": spec}), 201)
    used = {"persistentvolumeclaims": "1", "requests.storage": "1Gi"}
    if storage_class:
        used["gold.storageclass.storage.k8s.io/persistentvolumeclaims"] = "1"
        used["gold.storageclass.storage.k8s.io/requests.storage"] = "1Gi"
    quotas.has("test-quota", used)
    fine(quotas.api.delete(f"{path}/test-claim"))
    quotas.has("test-quota", dict.fromkeys(used, "0"))


def test_resourcequota_object_count_quota_custom_resource(quotas: Quotas, space: str) -> None:
    """ResourceQuota, object count quota, custom resource."""
    names = {"plural": "quotas", "kind": "Quota", "singular": "quota"}
    shape = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": shape}
    group = f"{space}.example.com"
    definition = {
        "metadata": {"name": f"quotas.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    fine(quotas.api.post(definitions, definition), 201)
    path = f"/apis/{group}/v1/namespaces/{space}/quotas"
    eventually(lambda: quotas.api.get(path).code == 200)
    counted = f"count/quotas.{group}"
    quotas.make(hard={counted: "1"})
    quotas.has("test-quota", {counted: "0"})
    body = {"apiVersion": f"{group}/v1", "kind": "Quota", "metadata": {"name": "test-cr"}}
    fine(quotas.api.post(path, body), 201)
    quotas.has("test-quota", {counted: "1"})
    refused = quotas.api.post(path, {**body, "metadata": {"name": "test-cr-2"}})
    assert refused.code == 403
    assert f"requested: {counted}=1, used: {counted}=1, limited: {counted}=1" in refused.message
    fine(quotas.api.delete(f"{path}/test-cr"))
    quotas.has("test-quota", {counted: "0"})
    fine(quotas.api.delete(f"{definitions}/quotas.{group}"))


def test_resourcequota_manage_lifecycle_of_a_resourcequota(api: Api, namespace: str) -> None:
    hard = {"cpu": "1", "memory": "500Mi"}
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": hard}}, namespace)
    made = life.make("e2e-quota")
    assert made["spec"]["hard"] == hard
    (listed,) = life.list(life.everywhere)
    assert listed["metadata"]["name"] == "e2e-quota"
    patch = {"metadata": {"labels": {"e2e-quota": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = fine(api.patch(life.at("e2e-quota"), patch, STRATEGIC))
    assert patched["metadata"]["labels"]["e2e-quota"] == "patched"
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    fine(api.delete(life.path + life.query))
    assert life.list() == []
    life.run({"spec": {"hard": {"memory": "750Mi"}}})


def test_resourcequota_apply_changes_to_a_resourcequota_status(api: Api, namespace: str) -> None:
    """ResourceQuota, apply changes to a ResourceQuota status."""
    hard = {"cpu": "500m", "memory": "500Mi"}
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": hard}}, namespace)
    life.make("quota-status")
    higher = {"hard": {"cpu": "750m", "memory": "750Mi"}}
    life.check_status("quota-status", {"hard": hard}, higher)
    read = life.get("quota-status", "status")
    assert read["status"]["hard"] == higher["hard"]
    assert read["spec"]["hard"] == hard
    again = {"status": {"hard": {"cpu": "0", "memory": "0"}}}
    patched = fine(api.patch(life.at("quota-status", "status"), again, STRATEGIC))
    assert patched["status"]["hard"] == {"cpu": "0", "memory": "0"}


def test_resourcequota_should_be_able_to_update_and_delete_resourcequota(quotas: Quotas) -> None:
    """ResourceQuota, update and delete."""
    made = quotas.make("quota", {"cpu": "1", "memory": "500Mi"})
    assert fine(quotas.api.get(f"{quotas.path}/quota"))["spec"]["hard"] == {"cpu": "1", "memory": "500Mi"}
    made["metadata"].pop("resourceVersion")
    made["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}
    updated = fine(quotas.api.put(f"{quotas.path}/quota", made))
    assert updated["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    eventually(lambda: quotas.status("quota")["hard"] == {"cpu": "2", "memory": "1Gi"})
    fine(quotas.api.delete(f"{quotas.path}/quota"))
    assert quotas.api.get(f"{quotas.path}/quota").code == 404
