"""What pods do on a real engine under a real API server: start, end, break, recover."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import busyboximage
import pytest
from nodecluster import SLEEP, Eyes, NodeCluster, condition, container_status, ready, running, shell, waiting

from apimachinery import resources

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeCluster]:
    cluster = NodeCluster(tmp_path_factory.mktemp("cluster"), "life-test")
    cluster.start()
    cluster.add_node("n1", "--cluster-dns=10.96.0.10")
    yield cluster
    cluster.stop()


@pytest.fixture
async def eyes(cluster: NodeCluster) -> AsyncIterator[Eyes]:
    async with Eyes(cluster) as eyes:
        await eyes.node("n1", lambda node: condition(node, "Ready") == "True")
        yield eyes
        names = [name for _, name in eyes._informers["pods"].store]
        await asyncio.gather(
            *(eyes.delete(name, 0) for name in names if eyes.get(name)), return_exceptions=True
        )
        for name in names:
            await eyes.gone(name)


async def test_a_pod_runs_and_its_deletion_leaves_nothing(eyes: Eyes, cluster: NodeCluster) -> None:
    script = f"echo hello; cat /etc/hosts /etc/resolv.conf; hostname; {SLEEP}"
    await eyes.create("whole", shell(script))
    pod = await eyes.pod("whole", ready)
    status = pod["status"]
    assert status["phase"] == "Running" and status["qosClass"] == "BestEffort"
    assert status["podIP"].startswith("10.197.") and status["hostIP"].startswith("10.197.")
    entry = container_status(pod)
    assert entry["containerID"].startswith("docker://") and entry["imageID"].startswith("sha256:")
    assert entry["restartCount"] == 0 and entry["started"] is True
    for kind in ("PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled"):
        assert condition(pod, kind) == "True"
    for reason in ("Pulled", "Created", "Started"):
        await eyes.event("whole", reason)
    log = ""
    for piece in cluster.engine.logs(
        entry["containerID"].removeprefix("docker://"), stream=True, follow=True
    ):
        log += piece.decode()
        if "options ndots:5" in log and log.endswith("whole\n"):
            break
    assert f"{status['podIP']}\twhole\n" in log and "# Kubernetes-managed hosts file." in log
    assert "nameserver 10.96.0.10\n" in log and "search default.svc.cluster.local" in log
    await eyes.delete("whole")
    await eyes.gone("whole")
    assert cluster.containers("whole") == []
    assert not (cluster.directory / "root" / "n1" / "pods" / pod["metadata"]["uid"]).exists()
    await eyes.event("whole", "Killing", "Stopping container main")


async def test_a_crashing_container_is_restarted_at_once_and_then_held_back(eyes: Eyes) -> None:
    await eyes.create("crash", shell("exit 3"))
    pod = await eyes.pod("crash", lambda p: waiting(p).get("reason") == "CrashLoopBackOff")
    entry = container_status(pod)
    assert entry["restartCount"] == 1
    uid = pod["metadata"]["uid"]
    wanted = f"back-off 10s restarting failed container=main pod=crash_default({uid})"
    assert waiting(pod)["message"] == wanted
    last = entry["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert pod["status"]["phase"] == "Running" and not ready(pod)
    await eyes.event("crash", "BackOff", "Back-off restarting failed container main in pod crash_default")


async def test_a_killed_container_comes_back_soon(eyes: Eyes, cluster: NodeCluster) -> None:
    await eyes.create("killed", shell(SLEEP))
    await eyes.pod("killed", ready)
    cluster.engine.kill(cluster.containers("killed", "main", running=True)[0]["Id"])
    pod = await eyes.pod("killed", lambda p: container_status(p).get("restartCount") == 1 and ready(p))
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 137


async def test_a_dead_sandbox_is_made_again(eyes: Eyes, cluster: NodeCluster) -> None:
    await eyes.create("box", shell(SLEEP), initContainers=[{"name": "first", "command": ["true"]}])
    await eyes.pod("box", ready)
    cluster.engine.kill(cluster.containers("box", "", running=True)[0]["Id"])
    await eyes.pod("box", lambda p: container_status(p).get("restartCount") == 1 and ready(p))
    await eyes.event("box", "SandboxChanged")
    assert len(cluster.containers("box", "", running=True)) == 1
    assert container_status(eyes.get("box") or {}, "first")["restartCount"] == 1


async def test_pods_that_run_to_completion(eyes: Eyes, cluster: NodeCluster) -> None:
    await eyes.create("good", shell("echo done > /dev/termination-log"), restartPolicy="Never")
    await eyes.create("bad", shell("exit 9"), restartPolicy="Never")
    await eyes.create("retried", shell("exit 0"), restartPolicy="OnFailure")
    good = await eyes.pod("good", lambda p: p["status"]["phase"] == "Succeeded")
    ended = container_status(good)["state"]["terminated"]
    assert (ended["reason"], ended["message"].strip()) == ("Completed", "done")
    assert condition(good, "Ready") == "False" and good["status"]["podIP"]
    bad = await eyes.pod("bad", lambda p: p["status"]["phase"] == "Failed")
    assert container_status(bad)["state"]["terminated"]["exitCode"] == 9
    await eyes.pod("retried", lambda p: p["status"]["phase"] == "Succeeded")
    await eyes.delete("good")
    await eyes.gone("good")
    await cluster.emptied("good")


async def test_init_containers_and_sidecars_in_order(eyes: Eyes, cluster: NodeCluster) -> None:
    volume = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    inits = [
        {"name": "one", **shell("echo one >> /shared/log"), **volume},
        {"name": "side", **shell(f"echo side >> /shared/log; {SLEEP}"), **volume, "restartPolicy": "Always"},
        {"name": "two", **shell("echo two >> /shared/log"), **volume},
    ]
    await eyes.create(
        "order",
        shell("echo main >> /shared/log; cat /shared/log", **volume),
        initContainers=inits,
        restartPolicy="Never",
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    pod = await eyes.pod("order", lambda p: p["status"]["phase"] == "Succeeded")
    log = cluster.engine.logs(container_status(pod)["containerID"].removeprefix("docker://")).decode().split()
    assert log == ["one", "side", "two", "main"]
    assert "terminated" in container_status(pod, "side")["state"]


async def test_a_failed_init_container_fails_the_pod(eyes: Eyes) -> None:
    inits = [{"name": "first", **shell("exit 2")}]
    await eyes.create("noinit", shell(SLEEP), initContainers=inits, restartPolicy="Never")
    pod = await eyes.pod("noinit", lambda p: p["status"]["phase"] == "Failed")
    assert waiting(pod)["reason"] == "PodInitializing"
    assert container_status(pod, "first")["state"]["terminated"]["exitCode"] == 2


async def test_a_missing_image_is_told_and_its_coming_noticed(eyes: Eyes, cluster: NodeCluster) -> None:
    absent = {"image": "127.0.0.1:1/pybernetes-test/late:1"}
    await eyes.create("noimage", shell(SLEEP, **absent))
    await eyes.create("never", shell(SLEEP, **absent, imagePullPolicy="Never"))
    await eyes.create("invalid", shell(SLEEP, image="UPPER:1"))
    pod = await eyes.pod("noimage", lambda p: waiting(p).get("reason") == "ImagePullBackOff")
    assert waiting(pod)["message"].startswith('Back-off pulling image "127.0.0.1:1/pybernetes-test/late:1"')
    assert pod["status"]["phase"] == "Pending"
    pod = await eyes.pod("never", lambda p: waiting(p).get("reason") == "ErrImageNeverPull")
    assert waiting(pod)["message"].endswith("is not present with pull policy of Never")
    await eyes.pod("invalid", lambda p: waiting(p).get("reason") == "InvalidImageName")
    await eyes.event("noimage", "Failed", "Error: ErrImagePull")
    cluster.engine.tag(busyboximage.NAME, "127.0.0.1:1/pybernetes-test/late", "1")
    try:
        await eyes.pod("noimage", ready, 40)
        await eyes.pod("never", ready, 40)
    finally:
        cluster.engine.remove_image(absent["image"], force=True)


async def test_a_missing_configmap_holds_a_container_until_it_is_there(eyes: Eyes) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]
    await eyes.create("noconfig", shell(SLEEP, env=env))
    pod = await eyes.pod("noconfig", lambda p: waiting(p).get("reason") == "CreateContainerConfigError")
    assert waiting(pod)["message"] == 'configmap "late" not found'
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": "default"}}
    await eyes.client.create(resources.get("configmaps"), {**config, "data": {"a": "b"}})
    await eyes.pod("noconfig", ready)
    await eyes.client.delete(resources.get("configmaps"), "late", "default")


async def test_a_command_that_does_not_exist(eyes: Eyes) -> None:
    await eyes.create("nocommand", {"command": ["/no/such"]})
    pod = await eyes.pod("nocommand", lambda p: waiting(p).get("reason") == "RunContainerError")
    assert "no such file or directory" in waiting(pod)["message"]
    pod = await eyes.pod("nocommand", lambda p: waiting(p).get("reason") == "CrashLoopBackOff")
    assert container_status(pod)["lastState"]["terminated"]["reason"] == "StartError"


async def test_a_deadline_ends_a_pod(eyes: Eyes) -> None:
    await eyes.create("late", shell(SLEEP), activeDeadlineSeconds=1)
    pod = await eyes.pod("late", lambda p: p["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"


async def test_termination_is_graceful_with_hooks(eyes: Eyes, cluster: NodeCluster, tmp_path: Path) -> None:
    volume = {"volumeMounts": [{"name": "out", "mountPath": "/out"}]}
    await eyes.create(
        "graceful",
        shell(
            "trap 'echo term >> /out/log; exit 0' TERM; while :; do sleep 0.1; done",
            lifecycle={
                "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /out/log"]}},
                "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /out/log"]}},
            },
            **volume,
        ),
        terminationGracePeriodSeconds=20,
        volumes=[{"name": "out", "hostPath": {"path": str(tmp_path)}}],
    )
    await eyes.pod("graceful", ready)
    await eyes.delete("graceful")
    await eyes.gone("graceful", 15)
    assert (tmp_path / "log").read_text().split() == ["started", "stopping", "term"]


async def test_a_second_delete_shortens_the_grace_period(eyes: Eyes) -> None:
    await eyes.create(
        "stubborn", shell("trap '' TERM; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=600
    )
    await eyes.pod("stubborn", ready)
    await eyes.delete("stubborn")
    await eyes.event("stubborn", "Killing")
    await eyes.delete("stubborn", 1)
    await eyes.gone("stubborn", 20)


async def test_probes_gate_readiness_and_restart(eyes: Eyes, cluster: NodeCluster) -> None:
    check = {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1}
    await eyes.create("probed", shell(SLEEP, readinessProbe=check))
    pod = await eyes.pod("probed", running)
    assert not ready(pod)
    await eyes.event("probed", "Unhealthy", "Readiness probe failed")
    container_id = cluster.containers("probed", "main", running=True)[0]["Id"]
    made = cluster.engine.exec_create(container_id, ["touch", "/tmp/ok"])
    cluster.engine.exec_start(made["Id"])
    await eyes.pod("probed", ready)
    await eyes.create("sick", shell(SLEEP, livenessProbe={**check, "failureThreshold": 1}))
    await eyes.pod("sick", lambda p: container_status(p).get("restartCount") == 1)
    await eyes.event("sick", "Killing", "Container main failed liveness probe, will be restarted")


async def test_what_does_not_fit_is_refused(eyes: Eyes) -> None:
    big = {"resources": {"requests": {"cpu": "900"}}}
    await eyes.create("big", shell(SLEEP, **big))
    pod = await eyes.pod("big", lambda p: p["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "OutOfcpu"
    await eyes.create("choosy", shell(SLEEP), nodeSelector={"no": "such"})
    pod = await eyes.pod("choosy", lambda p: p["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "NodeAffinity"


async def test_a_taken_host_port_is_told_and_retried(eyes: Eyes) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        await eyes.create("port", shell(SLEEP, ports=[{"containerPort": 80, "hostPort": port}]))
        await eyes.event("port", "FailedCreatePodSandBox", "Failed to create pod sandbox")
    await eyes.pod("port", ready)


async def test_host_network_pods_have_the_nodes_address(eyes: Eyes) -> None:
    await eyes.create("host", shell(SLEEP), hostNetwork=True)
    pod = await eyes.pod("host", ready)
    assert pod["status"]["podIP"] == pod["status"]["hostIP"]


async def test_volumes_follow_their_configmap(eyes: Eyes, cluster: NodeCluster) -> None:
    config: dict[str, Any] = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shown", "namespace": "default"},
        "data": {"a": "1"},
    }  # fmt: skip
    await eyes.client.create(resources.get("configmaps"), config)
    script = "until grep -q 2 /c/a; do sleep 0.1; done; echo seen"
    await eyes.create(
        "follow",
        shell(script, volumeMounts=[{"name": "c", "mountPath": "/c"}]),
        restartPolicy="Never",
        volumes=[{"name": "c", "configMap": {"name": "shown"}}],
    )
    await eyes.pod("follow", running)
    await eyes.client.patch(resources.get("configmaps"), "shown", {"data": {"a": "2"}}, "default")
    await eyes.pod("follow", lambda p: p["status"]["phase"] == "Succeeded")
    await eyes.client.delete(resources.get("configmaps"), "shown", "default")


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_restarted_agent_touches_nothing(eyes: Eyes, cluster: NodeCluster, how: str) -> None:
    name = f"kept-{how}"
    await eyes.create(name, shell(SLEEP))
    await eyes.create(f"{name}-ended", shell("exit 0"), restartPolicy="Never")
    before = await eyes.pod(name, ready)
    await eyes.pod(f"{name}-ended", lambda p: p["status"]["phase"] == "Succeeded")
    agent = cluster.agents["n1"]
    agent.kill() if how == "killed" else agent.stop()
    pid = cluster.engine.inspect_container(container_status(before)["containerID"].removeprefix("docker://"))
    agent.start()
    # A pod made after the restart is a sign that the agent is up and has adopted the old ones.
    await eyes.create(f"{name}-next", shell(SLEEP))
    await eyes.pod(f"{name}-next", ready)
    after = eyes.get(name)
    assert after is not None and after["status"] == before["status"]
    os.kill(pid["State"]["Pid"], 0)
    ended = eyes.get(f"{name}-ended")
    assert ended is not None and ended["status"]["phase"] == "Succeeded"
    assert container_status(ended)["restartCount"] == 0


async def test_what_happened_while_no_agent_ran_is_made_up_for(eyes: Eyes, cluster: NodeCluster) -> None:
    await eyes.create("dies", shell(SLEEP))
    await eyes.create("goes", shell(SLEEP))
    await eyes.create("forced", shell(SLEEP))
    for name in ("dies", "goes", "forced"):
        await eyes.pod(name, ready)
    cluster.agents["n1"].kill()
    cluster.engine.kill(cluster.containers("dies", "main", running=True)[0]["Id"])
    await eyes.delete("goes")
    await eyes.delete("forced", 0)
    await eyes.gone("forced")
    assert cluster.containers("forced")
    cluster.agents["n1"].start()
    await eyes.pod("dies", lambda p: container_status(p).get("restartCount") == 1 and ready(p))
    await eyes.gone("goes")
    assert cluster.containers("goes") == []
    await cluster.emptied("forced")


async def test_containers_killed_with_their_agent_come_back_once(eyes: Eyes, cluster: NodeCluster) -> None:
    await eyes.create("both", shell(SLEEP))
    await eyes.pod("both", ready)
    cluster.agents["n1"].kill()
    for container in cluster.containers("both", running=True):
        cluster.engine.kill(container["Id"], signal.SIGKILL)
    cluster.agents["n1"].start()
    await eyes.pod("both", lambda p: container_status(p).get("restartCount") == 1 and ready(p))
    assert len(cluster.containers("both", "main", running=True)) == 1
    assert len(cluster.containers("both", "", running=True)) == 1
