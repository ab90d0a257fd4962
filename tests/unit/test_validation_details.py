"""More of what is wrong with objects of the kinds users write most, in Kubernetes's words."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation_kinds import CLAIM, CRON, JOB, SERVICE
from validated import META, POD, REMOVED, changed, create_errors, update_errors

Object = dict[str, Any]

C = "spec.containers.0."
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


def assert_says(errors: list[str], error: str) -> None:
    assert errors and errors[0].startswith(error), errors


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
        ({C + "securityContext": {"seccompProfile": {"type": "Localhost"}}},
         "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when "
         "seccomp type is Localhost"),
        ({C + "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "/abs"}}},
         'spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: "/abs": must be a '
         "relative path"),
        ({C + "securityContext": {"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "x"}}},
         "spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: "
         '{"type":"RuntimeDefault","localhostProfile":"x"}: can only be set w'),
        ({C + "securityContext": {"seccompProfile": {"type": ""}}},
         "spec.containers[0].securityContext.seccompProfile.type: Required value: type is required when "
         "seccompProfile is set"),
        ({C + "securityContext": {"appArmorProfile": {"type": "Localhost"}}},
         "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Required value: must be set when "
         "AppArmor type is Localhost"),
        ({C + "securityContext": {"appArmorProfile": {"type": "Unconfined", "localhostProfile": "x"}}},
         'spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: "x": can only be set '
         "when AppArmor type is Localhost"),
        ({C + "securityContext": {"appArmorProfile": {"type": "Sometimes"}}},
         'spec.containers[0].securityContext.appArmorProfile.type: Unsupported value: "Sometimes": supported '
         'values: "Localhost", "RuntimeDefault", "Unconfined"'),
        ({C + "securityContext": {"procMount": "Some"}},
         'spec.containers[0].securityContext.procMount: Unsupported value: "Some": supported values: "Default", '
         '"Unmasked"'),
        ({C + "securityContext": {"procMount": "Unmasked"}},
         'spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to '
         "use `Unmasked`"),
        ({C + "securityContext": {"allowPrivilegeEscalation": False, "privileged": True}},
         'spec.containers[0].securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true}: '
         "cannot set `allowPrivilegeEscalation` to fals"),
        ({C + "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}},
         "spec.containers[0].securityContext: Invalid value: "
         '{"allowPrivilegeEscalation":false,"capabilities":{"add":["CAP_SYS_ADMIN"]}}: cannot set `allowPrivi'),
        ({"spec.securityContext": {"fsGroupChangePolicy": "Never"}},
         'spec.securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", '
         '"OnRootMismatch"'),
        ({"spec.securityContext": {"supplementalGroups": [-1]}},
         "spec.securityContext.supplementalGroups[0]: Invalid value: -1: must be between 0 and 2147483647, "
         "inclusive"),
        ({"spec.securityContext": {"supplementalGroupsPolicy": "X"}},
         'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "X": supported values: "Merge", '
         '"Strict"'),
        ({"spec.securityContext": {"sysctls": [{"name": "Kernel..x", "value": "1"}]}},
         'spec.securityContext.sysctls[0].name: Invalid value: "Kernel..x": must have at most 253 characters and '
         "match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\."),
        ({"spec.securityContext": {"sysctls": [{"name": "kernel.shm", "value": "1"}, {"name": "kernel.shm",
          "value": "1"}]}},
         'spec.securityContext.sysctls[1].name: Duplicate value: "kernel.shm"'),
        ({"spec.securityContext": {"windowsOptions": {"hostProcess": True}}},
         "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess "
         "containers"),
        ({"spec.securityContext": {"windowsOptions": {"gmsaCredentialSpecName": "A_"}}},
         'spec.securityContext.windowsOptions.gmsaCredentialSpecName: Invalid value: "A_": a lowercase RFC 1123 '
         "subdomain"),
        ({"spec.securityContext": {"windowsOptions": {"runAsUserName": "a/b/c"}}},
         "spec.securityContext.windowsOptions.runAsUserName: Invalid value: \"a/b/c\": runAsUserName's User "
         'cannot contain the following characters: "/\\:;|=,+*?<>'),
        ({"spec.os": {"name": "windows"}, "spec.hostPID": True},
         "spec.hostPID: Forbidden: cannot be set for a windows pod"),
        ({"spec.os": {"name": "windows"}, "spec.securityContext": {"fsGroup": 1}},
         "spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod"),
        ({"spec.os": {"name": "linux"}, "spec.securityContext": {"windowsOptions": {"runAsUserName": "a"}}},
         "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"),
        ({"spec.os": {"name": "beos"}},
         'spec.os: Unsupported value: "beos": supported values: "linux", "windows"'),
        ({"spec.os": {"name": ""}},
         "spec.os.name: Required value: cannot be empty"),
        ({"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/q": "runtime/default"}},
         'metadata.annotations[container.apparmor.security.beta.kubernetes.io/q]: Invalid value: "q": container '
         "not found"),
        ({"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/c": "x"}},
         'metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: "x": invalid '
         'AppArmor profile name: "x"'),
        ({"metadata.annotations": {"kubernetes.io/config.mirror": ""}},
         'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "": must set spec.nodeName if mirror '
         "pod annotation is set"),
        ({"metadata.annotations": {"controller.kubernetes.io/pod-deletion-cost": "a"}},
         'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "a": must be a 32bit '
         "integer"),
        ({"spec.affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0,
          "preference": {}}]}}},
         "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: "
         "must be in the range 1-100"),
        ({"spec.affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101,
          "podAffinityTerm": {"labelSelector": {}, "topologyKey": "a"}}]}}},
         "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: "
         "101: must be in the range 1-100"),
        ({"spec.tolerations": [{"operator": "Equal"}]},
         'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which '
         'means "match all values and all keys"'),
        ({"spec.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
         "spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"),
        ({"spec.tolerations": [{"key": "a", "operator": "Is"}]},
         'spec.tolerations[0].operator: Unsupported value: "Is": supported values: "Equal", "Exists"'),
        ({"spec.tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]},
         "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when "
         "`tolerationSeconds` is set"),
        ({"spec.tolerations": [{"key": "a", "effect": "Maybe"}]},
         'spec.tolerations[0].effect: Unsupported value: "Maybe": supported values: "NoExecute", "NoSchedule", '
         '"PreferNoSchedule"'),
        ({"spec.schedulingGates": [{"name": "a"}, {"name": "a"}]},
         'spec.schedulingGates[1]: Duplicate value: "a"'),
        ({"spec.readinessGates": [{"conditionType": "a b"}]},
         'spec.readinessGates[0].conditionType: Invalid value: "a b": name part'),
        ({"spec.overhead": {"cpu": "-1"}},
         'spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
        ({"spec.preemptionPolicy": "Sometimes"},
         'spec.preemptionPolicy: Unsupported value: "Sometimes": supported values: "Never", "PreemptLowerPriority"'),
        ({"spec.hostAliases": [{"ip": "x", "hostnames": ["A"]}]},
         'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address,'),
        ({"spec.dnsConfig": {"nameservers": ["a"]}},
         'spec.dnsConfig.nameservers[0]: Invalid value: "a": must be a valid IP address,'),
        ({"spec.dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1"]}},
         'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1"]: must not have more '
         "than 3 nameservers"),
        ({"spec.dnsConfig": {"searches": ["a b"]}},
         'spec.dnsConfig.searches[0]: Invalid value: "a b": a lowercase RFC 1123 subdomain'),
        ({"spec.dnsConfig": {"options": [{"name": ""}]}},
         "spec.dnsConfig.options[0]: Required value: must not be empty"),
        ({"spec.hostname": "A"},
         'spec.hostname: Invalid value: "A": a lowercase RFC 1123 label'),
        ({"spec.subdomain": "a.b"},
         'spec.subdomain: Invalid value: "a.b": a lowercase RFC 1123 label'),
        ({"spec.hostUsers": False, "spec.hostNetwork": True},
         "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"),
        ({"spec.shareProcessNamespace": True, "spec.hostPID": True},
         "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID "
         "cannot both be enabled"),
        ({"spec.runtimeClassName": "A"},
         'spec.runtimeClassName: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.priorityClassName": "A"},
         'spec.priorityClassName: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.serviceAccountName": "A"},
         'spec.serviceAccountName: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.nodeName": "A"},
         'spec.nodeName: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"spec.restartPolicy": "Often"},
         'spec.restartPolicy: Unsupported value: "Often": supported values: "Always", "Never", "OnFailure"'),
        ({"spec.nodeSelector": {"a b": "c"}},
         "spec.nodeSelector: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' "
         "or '.', and must start and end with an alphanumer"),
        ({"spec.initContainers": [{"name": "i", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}]},
         "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without "
         "restartPolicy=Always"),
        ({C + "stdin": False, C + "terminationMessagePolicy": "X"},
         'spec.containers[0].terminationMessagePolicy: Unsupported value: "X": supported values: '
         '"FallbackToLogsOnError", "File"'),
        ({C + "volumeDevices": [{"name": "v", "devicePath": "/d"}]},
         'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of '
         "PersistentVolumeClaim or Ephemeral for block mode"),
        ({C + "volumeDevices": [{"name": "v", "devicePath": ""}]},
         'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of '
         "PersistentVolumeClaim or Ephemeral for block mode"),
    ],
)  # fmt: skip
def test_pods(changes: Object, error: str) -> None:
    assert_says(create_errors("pods", changed(POD, changes)), error)


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
