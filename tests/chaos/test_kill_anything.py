"""kill -9 of anything, at any moment, for a while: the declared state is reached, and nothing is lost or left.

CHAOS_SECONDS says for how long (45 without), CHAOS_SEED repeats a run's choices.
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
from docker.api.client import APIClient
from havoc import PREFIX, Killer, Writer, ports_of, say
from leftovers import below, of_cluster
from localcluster import LocalCluster, is_ready, restarts, until
from test_pods_on_containers import SLEEP, container_id, deployment, shell

from kubeletd.runtime.docker import bridge_name
from pybctl import engine

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAMESPACE = "havoc"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    if os.geteuid() != 0:
        pytest.skip("needs root for networks and mounts")
    client = APIClient(version="auto")
    busyboximage.ensure(client)
    made = LocalCluster("chaos", tmp_path)
    made.pybctl("cluster", "create", made.name, "--port", "0", "--node-capacity", "cpu=4")
    yield made
    if os.environ.get("KEEP_CLUSTER"):
        return
    made.pybctl("cluster", "delete", made.name)
    assert of_cluster(client, made.name) + below(tmp_path) == []
    client.close()


def workload(name: str, replicas: int) -> dict[str, Any]:
    """A deployment whose pods have a volume of each sort that leaves something behind if forgotten."""
    container = shell(
        SLEEP, volumeMounts=[{"name": "m", "mountPath": "/m"}, {"name": "d", "mountPath": "/d"}]
    )
    body = deployment(name, NAMESPACE, replicas, container)
    body["spec"]["template"]["metadata"]["annotations"] = {"version": "0"}
    body["spec"]["template"]["spec"]["volumes"] = [
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "d", "emptyDir": {}},
    ]
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


def leftovers(cluster: LocalCluster, client: APIClient) -> list[str]:
    """What is on the machine that no pod of the API accounts for; and what is there twice."""
    pods = {p["metadata"]["uid"]: p for p in cluster.pods(NAMESPACE)}
    containers = engine.containers(client, cluster.name)
    found = [
        f"container {c['Names'][0]} of no pod" for c in containers if c["Labels"][f"{PREFIX}uid"] not in pods
    ]
    running = [c for c in containers if c["State"] == "running"]
    count = Counter((c["Labels"][f"{PREFIX}uid"], c["Labels"][f"{PREFIX}container"]) for c in running)
    found += [f"{key} runs {number} times" for key, number in count.items() if number > 1]
    for uid, name in count:
        if not name and (uid, "c") not in count:
            found.append(f"pod {uid} has a sandbox alone")
    for folder in cluster.home.glob("nodes/*/root/pods/*"):
        if folder.name not in pods:
            found.append(f"files of no pod: {folder}")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if str(cluster.home) in point and not any(uid in point for uid in pods):
            found.append(f"mount of no pod: {point}")
    sandboxes = sum(1 for _, name in count if not name)
    ports = ports_of(bridge_name(cluster.name))
    if len(ports) != sandboxes:
        found.append(f"{len(ports)} interfaces on the bridge for {sandboxes} sandboxes: {ports}")
    return found


def test_the_declared_state_is_reached_whatever_is_killed(cluster: LocalCluster) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    seconds = float(os.environ.get("CHAOS_SECONDS") or 45)
    say(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:.0f}")
    chance = random.Random(seed)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    cluster.apply(workload("still", 3), workload("one", 3), workload("two", 2))
    still = until(lambda: as_wanted(cluster, "still", 3, "0"), 90, "the pods that are spared")
    killer = Killer(cluster, NAMESPACE, "still", chance)
    writer = Writer(cluster, NAMESPACE, ["one", "two"], random.Random(seed + 1))
    writer.wanted = {"one": (3, "0"), "two": (2, "0")}
    pause = threading.Event()
    end = time.monotonic() + seconds
    with writer:
        while time.monotonic() < end and not writer.failure:
            killer.kill_one()
            pause.wait(chance.uniform(0.1, 1.5))
    say(f"killed {dict(Counter(line.split(' of ')[0] for line in killer.log))}")
    say(f"{len(writer.created)} objects acknowledged, {writer.unanswered} requests unanswered")
    killer.close()
    assert not writer.failure

    healthy = ("cluster", "status", cluster.name)
    until(lambda: cluster.pybctl(*healthy, check=False).returncode == 0, 60, "every process to run")
    for name, (replicas, version) in writer.wanted.items():
        until(
            lambda n=name, r=replicas, v=version: as_wanted(cluster, n, r, v),  # type: ignore[misc]
            120,
            f"{name} to have {replicas} pods of version {version}",
        )
    kept = {m.metadata.name for m in cluster.core.list_namespaced_config_map(NAMESPACE).items}
    assert set(writer.created) <= kept, "acknowledged, and lost"
    assert {p["metadata"]["uid"]: container_id(p) for p in as_wanted(cluster, "still", 3, "0")} == {
        p["metadata"]["uid"]: container_id(p) for p in still
    }, "a container nobody killed was replaced"
    assert all(restarts(p) == 0 for p in cluster.pods(NAMESPACE, "app=still"))
    client = APIClient(version="auto")
    until(lambda: not leftovers(cluster, client), 60, "nothing to be left over")
    client.close()
