"""More of what is wrong with Services, Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation_kinds import CRON, JOB, SERVICE
from validated import REMOVED, assert_says, changed, create_errors

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.type": "External"},
         'spec.type: Unsupported value: "External": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
         '"NodePort"'),
        ({"spec.ports.0.protocol": "tcp"},
         'spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'),
        ({"spec.ports.0.targetPort": "A_"},
         'spec.ports[0].targetPort: Invalid value: "A_": must contain only alpha-numeric characters (a-z, 0-9), '
         "and hyphens (-)"),
        ({"spec.ports.0.appProtocol": "a b"},
         'spec.ports[0].appProtocol: Invalid value: "a b": name part must consist of alphanumeric characters, '
         "'-', '_' or '.', and must start and end with an al"),
        ({"spec.ports.1": {"name": "a", "port": 81}},
         'spec.ports[1].name: Duplicate value: "a"'),
        ({"spec.ports.1": {"name": "b", "port": 80}},
         'spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'),
        ({"spec.type": "NodePort", "spec.ports": [{"name": "a", "port": 1, "nodePort": 30000}, {"name": "b",
          "port": 2, "nodePort": 30000}]},
         "spec.ports[1].nodePort: Duplicate value: 30000"),
        ({"spec.sessionAffinity": "X"},
         'spec.sessionAffinity: Unsupported value: "X": supported values: "ClientIP", "None"'),
        ({"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
         "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and "
         "less than 86400"),
        ({"spec.type": "ExternalName", "spec.externalName": "A b", "spec.ports": REMOVED},
         'spec.externalName: Invalid value: "A b": a lowercase RFC 1123 subdomain'),
        ({"spec.clusterIP": "None", "spec.type": "NodePort"},
         "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"),
        ({"spec.clusterIP": "None", "spec.type": "LoadBalancer"},
         "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services"),
        ({"spec.ipFamilies": ["IPv4", "IPv4"]},
         'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
        ({"spec.ipFamilies": ["IPv5"]},
         'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"'),
        ({"spec.ipFamilyPolicy": "Some"},
         'spec.ipFamilyPolicy: Unsupported value: "Some": supported values: "PreferDualStack", "RequireDualStack", '
         '"SingleStack"'),
        ({"spec.ipFamilies": ["IPv4"], "spec.clusterIPs": ["fd00::1"], "spec.clusterIP": "fd00::1"},
         'spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`'),
        ({"spec.clusterIP": "10.96.0.9", "spec.clusterIPs": ["10.96.0.8"]},
         'spec.clusterIPs: Invalid value: ["10.96.0.8"]: first value must match `clusterIP`'),
        ({"spec.clusterIP": "None", "spec.clusterIPs": ["None", "10.96.0.1"]},
         "spec.clusterIPs: Invalid value: [\"None\",\"10.96.0.1\"]: 'None' must be the first and only value"),
        ({"spec.externalIPs": ["127.0.0.1"]},
         'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'),
        ({"spec.externalIPs": ["x"]},
         'spec.externalIPs[0]: Invalid value: "x": must be a valid IP address,'),
        ({"spec.loadBalancerSourceRanges": ["10.0.0.0/8"]},
         "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ({"spec.type": "LoadBalancer", "spec.loadBalancerSourceRanges": ["10.0.0/8"]},
         'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0/8": must be a valid CIDR value,'),
        ({"spec.type": "LoadBalancer", "metadata.annotations":
          {"service.beta.kubernetes.io/load-balancer-source-ranges": "x"}},
         'metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: "x": must '
         "be a valid CIDR value,"),
        ({"spec.loadBalancerClass": "a/b"},
         "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ({"spec.type": "LoadBalancer", "spec.loadBalancerClass": "A/b"},
         'spec.loadBalancerClass: Invalid value: "A/b": prefix part a lowercase RFC 1123 subdomain'),
        ({"spec.allocateLoadBalancerNodePorts": True},
         "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ({"spec.externalTrafficPolicy": "Local"},
         'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'),
        ({"spec.type": "NodePort", "spec.externalTrafficPolicy": "X"},
         'spec.externalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"'),
        ({"spec.healthCheckNodePort": 30000},
         "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
         "`externalTrafficPolicy` is 'Local'"),
        ({"spec.type": "LoadBalancer", "spec.healthCheckNodePort": 30000},
         "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
         "`externalTrafficPolicy` is 'Local'"),
        ({"spec.internalTrafficPolicy": "X"},
         'spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"'),
        ({"spec.trafficDistribution": "X"},
         'spec.trafficDistribution: Unsupported value: "X": supported values: "PreferClose", "PreferSameNode", '
         '"PreferSameZone"'),
        ({"spec.selector": {"a b": "c"}},
         "spec.selector: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or "
         "'.', and must start and end with an alphanumeric c"),
    ],
)  # fmt: skip
def test_services(changes: Object, error: str) -> None:
    assert_says(create_errors("services", changed(SERVICE, changes)), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.parallelism": -1},
         "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.completions": -1},
         "spec.completions: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.backoffLimit": -1},
         "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.activeDeadlineSeconds": -1},
         "spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.ttlSecondsAfterFinished": -1},
         "spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.completionMode": "X"},
         'spec.completionMode: Unsupported value: "X": supported values: "Indexed", "NonIndexed"'),
        ({"spec.completionMode": "Indexed", "spec.parallelism": 100001},
         "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is "
         "Indexed"),
        ({"spec.backoffLimitPerIndex": 1},
         "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
        ({"spec.completionMode": "Indexed", "spec.maxFailedIndexes": 1},
         "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"),
        ({"spec.completionMode": "Indexed", "spec.backoffLimitPerIndex": 1, "spec.maxFailedIndexes": 2},
         "spec.maxFailedIndexes: Invalid value: 2: must be less than or equal to completions"),
        ({"spec.managedBy": "a"},
         'spec.managedBy: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")'),
        ({"spec.managedBy": "a b/c"},
         'spec.managedBy: Invalid value: "a b": a lowercase RFC 1123 subdomain'),
        ({"spec.podReplacementPolicy": "X"},
         'spec.podReplacementPolicy: Unsupported value: "X": supported values: "Failed", "TerminatingOrFailed"'),
        ({"spec.podFailurePolicy": {"rules": [{}]}},
         'spec.podFailurePolicy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" '
         '"Ignore"]'),
        ({"spec.podFailurePolicy": {"rules": [{"action": "Explode", "onExitCodes": {"operator": "In",
          "values": [1]}}]}},
         'spec.podFailurePolicy.rules[0].action: Unsupported value: "Explode": supported values: "Count", '
         '"FailIndex", "FailJob", "Ignore"'),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In",
          "values": [0]}}]}},
         "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": []}}]}},
         "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []: at least one value is required"),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2,
          1]}}]}},
         "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered"),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "Eq",
          "values": [1]}}]}},
         'spec.podFailurePolicy.rules[0].onExitCodes.operator: Unsupported value: "Eq": supported values: "In", '
         '"NotIn"'),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1],
          "containerName": "q"}}]}},
         'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "q": must be one of the '
         "container or initContainer names in the pod template"),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "A b",
          "status": "True"}]}]}},
         'spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: "A b": name part'),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]},
          "onPodConditions": [{"type": "A", "status": "True"}]}]}},
         "spec.podFailurePolicy.rules[0]: Invalid value: "
         '{"action":"FailJob","onExitCodes":{"operator":"In","values":[1]},"onPodConditions":[{"type":"A","status'),
        ({"spec.podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In",
          "values": [1]}}]}},
         'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to '
         "be set"),
        ({"spec.podFailurePolicy": {"rules": []}, "spec.template.spec.restartPolicy": "OnFailure"},
         'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when '
         "podFailurePolicy is specified"),
        ({"spec.successPolicy": {"rules": [{"succeededCount": 1}]}},
         'spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode'),
        ({"spec.completionMode": "Indexed", "spec.successPolicy": {"rules": []}},
         "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is "
         "specified"),
        ({"spec.completionMode": "Indexed", "spec.successPolicy": {"rules": [{}]}},
         "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be "
         "specified"),
        ({"spec.completionMode": "Indexed", "spec.completions": 3,
          "spec.successPolicy": {"rules": [{"succeededIndexes": "2-1"}]}},
         'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "2-1": error parsing succeededIndexes: '
         "non-increasing order, previous: 2, current: 1"),
        ({"spec.completionMode": "Indexed", "spec.completions": 3,
          "spec.successPolicy": {"rules": [{"succeededIndexes": "0-9"}]}},
         'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-9": error parsing succeededIndexes: too '
         'large index: "9"'),
        ({"spec.completionMode": "Indexed", "spec.completions": 3,
          "spec.successPolicy": {"rules": [{"succeededCount": 4}]}},
         "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the "
         "number of specified completions)"),
    ],
)  # fmt: skip
def test_jobs(changes: Object, error: str) -> None:
    assert_says(create_errors("jobs", changed(JOB, changes), "batch"), error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.schedule": "x"},
         'spec.schedule: Invalid value: "x": expected exactly 5 fields, found 1: [x]'),
        ({"spec.schedule": "TZ=UTC 0 0 * * *"},
         'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone '
         "field instead"),
        ({"spec.timeZone": "Mars/X"},
         'spec.timeZone: Invalid value: "Mars/X": unknown time zone Mars/X'),
        ({"spec.timeZone": "Local"},
         'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
         "https://www.iana.org/time-zones"),
        ({"spec.timeZone": ""},
         'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'),
        ({"spec.concurrencyPolicy": "X"},
         'spec.concurrencyPolicy: Unsupported value: "X": supported values: "Allow", "Forbid", "Replace"'),
        ({"spec.startingDeadlineSeconds": -1},
         "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.successfulJobsHistoryLimit": -1},
         "spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec.failedJobsHistoryLimit": -1},
         "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0"),
        ({"metadata.name": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
         'metadata.name: Invalid value: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": must be no more '
         "than 52 characters"),
        ({"spec.jobTemplate.spec.manualSelector": True},
         'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "false", "nil"'),
    ],
)  # fmt: skip
def test_cronjobs(changes: Object, error: str) -> None:
    assert_says(create_errors("cronjobs", changed(CRON, changes), "batch"), error)
