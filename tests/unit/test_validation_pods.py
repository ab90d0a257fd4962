"""What is wrong with pods: field, reason and words as Kubernetes gives them."""

from __future__ import annotations

from typing import Any

import pytest
from validated import POD, REMOVED, changed, create_errors, defaulted, update_errors

from apimachinery import defaults, resources, validation

C = "spec.containers.0."
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
)
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
MOUNT = {"name": "v", "mountPath": "/d"}


def test_a_plain_pod_is_fine() -> None:
    assert create_errors("pods", POD) == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"metadata.name": "X"}, f'metadata.name: Invalid value: "X": {SUBDOMAIN}'),
        ({"metadata.name": "a" * 254},
         f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters'),
        ({"metadata.name": REMOVED}, "metadata.name: Required value: name or generateName is required"),
        ({"metadata.namespace": REMOVED}, "metadata.namespace: Required value"),
        ({"metadata.labels": {"a b": "c"}},
         'metadata.labels: Invalid value: "a b": name part must consist of alphanumeric'),
        ({"metadata.labels": {"a": "-"}},
         'metadata.labels: Invalid value: "-": a valid label must be an empty string or'),
        ({"metadata.labels": {"a/b/c": ""}},
         'metadata.labels: Invalid value: "a/b/c": a qualified name must consist of'),
        ({"metadata.annotations": {"a": "x" * 262144}},
         "metadata.annotations: Too long: may not be more than 262144 bytes"),
        ({"metadata.finalizers": ["x"]},
         'metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fu'),
        ({"metadata.ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a"}]},
         'metadata.ownerReferences.uid: Invalid value: "": must not be empty'),
        ({"spec.containers": []}, "spec.containers: Required value"),
        ({C + "name": ""}, "spec.containers[0].name: Required value"),
        ({C + "name": "A"}, f'spec.containers[0].name: Invalid value: "A": {LABEL}'),
        ({C + "image": ""}, "spec.containers[0].image: Required value"),
        ({C + "image": " i"},
         'spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace'),
        ({"spec.containers.1": {"name": "c", "image": "i"}}, 'spec.containers[1].name: Duplicate value: "c"'),
        ({"spec.initContainers": [{"name": "c", "image": "i"}]},
         'spec.initContainers[0].name: Duplicate value: "c"'),
        ({C + "imagePullPolicy": "Often"},
         'spec.containers[0].imagePullPolicy: Unsupported value: "Often": supported values: "Always", "If'),
        ({C + "ports.0.containerPort": 0}, "spec.containers[0].ports[0].containerPort: Required value"),
        ({C + "ports.0.containerPort": 70000},
         "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, i"),
        ({C + "ports.0.protocol": "tcp"},
         'spec.containers[0].ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'),
        ({C + "ports.1": {"containerPort": 1, "name": "web"}},
         'spec.containers[0].ports[1].name: Duplicate value: "web"'),
        ({C + "ports.0.name": "a-very-long-port-name"}, "must be no more than 15 characters"),
        ({C + "ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
         'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//9"'),
        ({C + "env": [{"name": ""}]}, "spec.containers[0].env[0].name: Required value"),
        ({C + "env": [{"name": "a=b"}]},
         'spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable'),
        ({C + "env": [{"name": "a", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
         'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'),
        ({C + "env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]},
         'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: '
         'field label not supported: spec.x'),
        ({C + "env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]},
         'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported '),
        ({C + "envFrom": [{}]}, "must specify one of: `configMapRef` or `secretRef`"),
        ({C + "volumeMounts": [{"name": "w", "mountPath": "/d"}]},
         'spec.containers[0].volumeMounts[0].name: Not found: "w"'),
        ({C + "volumeMounts": [MOUNT, MOUNT]},
         'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/d": must be unique'),
        ({C + "volumeMounts": [{**MOUNT, "subPath": "../x"}]},
         'spec.containers[0].volumeMounts.subPath: Invalid value: "../x": must not contain \'..\''),
        ({C + "resources.requests": {"cpu": "-1"}},
         'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
        ({C + "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
         'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu li'),
        ({C + "resources.limits": {"foo": "1"}},
         'spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource for'),
        ({C + "resources.limits": {"example.com/gpu": "500m"}},
         'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer'),
        ({C + "resources.limits": {"hugepages-2Mi": "2Mi"}},
         "spec.containers[0].resources: Forbidden: HugePages require cpu or memory"),
        ({C + "livenessProbe": {}},
         "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        ({C + "livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}},
         "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
        ({C + "livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}},
         "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        ({C + "readinessProbe": {"httpGet": {"port": 0}}},
         "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, "),
        ({C + "readinessProbe": {"exec": {"command": ["a"]}, "periodSeconds": -1}},
         "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
        ({C + "securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
         "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
        ({C + "securityContext.runAsUser": -1},
         "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 21474836"),
        ({"spec.initContainers": [{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["a"]}}}]},
         "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without res"),
        ({"spec.volumes.1": {"name": "v", "emptyDir": {}}}, 'spec.volumes[1].name: Duplicate value: "v"'),
        ({"spec.volumes.1": {"name": "w", "emptyDir": {}, "hostPath": {"path": "/"}}},
         "spec.volumes[1].hostPath: Forbidden: may not specify more than 1 volume type"),
        ({"spec.volumes.0": {"name": "v", "hostPath": {"path": ""}}},
         "spec.volumes[0].hostPath.path: Required value"),
        ({"spec.volumes.0": {"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}},
         "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (oc"),
        ({"spec.volumes.0": {"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "/x"}]}}},
         'spec.volumes[0].configMap.items[0].path: Invalid value: "/x": must be a relative path'),
        ({"spec.restartPolicy": "Maybe"},
         'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", "OnFailure"'),
        ({"spec.dnsPolicy": "None"},
         "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
        ({"spec.activeDeadlineSeconds": 0},
         "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"),
        ({"spec.hostname": "A.b"}, f'spec.hostname: Invalid value: "A.b": {LABEL}'),
        ({"spec.nodeSelector": {"a": "b c"}},
         'spec.nodeSelector: Invalid value: "b c": a valid label must be'),
        ({"spec.tolerations": [{"operator": "Equal"}]}, "operator must be Exists when `key` is empty"),
        ({"spec.tolerations": [{"key": "a", "tolerationSeconds": 5}]},
         "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSec"),
        ({"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution": {}},
         "Required value: must have at least one node selector term"),
        ({"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution": [{}]},
         "requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty"),
        ({"spec.topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}]},
         "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
        ({"spec.hostAliases": [{"ip": "1.2.3"}]},
         'spec.hostAliases[0].ip: Invalid value: "1.2.3": must be a valid IP address'),
        ({"spec.ephemeralContainers": [{"name": "e", "image": "i"}]},
         "spec.ephemeralContainers: Forbidden: cannot be set on create"),
        ({"spec.nodeName": "n", "spec.schedulingGates": [{"name": "g"}]},
         "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_of_the_field(changes: dict[str, Any], error: str) -> None:
    errors = create_errors("pods", changed(POD, changes))
    assert any(error in found for found in errors), errors


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({C + "image": "j", "spec.tolerations": [{"operator": "Exists"}], "spec.activeDeadlineSeconds": 5},
         ""),
        ({C + "command": ["x"]},
         "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"),
        ({"spec.nodeName": "n"}, "spec: Forbidden: pod updates may not change fields"),
        ({"spec.containers.1": {"name": "d", "image": "i"}},
         "spec.containers: Forbidden: pod updates may not add or remove containers"),
        ({C + "image": ""}, "spec.containers[0].image: Required value"),
        ({"spec.schedulingGates": [{"name": "g"}]},
         "only deletion is allowed, but found new scheduling gate 'g'"),
        ({"spec.ephemeralContainers": [{"name": "e", "image": "i"}]},
         "spec: Forbidden: pod updates may not change"),
        ({"metadata.labels": {"n": "ew"}}, ""),
        ({"metadata.uid": "other"}, 'metadata.uid: Invalid value: "other": field is immutable'),
    ],
)  # fmt: skip
def test_pod_updates(changes: dict[str, Any], error: str) -> None:
    errors = update_errors("pods", changed(POD, changes), POD)
    assert any(error in found for found in errors) if error else not errors, errors


def test_tolerations_and_deadlines_only_tighten_what_is_there() -> None:
    old = changed(
        POD, {"spec.activeDeadlineSeconds": 10, "spec.tolerations": [{"key": "a", "operator": "Exists"}]}
    )
    gone = changed(old, {"spec.tolerations": []})
    assert update_errors("pods", gone, old) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]
    longer = changed(old, {"spec.activeDeadlineSeconds": 11})
    assert update_errors("pods", longer, old) == [
        "spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value"
    ]
    unset = changed(old, {"spec.activeDeadlineSeconds": REMOVED})
    assert "must not update from a positive integer to nil value" in update_errors("pods", unset, old)[0]


def test_a_finished_container_of_a_pod_that_never_restarts_stays_finished() -> None:
    resource = resources.get("pods")
    old = changed(POD, {"spec.restartPolicy": "Never"})
    old["status"] = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]}
    new = changed(old, {"status.containerStatuses.0.state": {"running": {}}})
    errors = [str(e) for e in validation.status_update(resource, new, old)]
    assert errors == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]
    assert validation.status_update(resource, old, old) == []


def test_ephemeral_containers_are_only_added() -> None:
    _, old = defaulted("pods", POD)
    new = changed(old, {"spec.ephemeralContainers": [{"name": "e", "image": "i"}]})
    defaults.apply(resources.get("pods"), new)
    errs: list[Any] = []
    validation.ephemeral_containers_update(errs, new, old)
    assert errs == []
    validation.ephemeral_containers_update(errs, old, new)
    assert [str(e) for e in errs] == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed\n'
    ]


def sized(requests: dict[str, str], limits: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    resources_ = {"requests": requests, **({"limits": limits} if limits else {})}
    return defaulted("pods", changed(POD, {C + "resources": resources_, **more}))[1]


def resize_errors(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    errs: list[Any] = []
    validation.resize_update(errs, new, old)
    return [str(e) for e in errs]


def test_resizes_change_cpu_and_memory_only() -> None:
    old = sized({"cpu": "1"})
    new = sized({"cpu": "2", "memory": "1Gi"})
    assert resize_errors(new, old) == []
    assert resize_errors(changed(new, {C + "image": "j"}), old) == [
        "spec: Forbidden: only cpu and memory resources are mutable"
    ]
    disk = sized({"cpu": "1", "ephemeral-storage": "1Gi"})
    assert "spec: Forbidden: only cpu and memory resources are mutable" in resize_errors(disk, old)
    assert resize_errors(sized({"memory": "1Gi"}), old) == [
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"
    ]


def test_resizes_keep_the_quality_of_service() -> None:
    plain = defaulted("pods", POD)[1]
    assert resize_errors(sized({"cpu": "2"}), plain) == [
        'spec: Invalid value: "": Pod QOS Class may not change as a result of resizing'
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"metadata.annotations": {"kubernetes.io/config.mirror": "x"}, "spec.nodeName": "n"},
         ": Forbidden: static pods cannot be resized"),
        ({"spec.os": {"name": "windows"}}, ": Forbidden: windows pods cannot be resized"),
        ({"spec.resources": {"requests": {"cpu": "2"}}},
         ": Forbidden: pods with pod-level resources cannot be resized"),
        ({"status.containerStatuses": [{"name": "c", "state": {"running": {}}}]},
         "spec: Forbidden: Pod running on node without support for resize"),
    ],
)  # fmt: skip
def test_pods_that_cannot_be_resized(changes: dict[str, Any], error: str) -> None:
    old = sized({"cpu": "1"}, **changes)
    new = changed(old, {C + "resources.requests.cpu": "2"})
    assert resize_errors(new, old) == [error]


def test_of_init_containers_only_sidecars_are_resized() -> None:
    resources_ = {"requests": {"cpu": "1"}}
    init = {"name": "i", "image": "i", "resources": resources_}
    for policy, errors in (
        ("Always", []),
        (None, ["spec: Forbidden: resources for non-sidecar init containers are immutable"]),
    ):
        item = {**init, **({"restartPolicy": policy} if policy else {})}
        old = sized({"cpu": "1"}, **{"spec.initContainers": [item]})
        new = changed(old, {"spec.initContainers.0.resources.requests.cpu": "2"})
        assert resize_errors(new, old) == errors
