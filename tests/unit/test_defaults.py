"""Defaults as v1.36 sets them: given values stay, setting them twice changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apimachinery import defaults, resources

Object = dict[str, Any]


def defaulted(plural: str, obj: Object, group: str = "") -> Object:
    resource = resources.get(plural, group)
    result = {"apiVersion": resource.api_version, "kind": resource.kind, **copy.deepcopy(obj)}
    defaults.apply(resource, result)
    again = copy.deepcopy(result)
    defaults.apply(resource, again)
    assert again == result
    return result


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def test_pods() -> None:
    spec = defaulted("pods", {"spec": {"containers": [{"name": "c", "image": "nginx"}]}})["spec"]
    assert spec == {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "Always",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "0" * 64, "Always"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    pod = defaulted("pods", {"spec": {"containers": [{"name": "c", "image": image}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_requests_follow_limits_in_pods_but_not_in_templates() -> None:
    limits = {"cpu": "1", "memory": "1Gi"}
    container = {"name": "c", "image": "i", "resources": {"limits": limits, "requests": {"cpu": "500m"}}}
    pod = defaulted("pods", {"spec": {"containers": [container], "initContainers": [container]}})
    for field in ("containers", "initContainers"):
        assert pod["spec"][field][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    template = {"spec": {"containers": [container]}}
    deployment = defaulted("deployments", {"spec": {"template": template}}, "apps")
    spec = deployment["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "500m"}
    assert "enableServiceLinks" not in spec


def test_containers_in_detail() -> None:
    container = {
        "name": "c",
        "image": "i",
        "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 7},
        "readinessProbe": {"grpc": {"port": 1}},
        "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
        "resources": {"limits": {"cpu": "100u"}},
    }
    spec = defaulted("pods", {"spec": {"hostNetwork": True, "containers": [container]}})["spec"]
    result = spec["containers"][0]
    assert [(p["protocol"], p["hostPort"]) for p in result["ports"]] == [("TCP", 80), ("UDP", 53)]
    assert result["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert result["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 7,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert result["readinessProbe"]["grpc"]["service"] == ""
    assert result["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    assert result["resources"]["limits"] == {"cpu": "1m"}  # rounded up to thousandths


def test_volumes() -> None:
    volumes = [
        {"name": "none"},
        {"name": "s", "secret": {"secretName": "x"}},
        {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "d", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.uid"}}]}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"name": "c", "configMap": {"name": "x", "defaultMode": 0o400}},
    ]
    result = defaulted("pods", {"spec": {"volumes": volumes}})["spec"]["volumes"]
    assert result[0]["emptyDir"] == {}
    assert result[1]["secret"]["defaultMode"] == 420
    assert result[2]["hostPath"]["type"] == ""
    assert result[3]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert result[4]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"
    assert result[5]["ephemeral"]["volumeClaimTemplate"]["spec"] == {"volumeMode": "Filesystem"}
    assert result[6]["configMap"]["defaultMode"] == 0o400


def test_the_old_name_of_service_accounts_is_kept_in_step() -> None:
    for field in ("serviceAccount", "serviceAccountName"):
        spec = defaulted("pods", {"spec": {field: "bot"}})["spec"]
        assert (spec["serviceAccount"], spec["serviceAccountName"]) == ("bot", "bot")


def test_pod_level_resources() -> None:
    def pod(resources_: Object, *containers: Object) -> Object:
        items = [{"name": f"c{i}", "image": "i", "resources": c} for i, c in enumerate(containers)]
        spec: Object = defaulted("pods", {"spec": {"resources": resources_, "containers": items}})["spec"]
        result: Object = spec["resources"]
        return result

    limits = {"cpu": "2", "memory": "1Gi"}
    assert pod({"limits": limits})["requests"] == limits
    two = pod({"limits": limits}, {"requests": {"cpu": "250m"}}, {"requests": {"cpu": "500m"}})
    assert two["requests"] == {"cpu": "750m", "memory": "1Gi"}
    assert pod({"requests": {"cpu": "1"}}, {"limits": {"cpu": "2"}})["limits"] == {"cpu": "2"}
    assert "limits" not in pod({"requests": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, {})


def test_workloads() -> None:
    spec = defaulted("deployments", {"spec": {"template": TEMPLATE}}, "apps")["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    recreate = defaulted("deployments", {"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}}, "apps")[
        "spec"
    ]
    assert (recreate["strategy"], recreate["replicas"]) == ({"type": "Recreate"}, 0)
    spec = defaulted("daemonsets", {"spec": {}}, "apps")["spec"]
    assert spec["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    spec = defaulted(
        "statefulsets", {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "v"}}]}}, "apps"
    )["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["status"] == {"phase": "Pending"}
    rc = defaulted("replicationcontrollers", {"spec": {"template": TEMPLATE}})
    assert rc["spec"]["selector"] == rc["metadata"]["labels"] == {"a": "b"}


def test_jobs() -> None:
    spec = defaulted("jobs", {"spec": {"template": TEMPLATE}}, "batch")["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 6)
    assert (spec["completionMode"], spec["suspend"]) == ("NonIndexed", False)
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"
    queue = defaulted("jobs", {"spec": {"parallelism": 3}}, "batch")["spec"]
    assert "completions" not in queue
    cron = defaulted("cronjobs", {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}}, "batch")["spec"]
    assert (cron["concurrencyPolicy"], cron["successfulJobsHistoryLimit"], cron["failedJobsHistoryLimit"]) == (
        "Allow", 3, 1,
    )  # fmt: skip
    assert "backoffLimit" not in cron["jobTemplate"]["spec"]


def test_services() -> None:
    spec = defaulted("services", {"spec": {"ports": [{"port": 80}, {"port": 1, "targetPort": "web"}]}})[
        "spec"
    ]
    assert spec["ports"] == [
        {"port": 80, "protocol": "TCP", "targetPort": 80},
        {"port": 1, "protocol": "TCP", "targetPort": "web"},
    ]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == (
        "ClusterIP",
        "None",
        "Cluster",
    )
    assert "externalTrafficPolicy" not in spec
    balanced = defaulted("services", {"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}})[
        "spec"
    ]
    assert balanced["externalTrafficPolicy"] == "Cluster"
    assert balanced["allocateLoadBalancerNodePorts"] is True
    assert balanced["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    named = defaulted("services", {"spec": {"type": "ExternalName"}})["spec"]
    assert "internalTrafficPolicy" not in named


@pytest.mark.parametrize(
    ("plural", "group", "obj", "path", "value"),
    [
        ("secrets", "", {}, "type", "Opaque"),
        ("namespaces", "", {"metadata": {"name": "x"}}, "status.phase", "Active"),
        ("endpointslices", "discovery.k8s.io", {"ports": [{"port": 1}]}, "ports.0.protocol", "TCP"),
        ("networkpolicies", "networking.k8s.io", {"spec": {"egress": [{}]}}, "spec.policyTypes", ["Ingress", "Egress"]),
        ("networkpolicies", "networking.k8s.io", {"spec": {}}, "spec.policyTypes", ["Ingress"]),
        ("storageclasses", "storage.k8s.io", {}, "volumeBindingMode", "Immediate"),
        ("priorityclasses", "scheduling.k8s.io", {}, "preemptionPolicy", "PreemptLowerPriority"),
        ("persistentvolumes", "", {"spec": {}}, "spec.persistentVolumeReclaimPolicy", "Retain"),
        ("persistentvolumeclaims", "", {"spec": {}}, "spec.volumeMode", "Filesystem"),
        ("rolebindings", "rbac.authorization.k8s.io", {"subjects": [{"kind": "User"}]}, "subjects.0.apiGroup",
         "rbac.authorization.k8s.io"),
        ("validatingwebhookconfigurations", "admissionregistration.k8s.io", {"webhooks": [{}]},
         "webhooks.0.timeoutSeconds", 10),
        ("mutatingwebhookconfigurations", "admissionregistration.k8s.io", {"webhooks": [{}]},
         "webhooks.0.reinvocationPolicy", "Never"),
        ("customresourcedefinitions", "apiextensions.k8s.io", {"spec": {"names": {"kind": "Foo"}}},
         "spec.names.listKind", "FooList"),
        ("horizontalpodautoscalers", "autoscaling", {"spec": {}}, "spec.minReplicas", 1),
        ("limitranges", "", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
         "spec.limits.0.defaultRequest", {"cpu": "1"}),
        ("csidrivers", "storage.k8s.io", {}, "spec.volumeLifecycleModes", ["Persistent"]),
        ("nodes", "", {"status": {"capacity": {"cpu": "4"}}}, "status.allocatable", {"cpu": "4"}),
    ],
)  # fmt: skip
def test_single_defaults(plural: str, group: str, obj: Object, path: str, value: Any) -> None:
    found: Any = defaulted(plural, obj, group)
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else found[part]
    assert found == value


@pytest.mark.parametrize("resource", resources.BUILTIN, ids=lambda r: f"{r.api_version}/{r.kind}")
def test_nearly_empty_objects_of_all_kinds_can_be_defaulted(resource: resources.Resource) -> None:
    for body in ({}, {"metadata": {"name": "x"}}, {"spec": {}}, {"spec": {}, "status": {}}):
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, **copy.deepcopy(body)}
        defaults.apply(resource, obj)
        again = copy.deepcopy(obj)
        defaults.apply(resource, again)
        assert again == obj


def test_custom_resources_have_none() -> None:
    custom = resources.Resource("", "v1", "pods", "Pod", True, custom=True)
    obj: Object = {"spec": {}}
    defaults.apply(custom, obj)
    assert obj == {"spec": {}}
