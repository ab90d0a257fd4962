"""kill -9 of anything, at any moment, for a while: the declared state is reached, and nothing is lost or left.

PYBERNETES_CHAOS_SECONDS says for how long (40 without), PYBERNETES_CHAOS_SEED repeats a run's choices. In the second
half the engine is killed, stopped and frozen too; a seed's parity says whether containers outlive it (live-restore).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import busyboximage
import pytest
from havoc import Killer, Writer, say
from leftovers import below
from localcluster import LocalCluster, is_ready, restarts, until
from privateengine import PrivateEngine, network_namespace
from test_pods_on_containers import SLEEP, container_id, deployment, pod, shell
from unaccounted import Audit

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAMESPACE = "havoc"
SEED = int(os.environ.get("PYBERNETES_CHAOS_SEED") or random.randrange(10**6))
SECONDS = float(os.environ.get("PYBERNETES_CHAOS_SECONDS") or 40)
OUTLIVED = SEED % 2 == 1


@pytest.fixture
def own_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    if os.geteuid() != 0:
        pytest.skip("needs root for networks and mounts")
    made = PrivateEngine("pyb-chaos", tmp_path_factory.mktemp("engine"), live_restore=OUTLIVED)
    try:
        made.start()
        busyboximage.ensure(made.client())
        with network_namespace(made.name):
            yield made
    finally:
        if not os.environ.get("KEEP_CLUSTER"):
            made.remove()


@pytest.fixture
def cluster(own_engine: PrivateEngine, tmp_path: Path) -> Iterator[LocalCluster]:
    made = LocalCluster("chaos", tmp_path, own_engine.url)
    made.pybctl("cluster", "create", made.name, "--port", "0", "--node-capacity", "cpu=4")
    yield made
    if os.environ.get("KEEP_CLUSTER"):
        return
    made.pybctl("cluster", "delete", made.name)
    client = own_engine.client()
    assert [
        *client.containers(all=True),
        *client.networks(names=["pybernetes-chaos"]),
        *below(tmp_path),
    ] == []
    client.close()


def workload(name: str, replicas: int, **more: Any) -> dict[str, Any]:
    """A deployment whose pods have a volume of each sort that leaves something behind if forgotten."""
    mounts = [{"name": "m", "mountPath": "/m"}, {"name": "d", "mountPath": "/d"}]
    body = deployment(name, NAMESPACE, replicas, shell(SLEEP, volumeMounts=mounts, **more))
    template = body["spec"]["template"]
    template["metadata"]["annotations"] = {"version": "0"}
    template["spec"]["volumes"] = [
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "d", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "kube-root-ca.crt"}},
    ]
    return body


def many_sided(name: str) -> dict[str, Any]:
    """Pods with init containers, a sidecar, probes, hooks, and a control group of their own."""
    probe = {"exec": {"command": ["test", "-e", "/m/ready"]}, "periodSeconds": 2, "timeoutSeconds": 30}
    body = workload(name, 2, readinessProbe=probe)
    spec = body["spec"]["template"]["spec"]
    mounts = [{"name": "m", "mountPath": "/m"}]
    spec["initContainers"] = [
        shell("true", "first"),
        shell(SLEEP, "side", restartPolicy="Always", volumeMounts=mounts),
        shell("touch /m/ready", "second", volumeMounts=mounts),
    ]
    spec["resources"] = {"limits": {"memory": "128Mi"}}
    return body


def with_port(name: str) -> dict[str, Any]:
    return workload(name, 1, ports=[{"containerPort": 8080, "hostPort": 18080}])


def once(name: str, script: str, policy: str, runs: Path) -> dict[str, Any]:
    """A pod that leaves a line for each of its runs in a file of its name."""
    mounts = [{"name": "runs", "mountPath": "/runs"}]
    body = pod(name, NAMESPACE, shell(f"echo run >> /runs/{name}; {script}", volumeMounts=mounts))
    body["spec"].update(restartPolicy=policy, volumes=[{"name": "runs", "hostPath": {"path": str(runs)}}])
    return body


def as_wanted(cluster: LocalCluster, name: str, replicas: int, version: str) -> list[dict[str, Any]]:
    """The deployment's pods, once they are as many as wanted, of that version, Ready, and none besides."""
    found = cluster.pods(NAMESPACE, f"app={name}")
    good = [
        p
        for p in found
        if is_ready(p)
        and not p["metadata"].get("deletionTimestamp")
        and p["metadata"]["annotations"]["version"] == version
    ]
    return good if len(good) == len(found) == replicas else []


def not_replaced(own_engine: PrivateEngine, pods: list[dict[str, Any]]) -> None:
    client = own_engine.client()
    running = {container["Id"] for container in client.containers()}
    client.close()
    assert {container_id(p) for p in pods} <= running, "a container nobody killed was replaced"


@pytest.mark.timeout(SECONDS * 2 + 600)
def test_the_declared_state_is_reached_whatever_is_killed(
    own_engine: PrivateEngine, cluster: LocalCluster, tmp_path: Path
) -> None:
    say(f"PYBERNETES_CHAOS_SEED={SEED} PYBERNETES_CHAOS_SECONDS={SECONDS:.0f} outlived={OUTLIVED}")
    chance = random.Random(SEED)
    runs = tmp_path / "runs"
    runs.mkdir()
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    cluster.apply(
        workload("still", 3),
        workload("one", 3),
        workload("two", 2),
        many_sided("many"),
        with_port("port"),
        once("done", "true", "OnFailure", runs),
        once("never", SLEEP, "Never", runs),
    )
    still = until(lambda: as_wanted(cluster, "still", 3, "0"), 90, "the pods that are spared")
    until(
        lambda: cluster.pod("done", NAMESPACE)["status"].get("phase") == "Succeeded", 60, "a pod to be done"
    )
    until(lambda: cluster.pod("never", NAMESPACE)["status"].get("phase") == "Running", 60, "a pod to run")
    killer = Killer(cluster, own_engine, NAMESPACE, ("still",), chance)
    writer = Writer(cluster, NAMESPACE, ["one", "two"], random.Random(SEED + 1))
    writer.wanted = {"one": (3, "0"), "two": (2, "0"), "many": (2, "0"), "port": (1, "0"), "still": (3, "0")}
    pause = threading.Event()
    begun = time.monotonic()
    with writer:
        while time.monotonic() < begun + SECONDS and not writer.failure:
            if not killer.engine_too and time.monotonic() > begun + SECONDS / 2:
                not_replaced(own_engine, still)
                killer.engine_too = True
            killer.kill_one()
            pause.wait(chance.uniform(0.1, 1.5))
    say(f"killed {dict(Counter(line.split(' of ')[0] for line in killer.log))}")
    say(f"{len(writer.created)} objects acknowledged, {writer.unanswered} requests unanswered")
    killer.close()
    assert not writer.failure

    healthy = ("cluster", "status", cluster.name)
    until(lambda: cluster.pybctl(*healthy, check=False).returncode == 0, 60, "every process to run")
    for name, (replicas, version) in writer.wanted.items():
        # A container that was killed often waits for as long as its back-off says.
        until(
            lambda n=name, r=replicas, v=version: as_wanted(cluster, n, r, v),  # type: ignore[misc]
            120 + min(SECONDS, 300),
            f"{name} to have {replicas} pods of version {version}",
        )
    kept = {m.metadata.name for m in cluster.core.list_namespaced_config_map(NAMESPACE).items}
    assert set(writer.created) <= kept, "acknowledged, and lost"
    if OUTLIVED:
        not_replaced(own_engine, still)
        assert all(restarts(p) == 0 for p in cluster.pods(NAMESPACE, "app=still"))
    for name in ("done", "never"):
        assert (runs / name).read_text() == "run\n", f"{name} has run more than once"
        assert restarts(cluster.pod(name, NAMESPACE)) == 0
    assert cluster.pod("done", NAMESPACE)["status"]["phase"] == "Succeeded"
    audit = Audit(cluster, own_engine, NAMESPACE)
    found: list[str] = ["not asked yet"]

    def nothing() -> bool:
        found[:] = audit.findings(killer.uids)
        return not found

    try:
        until(nothing, 60, "nothing to be left over")
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *found])) from error
