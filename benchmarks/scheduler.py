"""How fast the scheduler decides, how well it packs, and how fast it binds through the real API.

    .venv/bin/python -P benchmarks/scheduler.py [plan] [trace] [api] [--nodes 5000] [--pods 6041] [--data DIR]

Kubernetes v1.36 on a machine of 2 cores binds 212 pods/s (6,041 pods on 5,000 nodes, through its API).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import heapq
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apimachinery import resources  # noqa: E402
from scheduler import whatif  # noqa: E402
from scheduler.candidates import CandidateCache  # noqa: E402
from scheduler.columns import Columns, snapshot  # noqa: E402
from scheduler.plan import plan  # noqa: E402
from scheduler.profiles import PROFILES  # noqa: E402
from scheduler.views import Node, Pod  # noqa: E402

Object = dict[str, Any]
GPU = whatif.GPU
REFERENCE = 212.0


def node_object(name: str, cpu: str, memory: str, labels: Object | None = None, **more: str) -> Object:
    allocatable = {"cpu": cpu, "memory": memory, "pods": "110", **more}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "status": {"allocatable": allocatable, "capacity": allocatable},
    }


def pod_object(name: str, requests: Object, **spec: Any) -> Object:
    container = {"name": "c", "image": "app:1", "resources": {"requests": requests}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "bench"}},
        "spec": {"containers": [container], **spec},
    }


def some_nodes(count: int) -> list[Object]:
    zones = [{"topology.kubernetes.io/zone": f"zone-{i % 3}"} for i in range(count)]
    return [node_object(f"node-{i:05}", "32", "128Gi", zones[i]) for i in range(count)]


def _selector() -> Object:
    return {"matchLabels": {"app": "bench"}}


KINDS: dict[str, Object] = {
    "identical pods": {},
    "zone spread, hard": {
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": _selector(),
            }
        ]
    },
    "anti-affinity, one per node": {
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": _selector()}
                ]
            }
        }
    },
}


def bench_plan(nodes: int, pods: int) -> list[Object]:
    rows: list[Object] = []
    node_views = [Node.of(n) for n in some_nodes(nodes)]
    for profile in PROFILES.values():
        for kind, spec in KINDS.items():
            asked = [
                Pod.of(pod_object(f"p{i}", {"cpu": "500m", "memory": "1Gi"}, **spec)) for i in range(pods)
            ]
            rows.append(_timed(profile.name, kind, node_views, asked))
        varied = [
            Pod.of(pod_object(f"p{i}", {"cpu": f"{100 + i % 400}m", "memory": f"{1 + i % 7}Gi"}))
            for i in range(pods)
        ]
        rows.append(_timed(profile.name, "2,800 kinds of pod", node_views, varied))
    return rows


def _timed(profile: str, kind: str, nodes: Iterable[Node], pods: list[Pod]) -> Object:
    columns = snapshot(nodes)
    started = time.perf_counter()
    decided = plan(pods, columns, PROFILES[profile])
    seconds = time.perf_counter() - started
    return {
        "what": f"plan, {profile}, {kind}",
        "pods": len(pods),
        "placed": len(decided.placements),
        "pods/s": round(len(pods) / seconds),
    }


def read_trace(data: Path) -> tuple[list[Node], list[tuple[int, int, Pod]]]:
    """Nodes, and (created, deleted, pod) in seconds, of the openb trace."""
    node_lines = (data / "openb_node_list_all_node.csv").read_text().splitlines()
    pod_lines = (data / "openb_pod_list_default.csv").read_text().splitlines()
    ends = {row["name"]: int(float(row["deletion_time"])) for row in csv.DictReader(pod_lines)}
    nodes, pods = [], []
    for document in whatif.trace(node_lines, pod_lines):
        if document["kind"] == "Node":
            nodes.append(Node.of(document))
            continue
        name = document["metadata"]["name"]
        pod = Pod.of({**document, "metadata": {**document["metadata"], "uid": name}})
        created = int(pod.created)
        pods.append((created, max(ends[name], created + 1), pod))
    return nodes, pods


def share(columns: Columns, name: str) -> float:
    index = columns.resources[name]
    return float(columns.requested[index].sum() / columns.allocatable[index].sum())


def bench_trace(data: Path) -> list[Object]:
    if not (data / "openb_pod_list_default.csv").exists():
        print(f"trace: skipped, {data} has no openb_node_list_all_node.csv and openb_pod_list_default.csv")
        return []
    nodes, trace = read_trace(data)
    rows = []
    for profile in PROFILES.values():
        columns = snapshot(nodes)
        started = time.perf_counter()
        decided = plan([pod for _, _, pod in sorted(trace, key=lambda t: t[0])], columns, profile)
        seconds = time.perf_counter() - started
        rows.append(
            {
                "what": f"trace, all at once, {profile.name}",
                "pods": len(trace),
                "placed": len(decided.placements),
                "pods/s": round(len(trace) / seconds),
                "gpu allocated": round(share(columns, GPU), 4),
                "cpu allocated": round(share(columns, "cpu"), 4),
                "nodes used": sum(map(bool, columns.pods)),
            }
        )
        rows.append(_replayed(nodes, trace, profile.name))
    return rows


def _replayed(nodes: list[Node], trace: list[tuple[int, int, Pod]], profile: str) -> Object:
    """The trace with its departures, each pod tried once, when it arrives."""
    columns = snapshot(nodes)
    cache = CandidateCache(PROFILES[profile])
    leaving: list[tuple[int, str]] = []
    placed = used = samples = 0
    started = time.perf_counter()
    for created, deleted, pod in sorted(trace, key=lambda t: t[0]):
        while leaving and leaving[0][0] <= created:
            columns.remove_pod(heapq.heappop(leaving)[1])
        if plan([pod], columns, PROFILES[profile], cache=cache).placements:
            placed += 1
            heapq.heappush(leaving, (deleted, pod.uid))
        if placed % 50 == 0:
            used, samples = used + sum(map(bool, columns.pods)), samples + 1
    seconds = time.perf_counter() - started
    return {
        "what": f"trace, with departures, {profile}",
        "pods": len(trace),
        "placed": placed,
        "pods/s": round(len(trace) / seconds),
        "nodes used": round(used / max(samples, 1)),
    }


def resident(pid: int) -> float:
    """Megabytes of memory a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def _fill(kubeconfig: str, nodes: int, pods: int) -> None:
    from kubeclient import Client, Config

    async with Client(Config.from_kubeconfig(kubeconfig), limit=32) as client:

        async def create(plural: str, objects: list[Object], namespace: str = "") -> None:
            pending = iter(objects)

            async def crew() -> None:
                for obj in pending:
                    obj["metadata"].pop("uid", None)
                    await client.create(resources.get(plural), obj, namespace)

            async with asyncio.TaskGroup() as group:
                for _ in range(16):
                    group.create_task(crew())

        # The controller manager, which would make it, does not run here.
        account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
        await create("serviceaccounts", [account], "default")
        await create("nodes", some_nodes(nodes))
        # New nodes are not ready, and nobody here says they are.
        tolerations = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]
        waiting = [
            pod_object(f"pod-{i:05}", {"cpu": "500m", "memory": "1Gi"}, tolerations=tolerations)
            for i in range(pods)
        ]
        await create("pods", waiting, "default")


async def _until_bound(kubeconfig: str, pods: int) -> None:
    """Returns once so many pods are seen to be bound."""
    from kubeclient import Client, Config

    bound: set[str] = set()
    async with Client(Config.from_kubeconfig(kubeconfig)) as client:
        while len(bound) < pods:
            items, version = await client.list(resources.get("pods"), "default")
            bound |= {p["metadata"]["name"] for p in items if p["spec"].get("nodeName")}
            if len(bound) >= pods:
                return
            async for _, obj in client.watch(resources.get("pods"), "default", resource_version=version):
                if obj["spec"].get("nodeName"):
                    bound.add(obj["metadata"]["name"])
                if len(bound) >= pods:
                    return


def bench_api(nodes: int, pods: int) -> list[Object]:
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "apiserver", "--data-dir", str(data), "--secure-port", "0"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        processes = [server]
        try:
            deadline = time.monotonic() + 20
            while not (data / "scheduler.conf").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            asyncio.run(_fill(str(data / "admin.conf"), nodes, pods))
            started = time.perf_counter()
            scheduler = subprocess.Popen(
                [sys.executable, "-P", "-m", "scheduler", "--kubeconfig", str(data / "scheduler.conf")],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            processes.append(scheduler)
            asyncio.run(_until_bound(str(data / "admin.conf"), pods))
            ended = time.perf_counter()
            return [
                {
                    "what": "bound through the API, from the scheduler's start",
                    "pods": pods,
                    "placed": pods,
                    "pods/s": round(pods / (ended - started)),
                    "times Kubernetes": round(pods / (ended - started) / REFERENCE, 1),
                    "scheduler MB": round(resident(scheduler.pid)),
                    "apiserver MB": round(resident(server.pid)),
                }
            ]
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait()


def show(rows: list[Object]) -> None:
    for row in rows:
        figures = ", ".join(f"{key} {value:,}" for key, value in row.items() if key != "what")
        print(f"{row['what']:52} {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["plan", "trace", "api", []], default=[])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=6041)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the openb trace"
    )
    arguments = parser.parse_args()
    chosen = arguments.what or ["plan", "trace", "api"]
    rows: list[Object] = []
    if "plan" in chosen:
        rows += bench_plan(arguments.nodes, arguments.pods)
    if "trace" in chosen:
        rows += bench_trace(arguments.data)
    if "api" in chosen:
        rows += bench_api(arguments.nodes, arguments.pods)
    show(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"benchmark": "scheduler", "peak MB of this process": peak, "results": rows}))


if __name__ == "__main__":
    main()
