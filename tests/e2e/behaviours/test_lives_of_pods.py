"""Areas common/node and node: hooks, deadlines, deletion, init and ephemeral containers, streams of running pods."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from kubernetes import watch
from localcluster import until
from podset import FOREVER, SERVE, Pods, condition, entry, restarts, running, shell

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    pods.create("server", shell(SERVE), restartPolicy="Always")
    pods.create("labelled", shell(FOREVER), labels={"name": "foo", "time": "before"}, restartPolicy="Always")
    pods.create("deadline", shell(FOREVER), labels={"name": "deadline"}, restartPolicy="Always")
    pods.create("status", shell(FOREVER))
    pods.create("commands", shell(f"echo container is alive; {FOREVER}"), restartPolicy="Always")
    pods.create(
        "inits",
        shell("echo main"),
        initContainers=[shell("true", "init1"), shell("true", "init2")],
    )
    pods.create("debugged", shell(FOREVER), restartPolicy="Always")
    amounts = {"cpu": "100m", "memory": "100Mi"}
    pods.create("guaranteed", shell(FOREVER, resources={"requests": amounts, "limits": amounts}))
    address = pods.ready("server")["status"]["podIP"]
    url = f"http://{address}:8080/cgi-bin/hit"
    hooks: dict[str, Any] = {
        "post-start-exec": {"postStart": {"exec": {"command": ["wget", "-qO-", f"{url}?post-start-exec"]}}},
        "pre-stop-exec": {"preStop": {"exec": {"command": ["wget", "-qO-", f"{url}?pre-stop-exec"]}}},
        "pre-stop-http": {
            "preStop": {"httpGet": {"host": address, "port": 8080, "path": "/cgi-bin/hit?pre-stop-http"}}
        },
        "tester": {
            "preStop": {"exec": {"command": ["wget", "-qO-", "--post-data={}", f"{url}?write-by-tester"]}}
        },
    }
    for name, hook in hooks.items():
        pods.create(
            name, shell(FOREVER, lifecycle=hook), restartPolicy="Always", terminationGracePeriodSeconds=30
        )


def noted(pods: Pods, what: str) -> bool:
    """Whether the server has been asked with it."""
    return what in pods.exec("server", "cat /tmp/hits").split()


def stopped_with_notice(pods: Pods, name: str, what: str) -> None:
    pods.ready(name)
    assert not noted(pods, what)
    pods.delete(name)
    pods.gone(name)
    assert noted(pods, what)


def test_pod_lifecycle_post_start_exec_hook(pods: Pods) -> None:
    pods.ready("post-start-exec")
    assert noted(pods, "post-start-exec")
    pods.delete("post-start-exec")


def test_pod_lifecycle_prestop_exec_hook(pods: Pods) -> None:
    stopped_with_notice(pods, "pre-stop-exec", "pre-stop-exec")


def test_pod_lifecycle_prestop_http_hook(pods: Pods) -> None:
    stopped_with_notice(pods, "pre-stop-http", "pre-stop-http")


def test_pods_prestop_hook(pods: Pods) -> None:
    stopped_with_notice(pods, "tester", "write-by-tester")


def test_pods_activedeadlineseconds(pods: Pods) -> None:
    pods.wait("deadline", running)
    listed = pods.core.list_namespaced_pod(pods.namespace, label_selector="name=deadline").items
    assert [pod.metadata.name for pod in listed] == ["deadline"]
    assert (
        pods.patch("deadline", {"spec": {"activeDeadlineSeconds": 2}})["spec"]["activeDeadlineSeconds"] == 2
    )
    pod = pods.ended("deadline", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "terminated" in entry(pod)["state"]


def test_pods_update(pods: Pods) -> None:
    pods.ready("labelled")

    def found(selector: str) -> list[str]:
        listed = pods.core.list_namespaced_pod(pods.namespace, label_selector=selector).items
        return [pod.metadata.name for pod in listed]

    assert found("name=foo,time=before") == ["labelled"]
    pods.patch("labelled", {"metadata": {"labels": {"time": "after"}}})
    assert found("time=before") == [] and found("time=after") == ["labelled"]


def test_pods_lifecycle(pods: Pods) -> None:
    selector = "name=short"
    before = pods.core.list_namespaced_pod(pods.namespace, label_selector=selector)
    assert before.items == []
    pods.create("short", shell(FOREVER), labels={"name": "short"}, restartPolicy="Always")
    listed = pods.core.list_namespaced_pod(pods.namespace, label_selector=selector).items
    assert [pod.metadata.name for pod in listed] == ["short"]
    pods.wait("short", running)
    pods.delete("short", 30)
    seen = []
    for event in watch.Watch().stream(
        pods.core.list_namespaced_pod, pods.namespace, label_selector=selector, timeout_seconds=60,
        resource_version=before.metadata.resource_version,
    ):  # fmt: skip
        seen.append((event["type"], event["raw_object"]))
        if event["type"] == "DELETED":
            break
    assert seen[0][0] == "ADDED" and seen[-1][0] == "DELETED"
    assert any(pod["status"].get("phase") == "Running" for _, pod in seen)
    last = seen[-1][1]
    assert last["metadata"]["deletionTimestamp"] and last["spec"]["terminationGracePeriodSeconds"]
    assert pods.core.list_namespaced_pod(pods.namespace, label_selector=selector).items == []


def test_pods_patching_status_of_a_running_pod(pods: Pods) -> None:
    pods.wait("status", running)
    added = {
        "type": "TestPatch",
        "status": "True",
        "reason": "ByTheTest",
        "message": "Patched by an e2e test",
    }
    pods.core.patch_namespaced_pod_status("status", pods.namespace, {"status": {"conditions": [added]}})
    pod = pods.get("status")
    found = next(c for c in pod["status"]["conditions"] if c["type"] == "TestPatch")
    assert {key: found[key] for key in added} == added
    # The node's own reports leave it there.
    pods.delete("status", 30)
    assert condition(pod, "Ready") == "True"


def test_pods_logs_from_websockets(pods: Pods) -> None:
    pods.wait("commands", running)
    until(lambda: pods.log("commands"), 30, "the container's output")
    socket = pods.dial("commands/log?container=main", "binary.k8s.io")
    text = b""
    while piece := socket.recv():
        text += piece
    assert text == b"container is alive\n"
    socket.close()


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
def test_pods_remote_command_execution_over_websocket(pods: Pods, protocol: str) -> None:
    pods.wait("commands", running)
    query = "stdout=1&stderr=1&container=main&command=echo&command=remote+execution+test"
    socket = pods.dial(f"commands/exec?{query}", protocol)
    said = {1: b"", 2: b"", 3: b""}
    while piece := socket.recv():
        if piece[0] in said:
            said[piece[0]] += piece[1:]
    assert said[1] == b"remote execution test\n" and said[2] == b""
    assert b'"Success"' in said[3]
    socket.close()


def test_init_container_starts_app_restartnever_pod(pods: Pods) -> None:
    pod = pods.ended("inits")
    assert condition(pod, "Initialized") == "True"
    inits = pod["status"]["initContainerStatuses"]
    assert [init["name"] for init in inits] == ["init1", "init2"]
    for status in (*inits, entry(pod)):
        assert status["state"]["terminated"]["exitCode"] == 0 and status["restartCount"] == 0
    assert all(init["ready"] for init in inits)
    ends = [s["state"]["terminated"] for s in (*inits, entry(pod))]
    assert all(first["finishedAt"] <= then["startedAt"] for first, then in pairwise(ends))


def test_ephemeral_container_creation(pods: Pods) -> None:
    pods.wait("debugged", running)
    added = shell(f"echo polo; {FOREVER}", "debugger", stdin=True, tty=True)
    body = {"spec": {"ephemeralContainers": [added]}}
    pods.core.patch_namespaced_pod_ephemeralcontainers("debugged", pods.namespace, body)
    pod = pods.wait("debugged", lambda p: running(p, "debugger"))
    assert len(pod["spec"]["ephemeralContainers"]) == 1 and restarts(pod) == 0
    until(lambda: "polo" in pods.log("debugged", "debugger"), 30, "its word")
    more = shell(FOREVER, "debugger-2")
    body = {"spec": {"ephemeralContainers": [more]}}
    pods.core.patch_namespaced_pod_ephemeralcontainers("debugged", pods.namespace, body)
    pod = pods.wait("debugged", lambda p: running(p, "debugger-2"))
    assert len(pod["spec"]["ephemeralContainers"]) == 2 and running(pod, "debugger")


def test_pods_qos(pods: Pods) -> None:
    assert pods.wait("guaranteed", running)["status"]["qosClass"] == "Guaranteed"
