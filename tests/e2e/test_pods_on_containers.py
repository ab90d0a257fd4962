"""Pods as real containers: what runs, what comes back, what is said when it cannot run."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from busyboximage import NAME as IMAGE
from localcluster import LocalCluster, is_ready, restarts, until, waiting_reason

pytestmark = pytest.mark.e2e


def pod(name: str, namespace: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": list(containers), **spec},
    }


def shell(script: str, name: str = "c", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", script], **more}


SLEEP = "trap exit TERM; while true; do sleep 0.2; done"


def deployment(name: str, namespace: str, replicas: int, container: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def ready(cluster: LocalCluster, namespace: str, name: str) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        current = cluster.pod(name, namespace)
        return current if is_ready(current) else {}

    return until(found, 60, f"{name} to be Ready: {cluster.pod(name, namespace).get('status')}")


def container_id(current: dict[str, Any]) -> str:
    return str(current["status"]["containerStatuses"][0]["containerID"]).removeprefix("docker://")


def test_a_pod_runs_and_says_so(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(pod("p", namespace, shell("echo hello; " + SLEEP)))
    current = ready(cluster, namespace, "p")
    status = current["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.")
    assert status["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert {c["type"] for c in status["conditions"]} >= {
        "PodScheduled",
        "Initialized",
        "ContainersReady",
        "Ready",
        "PodReadyToStartContainers",
    }
    assert cluster.pybctl("logs", "p", "-n", namespace).stdout == "hello\n"
    reasons = {e.reason for e in cluster.core.list_namespaced_event(namespace).items}
    assert reasons >= {"Scheduled", "Pulled", "Created", "Started"}


def test_a_killed_container_comes_back(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(pod("p", namespace, shell(SLEEP)))
    first = ready(cluster, namespace, "p")
    subprocess.run(["docker", "kill", container_id(first)], check=True, capture_output=True)
    until(lambda: restarts(cluster.pod("p", namespace)) == 1 and is_ready(cluster.pod("p", namespace)), 30)
    state = cluster.pod("p", namespace)["status"]["containerStatuses"][0]
    assert state["lastState"]["terminated"]["exitCode"] == 137


def test_a_container_that_keeps_failing_backs_off(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(pod("p", namespace, shell("exit 3")))
    until(lambda: waiting_reason(cluster.pod("p", namespace)) == "CrashLoopBackOff", 60)
    status = cluster.pod("p", namespace)["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert "back-off" in status["state"]["waiting"]["message"]


def test_a_failing_liveness_probe_restarts(cluster: LocalCluster, namespace: str) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.apply(
        pod("p", namespace, shell("touch /tmp/alive; sleep 3; rm /tmp/alive; " + SLEEP, livenessProbe=probe))
    )
    until(lambda: restarts(cluster.pod("p", namespace)) >= 1, 60, "a restart by the probe")
    assert any("Liveness probe failed" in text for text in cluster.events(namespace, "Unhealthy"))


def test_readiness_follows_its_probe(cluster: LocalCluster, namespace: str) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    cluster.apply(pod("p", namespace, shell(SLEEP, readinessProbe=probe)))
    until(lambda: cluster.pod("p", namespace).get("status", {}).get("phase") == "Running", 60)
    assert not is_ready(cluster.pod("p", namespace))
    cluster.pybctl("exec", "p", "-n", namespace, "--", "touch", "/tmp/ready")
    ready(cluster, namespace, "p")


def test_init_containers_run_first_in_order(cluster: LocalCluster, namespace: str) -> None:
    share = [{"name": "share", "mountPath": "/share"}]
    inits = [
        shell("echo one >> /share/order", "one", volumeMounts=share),
        shell("echo two >> /share/order", "two", volumeMounts=share),
    ]
    main = shell("cat /share/order; " + SLEEP, volumeMounts=share)
    cluster.apply(
        pod("p", namespace, main, initContainers=inits, volumes=[{"name": "share", "emptyDir": {}}])
    )
    ready(cluster, namespace, "p")
    until(lambda: cluster.pybctl("logs", "p", "-n", namespace).stdout == "one\ntwo\n", 10)


def test_a_finished_pod_succeeds_and_a_failed_one_fails(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(
        pod("good", namespace, shell("exit 0"), restartPolicy="Never"),
        pod("bad", namespace, shell("exit 7"), restartPolicy="Never"),
    )
    until(lambda: cluster.pod("good", namespace).get("status", {}).get("phase") == "Succeeded", 60)
    until(lambda: cluster.pod("bad", namespace).get("status", {}).get("phase") == "Failed", 60)
    terminated = cluster.pod("bad", namespace)["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["exitCode"] == 7


def test_configuration_arrives_by_variables_and_files(cluster: LocalCluster, namespace: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cm", "namespace": namespace},
        "data": {"COLOUR": "green", "file.txt": "text"},
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": namespace},
        "stringData": {"password": "hunter2"},
    }
    env = [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    mounts = [{"name": "cm", "mountPath": "/cm"}, {"name": "info", "mountPath": "/info"}]
    script = "echo $COLOUR $PASSWORD $NAME $IP; cat /cm/file.txt; echo; cat /info/labels; echo; "
    script += "ls /var/run/secrets/kubernetes.io/serviceaccount; " + SLEEP
    volumes = [
        {"name": "cm", "configMap": {"name": "cm"}},
        {
            "name": "info",
            "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
    ]
    container = shell(script, env=env, envFrom=[{"configMapRef": {"name": "cm"}}], volumeMounts=mounts)
    cluster.apply(config, secret, pod("p", namespace, container, volumes=volumes))
    current = ready(cluster, namespace, "p")
    expected = f'green hunter2 p {current["status"]["podIP"]}\ntext\napp="p"\nca.crt\nnamespace\ntoken\n'
    until(lambda: cluster.pybctl("logs", "p", "-n", namespace).stdout == expected, 10, expected)
    config["data"] = {"COLOUR": "green", "file.txt": "changed"}
    cluster.apply(config)
    read = ("exec", "p", "-n", namespace, "--", "cat", "/cm/file.txt")
    until(lambda: cluster.pybctl(*read).stdout == "changed", 90, "the mounted ConfigMap to change")


@pytest.mark.parametrize(
    ("container", "reason", "message"),
    [
        (
            {"image": "pybernetes.invalid/none:1"},
            "ErrImageNeverPull",
            "is not present with pull policy of Never",
        ),
        ({"command": ["/no/such"]}, "RunContainerError", "/no/such"),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}]},
            "CreateContainerConfigError",
            'configmap "late" not found',
        ),
    ],
)
def test_what_cannot_run_says_why(
    cluster: LocalCluster, namespace: str, container: dict[str, Any], reason: str, message: str
) -> None:
    cluster.apply(pod("p", namespace, {**shell(SLEEP), **container}))
    expected = {reason, "CrashLoopBackOff"} if reason == "RunContainerError" else {reason}
    until(lambda: waiting_reason(cluster.pod("p", namespace)) in expected, 60, reason)
    status = cluster.pod("p", namespace)["status"]["containerStatuses"][0]
    assert message in str(status) + str(cluster.events(namespace))


def test_a_missing_image_recovers_when_it_appears(cluster: LocalCluster, namespace: str) -> None:
    name = "pybernetes-test/late:1"
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False)
    cluster.apply(pod("p", namespace, {**shell(SLEEP), "image": name, "imagePullPolicy": "IfNotPresent"}))
    until(lambda: waiting_reason(cluster.pod("p", namespace)) in ("ErrImagePull", "ImagePullBackOff"), 60)
    subprocess.run(["docker", "tag", IMAGE, name], check=True)
    try:
        ready(cluster, namespace, "p")
    finally:
        cluster.pybctl("delete", "pod", "p", "-n", namespace)
        subprocess.run(["docker", "rmi", name], capture_output=True, check=True)


def test_a_missing_configmap_recovers_when_it_appears(cluster: LocalCluster, namespace: str) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    volumes = [{"name": "v", "configMap": {"name": "late"}}]
    cluster.apply(pod("p", namespace, shell(SLEEP, volumeMounts=mounts), volumes=volumes))
    until(
        lambda: any('configmap "late" not found' in t for t in cluster.events(namespace, "FailedMount")), 60
    )
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "late", "namespace": namespace},
            "data": {},
        }
    )
    ready(cluster, namespace, "p")


def test_limits_become_cgroup_limits(cluster: LocalCluster, namespace: str) -> None:
    limits = {"cpu": "250m", "memory": "64Mi"}
    cluster.apply(pod("p", namespace, shell(SLEEP, resources={"limits": limits})))
    current = ready(cluster, namespace, "p")
    template = (
        "{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuPeriod}} {{.HostConfig.NanoCpus}}"
    )
    shown = subprocess.run(
        ["docker", "inspect", "-f", template, container_id(current)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(shown[0]) == 64 * 2**20
    assert int(shown[3]) == 250_000_000 or int(shown[1]) * 4 == int(shown[2] if int(shown[2]) else 100_000)


def test_termination_is_graceful(cluster: LocalCluster, namespace: str, tmp_path: Any) -> None:
    os.chmod(tmp_path, 0o777)
    script = "trap 'echo bye > /out/said; exit 0' TERM; touch /out/up; while true; do sleep 0.1; done"
    volumes = [{"name": "out", "hostPath": {"path": str(tmp_path)}}]
    mounts = [{"name": "out", "mountPath": "/out"}]
    body = pod("p", namespace, shell(script, volumeMounts=mounts), volumes=volumes)
    body["spec"]["terminationGracePeriodSeconds"] = 20
    cluster.apply(body)
    ready(cluster, namespace, "p")
    until((tmp_path / "up").exists, 10)
    cluster.pybctl("delete", "pod", "p", "-n", namespace)
    assert (tmp_path / "said").read_text() == "bye\n"
    assert cluster.pod("p", namespace) == {}


def test_a_deleted_pod_of_a_deployment_is_replaced(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(deployment("web", namespace, 2, shell(SLEEP)))
    cluster.pybctl("rollout", "status", "deploy/web", "-n", namespace, "--timeout", "60")
    victim = cluster.pods(namespace, "app=web")[0]["metadata"]["name"]
    cluster.pybctl("delete", "pod", victim, "-n", namespace)

    def replaced() -> bool:
        current = cluster.pods(namespace, "app=web")
        return (
            len(current) == 2
            and all(map(is_ready, current))
            and victim not in {p["metadata"]["name"] for p in current}
        )

    until(replaced, 60)


def test_a_rolling_update_and_its_undo(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(deployment("web", namespace, 3, shell("echo one; " + SLEEP)))
    cluster.pybctl("rollout", "status", "deploy/web", "-n", namespace, "--timeout", "60")
    cluster.apply(deployment("web", namespace, 3, shell("echo two; " + SLEEP)))
    cluster.pybctl("rollout", "status", "deploy/web", "-n", namespace, "--timeout", "90")
    assert "2" in cluster.pybctl("rollout", "history", "deploy/web", "-n", namespace).stdout
    logs = cluster.pybctl("logs", "-l", "app=web", "-n", namespace).stdout
    assert "two" in logs
    cluster.pybctl("rollout", "undo", "deploy/web", "-n", namespace)
    cluster.pybctl("rollout", "status", "deploy/web", "-n", namespace, "--timeout", "90")
    until(lambda: len(cluster.pods(namespace, "app=web")) == 3, 60)
    logs = cluster.pybctl("logs", "-l", "app=web", "-n", namespace).stdout
    assert "one" in logs and "two" not in logs
