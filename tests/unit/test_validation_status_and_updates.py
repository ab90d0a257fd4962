"""What a status may not say, and what an update may not change."""

from __future__ import annotations

from typing import Any

import pytest
from validated import META, POD, REMOVED, WORKLOAD, Object, changed, defaulted, update_errors

from apimachinery import validation

C = "spec.containers.0."
BINDING = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}}
CLAIM: Object = {
    "metadata": META,
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
}
SERVICE: Object = {
    "metadata": META,
    "spec": {
        "clusterIP": "10.0.0.5",
        "clusterIPs": ["10.0.0.5"],
        "ipFamilies": ["IPv4"],
        "ports": [{"port": 80}],
    },
}
JOB: Object = {
    "metadata": META,
    "spec": {
        "manualSelector": True,
        "selector": {"matchLabels": {"a": "b"}},
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
        },
    },
}


def status_errors(plural: str, obj: Object, changes: Object, group: str = "") -> list[str]:
    resource, old = defaulted(plural, obj, group)
    return [str(error) for error in validation.status_update(resource, changed(old, changes), old)]


ENDED = {"name": "c", "state": {"terminated": {"exitCode": 0}}}
RUNNING = {"name": "c", "state": {"running": {}}}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": {"qosClass": "Guaranteed"}}, 'status.qosClass: Invalid value: "Guaranteed": field is immutable'),
        ({"status": {"conditions": [{"type": "a b", "status": "True"}]}},
         'metadata.conditions[0].Type: Invalid value: "a b": name part must consist'),
        ({"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}},
         "status.podIPs: Invalid value: [{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.2\"}]: may specify no more"),
        ({"status": {"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]}},
         'status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`'),
        ({"status": {"resourceClaimStatuses": [{"name": "x"}]}},
         'status.resourceClaimStatuses[0].name: Invalid value: "x": must match the name of an entry in `spec.res'),
        ({"status": {"containerStatuses": [{**RUNNING, "user": {"linux": {"uid": -1, "gid": 0}}}]}},
         "status.containerStatuses[0].linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive"),
        ({"status": {"containerStatuses": [{**RUNNING, "allocatedResourcesStatus": [{"name": "d"}]}]}},
         "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"d\": must match one of t"),
        ({"metadata.annotations": {"kubernetes.io/config.mirror": "x"}},
         "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"),
    ],
)  # fmt: skip
def test_status_of_pods(changes: Object, error: str) -> None:
    errors = status_errors("pods", POD, changes)
    assert any(found.startswith(error) for found in errors), errors


def test_what_ended_for_good_comes_back_where_a_container_may_restart_all() -> None:
    ended = {"containerStatuses": [{**ENDED, "name": "c"}]}
    alive = {"containerStatuses": [{**RUNNING, "name": "c"}]}
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    never = changed(POD, {"spec.restartPolicy": "Never", "status": ended})
    assert any("non-terminated" in error for error in status_errors("pods", never, {"status": alive}))
    watcher = {"name": "watcher", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    restarting = changed(never, {"spec.containers": [*never["spec"]["containers"], watcher]})
    assert status_errors("pods", restarting, {"status": alive}) == []


def test_ephemeral_containers_do_not_come_back() -> None:
    old = changed(POD, {"status": {"ephemeralContainerStatuses": [ENDED]}})
    text = "status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    assert status_errors("pods", old, {"status.ephemeralContainerStatuses": [RUNNING]}) == [text]


@pytest.mark.parametrize(
    ("plural", "group", "obj", "changes", "error"),
    [
        ("statefulsets", "apps", WORKLOAD, {"status": {"replicas": -1}},
         "status.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ("statefulsets", "apps", WORKLOAD, {"status": {"currentReplicas": 2}},
         "status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas"),
        ("deployments", "apps", changed(WORKLOAD, {"status": {"collisionCount": 2}}), {"status.collisionCount": 1},
         "status.collisionCount: Invalid value: 1: cannot be decremented"),
        ("persistentvolumeclaims", "", CLAIM, {"status": {"allocatedResources": {"cpu": "1"}}},
         'status.allocatedResources: Unsupported value: "cpu": supported values: "storage"'),
        ("services", "", changed(SERVICE, {"spec.type": "LoadBalancer"}),
         {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}},
         "status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set"),
        ("services", "", SERVICE, {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}},
         "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"),
        ("ingresses", "networking.k8s.io", {"metadata": META, "spec": {}},
         {"status": {"loadBalancer": {"ingress": [{"hostname": "1.2.3.4"}]}}},
         'status.loadBalancer.ingress[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'),
        ("nodes", "", {"metadata": {"name": "n"}}, {"status": {"addresses": [{"type": "a", "address": "b"}] * 2}},
         'status.addresses[1]: Duplicate value: {"type":"a","address":"b"}'),
        ("nodes", "", {"metadata": {"name": "n"}}, {"status": {"capacity": {"pods": "1.5"}}},
         'status.capacity.pods: Invalid value: "1.5": must be an integer'),
    ],
)  # fmt: skip
def test_status_of_other_kinds(plural: str, group: str, obj: Object, changes: Object, error: str) -> None:
    errors = status_errors(plural, obj, changes, group)
    assert error in errors, errors


GATED = changed(POD, {"spec.schedulingGates": [{"name": "g"}], "spec.nodeSelector": {"a": "b"}})
AFFINITY = "requiredDuringSchedulingIgnoredDuringExecution"


def affine(*expressions: Object) -> Object:
    terms = [{"matchExpressions": list(expressions)}]
    return {"nodeAffinity": {AFFINITY: {"nodeSelectorTerms": terms}}}


A = {"key": "a", "operator": "Exists"}
B = {"key": "b", "operator": "Exists"}


@pytest.mark.parametrize(
    ("old", "changes", "error"),
    [
        (GATED, {"spec.nodeSelector.c": "d"}, ""),
        (GATED, {"spec.nodeSelector": {}}, "spec.nodeSelector: Invalid value: {}: only additions to spec.nodeSelector"),
        (GATED, {"spec.affinity": affine(A)}, ""),
        (changed(GATED, {"spec.affinity": affine(A)}), {"spec.affinity": affine(A, B)}, ""),
        (changed(GATED, {"spec.affinity": affine(A)}), {"spec.affinity": affine(B)},
         f"spec.affinity.nodeAffinity.{AFFINITY}.nodeSelectorTerms[0]: Invalid value: "),
        (changed(GATED, {"spec.affinity": affine(A)}), {"spec.affinity": REMOVED},
         f"spec.affinity.nodeAffinity.{AFFINITY}.nodeSelectorTerms: Invalid value: []: no additions/deletions to"),
        (GATED, {"spec.affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "z"}]}}}, "spec: Forbidden: pod updates may not change fields other than"),
        (GATED, {"spec.schedulingGates": [{"name": "h"}]},
         "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'"),
        (POD, {"spec.nodeSelector": {"a": "b"}}, "spec: Forbidden: pod updates may not change fields other than"),
        (POD, {C + "image": " j"},
         'spec.containers[0].image: Invalid value: " j": must not have leading or trailing whitespace'),
        (POD, {"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
         "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may not add AppArmor"),
        (POD, {"metadata.annotations": {"controller.kubernetes.io/pod-deletion-cost": "x"}},
         'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit i'),
        (changed(POD, {"spec.activeDeadlineSeconds": 5}), {"spec.activeDeadlineSeconds": 6},
         "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"),
    ],
)  # fmt: skip
def test_updates_of_pods(old: Object, changes: Object, error: str) -> None:
    errors = update_errors("pods", changed(old, changes), old)
    assert any(found.startswith(error) for found in errors) if error else errors == [], errors


@pytest.mark.parametrize(
    ("plural", "group", "old", "changes", "error"),
    [
        ("services", "", SERVICE, {"spec.clusterIP": "10.0.0.6", "spec.clusterIPs": ["10.0.0.6"]},
         'spec.clusterIPs[0]: Invalid value: ["10.0.0.6"]: may not change once set'),
        ("services", "", SERVICE, {"spec.clusterIP": REMOVED, "spec.clusterIPs": REMOVED},
         "spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"),
        ("services", "", changed(SERVICE, {"spec.clusterIPs": ["10.0.0.5", "fd00::5"],
                                           "spec.ipFamilies": ["IPv4", "IPv6"],
                                           "spec.ipFamilyPolicy": "PreferDualStack"}),
         {"spec.clusterIPs": ["10.0.0.5"], "spec.ipFamilies": ["IPv4"]},
         'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to \'SingleStack\' when releasing'),
        ("jobs", "batch", JOB, {"spec.completions": 3, "spec.parallelism": 3}, ""),
        ("jobs", "batch", JOB, {"spec.completions": 3},
         "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"),
        ("persistentvolumeclaims", "", CLAIM, {"spec.resources.requests.storage": "3Gi"},
         "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassN"),
        ("persistentvolumeclaims", "", changed(CLAIM, {"status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}}),
         {"spec.resources.requests.storage": "3Gi"}, ""),
        ("persistentvolumeclaims", "", changed(CLAIM, {"status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}}),
         {"spec.resources.requests.storage": "1Gi"},
         "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"),
        ("persistentvolumeclaims", "", CLAIM, {"spec.storageClassName": "s"}, ""),
        ("persistentvolumeclaims", "", changed(CLAIM, {"spec.storageClassName": "s"}), {"spec.storageClassName": "t"},
         "spec: Forbidden: spec is immutable after creation"),
        ("nodes", "", {"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.0.0.0/24"]}},
         {"spec.podCIDRs": ["10.0.1.0/24"]}, "spec.podCIDRs: Forbidden: node updates may not change podCIDR"),
        ("csinodes", "storage.k8s.io",
         {"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": None}]}},
         {"spec.drivers.0.nodeID": "m"}, 'CSINodeDriver: Invalid value: {"name":"d","nodeID":"m"'),
        ("rolebindings", "rbac.authorization.k8s.io", {"metadata": META, **BINDING}, {"roleRef.name": "s"},
         "roleRef: Invalid value: "),
    ],
)  # fmt: skip
def test_updates_of_other_kinds(plural: str, group: str, old: Object, changes: Object, error: str) -> None:
    errors = update_errors(plural, changed(old, changes), old, group)
    assert any(found.startswith(error) for found in errors) if error else errors == [], errors


def test_what_pods_are_is_checked_whatever_their_update_changes(monkeypatch: Any) -> None:
    """An update that leaves the spec as it is looks at nothing else of it."""
    _, old = defaulted("pods", changed(POD, {C + "image": ""}))
    new = changed(old, {"metadata.labels": {"a": "b"}})
    assert update_errors("pods", new, old) == []
