"""More of what is wrong with Ingresses, policies, autoscalers, limits, quotas and storage."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation_kinds import CLAIM
from validated import META, REMOVED, assert_says, changed, create_errors, update_errors

Object = dict[str, Any]

INGRESS: Object = {
    "metadata": META,
    "spec": {
        "rules": [
            {
                "host": "a.b",
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "s", "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ]
    },
}
POLICY: Object = {
    "metadata": META,
    "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]},
}
AUTOSCALER: Object = {
    "metadata": META,
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            }
        ],
    },
}
BUDGET: Object = {"metadata": META, "spec": {"selector": {"matchLabels": {"a": "b"}}, "minAvailable": 1}}
LIMITS: Object = {
    "metadata": META,
    "spec": {
        "limits": [
            {
                "type": "Container",
                "max": {"cpu": "2"},
                "min": {"cpu": "1"},
                "default": {"cpu": "2"},
                "defaultRequest": {"cpu": "1"},
            }
        ]
    },
}
QUOTA: Object = {"metadata": META, "spec": {"hard": {"pods": "1"}}}
CLASS: Object = {"metadata": META, "provisioner": "a/b"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.rules.0.host": "1.2.3.4"},
         'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'),
        ({"spec.rules.0.host": "*.*.b"},
         "spec.rules[0].host: Invalid value: \"*.*.b\": a wildcard DNS-1123 subdomain must start with '*.', "
         "followed by a valid DNS subdomain, which"),
        ({"spec.rules.0.host": "A"},
         'spec.rules[0].host: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.rules.0.host": "a.b:80"},
         'spec.rules[0].host: Invalid value: "a.b:80": a lowercase RFC 1123 subdomain'),
        ({"spec.rules.0.http.paths.0.path": "/a//b"},
         "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"),
        ({"spec.rules.0.http.paths.0.path": "/a/../b"},
         "spec.rules[0].http.paths[0].path: Invalid value: \"/a/../b\": must not contain '/../'"),
        ({"spec.rules.0.http.paths.0.path": "/a%2fb"},
         "spec.rules[0].http.paths[0].path: Invalid value: \"/a%2fb\": must not contain '%2f'"),
        ({"spec.rules.0.http.paths.0.pathType": "X"},
         'spec.rules[0].http.paths[0].pathType: Unsupported value: "X": supported values: "Exact", '
         '"ImplementationSpecific", "Prefix"'),
        ({"spec.rules.0.http.paths.0.path": ""},
         'spec.rules[0].http.paths[0].path: Invalid value: "": must be an absolute path'),
        ({"spec.rules.0.http.paths.0.backend": {}},
         'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required'),
        ({"spec.rules.0.http.paths.0.backend": {"service": {"name": "", "port": {"number": 1}}}},
         "spec.rules[0].http.paths[0].backend.service.name: Required value"),
        ({"spec.rules.0.http.paths.0.backend": {"service": {"name": "s", "port": {}}}},
         "spec.rules[0].http.paths[0].backend: Required value: port name or number is required"),
        ({"spec.rules.0.http.paths.0.backend": {"service": {"name": "s", "port": {"number": 1, "name": "a"}}}},
         'spec.rules[0].http.paths[0].backend: Invalid value: "": cannot set both port name & port number'),
        ({"spec.rules.0.http.paths.0.backend": {"service": {"name": "s", "port": {"number": 70000}}}},
         "spec.rules[0].http.paths[0].backend.service.port.number: Invalid value: 70000: must be between 1 and "
         "65535, inclusive"),
        ({"spec.rules.0.http.paths.0.backend": {"resource": {"kind": "K", "name": ""}}},
         "spec.rules[0].http.paths[0].backend.resource.name: Required value"),
        ({"spec.rules.0.http.paths.0.backend": {"resource": {"kind": "K", "name": "n"}, "service": {"name": "s",
          "port": {"number": 1}}}},
         'spec.rules[0].http.paths[0].backend: Invalid value: "": cannot set both resource and service backends'),
        ({"spec.rules.0.http.paths": []},
         "spec.rules[0].http.paths: Required value"),
        ({"spec.tls": [{"hosts": ["A"]}]},
         'spec.tls[0].hosts[0]: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.tls": [{"secretName": "A_"}]},
         'spec.tls[0].secretName: Invalid value: "A_": a lowercase RFC 1123 subdomain'),
        ({"spec.ingressClassName": "A"},
         'spec.ingressClassName: Invalid value: "A": a lowercase RFC 1123 subdomain'),
    ],
)  # fmt: skip
def test_ingresses(changes: Object, error: str) -> None:
    assert_says(create_errors("ingresses", changed(INGRESS, changes), "networking.k8s.io"), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.ingress.0.from.0": {"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}},
         "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"),
        ({"spec.ingress.0.from.0": {"ipBlock": {"cidr": ""}}},
         "spec.ingress[0].from[0].ipBlock.cidr: Required value"),
        ({"spec.ingress.0.from.0": {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}},
         'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/9": must be a strict subset of `cidr`'),
        ({"spec.ingress.0.from.0": {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}},
         'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`'),
        ({"spec.ingress.0.ports.0": {"endPort": 90}},
         "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is not specified"),
        ({"spec.ingress.0.ports.0": {"port": 80, "endPort": 79}},
         "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`"),
        ({"spec.ingress.0.ports.0": {"port": "a", "endPort": 79}},
         "spec.ingress[0].ports[0].endPort: Invalid value: 79: may not be specified when `port` is non-numeric"),
        ({"spec.ingress.0.ports.0": {"port": 0}},
         "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"spec.ingress.0.ports.0": {"port": "A_"}},
         'spec.ingress[0].ports[0].port: Invalid value: "A_": must contain only alpha-numeric characters (a-z, '
         "0-9), and hyphens (-)"),
        ({"spec.ingress.0.ports.0": {"protocol": "X"}},
         'spec.ingress[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'),
        ({"spec.policyTypes": ["Up"]},
         'spec.policyTypes[0]: Unsupported value: "Up": supported values: "Egress", "Ingress"'),
        ({"spec.policyTypes": ["Ingress", "Egress", "Ingress"]},
         'spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two '
         "policyTypes"),
        ({"spec.podSelector": {"matchLabels": {"a b": ""}}},
         'spec.podSelector.matchLabels: Invalid value: "a b": name part'),
    ],
)  # fmt: skip
def test_networkpolicies(changes: Object, error: str) -> None:
    assert_says(create_errors("networkpolicies", changed(POLICY, changes), "networking.k8s.io"), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.minReplicas": 0},
         "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"),
        ({"spec.scaleTargetRef.kind": ""},
         "spec.scaleTargetRef.kind: Required value"),
        ({"spec.scaleTargetRef.name": "a/b"},
         "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'"),
        ({"spec.scaleTargetRef.apiVersion": "a/b/c"},
         'spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'),
        ({"spec.metrics.0.type": "X"},
         'spec.metrics[0].type: Unsupported value: "X": supported values: "ContainerResource", "External", '
         '"Object", "Pods", "Resource"'),
        ({"spec.metrics.0.type": ""},
         "spec.metrics[0].type: Required value: must specify a metric source type"),
        ({"spec.metrics.0.resource": REMOVED},
         "spec.metrics[0].resource: Required value: must populate information for the given metric source"),
        ({"spec.metrics.0.resource.target.averageUtilization": 0},
         "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"),
        ({"spec.metrics.0.resource.target": {"type": "Utilization"}},
         "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value "
         "or a target utilization"),
        ({"spec.metrics.0.resource.target": {"type": "AverageValue", "averageValue": "-1"}},
         'spec.metrics[0].resource.target.averageValue: Invalid value: "-1": must be positive'),
        ({"spec.metrics.0.resource.target.type": "X"},
         'spec.metrics[0].resource.target.type: Invalid value: "X": must be either Utilization, Value, or '
         "AverageValue"),
        ({"spec.metrics.0.resource.name": ""},
         "spec.metrics[0].resource.name: Required value: must specify a resource name"),
        ({"spec.metrics.0.pods": {"metric": {"name": "a"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
         "spec.metrics[0].pods: Forbidden: must populate the given metric source only"),
        ({"spec.metrics.0": {"type": "Object", "object": {"describedObject": {"kind": "", "name": "a"},
          "metric": {"name": "a"}, "target": {"type": "Value", "value": "1"}}}},
         "spec.metrics[0].object.describedObject.kind: Required value"),
        ({"spec.metrics.0": {"type": "External", "external": {"metric": {"name": ""}, "target": {"type": "Value",
          "value": "1"}}}},
         "spec.metrics[0].external.metric.name: Required value: must specify a metric name"),
        ({"spec.metrics.0": {"type": "External", "external": {"metric": {"name": "a"}, "target": {"type": "Value",
          "value": "1", "averageValue": "1"}}}},
         "spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a "
         "per-pod target"),
        ({"spec.metrics.0": {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "",
          "target": {"type": "Utilization", "averageUtilization": 1}}}},
         "spec.metrics[0].containerResource.container: Required value: must specify a container"),
        ({"spec.behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601, "policies": [{"type": "Pods", "value": 1,
          "periodSeconds": 1}]}}},
         "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600"),
        ({"spec.behavior": {"scaleUp": {"policies": []}}},
         "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"),
        ({"spec.behavior": {"scaleDown": {"policies": [{"type": "Cats", "value": 0, "periodSeconds": 1801}]}}},
         'spec.behavior.scaleDown.policies[0].type: Unsupported value: "Cats": supported values: "Percent", "Pods"'),
        ({"spec.behavior": {"scaleDown": {"selectPolicy": "Avg"}}},
         'spec.behavior.scaleDown.selectPolicy: Unsupported value: "Avg": supported values: "Disabled", "Max", '
         '"Min"'),
    ],
)  # fmt: skip
def test_horizontalpodautoscalers(changes: Object, error: str) -> None:
    assert_says(create_errors("horizontalpodautoscalers", changed(AUTOSCALER, changes), "autoscaling"), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.maxUnavailable": 1},
         'spec: Invalid value: {"selector":{"matchLabels":{"a":"b"}},"minAvailable":1,"maxUnavailable":1}: '
         "minAvailable and maxUnavailable cannot be both set"),
        ({"spec.minAvailable": -1},
         "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.minAvailable": "101%"},
         'spec.minAvailable: Invalid value: "101%": must not be greater than 100%'),
        ({"spec.minAvailable": "a"},
         'spec.minAvailable: Invalid value: "a": a valid percent string must be a numeric string followed by an '
         "ending '%'"),
        ({"spec.selector": {"matchLabels": {"a b": ""}}},
         'spec.selector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '
         "'-', '_' or '.', and must start and end with an al"),
        ({"spec.unhealthyPodEvictionPolicy": "X"},
         'spec.unhealthyPodEvictionPolicy: Unsupported value: "X": supported values: "AlwaysAllow", '
         '"IfHealthyBudget"'),
    ],
)  # fmt: skip
def test_poddisruptionbudgets(changes: Object, error: str) -> None:
    assert_says(create_errors("poddisruptionbudgets", changed(BUDGET, changes), "policy"), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.limits.0.type": "A b"},
         "spec.limits[0].type: Invalid value: \"A b\": name part must consist of alphanumeric characters, '-', '_' "
         "or '.', and must start and end with an alphanum"),
        ({"spec.limits.0.min": {"cpu": "3"}},
         'spec.limits[0].min[cpu]: Invalid value: "3": min value 3 is greater than max value 2'),
        ({"spec.limits.0.default": {"cpu": "3"}},
         'spec.limits[0].default[cpu]: Invalid value: "2": default value 3 is greater than max value 2'),
        ({"spec.limits.0.defaultRequest": {"cpu": "0.5"}},
         'spec.limits[0].defaultRequest[cpu]: Invalid value: "500m": min value 1 is greater than default request '
         "value 500m"),
        ({"spec.limits.0.type": "Pod"},
         "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"),
        ({"spec.limits": [{"type": "Pod"}, {"type": "Pod"}]},
         'spec.limits[1].type: Duplicate value: "Pod"'),
        ({"spec.limits.0": {"type": "PersistentVolumeClaim"}},
         "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither "
         "was provided"),
        ({"spec.limits.0": {"type": "Pod", "maxLimitRequestRatio": {"cpu": "0.5"}}},
         'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'),
        ({"spec.limits.0": {"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "1"},
          "maxLimitRequestRatio": {"cpu": "2"}}},
         'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "2": ratio 2 is greater than max/min = 1.000000'),
        ({"spec.limits.0.max": {"x": "1"}},
         'spec.limits[0].max[x]: Invalid value: "x": must be a standard resource for containers'),
    ],
)  # fmt: skip
def test_limitranges(changes: Object, error: str) -> None:
    assert_says(create_errors("limitranges", changed(LIMITS, changes)), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.hard": {"x": "1"}},
         'spec.hard[x]: Invalid value: "x": must be a standard resource type or fully qualified'),
        ({"spec.hard": {"pods": "-1"}},
         'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'),
        ({"spec.hard": {"pods": "1.5"}},
         'spec.hard[pods]: Invalid value: "1.5": must be an integer'),
        ({"spec.scopes": ["X"]},
         'spec.scopes: Invalid value: ["X"]: unsupported scope'),
        ({"spec.scopes": ["BestEffort"], "spec.hard": {"services": "1"}},
         'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'),
        ({"spec.scopes": ["BestEffort", "NotBestEffort"]},
         'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'),
        ({"spec.scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}},
         "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` "
         "is 'In' or 'NotIn' for scope selector"),
        ({"spec.scopeSelector": {"matchExpressions": [{"scopeName": "Terminating", "operator": "In",
          "values": ["a"]}]}},
         "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when scope is any "
         "of ResourceQuotaScopeTerminating, ResourceQuotaS"),
        ({"spec.scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Is"}]}},
         'spec.scopeSelector.matchExpressions.operator: Invalid value: "Is": not a valid selector operator'),
    ],
)  # fmt: skip
def test_resourcequotas(changes: Object, error: str) -> None:
    assert_says(create_errors("resourcequotas", changed(QUOTA, changes)), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"provisioner": "A b/c"},
         'provisioner: Invalid value: "A b/c": prefix part a lowercase RFC 1123 subdomain'),
        ({"parameters": {"": "a"}},
         'parameters: Invalid value: "": field can not be empty.'),
        ({"reclaimPolicy": "Recycle"},
         'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'),
        ({"volumeBindingMode": "X"},
         'volumeBindingMode: Unsupported value: "X": supported values: "Immediate", "WaitForFirstConsumer"'),
        ({"allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": []}]}]},
         "allowedTopologies[0].matchLabelExpressions[0].values: Required value"),
        ({"allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": ["b", "b"]}]}]},
         'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "b"'),
    ],
)  # fmt: skip
def test_storageclasses(changes: Object, error: str) -> None:
    assert_says(create_errors("storageclasses", changed(CLASS, changes), "storage.k8s.io"), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.accessModes": ["X"]},
         'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", '
         '"ReadWriteOnce", "ReadWriteOncePod"'),
        ({"spec.accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
         "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"),
        ({"spec.resources.requests.storage": "0"},
         'spec.resources[storage]: Invalid value: "0": must be greater than zero'),
        ({"spec.storageClassName": "A"},
         'spec.storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.volumeMode": "X"},
         'spec.volumeMode: Unsupported value: "X": supported values: "Block", "Filesystem"'),
        ({"spec.dataSource": {"kind": "", "name": "a"}},
         "spec.dataSource.kind: Required value"),
        ({"spec.dataSource": {"kind": "Pod", "name": "a"}},
         "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default "
         "apiGroup"),
        ({"spec.dataSource": {"kind": "PersistentVolumeClaim", "name": ""}},
         "spec.dataSource.name: Required value"),
        ({"spec.dataSource": {"kind": "PersistentVolumeClaim", "name": "a"},
          "spec.dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "b"}},
         'spec: Invalid value: "spec.dataSource": must match dataSourceRef'),
        ({"spec.volumeAttributesClassName": "A"},
         'spec.volumeAttributesClassName: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
         "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or "
         "'NotIn'"),
    ],
)  # fmt: skip
def test_persistentvolumeclaims(changes: Object, error: str) -> None:
    assert_says(create_errors("persistentvolumeclaims", changed(CLAIM, changes)), error)


def test_autoscalers_may_keep_the_version_they_have() -> None:
    old = changed(AUTOSCALER, {"spec.scaleTargetRef.apiVersion": "v1"})
    new = changed(old, {"spec.maxReplicas": 9})
    assert update_errors("horizontalpodautoscalers", new, old, "autoscaling") == []
    assert update_errors("horizontalpodautoscalers", new, AUTOSCALER, "autoscaling") == [
        'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group'
    ]
    target = {"apiVersion": "v1", "kind": "ReplicationController", "name": "r"}
    core = changed(AUTOSCALER, {"spec.scaleTargetRef": target})
    assert create_errors("horizontalpodautoscalers", core, "autoscaling") == []
