"""What is wrong with workloads, services, storage, configuration, RBAC and the rest, in Kubernetes's words."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from validated import JOB_TEMPLATE, META, REMOVED, TEMPLATE, WORKLOAD, changed, create_errors, update_errors

from apimachinery import resources, validation
from apimachinery.errors import FieldError

Object = dict[str, Any]

SERVICE: Object = {"metadata": META, "spec": {"selector": {"a": "b"}, "ports": [{"name": "a", "port": 80}]}}
JOB: Object = {
    "metadata": META,
    "spec": {
        "manualSelector": True,
        "selector": {"matchLabels": {"a": "b"}},
        "template": JOB_TEMPLATE,
        "completions": 1,
    },
}
CRON: Object = {
    "metadata": META,
    "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}},
}
CLAIM: Object = {
    "metadata": META,
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    },
}
VOLUME: Object = {
    "metadata": META,
    "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}},
}
CLASS: Object = {"metadata": META, "provisioner": "example.com/fast"}
BACKEND: Object = {"service": {"name": "s", "port": {"number": 80}}}
INGRESS: Object = {
    "metadata": META,
    "spec": {
        "rules": [
            {"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}
        ]
    },
}
POLICY: Object = {"metadata": META, "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}}
ROLE: Object = {"metadata": META, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}
BINDING: Object = {
    "metadata": META,
    "roleRef": {"kind": "Role", "name": "r"},
    "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "default"}],
}
SLICE: Object = {
    "metadata": META, "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": "a", "port": 80}],
}  # fmt: skip
CRD: Object = {
    "metadata": {"name": "foos.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
HPA: Object = {
    "metadata": META,
    "spec": {
        "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
    },
}
WEBHOOKS: Object = {
    "metadata": META,
    "webhooks": [
        {
            "name": "a.example.com",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://example.com/x"},
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}],
        }
    ],
}
VALID: dict[tuple[str, str], Object] = {
    ("deployments", "apps"): WORKLOAD,
    ("replicasets", "apps"): WORKLOAD,
    ("daemonsets", "apps"): WORKLOAD,
    ("statefulsets", "apps"): changed(
        WORKLOAD,
        {
            "spec.serviceName": "s",
            "spec.volumeClaimTemplates": [{**CLAIM, "metadata": {"name": "data"}}],
            "spec.template.spec.containers.0.volumeMounts": [{"name": "data", "mountPath": "/d"}],
        },
    ),
    ("replicationcontrollers", ""): {"metadata": META, "spec": {"selector": {"a": "b"}, "template": TEMPLATE}},
    ("podtemplates", ""): {"metadata": META, "template": TEMPLATE},
    ("jobs", "batch"): JOB,
    ("cronjobs", "batch"): CRON,
    ("horizontalpodautoscalers", "autoscaling"): HPA,
    ("services", ""): SERVICE,
    ("endpointslices", "discovery.k8s.io"): SLICE,
    ("endpoints", ""): {"metadata": META, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]},
    ("ingresses", "networking.k8s.io"): INGRESS,
    ("ingressclasses", "networking.k8s.io"): {"metadata": META, "spec": {"controller": "example.com/c"}},
    ("networkpolicies", "networking.k8s.io"): POLICY,
    ("persistentvolumes", ""): VOLUME,
    ("persistentvolumeclaims", ""): CLAIM,
    ("storageclasses", "storage.k8s.io"): CLASS,
    ("configmaps", ""): {"metadata": META, "data": {"a": "b"}, "binaryData": {"c": "YQ=="}},
    ("secrets", ""): {"metadata": META, "data": {"a": "YQ=="}},
    ("serviceaccounts", ""): {"metadata": META},
    ("namespaces", ""): {"metadata": {"name": "x"}},
    ("nodes", ""): {
        "metadata": META, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}], "podCIDR": "10.0.0.0/24"}},
    ("limitranges", ""): {"metadata": META, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
    ("resourcequotas", ""): {
        "metadata": META, "spec": {"hard": {"pods": "5", "requests.cpu": "1", "count/jobs.batch": "2"}}},
    ("poddisruptionbudgets", "policy"): {"metadata": META, "spec": {"minAvailable": "50%", "selector": {}}},
    ("priorityclasses", "scheduling.k8s.io"): {"metadata": META, "value": 5},
    ("leases", "coordination.k8s.io"): {"metadata": META, "spec": {"holderIdentity": "h", "leaseDurationSeconds": 5}},
    ("runtimeclasses", "node.k8s.io"): {"metadata": META, "handler": "runc"},
    ("roles", "rbac.authorization.k8s.io"): ROLE,
    ("clusterroles", "rbac.authorization.k8s.io"): {
        "metadata": {"name": "system:x"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]},
    ("rolebindings", "rbac.authorization.k8s.io"): BINDING,
    ("customresourcedefinitions", "apiextensions.k8s.io"): CRD,
    ("validatingwebhookconfigurations", "admissionregistration.k8s.io"): WEBHOOKS,
    ("mutatingwebhookconfigurations", "admissionregistration.k8s.io"): WEBHOOKS,
    ("certificatesigningrequests", "certificates.k8s.io"): {
        "metadata": META,
        "spec": {
            "request": base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----").decode(),
            "signerName": "kubernetes.io/kubelet-serving",
            "usages": ["client auth"],
        },
    },
    ("events", ""): {"metadata": META, "involvedObject": {"namespace": "default"}},
    ("apiservices", "apiregistration.k8s.io"): {
        "metadata": {"name": "v1.example.com"},
        "spec": {"group": "example.com", "version": "v1", "groupPriorityMinimum": 5, "versionPriority": 5},
    },
}  # fmt: skip


@pytest.mark.parametrize(("plural", "group"), VALID)
def test_valid_objects_are_fine_and_may_be_written_again(plural: str, group: str) -> None:
    obj = VALID[plural, group]
    assert create_errors(plural, obj, group) == []
    assert update_errors(plural, obj, obj, group) == []
    relabelled = changed(obj, {"metadata.labels": {"n": "ew"}})
    assert update_errors(plural, relabelled, obj, group) == []


APPS, BATCH, NET, RBAC = "apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("plural", "group", "changes", "error"),
    [
        ("deployments", APPS, {"spec.replicas": -1},
         "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ("deployments", APPS, {"spec.selector": REMOVED}, "spec.selector: Required value"),
        ("deployments", APPS, {"spec.selector": {}},
         "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        ("deployments", APPS, {"spec.selector.matchLabels": {"a": "c"}},
         'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'),
        ("deployments", APPS, {"spec.template.spec.containers.0.image": ""},
         "spec.template.spec.containers[0].image: Required value"),
        ("deployments", APPS, {"spec.template.spec.restartPolicy": "Never"},
         'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'),
        ("deployments", APPS, {"spec.strategy": {"type": "Recreate", "rollingUpdate": {}}},
         "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
        ("deployments", APPS, {"spec.strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
        ("deployments", APPS, {"spec.strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
         'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'),
        ("deployments", APPS, {"spec.strategy": {"rollingUpdate": {"maxSurge": "x"}}},
         'spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a nume'),
        ("deployments", APPS, {"spec.minReadySeconds": 600},
         "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"),
        ("statefulsets", APPS, {"spec.podManagementPolicy": "Random"},
         'spec.podManagementPolicy: Invalid value: "Random": must be \'OrderedReady\' or \'Parallel\''),
        ("daemonsets", APPS, {"spec.updateStrategy": {"rollingUpdate": {"maxSurge": 1}}},
         "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailabl"),
        ("replicationcontrollers", "", {"spec.selector": {"a": "c"}},
         "`selector` does not match template `labels`"),
        ("jobs", BATCH, {"spec.template.spec.restartPolicy": "Always"},
         'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
        ("jobs", BATCH, {"spec.backoffLimit": -1}, "spec.backoffLimit: Invalid value: -1"),
        ("jobs", BATCH, {"spec.completionMode": "Indexed", "spec.completions": REMOVED, "spec.parallelism": 1},
         "spec.completions: Required value: when completion mode is Indexed"),
        ("cronjobs", BATCH, {"spec.schedule": ""}, "spec.schedule: Required value"),
        ("cronjobs", BATCH, {"spec.schedule": "* * *"},
         'spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'),
        ("cronjobs", BATCH, {"spec.schedule": "TZ=UTC * * * * *"}, "cannot use TZ or CRON_TZ in schedule"),
        ("cronjobs", BATCH, {"spec.timeZone": "Mars/Base"},
         'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'),
        ("cronjobs", BATCH, {"spec.concurrencyPolicy": "x"},
         'supported values: "Allow", "Forbid", "Replace"'),
        ("cronjobs", BATCH, {"metadata.name": "a" * 53}, "must be no more than 52 characters"),
        ("horizontalpodautoscalers", "autoscaling", {"spec.maxReplicas": 0},
         "spec.maxReplicas: Invalid value: 0: must be greater than 0"),
        ("horizontalpodautoscalers", "autoscaling", {"spec.minReplicas": 5},
         "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"),
        ("services", "", {"spec.ports": []}, "spec.ports: Required value"),
        ("services", "", {"metadata.name": "1x"},
         'metadata.name: Invalid value: "1x": a DNS-1035 label must consist of'),
        ("services", "", {"spec.ports.0.port": 0},
         "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ("services", "", {"spec.ports.1": {"port": 81}}, "spec.ports[1].name: Required value"),
        ("services", "", {"spec.ports.1": {"name": "b", "port": 80}}, "spec.ports[1]: Duplicate value: "),
        ("services", "", {"spec.ports.0.nodePort": 30000},
         "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        ("services", "", {"spec.type": "Any"},
         'spec.type: Unsupported value: "Any": supported values: "ClusterIP", "ExternalName", "LoadBalanc'),
        ("services", "", {"spec.type": "ExternalName"}, "spec.externalName: Required value"),
        ("services", "", {"spec.clusterIP": "x"},
         'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address'),
        ("services", "", {"spec.externalIPs": ["127.0.0.1"]},
         "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("endpointslices", "discovery.k8s.io", {"addressType": "X"},
         'addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6"'),
        ("endpointslices", "discovery.k8s.io", {"endpoints.0.addresses": ["x"]},
         'endpoints[0].addresses[0]: Invalid value: "x": must be a valid IP address'),
        ("ingresses", NET, {"spec.rules": []},
         "spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"),
        ("ingresses", NET, {"spec.rules.0.http.paths.0.pathType": REMOVED},
         "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"),
        ("ingresses", NET, {"spec.rules.0.http.paths.0.path": "x"},
         'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path'),
        ("ingresses", NET, {"spec.rules.0.host": "1.2.3.4"}, "must be a DNS name, not an IP address"),
        ("networkpolicies", NET, {"spec.ingress": [{"from": [{}]}]},
         "spec.ingress[0].from[0]: Required value: must specify a peer"),
        ("networkpolicies", NET, {"spec.ingress": [{"from": [{"ipBlock": {"cidr": "x"}}]}]},
         'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "x": must be a valid CIDR value'),
        ("networkpolicies", NET,
         {"spec.ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]},
         "must be a strict subset of `cidr`"),
        ("persistentvolumeclaims", "", {"spec.accessModes": []},
         "spec.accessModes: Required value: at least 1 access mode is required"),
        ("persistentvolumeclaims", "", {"spec.resources": {}}, "spec.resources[storage]: Required value"),
        ("persistentvolumes", "", {"spec.hostPath": REMOVED},
         "spec: Required value: must specify a volume type"),
        ("persistentvolumes", "", {"spec.capacity": {}}, "spec.capacity: Required value"),
        ("storageclasses", "storage.k8s.io", {"provisioner": ""}, "provisioner: Required value"),
        ("configmaps", "", {"data": {"a/b": ""}},
         'data[a/b]: Invalid value: "a/b": a valid config key must consist of'),
        ("configmaps", "", {"data": {"a": "x" * 1048577}}, "Too long: may not be more than 1048576 bytes"),
        ("secrets", "", {"type": "kubernetes.io/tls"}, "data[tls.crt]: Required value"),
        ("secrets", "", {"type": "kubernetes.io/dockerconfigjson"},
         "data[.dockerconfigjson]: Required value"),
        ("namespaces", "", {"metadata.name": "a.b"},
         'metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label'),
        ("nodes", "", {"spec.taints.1": {"key": "a", "effect": "NoSchedule"}},
         "metadata.taints[1]: Duplicate value: "),
        ("nodes", "", {"spec.podCIDR": "x"},
         'spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value'),
        ("limitranges", "", {"spec.limits.0.min": {"cpu": "2"}},
         'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'),
        ("resourcequotas", "", {"spec.hard": {"foo": "1"}},
         'spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified'),
        ("poddisruptionbudgets", "policy", {"spec.maxUnavailable": 1},
         "minAvailable and maxUnavailable cannot be both set"),
        ("priorityclasses", "scheduling.k8s.io", {"value": 1000000001},
         "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
        ("leases", "coordination.k8s.io", {"spec.leaseDurationSeconds": 0},
         "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
        ("roles", RBAC, {"rules.0.verbs": []},
         "rules[0].verbs: Required value: verbs must contain at least one value"),
        ("roles", RBAC, {"rules.0": {"verbs": ["get"], "nonResourceURLs": ["/x"]}},
         "namespaced rules cannot apply to non-resource URLs"),
        ("rolebindings", RBAC, {"roleRef.kind": "X"},
         'roleRef.kind: Unsupported value: "X": supported values: "ClusterRole", "Role"'),
        ("rolebindings", RBAC, {"subjects.0.kind": "X"},
         'supported values: "Group", "ServiceAccount", "User"'),
        ("customresourcedefinitions", "apiextensions.k8s.io", {"metadata.name": "x"},
         'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group'),
        ("customresourcedefinitions", "apiextensions.k8s.io", {"spec.versions.0.storage": False},
         "must have exactly one version marked as storage version"),
        ("validatingwebhookconfigurations", "admissionregistration.k8s.io", {"webhooks.0.clientConfig": {}},
         "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
        ("validatingwebhookconfigurations", "admissionregistration.k8s.io", {"webhooks.0.timeoutSeconds": 31},
         "the timeout value must be between 1 and 30 seconds"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_of_the_field(plural: str, group: str, changes: Object, error: str) -> None:
    errors = create_errors(plural, changed(VALID[plural, group], changes), group)
    assert any(error in found for found in errors), errors


@pytest.mark.parametrize(
    ("plural", "group", "changes", "error"),
    [
        ("deployments", APPS, {"spec.replicas": 5, "spec.template.spec.containers.0.image": "j"}, ""),
        ("deployments", APPS,
         {"spec.selector.matchLabels": {"c": "d"}, "spec.template.metadata.labels": {"c": "d"}},
         'spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable'),
        ("statefulsets", APPS, {"spec.replicas": 5, "spec.template.spec.containers.0.image": "j"}, ""),
        ("statefulsets", APPS, {"spec.serviceName": "t"},
         "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
         "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
         "are forbidden"),
        ("jobs", BATCH, {"spec.parallelism": 2, "spec.suspend": True}, ""),
        ("jobs", BATCH, {"spec.completions": 2}, "spec.completions: Invalid value: 2: field is immutable"),
        ("jobs", BATCH, {"spec.template.spec.containers.0.image": "j"}, "spec.template: Invalid value: "),
        ("persistentvolumeclaims", "", {"spec.volumeName": "v"}, ""),
        ("persistentvolumeclaims", "", {"spec.storageClassName": "slow"},
         "spec: Forbidden: spec is immutable after creation except resources.requests"),
        ("persistentvolumeclaims", "", {"spec.resources.requests.storage": "2Gi"},
         "spec: Forbidden: spec is immutable"),
        ("persistentvolumes", "", {"spec.hostPath.path": "/y"},
         "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"),
        ("storageclasses", "storage.k8s.io", {"provisioner": "other"},
         "provisioner: Forbidden: updates to provisioner are forbidden."),
        ("secrets", "", {"type": "x"}, 'type: Invalid value: "x": field is immutable'),
        ("rolebindings", RBAC, {"roleRef.name": "other"}, "cannot change roleRef"),
        ("priorityclasses", "scheduling.k8s.io", {"value": 6},
         "value: Forbidden: may not be changed in an update."),
        ("endpointslices", "discovery.k8s.io", {"addressType": "IPv6", "endpoints": []},
         'addressType: Invalid value: "IPv6": field is immutable'),
        ("runtimeclasses", "node.k8s.io", {"handler": "other"},
         'handler: Invalid value: "other": field is immutable'),
        ("nodes", "", {"spec.unschedulable": True}, ""),
    ],
)  # fmt: skip
def test_what_may_not_change(plural: str, group: str, changes: Object, error: str) -> None:
    obj = VALID[plural, group]
    errors = update_errors(plural, changed(obj, changes), obj, group)
    assert any(error in found for found in errors) if error else not errors, errors


def test_an_allocated_cluster_ip_stays() -> None:
    old = changed(SERVICE, {"spec.clusterIP": "10.96.0.5", "spec.clusterIPs": ["10.96.0.5"]})
    new = changed(old, {"spec.clusterIP": "10.96.0.6", "spec.clusterIPs": ["10.96.0.6"]})
    text = 'spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'
    assert update_errors("services", new, old) == [text]


def test_immutable_config_maps_and_secrets_stay_as_they_are() -> None:
    for plural in ("configmaps", "secrets"):
        old = {"metadata": META, "immutable": True, "data": {"a": "YQ=="}}
        text = "field is immutable when `immutable` is set"
        new = changed(old, {"data": {"a": "Yg=="}})
        assert update_errors(plural, new, old) == [f"data: Forbidden: {text}"]
        assert update_errors(plural, changed(old, {"immutable": False}), old) == [
            f"immutable: Forbidden: {text}"
        ]


def test_a_bound_claim_may_grow() -> None:
    old = {**CLAIM, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    bigger = changed(old, {"spec.resources.requests.storage": "2Gi"})
    assert update_errors("persistentvolumeclaims", bigger, old) == []
    smaller = changed(old, {"spec.resources.requests.storage": "1Mi"})
    assert update_errors("persistentvolumeclaims", smaller, old) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]


def test_metadata_rules_of_updates() -> None:
    old = changed(SERVICE, {"metadata.deletionTimestamp": "2024-01-02T03:04:05Z", "metadata.generation": 2})
    new = changed(old, {"metadata.finalizers": ["example.com/x"], "metadata.generation": 1})
    errors = update_errors("services", new, old)
    assert errors[0].startswith(
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being"
    )
    assert errors[1] == "metadata.generation: Invalid value: 1: must not be decremented"
    assert update_errors("services", changed(SERVICE, {"metadata.name": "y"}), SERVICE) == [
        'metadata.name: Invalid value: "y": field is immutable'
    ]


@pytest.mark.parametrize("resource", resources.BUILTIN, ids=lambda r: f"{r.api_version}/{r.kind}")
def test_nearly_empty_objects_of_all_kinds_are_answered(resource: resources.Resource) -> None:
    for body in ({}, {"metadata": {}}, {"metadata": {"name": "x"}, "spec": {}, "status": {}}):
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        for errors in (
            validation.create(resource, obj),
            validation.update(resource, obj, obj),
            validation.status_update(resource, obj, obj),
        ):
            assert all(isinstance(error, FieldError) for error in errors)


def test_custom_resources_have_metadata_checked_only() -> None:
    custom = resources.Resource("example.com", "v1", "pods", "Pod", True, custom=True)
    assert validation.create(custom, {"metadata": {"name": "x", "namespace": "y"}, "spec": 5}) == []
    assert len(validation.create(custom, {"metadata": {"name": "X", "namespace": "y"}})) == 1
    plain = {"metadata": {"name": "x", "namespace": "y", "finalizers": ["cleanup"]}}
    assert validation.create(custom, plain) == validation.update(custom, plain, plain) == []
