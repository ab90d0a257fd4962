"""What a pod costs against the engine's own calls: starting, statuses, exec, logs, port-forward, a hundred at rest.

    python -m benchmarks.pods [--runs 20] [--megabytes 200] [--only streams]

Prints a table and one JSON line. Needs root, a Docker Engine, kubectl and the docker command; removes what it makes.
The bare pair has no network of the engine's, which would cost more (and 20 pairs at once in one of its networks can
lock up Docker Engine 20.10). Each pair of figures is taken in turns; ratios compare medians (and 99th percentiles) of
the same run. What bytes cost is told in CPU time too, which says more than their speed where the machine is shared.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

import busyboximage
from docker.api.client import APIClient
from kubernetes import stream
from localcluster import LocalCluster, is_ready, until

from benchmarks.cluster import bare_pair, pod_body, running, watch_until

CLUSTER = "bench-pods"
AT_ONCE = 20
HUNDRED = 100
IDLE_SECONDS = 20.0
#: What a node keeps of a log is five files of 10 MiB, as the engine writes them: lines of 100 bytes take 163.
LOG_MEGABYTES = 30
NODE = f"{CLUSTER}-node-1"

Figures = dict[str, list[float]]


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def carried(cluster: LocalCluster, figures: Figures, what: str, megabytes: float) -> Iterator[None]:
    """Notes how fast so much was carried, and what it cost the agent and the API server."""
    pids = {"agent": cluster.pid(f"kubeletd-{NODE}"), "API server": cluster.pid("apiserver")}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    began = time.monotonic()
    yield
    figures[f"{what} (MB/s)"].append(megabytes / (time.monotonic() - began))
    for name, pid in pids.items():
        spent = 1000 * (cpu_seconds(pid) - before[name])
        figures[f"{what}, {name} (CPU ms/MB)"].append(spent / megabytes)


def cleared(cluster: LocalCluster) -> None:
    cluster.core.delete_collection_namespaced_pod("default", grace_period_seconds=0)
    until(lambda: not cluster.pods("default"), 180)


def started(cluster: LocalCluster, name: str, **spec: Any) -> str:
    """Makes a pod, waits until it runs, and gives its container's id."""
    body = pod_body(name)
    body["spec"] |= {"nodeName": NODE}
    body["spec"]["containers"][0] |= spec
    cluster.core.create_namespaced_pod("default", body)
    pod = until(lambda: found if running(found := cluster.pod(name, "default")) else None, 60)
    return str(pod["status"]["containerStatuses"][0]["containerID"]).removeprefix("docker://")


def one_at_a_time(cluster: LocalCluster, engine: APIClient, runs: int, figures: Figures) -> None:
    for run in range(runs):
        figures["bare engine: a pair of containers (s)"].append(bare_pair(engine, "none"))
        name = f"one-{run}"
        began = time.monotonic()
        cluster.core.create_namespaced_pod("default", pod_body(name))
        watch_until(
            cluster,
            lambda found, name=name: any(p["metadata"]["name"] == name and is_ready(p) for p in found),
        )
        figures["one pod, created to Ready (s)"].append(time.monotonic() - began)
        cluster.core.delete_namespaced_pod(name, "default", grace_period_seconds=0)
        until(lambda: not cluster.pods("default"), 60)


def at_once(cluster: LocalCluster, engine: APIClient, runs: int, figures: Figures) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for run in range(runs):
            began = time.monotonic()
            each = list(pool.map(lambda _: bare_pair(engine, "none"), range(AT_ONCE)))
            figures[f"bare engine: {AT_ONCE} pairs at once, each (s)"] += each
            figures[f"bare engine: {AT_ONCE} pairs at once, all (s)"].append(time.monotonic() - began)
            made: dict[str, float] = {}
            ready: dict[str, float] = {}

            def make(number: int, run: int = run, made: dict[str, float] = made) -> None:
                name = f"many-{run}-{number}"
                made[name] = time.monotonic()
                cluster.core.create_namespaced_pod("default", pod_body(name))

            def all_ready(found: list[dict[str, Any]], ready: dict[str, float] = ready) -> bool:
                for pod in filter(is_ready, found):
                    ready.setdefault(pod["metadata"]["name"], time.monotonic())
                return len(ready) == AT_ONCE

            began = time.monotonic()
            asked = [pool.submit(make, number) for number in range(AT_ONCE)]
            watch_until(cluster, all_ready)
            for one in asked:
                one.result()
            figures[f"{AT_ONCE} pods at once, each to Ready (s)"] += [ready[n] - made[n] for n in made]
            figures[f"{AT_ONCE} pods at once, all Ready (s)"].append(time.monotonic() - began)
            cleared(cluster)


def statuses(cluster: LocalCluster, engine: APIClient, runs: int, figures: Figures) -> None:
    """From the engine's knowing that a container ended to a watcher's."""
    for run in range(runs):
        name = f"ends-{run}"
        container = started(cluster, name)
        kind = cluster.api.resources.get(api_version="v1", kind="Pod")
        seen = kind.watch(namespace="default", name=name, timeout=60)
        next(seen)
        engine.kill(container)
        began = time.monotonic()
        for event in seen:
            status = event["raw_object"]["status"]["containerStatuses"][0]
            if not (status.get("state") or {}).get("running") or status.get("restartCount"):
                break
        figures["container's end to a watcher (s)"].append(time.monotonic() - began)
        cluster.core.delete_namespaced_pod(name, "default", grace_period_seconds=0)
    cleared(cluster)


def exec_round_trip(cluster: LocalCluster, engine: APIClient, runs: int, figures: Figures) -> None:
    container = started(cluster, "exec")

    def bare() -> None:
        made = engine.exec_create(container, ["echo", "hi"])["Id"]
        assert engine.exec_start(made) == b"hi\n"
        assert engine.exec_inspect(made)["ExitCode"] == 0

    def ours() -> None:
        said = stream.stream(
            cluster.core.connect_get_namespaced_pod_exec,
            "exec",
            "default",
            command=["echo", "hi"],
            stdout=True,
            stderr=True,
        )
        assert said == "hi\n"

    for _ in range(runs):
        figures["docker exec by the engine's API (s)"].append(timed(bare))
        figures["exec by the API (s)"].append(timed(ours))
    cleared(cluster)


def logs(cluster: LocalCluster, runs: int, figures: Figures) -> None:
    """Reading a long log to its end, by the commands users have and by plain HTTP, into nothing."""
    line = "x" * 99
    program = f"yes {line} | head -c {LOG_MEGABYTES}000000; sleep 100000"
    container = started(cluster, "logs", command=["sh", "-c", program])
    total = LOG_MEGABYTES * 10**6
    settings = cluster.core.api_client.configuration
    tls = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    tls.load_cert_chain(settings.cert_file, settings.key_file)
    server = urlsplit(settings.host)

    def size() -> int:
        return len(subprocess.run(["docker", "logs", container], capture_output=True, check=True).stdout)

    def by_http() -> None:
        connection = HTTPSConnection(str(server.hostname), server.port, context=tls)
        connection.request("GET", "/api/v1/namespaces/default/pods/logs/log")
        answer, read = connection.getresponse(), 0
        while chunk := answer.read1(1 << 20):
            read += len(chunk)
        assert read == total, f"{read} bytes"
        connection.close()

    # The engine's reading can be ahead of its writing: wait until it has all of it.
    until(lambda: size() == total, 120)
    for _ in range(runs):
        began = time.monotonic()
        subprocess.run(["docker", "logs", container], stdout=subprocess.DEVNULL, check=True)
        figures["docker logs (MB/s)"].append(LOG_MEGABYTES / (time.monotonic() - began))
        with carried(cluster, figures, "logs by the API", LOG_MEGABYTES):
            by_http()
        with carried(cluster, figures, "kubectl logs, its start too", LOG_MEGABYTES):
            subprocess.run(
                ["kubectl", "logs", "logs"], stdout=subprocess.DEVNULL, check=True, env=cluster.environment
            )
    cleared(cluster)


def port_forward(cluster: LocalCluster, runs: int, megabytes: int, figures: Figures) -> None:
    serve = ["nc", "-ll", "-p", "8080", "-e", "dd", "if=/dev/zero", "bs=1000000", f"count={megabytes}"]
    started(cluster, "forward", command=serve)
    for kind, websockets in (("WebSocket", "true"), ("SPDY", "false")):
        forward = subprocess.Popen(
            ["kubectl", "port-forward", "forward", ":8080"],
            stdout=subprocess.PIPE,
            env={**cluster.environment, "KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets},
            text=True,
        )
        assert forward.stdout is not None
        port = int(forward.stdout.readline().split("->")[0].rsplit(":", 1)[1])
        what = f"kubectl port-forward over {kind}"
        try:
            for _ in range(runs):
                before, total = cpu_seconds(forward.pid), 0
                with carried(cluster, figures, what, megabytes):
                    with socket.create_connection(("127.0.0.1", port)) as connection:
                        while chunk := connection.recv(1 << 20):
                            total += len(chunk)
                assert total == megabytes * 10**6, f"{total} bytes came"
                spent = 1000 * (cpu_seconds(forward.pid) - before)
                figures[f"{what}, kubectl (CPU ms/MB)"].append(spent / megabytes)
        finally:
            forward.terminate()
            forward.wait()
    cleared(cluster)


def hundred_at_rest(cluster: LocalCluster, figures: Figures) -> None:
    for number in range(HUNDRED):
        body = pod_body(f"rest-{number}")
        body["spec"] |= {"nodeName": NODE}
        cluster.core.create_namespaced_pod("default", body)
    began = time.monotonic()
    watch_until(cluster, lambda found: sum(map(is_ready, found)) == HUNDRED)
    figures[f"{HUNDRED} pods on one node, after the last was created (s)"].append(time.monotonic() - began)
    time.sleep(5)  # the last statuses are written
    pid = cluster.pid(f"kubeletd-{NODE}")
    before = cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)
    spent = cpu_seconds(pid) - before
    figures[f"agent of {HUNDRED} idle pods, CPU (% of a core)"].append(100 * spent / IDLE_SECONDS)
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    figures[f"agent of {HUNDRED} idle pods, RSS (MB)"].append(resident / 1e6)
    cleared(cluster)


#: Title, the figure above the line, the one below, and whether the 99th percentile says something too.
RATIOS = (
    ("pod start / bare pair (aim 1.15)", "one pod, created to Ready (s)",
     "bare engine: a pair of containers (s)", True),
    (f"{AT_ONCE} at once / bare pairs, each (aim 1.15)", f"{AT_ONCE} pods at once, each to Ready (s)",
     f"bare engine: {AT_ONCE} pairs at once, each (s)", True),
    (f"{AT_ONCE} at once / bare pairs, all", f"{AT_ONCE} pods at once, all Ready (s)",
     f"bare engine: {AT_ONCE} pairs at once, all (s)", False),
    ("exec / docker exec (aim 1.3)", "exec by the API (s)", "docker exec by the engine's API (s)", False),
)  # fmt: skip


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--only", choices=["streams"], help="exec, logs and port-forward")
    arguments = parser.parse_args()
    figures: Figures = defaultdict(list)
    engine = APIClient(version="auto", timeout=120)
    busyboximage.ensure(engine)
    few = max(2, arguments.runs // 6)
    with tempfile.TemporaryDirectory() as directory:
        cluster = LocalCluster(CLUSTER, Path(directory))
        capacity = (
            "--node-capacity",
            "cpu=16",
            "--node-capacity",
            "memory=16Gi",
            "--node-capacity",
            "pods=120",
        )
        cluster.pybctl("cluster", "create", CLUSTER, "--nodes", "1", "--port", "0", *capacity)
        try:
            until(lambda: cluster.core.list_namespaced_service_account("default").items, 10)
            if arguments.only is None:
                one_at_a_time(cluster, engine, arguments.runs, figures)
                at_once(cluster, engine, few, figures)
                statuses(cluster, engine, arguments.runs // 2, figures)
            exec_round_trip(cluster, engine, arguments.runs, figures)
            logs(cluster, few, figures)
            port_forward(cluster, few, arguments.megabytes, figures)
            if arguments.only is None:
                hundred_at_rest(cluster, figures)
        finally:
            cluster.pybctl("cluster", "delete", CLUSTER)
    shown = {name: round(statistics.median(values), 3) for name, values in figures.items()}
    for title, above, below, tail in RATIOS:
        if above not in figures:
            continue
        shown[title] = round(shown[above] / shown[below], 2)
        if tail:
            worst = percentile(figures[above], 0.99) / percentile(figures[below], 0.99)
            shown[f"{title}, 99th percentile"] = round(worst, 2)
    width = max(map(len, shown))
    for name, value in shown.items():
        print(f"{name.ljust(width)}  {value:10.3f}")
    print(json.dumps({"benchmark": "pods", "runs": arguments.runs, "medians": shown}))


if __name__ == "__main__":
    main()
