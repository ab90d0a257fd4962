"""What the API server takes and gives: start, memory, creates, gets, lists, watches, over TLS with RBAC on.

    python -m benchmarks.apiserver [--storage sqlite] [--pods 6300] [--watchers 1000] [--seconds 4]
    python -m benchmarks.apiserver --scale 100000

Needs wrk (Debian package wrk): load comes from a compiled client, as two processes of Python would measure each other.
Prints a table and one JSON line. CPU is the server's own time a request, which other work on the machine disturbs
least. Pods are made of one template, as controllers make them, and each of another (an env value differs).

With --scale the costs of a create, a get and a change told to watchers are measured among 1,000 objects and among so
many: exit status 1 where one of them has grown by more than half.
Kubernetes v1.36 with etcd 3.5 on a machine of 2 cores is in the table's last column.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "api"))

from apiclient import Api  # noqa: E402

CONNECTIONS = 16
STARTS = 5
LISTS = 7
#: Changes told to watchers.
CHANGES = 20
FILL_SECONDS = 600
FEW = 1000
RUNS = 3
SCALE_WATCHERS = 100
#: So many times as much may a cost be among many objects: other work on the machine shows too.
FLAT = 1.5
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "load-", "labels": {"app": "load", "tier": "bench"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "registry.example.com/app:1.2.3",
                "command": ["/bin/app", "--serve"],
                "ports": [{"containerPort": 8080, "name": "http"}],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {
                    "requests": {"cpu": "100m", "memory": "128Mi"},
                    "limits": {"cpu": "500m", "memory": "256Mi"},
                },
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
            }
        ],
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    },
}
PODS = "/api/v1/namespaces/default/pods"


@dataclass
class Figure:
    name: str
    value: float
    unit: str
    elsewhere: str = ""


class Server:
    """A server process on a free port, with a bearer token of its administrator's service account."""

    def __init__(self, data: Path, storage: str, etcd: list[str]) -> None:
        self.data = data
        self._flags = ["--storage", storage, "--disable-admission-plugins", "ServiceAccount"]
        for endpoint in etcd:
            self._flags += ["--etcd-servers", endpoint]

    def start(self) -> float:
        """Start; seconds until /readyz answers ok."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "apiserver", "--data-dir", str(self.data), "--secure-port", str(self.port),
             *self._flags],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.data.parent,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        trusting = ssl._create_unverified_context()
        while True:
            if self.process.poll() is not None:
                raise SystemExit("the server ended by itself")
            try:
                with (
                    socket.create_connection(("127.0.0.1", self.port), 1) as raw,
                    trusting.wrap_socket(raw) as secure,
                ):
                    secure.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                    if b" 200 " in secure.recv(200):
                        return time.perf_counter() - began
            except OSError:
                time.sleep(0.002)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def resident(self) -> float:
        """Resident memory in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(found.group(1)) / 1000 if found else 0.0

    def cpu(self) -> float:
        """Seconds of CPU used so far, of all threads."""
        spent = [
            path.read_text().split()[0] for path in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        ]
        return sum(map(int, spent)) / 1e9

    def token(self, api: Api) -> str:
        api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bench"}})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        subject = {"kind": "ServiceAccount", "name": "bench", "namespace": "default"}
        binding = {"metadata": {"name": "bench"}, "roleRef": role, "subjects": [subject]}
        api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        return str(api.post("/api/v1/namespaces/default/serviceaccounts/bench/token", {})["status"]["token"])


def wrk(token: str, seconds: int) -> list[str]:
    header = f"Authorization: Bearer {token}"
    return ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency", "-H", header]


def load(server: Server, token: str, path: str, seconds: int, script: str = "") -> tuple[float, float, str]:
    """Requests per second, CPU microseconds a request, and latencies, of wrk with 16 connections."""
    command = wrk(token, seconds)
    before = server.cpu()
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            command += ["-s", file.name]
        done = subprocess.run(
            [*command, f"https://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
        )
    used = server.cpu() - before
    if "Non-2xx" in done.stdout:
        raise SystemExit(done.stdout)
    count = int(re.search(r"(\d+) requests in", done.stdout).group(1))  # type: ignore[union-attr]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))  # type: ignore[union-attr]
    p50, p99 = (re.search(rf"^\s+{p}%\s+(\S+)", done.stdout, re.M).group(1) for p in (50, 99))  # type: ignore[union-attr]
    return rate, used / count * 1e6, f"p50 {p50}, p99 {p99}"


def create_script(path: str) -> str:
    body = json.dumps(json.dumps(POD))
    return f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body={body}\nwrk.path="{path}"\n'


def unlike_script(path: str) -> str:
    """As `create_script`, each pod with another value in its environment."""
    before, after = json.dumps(POD).split('"value": "1"')
    return (
        f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.path="{path}"\n'
        f"local before, after, n = {json.dumps(before)}, {json.dumps(after)}, 0\n"
        "function request()\n  n = n + 1\n"
        "  return wrk.format(nil, nil, nil, before .. '\"value\": \"' .. n .. '\"' .. after)\nend\n"
    )


def count_pods(api: Api) -> int:
    answer = api.get(f"{PODS}?limit=1")
    return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount", 0))


def fill(server: Server, token: str, api: Api, pods: int) -> None:
    """Create pods until there are so many, give or take those on their way when the last one was counted."""
    missing = pods - count_pods(api)
    if missing <= 0:
        return
    script = f"{create_script(PODS)}local n = 0\nfunction response()\n  n = n + 1\n"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(f"{script}  if n >= {missing} then os.exit(0) end\nend\n")
        file.flush()
        command = [*wrk(token, FILL_SECONDS), "-s", file.name, f"https://127.0.0.1:{server.port}{PODS}"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def time_lists(api: Api) -> tuple[float, int, int]:
    """Median seconds of a whole list, its pods and its bytes."""
    taken = []
    for _ in range(LISTS):
        began = time.perf_counter()
        connection = api._connect()
        connection.request("GET", PODS, headers=api._headers)
        raw = connection.getresponse().read()
        taken.append(time.perf_counter() - began)
        connection.close()
    return statistics.median(taken), raw.count(b'"kind":"Pod"'), len(raw)


def time_watchers(server: Server, token: str, api: Api, count: int) -> tuple[float, float]:
    """Median seconds until the last of `count` watchers has one change, and CPU microseconds for each watcher.

    What comes is taken from the sockets as it is, encrypted: this process shall not be what is measured.
    """
    trusting = ssl._create_unverified_context()
    version = api.get(f"{PODS}?limit=1")["metadata"]["resourceVersion"]
    poll = select.epoll()
    sockets = {}
    request = (
        f"GET {PODS}?watch=1&resourceVersion={version} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    for _ in range(count):
        secure = trusting.wrap_socket(socket.create_connection(("127.0.0.1", server.port)))
        secure.sendall(request)
        secure.recv(4096)
        secure.setblocking(False)
        poll.register(secure.fileno(), select.EPOLLIN)
        sockets[secure.fileno()] = secure
    taken = []
    before = server.cpu()
    for _ in range(CHANGES):
        began = time.perf_counter()
        api.post(PODS, POD)
        waiting = set(sockets)
        while waiting:
            for number, _ in poll.poll(5):
                if not os.read(number, 1 << 16):
                    raise SystemExit("a watch has ended")
                waiting.discard(number)
        taken.append(time.perf_counter() - began)
    used = server.cpu() - before
    for secure in sockets.values():
        secure.close()
    return statistics.median(taken), used / CHANGES / count * 1e6


def measure(arguments: argparse.Namespace, directory: Path) -> list[Figure]:
    figures: list[Figure] = []
    server = Server(directory / "data", arguments.storage, arguments.etcd_servers or [])
    starts = []
    for _ in range(STARTS):
        starts.append(server.start())
        time.sleep(0.3)
        empty = server.resident()
        server.stop()
    figures.append(Figure("start to ready", min(starts), "s", "3.1-3.9 s"))
    figures.append(Figure("memory, empty", empty, "MB", "274 MB"))
    server.start()
    try:
        api = Api(server.data / "admin.conf")
        token = server.token(api)
        name = api.post(PODS, POD)["metadata"]["name"]
        fill(server, token, api, arguments.pods)
        figures.append(Figure(f"memory, {count_pods(api)} pods", server.resident(), "MB", "658 MB (6,300)"))
        before = server.cpu()
        seconds, pods, size = time_lists(api)
        cpu = (server.cpu() - before) / LISTS
        figures.append(Figure(f"list {pods} pods ({size / 1e6:.1f} MB)", seconds, "s", "0.49-0.55 s (6,345)"))
        figures.append(Figure("list pods, server CPU", cpu * 1000, "ms"))
        last, cpu = time_watchers(server, token, api, arguments.watchers)
        figures.append(
            Figure(f"one change to the last of {arguments.watchers} watchers", last * 1000, "ms", "48 ms")
        )
        figures.append(Figure("one change to a watcher, server CPU", cpu, "us"))
        for label, path, script, elsewhere in (
            ("get one pod", f"{PODS}/{name}", "", "1,600/s"),
            ("create pods", PODS, create_script(PODS), "630-670/s"),
            ("create unlike pods", PODS, unlike_script(PODS), "630-670/s"),
        ):
            rate, cpu, latency = load(server, token, path, arguments.seconds, script)
            figures.append(Figure(f"{label} ({latency})", rate, "/s", elsewhere))
            figures.append(Figure(f"{label}, server CPU", cpu, "us"))
        figures.append(Figure("memory at the end", server.resident(), "MB"))
    finally:
        server.stop()
    return figures


def measure_scale(arguments: argparse.Namespace, directory: Path) -> tuple[list[Figure], bool]:
    """CPU of a create, a get and a change to a watcher among few objects and among many; whether that stays."""
    figures: list[Figure] = []
    costs: list[dict[str, float]] = []
    server = Server(directory / "data", arguments.storage, arguments.etcd_servers or [])
    server.start()
    try:
        api = Api(server.data / "admin.conf")
        token = server.token(api)
        name = api.post(PODS, POD)["metadata"]["name"]
        for objects in (FEW, arguments.scale):
            fill(server, token, api, objects)
            # The least of several, as what disturbs only ever adds.
            found = {
                "create": min(load(server, token, PODS, 1, create_script(PODS))[1] for _ in range(RUNS)),
                "get": min(load(server, token, f"{PODS}/{name}", 1)[1] for _ in range(RUNS)),
                "change to a watcher": min(
                    time_watchers(server, token, api, SCALE_WATCHERS)[1] for _ in range(RUNS)
                ),
            }
            costs.append(found)
            figures += [Figure(f"{key}, {objects} objects", cpu, "us") for key, cpu in found.items()]
            figures.append(Figure(f"memory, {count_pods(api)} pods", server.resident(), "MB"))
    finally:
        server.stop()
    few, many = costs
    for key in few:
        figures.append(
            Figure(f"{key}: growth from {FEW} to {arguments.scale} objects", many[key] / few[key], "x")
        )
    return figures, all(many[key] <= few[key] * FLAT for key in few)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--storage", default="sqlite", choices=("sqlite", "memory", "etcd"))
    parser.add_argument("--etcd-servers", action="append")
    parser.add_argument("--pods", type=int, default=6300)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--scale", type=int, default=0, help="compare 1,000 objects with so many instead")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian package wrk)")
    flat = True
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        if arguments.scale:
            figures, flat = measure_scale(arguments, Path(directory))
        else:
            figures = measure(arguments, Path(directory))
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        print(f"{figure.name:<{width}}  {figure.value:>10.3f} {figure.unit:<3} {figure.elsewhere}")
    result: dict[str, Any] = {figure.name.partition(" (")[0]: round(figure.value, 4) for figure in figures}
    print(json.dumps({"benchmark": "apiserver", "storage": arguments.storage, **result}))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
