"""What a pod wants of its node's kernel and engine: taken, or refused in Kubernetes's words."""

from __future__ import annotations

from typing import Any

import pytest

from kubeletd import hostneeds, nodestatus
from kubeletd.runtime import dockerinfo, dockerspec
from kubeletd.runtime.specs import ContainerSpec, Identity, SandboxSpec

WHO = Identity("n", "p", "u", "", "sandbox")
INFO = {
    "OSType": "linux",
    "Architecture": "x86_64",
    "NCPU": 2,
    "MemTotal": 1 << 30,
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
    "Runtimes": {"runc": {"path": "runc"}, "io.containerd.runc.v2": {}, "runsc": {"path": "/usr/bin/runsc"}},
    "KernelVersion": "6.8.0",
}


def refused(spec: dict[str, Any], *, apparmor: bool = True, sysctls: tuple[str, ...] = ()) -> Any:
    return hostneeds.refusal({"spec": {"containers": [], **spec}}, apparmor=apparmor, sysctls=sysctls)


def asking(name: str, **spec: Any) -> dict[str, Any]:
    return {"securityContext": {"sysctls": [{"name": name, "value": "1"}]}, **spec}


@pytest.mark.parametrize(
    ("spec", "allowed", "why"),
    [
        (asking("kernel.shm_rmid_forced"), (), ""),
        (asking("net/ipv4/tcp_rmem"), (), ""),
        (asking("kernel.msgmax"), (), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (asking("kernel.msgmax"), ("kernel.msgmax",), ""),
        (asking("kernel.msgmax"), ("kernel/msg*",), ""),
        (asking("kernel.shmall"), ("kernel.msg*",), 'forbidden sysctl: "kernel.shmall" not allowlisted'),
        (
            asking("net.ipv4.tcp_syncookies", hostNetwork=True),
            (),
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            asking("kernel.shm_rmid_forced", hostIPC=True),
            (),
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
    ],
)
def test_only_sysctls_that_cannot_harm_the_node_are_set(
    spec: dict[str, Any], allowed: tuple[str, ...], why: str
) -> None:
    expected = ("SysctlForbidden", f"Pod was rejected: {why}") if why else None
    assert refused(spec, sysctls=allowed) == expected


def test_profiles_need_a_kernel_that_enforces_them() -> None:
    def profile(kind: str) -> dict[str, Any]:
        return {"securityContext": {"appArmorProfile": {"type": kind}}}

    for spec in (
        profile("RuntimeDefault"),
        profile("Localhost"),
        {"containers": [profile("RuntimeDefault")]},
        {"initContainers": [profile("Localhost")]},
    ):
        assert refused(spec) is None
        words = "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
        assert refused(spec, apparmor=False) == ("AppArmor", words)
    assert refused(profile("Unconfined"), apparmor=False) is None
    assert refused({}, apparmor=False) is None


def test_what_an_engine_can_do_is_told_of_the_node() -> None:
    found = dockerinfo.engine_info({"Version": "28.1"}, INFO, "1.47")
    assert found.apparmor and found.handlers == ("io.containerd.runc.v2", "runc", "runsc")
    status = nodestatus.node_status(nodestatus.NodeSettings("n"), nodestatus.NodeFindings(found), {}, 0.0)
    assert [h["name"] for h in status["runtimeHandlers"]] == ["", "io.containerd.runc.v2", "runc", "runsc"]
    assert all(h["features"]["userNamespaces"] is False for h in status["runtimeHandlers"])
    assert status["features"] == {"supplementalGroupsPolicy": True}
    (ready,) = (c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["message"] == "kubelet is posting ready status. AppArmor enabled"
    without = dockerinfo.engine_info({"Version": "20.10"}, {"SecurityOptions": ["name=seccomp"]}, "1.41")
    assert not without.apparmor and without.handlers == () and without.cgroup_version == 1


def test_a_sandbox_that_the_engine_cannot_make() -> None:
    assert dockerinfo.sandbox_refusal(SandboxSpec(WHO), ()) == ""
    assert dockerinfo.sandbox_refusal(SandboxSpec(WHO, handler="runsc"), ("runc", "runsc")) == ""
    said = dockerinfo.sandbox_refusal(SandboxSpec(WHO, handler="kata"), ("runc", "runsc"))
    assert said == 'failed to get sandbox runtime: no runtime for "kata" is configured'
    said = dockerinfo.sandbox_refusal(SandboxSpec(WHO, host_users=False), ())
    assert said == "can't set `spec.hostUsers: false`, runtime does not support user namespaces"


def test_a_handler_is_the_sandboxs_and_its_containers_runtime() -> None:
    box = dockerspec.sandbox(SandboxSpec(WHO, handler="runsc"), "pause", "net", "c", "n")
    assert box["HostConfig"]["Runtime"] == "runsc"
    made = dockerspec.container(ContainerSpec(WHO, "i", "s", handler="runsc"), "c", "n")
    assert made["HostConfig"]["Runtime"] == "runsc"
    assert "Runtime" not in dockerspec.container(ContainerSpec(WHO, "i", "s"), "c", "n")["HostConfig"]
