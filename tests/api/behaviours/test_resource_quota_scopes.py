"""Area apimachinery: ResourceQuotas that count some pods or claims only."""

from __future__ import annotations

from typing import Any

from lifecycle import fine
from quotas import Object, Quotas


def _scoped(quotas: Quotas, inside: str, outside: str, hard: Object) -> None:
    quotas.make("quota-in", hard, scopes=[inside])
    quotas.make("quota-out", hard, scopes=[outside])
    quotas.used("quota-in", pods="0")
    quotas.used("quota-out", pods="0")


def _charged(quotas: Quotas, name: str, used: dict[str, str], other: str) -> None:
    quotas.has(name, used)
    quotas.has(other, dict.fromkeys(used, "0"))
    quotas.delete("pods/test-pod")
    quotas.has(name, dict.fromkeys(used, "0"))


COMPUTE = {
    "requests.cpu": "1",
    "requests.memory": "500Mi",
    "limits.cpu": "2",
    "limits.memory": "1Gi",
    "pods": "5",
}


def test_resourcequota_quota_scope_terminating_and_notterminating_scope(quotas: Quotas) -> None:
    _scoped(quotas, "Terminating", "NotTerminating", COMPUTE)
    used = {"pods": "1", "requests.cpu": "500m", "requests.memory": "200Mi", "limits.cpu": "1"}
    used["limits.memory"] = "400Mi"
    for fields, name, other in (
        ({}, "quota-out", "quota-in"),
        ({"activeDeadlineSeconds": 3600}, "quota-in", "quota-out"),
    ):
        pod = quotas.pod("test-pod", {"cpu": "500m", "memory": "200Mi"}, **fields)
        pod["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "1", "memory": "400Mi"}
        fine(quotas.api.post(f"{quotas.root}/pods", pod), 201)
        _charged(quotas, name, used, other)


def test_resourcequota_quota_scope_besteffort_and_notbesteffort_scope(quotas: Quotas) -> None:
    _scoped(quotas, "BestEffort", "NotBestEffort", {"pods": "5"})
    for pod, name, other in (
        (
            {"metadata": {"name": "test-pod"}, "spec": {"containers": [{"name": "c", "image": "c"}]}},
            "quota-in",
            "quota-out",
        ),
        (quotas.pod("test-pod", {"cpu": "100m", "memory": "10Mi"}), "quota-out", "quota-in"),
    ):
        fine(quotas.api.post(f"{quotas.root}/pods", pod), 201)
        _charged(quotas, name, {"pods": "1"}, other)


def test_resourcequota_priority_class_scope(quotas: Quotas, space: str) -> None:
    """ResourceQuota [Feature:PodPriority]: the scope selector on priority classes, with all its operators."""
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    name = f"pclass-{space}"
    fine(quotas.api.post(classes, {"metadata": {"name": name}, "value": 1000}), 201)
    hard = {"pods": "1"}
    for quota, operator, values in (
        ("in", "In", [name]),
        ("not-in", "NotIn", [name]),
        ("exists", "Exists", []),
    ):
        expression = {"scopeName": "PriorityClass", "operator": operator}
        if values:
            expression["values"] = values
        quotas.make(f"quota-{quota}", hard, scopeSelector={"matchExpressions": [expression]})
    containers = [{"name": "c", "image": "c"}]
    pods = f"{quotas.root}/pods"
    pod = {"metadata": {"name": "test-pod"}, "spec": {"containers": containers, "priorityClassName": name}}
    fine(quotas.api.post(pods, pod), 201)
    quotas.used("quota-in", pods="1")
    quotas.used("quota-exists", pods="1")
    quotas.used("quota-not-in", pods="0")
    refused = quotas.api.post(pods, {**pod, "metadata": {"name": "second"}})
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    quotas.delete("pods/test-pod")
    quotas.used("quota-in", pods="0")
    fine(quotas.api.delete(f"{classes}/{name}"))


def test_resourcequota_volume_attributes_class_scope(quotas: Quotas) -> None:
    """ResourceQuota: the scope selector on volume attributes classes."""
    gold = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    quotas.make("quota-gold", {"persistentvolumeclaims": "1"}, scopeSelector={"matchExpressions": [gold]})
    other = {"scopeName": "VolumeAttributesClass", "operator": "DoesNotExist"}
    hard = {"persistentvolumeclaims": "1", "requests.storage": "1Gi"}
    quotas.make("quota-none", hard, scopeSelector={"matchExpressions": [other]})
    path = f"{quotas.root}/persistentvolumeclaims"

    def claim(name: str, **fields: Any) -> Any:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        return quotas.api.post(path, {"metadata": {"name": name}, "spec": {**spec, **fields}})

    fine(claim("one", volumeAttributesClassName="gold", storageClassName="fast"), 201)
    quotas.used("quota-gold", persistentvolumeclaims="1")
    quotas.used("quota-none", persistentvolumeclaims="0")
    refused = claim("two", volumeAttributesClassName="gold", storageClassName="fast")
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    fine(claim("plain", storageClassName="fast"), 201)
    quotas.has("quota-none", {"persistentvolumeclaims": "1", "requests.storage": "1Gi"})
    assert claim("plain-2", storageClassName="fast").code == 403
    fine(quotas.api.delete(f"{path}/one"))
    quotas.used("quota-gold", persistentvolumeclaims="0")


def test_resourcequota_cross_namespace_pod_affinity_scope(quotas: Quotas) -> None:
    """ResourceQuota with cross namespace pod affinity scope using scope-selectors."""
    scope = {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}
    quotas.make("cross", {"pods": "5"}, scopeSelector={"matchExpressions": [scope]})
    term = {"topologyKey": "region", "labelSelector": {"matchLabels": {"a": "b"}}}
    for name, extra, count in (("same", {}, "0"), ("other", {"namespaces": ["ns1"]}, "1")):
        rule = {"requiredDuringSchedulingIgnoredDuringExecution": [{**term, **extra}]}
        pod = quotas.pod(name, {"cpu": "1m", "memory": "1Mi"}, affinity={"podAntiAffinity": rule})
        fine(quotas.api.post(f"{quotas.root}/pods", pod), 201)
        quotas.used("cross", pods=count)
    quotas.delete("pods/other")
    quotas.used("cross", pods="0")
