"""More of what is wrong with pods as a whole: security, placement, names, host and DNS settings."""

from __future__ import annotations

from typing import Any

import pytest
from validated import POD, assert_says, changed, create_errors

Object = dict[str, Any]

C = "spec.containers.0."


@pytest.mark.parametrize(
    ("changes", "error"),
    [
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
