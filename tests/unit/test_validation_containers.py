"""More of what is wrong with containers: environment, hooks, probes, resources; and with spreading."""

from __future__ import annotations

from typing import Any

import pytest
from validated import POD, assert_says, changed, create_errors

Object = dict[str, Any]

C = "spec.containers.0."


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({C + "env": [{"name": "a", "valueFrom": {"configMapKeyRef": {"name": "Bad_", "key": "k"}}}]},
         'spec.containers[0].env[0].valueFrom.configMapKeyRef.name: Invalid value: "Bad_": a lowercase RFC 1123 '
         "subdomain"),
        ({C + "env": [{"name": "a", "valueFrom": {"configMapKeyRef": {"name": "m"}}}]},
         "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value"),
        ({C + "env": [{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}]},
         'spec.containers[0].env[0].valueFrom.secretKeyRef.key: Invalid value: "a/b": a valid config key'),
        ({C + "env": [{"name": "a", "valueFrom": {}}]},
         'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
         "`resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fil"),
        ({C + "env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": ""}}}]},
         "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Required value"),
        ({C + "env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}}]},
         'spec.containers[0].env[0].valueFrom.fieldRef: Invalid value: "a b": name part'),
        ({C + "env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]},
         'spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": '
         'supported values: "limits.cpu", "limits.ephemeral-stor'),
        ({C + "env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": ""}}}]},
         "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Required value"),
        ({C + "env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]},
         'spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only '
         "divisor's values 1m and 1 are supported with the cpu r"),
        ({C + "env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory",
          "divisor": "1m"}}}]},
         'spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.memory": only '
         "divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1M"),
        ({C + "envFrom": [{"prefix": "a=", "configMapRef": {"name": "m"}}]},
         'spec.containers[0].envFrom[0].prefix: Invalid value: "a=": a valid environment variable name must '
         "consist only of printable ASCII characters other tha"),
        ({C + "envFrom": [{"secretRef": {"name": ""}}]},
         "spec.containers[0].envFrom[0].secretRef.name: Required value"),
        ({C + "envFrom": [{"secretRef": {"name": "s"}, "configMapRef": {"name": "m"}}]},
         'spec.containers[0].envFrom: Invalid value: "": may not have more than one field specified at a time'),
        ({C + "lifecycle": {"postStart": {"sleep": {"seconds": 31}}}},
         "spec.containers[0].lifecycle.postStart.sleep: Invalid value: 31: must be non-negative and less than "
         "terminationGracePeriodSeconds (30)"),
        ({C + "lifecycle": {"postStart": {}}},
         "spec.containers[0].lifecycle.postStart: Required value: must specify a handler type"),
        ({C + "lifecycle": {"postStart": {"exec": {"command": []}}}},
         "spec.containers[0].lifecycle.postStart.exec.command: Required value"),
        ({C + "lifecycle": {"postStart": {"httpGet": {"port": 0}}}},
         "spec.containers[0].lifecycle.postStart.httpGet.port: Invalid value: 0: must be between 1 and 65535, "
         "inclusive"),
        ({C + "lifecycle": {"postStart": {"httpGet": {"port": 1, "path": "", "scheme": "FTP"}}}},
         'spec.containers[0].lifecycle.postStart.httpGet.scheme: Unsupported value: "FTP": supported values: '
         '"HTTP", "HTTPS"'),
        ({C + "lifecycle": {"postStart": {"exec": {"command": ["a"]}, "sleep": {"seconds": 1}}}},
         "spec.containers[0].lifecycle.postStart.sleep: Forbidden: may not specify more than 1 handler type"),
        ({C + "livenessProbe": {"httpGet": {"port": 80}, "grpc": {"port": 1}}},
         "spec.containers[0].livenessProbe.grpc: Forbidden: may not specify more than 1 handler type"),
        ({C + "livenessProbe": {"grpc": {"port": 0}}},
         "spec.containers[0].livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({C + "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": -1}},
         "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
        ({C + "livenessProbe": {"httpGet": {"port": 80}, "terminationGracePeriodSeconds": 0}},
         "spec.containers[0].livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"),
        ({C + "readinessProbe": {"httpGet": {"port": 80}, "terminationGracePeriodSeconds": 3}},
         "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: must not be set for "
         "readinessProbes"),
        ({C + "livenessProbe": {"httpGet": {"port": "UPPER"}}},
         'spec.containers[0].livenessProbe.httpGet.port: Invalid value: "UPPER": must contain only alpha-numeric '
         "characters (a-z, 0-9), and hyphens (-)"),
        ({C + "livenessProbe": {"tcpSocket": {"port": 0}}},
         "spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({C + "livenessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": ""}]}}},
         'spec.containers[0].livenessProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header'),
        ({C + "resizePolicy": [{"resourceName": "disk", "restartPolicy": "NotRequired"}]},
         'spec.containers[0].resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"'),
        ({C + "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "Maybe"}]},
         'spec.containers[0].resizePolicy: Unsupported value: "Maybe": supported values: "NotRequired", '
         '"RestartContainer"'),
        ({C + "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "cpu",
          "restartPolicy": "NotRequired"}]},
         'spec.containers[0].resizePolicy[1]: Duplicate value: "cpu"'),
        ({C + "resources": {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}},
         'spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer '
         "multiple of hugepages-2Mi"),
        ({C + "resources": {"requests": {"hugepages-2Mi": "2Mi", "cpu": "1"}, "limits": {"hugepages-2Mi": "4Mi"}}},
         'spec.containers[0].resources.requests: Invalid value: "2Mi": must be equal to hugepages-2Mi limit of 4Mi'),
        ({C + "resources": {"limits": {"example.com/x": "1500m"}}},
         'spec.containers[0].resources.limits[example.com/x]: Invalid value: "1500m": must be an integer'),
        ({C + "resources": {"requests": {"example.com/x": "1"}}},
         "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"),
        ({C + "resources": {"requests": {"x": "1"}}},
         'spec.containers[0].resources.requests[x]: Invalid value: "x": must be a standard resource for containers'),
        ({C + "resources": {"claims": [{"name": "q"}]}},
         'spec.containers[0].resources.claims[0]: Not found: "q": must be one of the names in '
         "pod.spec.resourceClaims which is empty"),
        ({"spec.resources": {"requests": {"storage": "1"}}},
         'spec.resources.requests[storage]: Unsupported value: "storage": supported values: "cpu", "hugepages-", '
         '"memory"'),
        ({"spec.resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
         'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
        ({"spec.resources": {"requests": {"cpu": "1m"}}, C + "resources": {"requests": {"cpu": "1"}}},
         'spec.resources.requests[cpu]: Invalid value: "1m": must be greater than or equal to aggregate container '
         "requests of 1"),
        ({"spec.resourceClaims": [{"name": "a"}, {"name": "a", "resourceClaimName": "b"}]},
         'spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, '
         "`resourceClaimTemplateName`"),
        ({"spec.resourceClaims": [{"name": "a", "resourceClaimName": "b", "resourceClaimTemplateName": "c"}]},
         "spec.resourceClaims[0]: Invalid value: "
         '{"name":"a","resourceClaimName":"b","resourceClaimTemplateName":"c"}: at most one of `resourceClaimName` '
         "or `re"),
        ({"spec.resourceClaims": [{"name": "a", "resourceClaimName": "b"}],
          C + "resources": {"claims": [{"name": "a"}, {"name": "a"}]}},
         'spec.containers[0].resources.claims[1]: Duplicate value: "a"'),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "DoNotSchedule",
          "labelSelector": {"matchLabels": {"a": "b"}}}]},
         "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty"),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "Never",
          "labelSelector": {"matchLabels": {"a": "b"}}}]},
         'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Never": supported values: '
         '"DoNotSchedule", "ScheduleAnyway"'),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}}, "minDomains": 0}]},
         "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero"),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}, "minDomains": 1}]},
         "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if "
         "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}},
          "nodeAffinityPolicy": "X"}]},
         'spec.topologySpreadConstraints[0].nodeAffinityPolicy: Unsupported value: "X": supported values: "Honor", '
         '"Ignore"'),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}},
          "nodeTaintsPolicy": "X"}]},
         'spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "X": supported values: "Honor", '
         '"Ignore"'),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}},
          "matchLabelKeys": ["a"]}]},
         'spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys '
         "and labelSelector"),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}},
          "matchLabelKeys": ["a b"]}]},
         'spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: "a b": name part'),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["b"]}]},
         "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is "
         "not set"),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
          "labelSelector": {}}, {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
          "labelSelector": {}}]},
         'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, DoNotSchedule}"'),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
          "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchExpressions": [{"key": "a",
          "operator": "In"}]}}]},
         "spec.topologySpreadConstraints[0].labelSelector.matchExpressions[0].values: Required value: must be "
         "specified when `operator` is 'In' or 'NotIn'"),
    ],
)  # fmt: skip
def test_containers(changes: Object, error: str) -> None:
    assert_says(create_errors("pods", changed(POD, changes)), error)
