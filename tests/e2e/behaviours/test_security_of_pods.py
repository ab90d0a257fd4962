"""Areas common/node and node: who the processes of a pod are, and what they may do."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from podset import FOREVER, Pods, shell

pytestmark = pytest.mark.e2e
SAFE, UNSAFE = "kernel.shm_rmid_forced", "kernel.msgmax"
CONTEXTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # name: (script, the container's context, the pod's)
    "unprivileged": ("ip link add dummy0 type dummy || true", {"privileged": False}, {}),
    "nobody": ("id", {"runAsUser": 65534}, {}),
    "group-of-container": ("id", {"runAsUser": 1001, "runAsGroup": 2002}, {}),
    "group-of-pod": ("id", {}, {"runAsUser": 1001, "runAsGroup": 2002}),
    "supplemental": ("id -G", {}, {"runAsUser": 1001, "supplementalGroups": [1234, 5678], "fsGroup": 900}),
    "no-escalation": ("grep NoNewPrivs /proc/self/status", {"allowPrivilegeEscalation": False}, {}),
    "escalation": ("grep NoNewPrivs /proc/self/status", {"allowPrivilegeEscalation": True}, {}),
    "sysctl": (f"sysctl {SAFE}", {}, {"sysctls": [{"name": SAFE, "value": "1"}]}),
}


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    for name, (script, own, whole) in CONTEXTS.items():
        pods.create(name, shell(script, securityContext=own), securityContext=whole)
    pods.create(
        "as-root",
        shell(FOREVER, securityContext={"runAsNonRoot": True, "runAsUser": 0}),
        restartPolicy="Always",
    )
    pods.create(
        "unsafe", shell(FOREVER), securityContext={"sysctls": [{"name": UNSAFE, "value": "10000000000"}]}
    )


def test_security_context_privileged_false(pods: Pods) -> None:
    assert "Operation not permitted" in pods.output("unprivileged")


def test_security_context_runasuser_65534(pods: Pods) -> None:
    assert pods.output("nobody").startswith("uid=65534(nobody)")


def test_security_context_test_runasgroup_at_container_level(pods: Pods) -> None:
    assert "uid=1001 gid=2002" in pods.output("group-of-container")


def test_security_context_test_runasgroup_at_pod_level(pods: Pods) -> None:
    assert "uid=1001 gid=2002" in pods.output("group-of-pod")


def test_security_context_supplemental_groups(pods: Pods) -> None:
    assert {"1234", "5678", "900"} <= set(pods.output("supplemental").split())


def test_security_context_allowprivilegeescalation(pods: Pods) -> None:
    assert pods.output("no-escalation").split() == ["NoNewPrivs:", "1"]
    assert pods.output("escalation").split() == ["NoNewPrivs:", "0"]


def test_security_context_runasnonroot(pods: Pods) -> None:
    def state(pod: Any) -> Any:
        statuses = pod["status"].get("containerStatuses") or [{}]
        return (statuses[0].get("state") or {}).get("waiting") or {}

    pod = pods.wait("as-root", lambda p: state(p).get("reason") == "CreateContainerConfigError")
    assert "runAsUser breaks non-root policy" in state(pod)["message"]


def test_sysctl_test_sysctls(pods: Pods) -> None:
    assert pods.output("sysctl") == f"{SAFE} = 1\n"


def test_sysctls_reject_invalid_sysctls(pods: Pods) -> None:
    wrong = [
        {"name": "foo-", "value": "bar"},
        {"name": SAFE, "value": "100"},
        {"name": "bar..", "value": "42"},
    ]
    with pytest.raises(ApiException) as caught:
        pods.create("invalid", shell(FOREVER), securityContext={"sysctls": wrong})
    assert caught.value.status == 422
    for name, said in (("foo-", True), (SAFE, False), ("bar..", True)):
        assert (f'Invalid value: \\"{name}\\"' in caught.value.body) is said


def test_sysctls_unsafe_ones_are_not_set(pods: Pods) -> None:
    pod = pods.ended("unsafe", "Failed")
    assert pod["status"]["reason"] == "SysctlForbidden"
    assert not pod["status"].get("containerStatuses") or "running" not in str(
        pod["status"]["containerStatuses"]
    )
