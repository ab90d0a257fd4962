"""A local cluster against the bare engine and Docker Swarm, side by side on the same machine.

    python -m benchmarks.cluster [--runs 5] [--skip-swarm]

Prints a table and one JSON line. Needs root and a Docker Engine; removes what it makes. Each figure is the median of
its runs; a ratio compares medians of the same run. The image must be there: it is made from this machine's busybox.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

import busyboximage
from docker.api.client import APIClient
from localcluster import LocalCluster, is_ready, restarts, until

CLUSTER = "bench"
IMAGE = busyboximage.NAME
SLEEP = ["sleep", "100000"]
PODS = 20
IDLE_SECONDS = 10.0


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def watch_until(cluster: LocalCluster, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Waits by a watch on the benchmark's pods, so that no polling blurs the time."""
    pods: dict[str, dict[str, Any]] = {}
    kind = cluster.api.resources.get(api_version="v1", kind="Pod")
    for event in kind.watch(namespace="default", timeout=120):
        pod = event["raw_object"]
        name = pod["metadata"]["name"]
        if event["type"] == "DELETED":
            pods.pop(name, None)
        else:
            pods[name] = pod
        if condition(list(pods.values())):
            return
    raise AssertionError("the condition did not come true within 120 s")


def running(pod: dict[str, Any]) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return bool(statuses) and all("running" in (s.get("state") or {}) for s in statuses)


@contextmanager
def made(runs: int, figures: dict[str, list[float]]) -> Iterator[LocalCluster]:
    """A cluster, created several times for the figure; the last one stays for the other benchmarks."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = LocalCluster(CLUSTER, Path(directory))
        arguments = ("cluster", "create", CLUSTER, "--port", "0", "--node-capacity", "cpu=8")
        for run in range(runs):
            figures["cluster of three nodes, created to all Ready (s)"].append(
                seconds(lambda: cluster.pybctl(*arguments))
            )
            if run < runs - 1:
                figures["cluster deleted (s)"].append(
                    seconds(lambda: cluster.pybctl("cluster", "delete", CLUSTER))
                )
        try:
            until(lambda: cluster.core.list_namespaced_service_account("default").items, 10)
            yield cluster
        finally:
            cluster.pybctl("cluster", "delete", CLUSTER)


def idle(cluster: LocalCluster, figures: dict[str, list[float]]) -> None:
    """Memory and CPU of control plane and three agents while nothing happens."""
    names = sorted(path.stem for path in (cluster.home / "run").glob("*.pid"))
    counted = [n for n in names if n not in ("supervisor", "kubeproxyd")]
    page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")

    def rss(name: str) -> float:
        return int(Path(f"/proc/{cluster.pid(name)}/statm").read_text().split()[1]) * page / 2**20

    def cpu(name: str) -> float:
        fields = Path(f"/proc/{cluster.pid(name)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / tick

    before = {name: cpu(name) for name in counted}
    time.sleep(IDLE_SECONDS)
    used = sum(cpu(name) - before[name] for name in counted)
    for name in names:
        figures[f"RSS of {name} (MiB)"].append(rss(name))
    figures["control plane and three idle agents, RSS (MiB)"].append(sum(map(rss, counted)))
    figures["control plane and three idle agents, CPU (% of one core)"].append(100 * used / IDLE_SECONDS)


def pod_body(name: str) -> dict[str, Any]:
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "Never", "command": SLEEP}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }


def bare_pair(engine: APIClient, network: str) -> float:
    """Two containers as a pod has them, created and started with nothing around."""
    began = time.monotonic()
    config = engine.create_host_config(network_mode=network)
    first = engine.create_container(IMAGE, SLEEP, host_config=config)["Id"]
    engine.start(first)
    config = engine.create_host_config(network_mode=f"container:{first}", ipc_mode="private")
    second = engine.create_container(IMAGE, SLEEP, host_config=config)["Id"]
    engine.start(second)
    took = time.monotonic() - began
    for container in (second, first):
        engine.remove_container(container, force=True)
    return took


def bare_start(engine: APIClient) -> float:
    """One more container in a network that is there, created and started."""
    config = engine.create_host_config(network_mode="none")
    began = time.monotonic()
    made = engine.create_container(IMAGE, SLEEP, host_config=config)["Id"]
    engine.start(made)
    took = time.monotonic() - began
    engine.remove_container(made, force=True)
    return took


def one_pod(cluster: LocalCluster, engine: APIClient, runs: int, figures: dict[str, list[float]]) -> None:
    network = engine.networks(filters={"label": [f"io.pybernetes.cluster={CLUSTER}"]})[0]["Name"]
    pods = cluster.core
    for run in range(runs):
        figures["bare engine: create and start of two containers (s)"].append(bare_pair(engine, network))
        name = f"one-{run}"
        began = time.monotonic()
        pods.create_namespaced_pod("default", pod_body(name))
        watch_until(
            cluster, lambda found, name=name: any(p["metadata"]["name"] == name and running(p) for p in found)
        )
        figures["one pod, created to Running (s)"].append(time.monotonic() - began)
        figures["bare engine: create and start of one container (s)"].append(bare_start(engine))
        status = pods.read_namespaced_pod(name, "default").status.container_statuses[0]
        began = time.monotonic()
        engine.kill(status.container_id.removeprefix("docker://"))
        watch_until(
            cluster,
            lambda found, name=name: any(
                p["metadata"]["name"] == name and running(p) and restarts(p) == 1 for p in found
            ),
        )
        figures["killed container to running again (s)"].append(time.monotonic() - began)
        pods.delete_namespaced_pod(name, "default", grace_period_seconds=0)
        until(lambda: not cluster.pods("default"), 60)


def twenty(cluster: LocalCluster, runs: int, figures: dict[str, list[float]]) -> None:
    labels = {"app": "twenty"}
    template = {"metadata": {"labels": labels}, "spec": pod_body("x")["spec"]}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "twenty", "namespace": "default"},
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template},
    }
    deployments = cluster.api.resources.get(api_version="apps/v1", kind="Deployment")
    for _ in range(runs):
        began = time.monotonic()
        deployments.create(body=body, namespace="default")
        watch_until(cluster, lambda found: sum(map(is_ready, found)) == PODS)
        figures[f"Deployment of {PODS} pods, 0 to all Running (s)"].append(time.monotonic() - began)
        deployments.delete(name="twenty", namespace="default")
        until(lambda: not cluster.pods("default"), 120)


def swarm(engine: APIClient, runs: int, figures: dict[str, list[float]]) -> None:
    """`docker service create --replicas 20` on the same engine, until all tasks run."""
    subprocess.run(
        ["docker", "swarm", "init", "--advertise-addr", "127.0.0.1"], check=True, capture_output=True
    )
    try:
        for _ in range(runs):
            began = time.monotonic()
            command = ["docker", "service", "create", "--detach", "--no-resolve-image", "--name", "twenty"]
            subprocess.run(
                [*command, "--replicas", str(PODS), IMAGE, *SLEEP], check=True, capture_output=True
            )

            def up() -> bool:
                tasks = engine.tasks(filters={"service": "twenty"})
                return sum(t["Status"]["State"] == "running" for t in tasks) == PODS

            until(up, 120)
            figures[f"Docker Swarm: service of {PODS}, 0 to all running (s)"].append(time.monotonic() - began)
            subprocess.run(["docker", "service", "rm", "twenty"], check=True, capture_output=True)
            until(
                lambda: (
                    not [c for c in engine.containers(all=True) if "com.docker.swarm.task" in c["Labels"]]
                ),
                120,
            )
    finally:
        subprocess.run(["docker", "swarm", "leave", "--force"], check=True, capture_output=True)


RATIOS = (
    ("pod start / bare engine (aim 1.3)", "one pod, created to Running (s)",
     "bare engine: create and start of two containers (s)"),
    ("restart / bare start (aim 1.5)", "killed container to running again (s)",
     "bare engine: create and start of one container (s)"),
    ("Swarm / Pybernetes, 20 containers (aim 2)", f"Docker Swarm: service of {PODS}, 0 to all running (s)",
     f"Deployment of {PODS} pods, 0 to all Running (s)"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--skip-swarm", action="store_true")
    arguments = parser.parse_args()
    figures: dict[str, list[float]] = defaultdict(list)
    engine = APIClient(version="auto", timeout=120)
    busyboximage.ensure(engine)
    with made(max(2, arguments.runs), figures) as cluster:
        idle(cluster, figures)
        one_pod(cluster, engine, arguments.runs, figures)
        twenty(cluster, max(1, arguments.runs // 2), figures)
    if not arguments.skip_swarm:
        swarm(engine, max(1, arguments.runs // 2), figures)
    medians = {name: round(statistics.median(values), 3) for name, values in figures.items()}
    for title, above, below in RATIOS:
        if above in medians and below in medians:
            medians[title] = round(medians[above] / medians[below], 2)
    width = max(map(len, medians))
    for name, value in medians.items():
        print(f"{name.ljust(width)}  {value:10.3f}")
    print(json.dumps({"benchmark": "cluster", "runs": arguments.runs, "medians": medians}))


if __name__ == "__main__":
    main()
