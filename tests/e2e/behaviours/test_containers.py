"""Area common/node: how containers begin and end, and what they say."""

from __future__ import annotations

import pytest
from localcluster import until
from podset import Pods, condition, entry, restarts, running, shell

pytestmark = pytest.mark.e2e
# Fails in its first run, succeeds in its second, goes on in its third.
THREE_RUNS = (
    "echo run >> /runs/n; runs=$(wc -l < /runs/n); [ $runs = 1 ] && exit 1; [ $runs = 2 ] && exit 0; "
    "while :; do sleep 1; done"
)


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, entry_image: str) -> None:
    for policy in ("Always", "OnFailure", "Never"):
        pods.create(
            policy.lower(),
            shell(THREE_RUNS, volumeMounts=[{"name": "runs", "mountPath": "/runs"}]),
            volumes=[{"name": "runs", "emptyDir": {}}],
            restartPolicy=policy,
        )
    image = {"name": "main", "image": entry_image}
    pods.create("defaults", image)
    pods.create("arguments", {**image, "args": ["override", "arguments"]})
    pods.create("command", {**image, "command": ["/bin/echo", "override"]})
    pods.create("both", {**image, "command": ["/bin/echo", "override"], "args": ["all", "of it"]})
    pods.create("says", shell("echo out; echo err >&2"))
    pods.create("false", shell("exit 3"))
    pods.create("false-again", shell("false"), restartPolicy="Always")
    pods.create(
        "read-only", shell("echo test > /file; sleep 600", securityContext={"readOnlyRootFilesystem": True})
    )


def test_container_runtime_restart_policy_pod_phases(pods: Pods) -> None:
    never = pods.ended("never", "Failed")
    assert restarts(never) == 0 and "terminated" in entry(never)["state"]
    assert condition(never, "Ready") == "False"
    failing = pods.ended("onfailure", "Succeeded")
    assert restarts(failing) == 1 and "terminated" in entry(failing)["state"]
    always = pods.wait("always", lambda p: restarts(p) == 2 and running(p))
    assert always["status"]["phase"] == "Running" and entry(always)["ready"]
    assert condition(always, "Ready") == "True"


def test_containers_without_command_and_arguments(pods: Pods) -> None:
    assert pods.output("defaults") == "entry default arguments\n"


def test_containers_with_arguments(pods: Pods) -> None:
    assert pods.output("arguments") == "entry override arguments\n"


def test_containers_with_command(pods: Pods) -> None:
    assert pods.output("command") == "override\n"


def test_containers_with_command_and_arguments(pods: Pods) -> None:
    assert pods.output("both") == "override all of it\n"


def test_kubelet_log_output_default(pods: Pods) -> None:
    assert sorted(pods.output("says").splitlines()) == ["err", "out"]


def test_kubelet_failed_pod_terminated_reason(pods: Pods) -> None:
    pod = pods.ended("false", "Failed")
    assert len(pod["status"]["containerStatuses"]) == 1
    ended = entry(pod)["state"]["terminated"]
    assert ended["reason"] == "Error" and ended["exitCode"] == 3


def test_kubelet_failed_pod_delete(pods: Pods) -> None:
    pods.wait("false-again", lambda p: entry(p) and (restarts(p) or "terminated" in entry(p)["state"]))
    pods.delete("false-again")
    pods.gone("false-again")


def test_kubelet_pod_with_read_only_root_file_system(pods: Pods) -> None:
    pods.wait("read-only", running)
    until(lambda: "can't create /file: Read-only file system" in pods.log("read-only"), 30, "its complaint")
    assert "main" in pods.exec("read-only", "test -e /file || echo main")
