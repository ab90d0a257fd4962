"""The Docker Engine is restarted, or killed, under a cluster: what died comes back, once, and the node says so."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import busyboximage
import pytest
from localcluster import LocalCluster, is_ready, restarts, until
from privateengine import PrivateEngine, network_namespace
from test_pods_on_containers import SLEEP, container_id, deployment, pod, shell

pytestmark = pytest.mark.e2e

NAMESPACE = "default"


@pytest.fixture(scope="module")
def own_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    directory: Path = tmp_path_factory.mktemp("engine")
    engine = PrivateEngine("pyb-e2e-engine", directory)
    try:
        engine.start()
        busyboximage.ensure(engine.client())
        yield engine
    finally:
        engine.remove()


@pytest.fixture(autouse=True)
def _inside(own_engine: PrivateEngine) -> Iterator[None]:
    with network_namespace(own_engine.name):
        yield


@pytest.fixture(scope="module")
def own_cluster(
    own_engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCluster]:
    made = LocalCluster("restart", tmp_path_factory.mktemp("home"), own_engine.url)
    with network_namespace(own_engine.name):
        made.pybctl("cluster", "create", made.name, "--nodes", "1", "--port", "0", "--node-capacity", "cpu=4")
    yield made
    with network_namespace(own_engine.name):
        made.pybctl("cluster", "delete", made.name)
    assert own_engine.client().containers(all=True) == []


def node_ready(cluster: LocalCluster) -> tuple[str, str]:
    """Status and message of the node's Ready condition."""
    node = cluster.api.resources.get(api_version="v1", kind="Node").get(name="restart-node-1").to_dict()
    found = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
    return found["status"], found["message"]


def once(engine: PrivateEngine) -> bool:
    """No pod has two running containers of one name, or two sandboxes."""
    prefix = "io.pybernetes."
    found = engine.client().containers(filters={"label": [f"{prefix}cluster=restart"]})
    count = Counter((c["Labels"][f"{prefix}uid"], c["Labels"][f"{prefix}container"]) for c in found)
    return all(number == 1 for number in count.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_what_died_with_the_engine_comes_back(
    own_engine: PrivateEngine, own_cluster: LocalCluster, number: int
) -> None:
    answer = "while true; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhere' | nc -l -p 8080; done"
    name = f"web-{number}"
    own_cluster.apply(
        deployment(name, NAMESPACE, 3, shell(answer)),
        pod(
            f"port-{number}",
            NAMESPACE,
            shell(answer, ports=[{"containerPort": 8080, "hostPort": 18000 + number}]),
        ),
        pod(f"once-{number}", NAMESPACE, shell(SLEEP), restartPolicy="Never"),
    )

    def all_ready() -> list[dict[str, Any]]:
        found = [
            p for p in own_cluster.pods(NAMESPACE) if p["status"].get("phase") not in ("Failed", "Succeeded")
        ]
        mine = [p for p in found if str(number) in p["metadata"]["name"]]
        return mine if mine and all(map(is_ready, mine)) else []

    def five() -> list[dict[str, Any]]:
        found = all_ready()
        return found if len(found) == 5 else []

    before = until(five, 90, "five pods to be Ready")
    own_engine.end(number)
    until(lambda: node_ready(own_cluster) == ("False", "container runtime is down"), 60, "the node to say so")
    assert "NotReady" in own_cluster.pybctl("get", "nodes").stdout
    own_engine.start()
    until(lambda: node_ready(own_cluster)[0] == "True", 60, "the node to be Ready")

    def back() -> list[dict[str, Any]]:
        current = all_ready()
        restarted = {p["metadata"]["uid"] for p in current if restarts(p) == 1}
        return current if len(current) == 4 and len(restarted) == 4 else []

    after = until(back, 90, "every pod to be Ready again")
    old = {p["metadata"]["uid"]: p for p in before}
    for current in after:
        earlier = old[current["metadata"]["uid"]]
        status = current["status"]["containerStatuses"][0]
        assert container_id(current) != container_id(earlier)
        assert status["lastState"]["terminated"]["containerID"].endswith(container_id(earlier))
    # What shall run once ran once; how the engine says it ended depends on how the engine did.
    ended = until(lambda: own_cluster.pod(f"once-{number}", NAMESPACE), 5)
    assert ended["status"]["phase"] in ("Succeeded", "Failed")
    assert restarts(own_cluster.pod(f"once-{number}", NAMESPACE)) == 0
    assert once(own_engine)
    assert any("sandbox changed" in text for text in own_cluster.events(NAMESPACE, "SandboxChanged"))
    # A pod reaches another by its new sandbox's address.
    ips = [p["status"]["podIP"] for p in after]
    asking = after[0]["metadata"]["name"]
    read = ("exec", asking, "--", "sh", "-c", f"echo GET / | nc -w 2 {ips[1]} 8080")
    until(lambda: "here" in own_cluster.pybctl(*read, check=False).stdout, 30, "an answer from pod to pod")
    own_cluster.pybctl("delete", "deploy", name)
    own_cluster.pybctl("delete", "pod", f"once-{number}", f"port-{number}")
    until(lambda: not own_cluster.pods(NAMESPACE), 60, "the pods to be gone")


def heartbeat(cluster: LocalCluster) -> str:
    leases = cluster.api.resources.get(api_version="coordination.k8s.io/v1", kind="Lease")
    return str(leases.get(name="restart-node-1", namespace="kube-node-lease").spec.renewTime)


def test_an_engine_that_hangs_is_noticed_and_costs_no_container(
    own_engine: PrivateEngine, own_cluster: LocalCluster
) -> None:
    """It takes connections and does not answer them: the node is not ready, its heartbeat goes on, and when the
    engine answers again everything runs that ran before, and what was asked for meanwhile is done."""
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 3}
    own_cluster.apply(
        pod("probed", NAMESPACE, shell(SLEEP, livenessProbe=probe)),
        deployment("still", NAMESPACE, 2, shell(SLEEP)),
    )

    def ready(number: int) -> list[dict[str, Any]]:
        found = own_cluster.pods(NAMESPACE)
        return found if len(found) == number and all(map(is_ready, found)) else []

    before = until(lambda: ready(3), 90, "three pods to be Ready")
    own_engine.freeze()
    try:
        own_cluster.apply(pod("late", NAMESPACE, shell(SLEEP)))
        until(
            lambda: node_ready(own_cluster) == ("False", "container runtime is down"),
            90,
            "the node to say so",
        )
        beat = heartbeat(own_cluster)
        until(lambda: heartbeat(own_cluster) != beat, 30, "the node's heartbeat to go on")
    finally:
        own_engine.thaw()
    until(lambda: node_ready(own_cluster)[0] == "True", 60, "the node to be Ready")
    after = {p["metadata"]["uid"]: p for p in until(lambda: ready(4), 90, "all pods to be Ready")}
    for earlier in before:
        current = after[earlier["metadata"]["uid"]]
        assert container_id(current) == container_id(earlier)
        assert restarts(current) == 0
    assert any("NodeNotReady" in text for text in own_cluster.events(NAMESPACE, "NodeNotReady"))
    own_cluster.pybctl("delete", "deploy", "still")
    own_cluster.pybctl("delete", "pod", "probed", "late")
    until(lambda: not own_cluster.pods(NAMESPACE), 60, "the pods to be gone")


def test_a_reboot_of_the_machine(own_engine: PrivateEngine, own_cluster: LocalCluster) -> None:
    """Everything ends at once, and what is kept in memory alone is gone: pods run again, each with its own address."""
    own_cluster.apply(
        deployment("web", NAMESPACE, 3, shell(SLEEP)),
        pod("once", NAMESPACE, shell(SLEEP), restartPolicy="Never"),
    )

    def web() -> list[dict[str, Any]]:
        found = own_cluster.pods(NAMESPACE, "app=web")
        return found if len(found) == 3 and all(map(is_ready, found)) else []

    before = until(web, 90, "three pods to be Ready")
    until(lambda: is_ready(own_cluster.pod("once", NAMESPACE)), 60, "a pod to be Ready")
    own_cluster.pybctl("cluster", "stop", own_cluster.name)
    own_engine.crash()
    own_engine.start()
    own_cluster.pybctl("cluster", "start", own_cluster.name)
    until(
        lambda: own_cluster.pybctl("get", "nodes", check=False).returncode == 0,
        60,
        "the API server to answer",
    )
    known = {p["metadata"]["uid"] for p in before}

    def back() -> list[dict[str, Any]]:
        found = web()
        return found if all(restarts(p) == 1 for p in found) else []

    after = until(back, 120, "every pod to be Ready again, restarted once")
    assert {p["metadata"]["uid"] for p in after} == known
    assert len({p["status"]["podIP"] for p in after}) == 3
    ended = until(lambda: own_cluster.pod("once", NAMESPACE), 5)
    assert ended["status"]["phase"] == "Failed"
    assert restarts(ended) == 0
    assert once(own_engine)
    own_cluster.pybctl("delete", "deploy", "web")
    own_cluster.pybctl("delete", "pod", "once")
    until(lambda: not own_cluster.pods(NAMESPACE), 60, "the pods to be gone")
