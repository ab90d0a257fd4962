"""Areas common/node and node: who the processes of a pod are, and what they may do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import busyboximage
import pytest
from docker.api.client import APIClient
from kubernetes.client.exceptions import ApiException
from localcluster import LocalCluster, until
from podset import FOREVER, Pods, condition, entry, lines, running, shell

pytestmark = pytest.mark.e2e
STATUS = "grep -E 'CapEff|Seccomp:' /proc/self/status | sed 's/:[^0-9a-f]*/=/'"
PROFILE = "profiles/no-mkdir.json"
GROUPS = "pybernetes-test/groups:1"
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
    "privileged": (f"mount -t tmpfs x /tmp && ls -d /dev/loop-control && {STATUS}", {"privileged": True}, {}),
    "capabilities": (STATUS, {"capabilities": {"add": ["NET_ADMIN"], "drop": ["CHOWN"]}}, {}),
    "no-capabilities": (STATUS, {"capabilities": {"drop": ["ALL"]}}, {}),
    "all-but-one": (STATUS, {"capabilities": {"add": ["ALL"], "drop": ["KILL"]}}, {}),
    "read-only": ("touch /x; touch /dev/shm/x && echo fine", {"readOnlyRootFilesystem": True}, {}),
    "masked": ("echo 1 > /proc/sys/kernel/msgmax; cat /proc/timer_list | wc -c", {}, {}),
    "default-calls": (STATUS, {"seccompProfile": {"type": "RuntimeDefault"}}, {}),
    "any-call": (
        STATUS,
        {"seccompProfile": {"type": "Unconfined"}},
        {"seccompProfile": {"type": "RuntimeDefault"}},
    ),
    "own-calls": (
        "mkdir /tmp/x; echo $?",
        {},
        {"seccompProfile": {"type": "Localhost", "localhostProfile": PROFILE}},
    ),
}
NAMESPACES = "for n in net ipc uts pid; do echo $n=$(readlink /proc/self/ns/$n); done; cat /proc/1/comm"
HOSTS: dict[str, dict[str, Any]] = {
    "own-namespaces": {},
    "host-network": {"hostNetwork": True},
    "host-ipc": {"hostIPC": True},
    "host-pid": {"hostPID": True},
}
CANNOT: dict[str, dict[str, Any]] = {
    "no-handler": {"runtimeClassName": "no-such-runtime"},
    "own-users": {"hostUsers": False},
}


@pytest.fixture(scope="module")
def grouped() -> str:
    """An image whose user 1000 is a member of group 50000."""
    engine = APIClient(version="auto")
    if not engine.images(GROUPS):
        files = "echo 'u:x:1000:1000::/:/bin/sh' >> /etc/passwd; echo 'g:x:50000:u' > /etc/group"
        made = engine.create_container(busyboximage.NAME, ["sh", "-c", files])
        engine.start(made["Id"])
        engine.wait(made["Id"])
        engine.commit(made["Id"], *GROUPS.split(":"))
        engine.remove_container(made["Id"])
    engine.close()
    return GROUPS


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, cluster: LocalCluster, grouped: str) -> None:
    nodes = sorted((cluster.home / "nodes").iterdir())
    for node in nodes:
        profile = node / "root" / "seccomp" / PROFILE
        profile.parent.mkdir(parents=True, exist_ok=True)
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    for handler in ("runc", "no-such-runtime"):
        body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": handler}}
        cluster.apply({**body, "handler": handler})
    for name, (script, own, whole) in CONTEXTS.items():
        pods.create(name, shell(script, securityContext=own), securityContext=whole)
    for name, spec in HOSTS.items():
        pods.create(name, shell(NAMESPACES), **spec)
    for name, spec in CANNOT.items():
        pods.create(name, shell(FOREVER), **spec)
    pods.create("handled", shell(FOREVER), runtimeClassName="runc")
    for policy in ("Merge", "Strict"):
        pods.create(
            f"groups-{policy.lower()}", {**shell("id -G; " + FOREVER), "image": grouped},
            securityContext={
                "runAsUser": 1000, "runAsGroup": 1000, "supplementalGroups": [60000], "fsGroup": 70000,
                "supplementalGroupsPolicy": policy,
            },
        )  # fmt: skip
    profile = {"seccompProfile": {"type": "Localhost", "localhostProfile": "none.json"}}
    pods.create("no-profile", shell(FOREVER), securityContext=profile)
    pods.create("apparmor", shell("cat /proc/self/attr/current"),
                securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})  # fmt: skip
    pods.create("shared", shell(FOREVER), shell("until ps | grep -q 'sleep 100[1]'; do :; done", "second"),
                shell("sleep 1001", "third"), shareProcessNamespace=True)  # fmt: skip
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


def capabilities(text: str) -> int:
    return int(lines(text)["CapEff"], 16)


def test_capabilities_of_containers(pods: Pods) -> None:
    net_admin, chown, kill = 1 << 12, 1 << 0, 1 << 5
    found = capabilities(pods.output("capabilities"))
    assert found & net_admin and not found & chown and found & kill
    assert capabilities(pods.output("no-capabilities")) == 0
    found = capabilities(pods.output("all-but-one"))
    assert found & net_admin and found & chown and not found & kill
    text = pods.output("privileged")
    assert "/dev/loop-control" in text and capabilities(text) & net_admin and lines(text)["Seccomp"] == "0"


def test_files_that_a_container_may_not_change(pods: Pods) -> None:
    text = pods.output("read-only")
    assert "Read-only file system" in text and "fine" in text.splitlines()
    text = pods.output("masked")
    assert "Read-only file system" in text and "0" in text.splitlines()


def test_seccomp_profiles(pods: Pods) -> None:
    assert lines(pods.output("default-calls"))["Seccomp"] == "2"
    assert lines(pods.output("any-call"))["Seccomp"] == "0", "the container's own goes before the pod's"
    assert "Operation not permitted" in pods.output("own-calls")
    pod = pods.wait("no-profile", lambda p: (entry(p).get("state") or {}).get("waiting", {}).get("message"))
    waiting = entry(pod)["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"
    assert waiting["message"].startswith('cannot load seccomp profile "')
    assert waiting["message"].endswith("none.json: no such file or directory")
    until(lambda: any(waiting["message"] in text for text in pods.events("no-profile", "Failed")))


def test_apparmor_where_the_host_has_it(pods: Pods) -> None:
    if Path("/sys/module/apparmor/parameters/enabled").exists():
        assert "docker-default" in pods.output("apparmor")
        return
    status = pods.ended("apparmor", "Failed")["status"]
    text = "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
    assert (status["reason"], status["message"]) == ("AppArmor", text)


def test_namespaces_of_the_host(pods: Pods) -> None:
    host = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("net", "ipc", "uts", "pid")}
    seen = {name: lines(pods.output(name)) for name in HOSTS}
    shared = {name: {n for n in host if seen[name][n] == host[n]} for name in HOSTS}
    assert shared == {
        "own-namespaces": set(), "host-network": {"net", "uts"}, "host-ipc": {"ipc"}, "host-pid": {"pid"},
    }  # fmt: skip
    assert pods.log("host-pid").splitlines()[-1] == Path("/proc/1/comm").read_text().strip()
    pods.wait("shared", lambda p: "terminated" in (entry(p, "second").get("state") or {}))
    assert "/pause" in pods.exec("shared", "ps")


def refused(pods: Pods, name: str, text: str) -> None:
    until(lambda: any(text in said for said in pods.events(name, "FailedCreatePodSandBox")), what=text)


def test_what_the_engine_does_not_have_is_said(pods: Pods) -> None:
    for name, text in (
        ("no-handler", 'no runtime for "no-such-runtime" is configured'),
        ("own-users", "can't set `spec.hostUsers: false`, runtime does not support user namespaces"),
    ):
        refused(pods, name, text)
        assert pods.get(name)["status"]["phase"] == "Pending"
    assert condition(pods.ready("handled"), "Ready") == "True"


def test_groups_of_the_image_by_policy(pods: Pods) -> None:
    """KEP-3619; both pods' processes have the groups that their statuses tell."""
    for name, groups in (
        ("groups-merge", [1000, 50000, 60000, 70000]),
        ("groups-strict", [1000, 60000, 70000]),
    ):
        pod = pods.wait(name, running)
        assert entry(pod)["user"] == {"linux": {"uid": 1000, "gid": 1000, "supplementalGroups": groups}}
        status = pods.exec(name, "grep Groups: /proc/1/status")
        assert sorted(map(int, status.split()[1:])) == groups
