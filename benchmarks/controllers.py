"""How fast the controllers turn one Deployment into pod objects, and back into nothing.

    python -m benchmarks.controllers [--pods 1000] [--storage sqlite]

A real API server and a real controller manager over TLS, no nodes and no scheduler: what is measured is the way
Deployment → ReplicaSet → pods through the API. Kubernetes v1.36 with etcd 3.5, its client limits lifted, on a machine
like this one (2 cores): 2.2 s for 1,000 pods, controller manager 164 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient import Client, Config

PODS = resources.get("pods")
DEPLOYMENTS = resources.get("deployments", "apps")
SERVICE_ACCOUNTS = resources.get("serviceaccounts")


def resident(process: subprocess.Popen[bytes]) -> float:
    """Resident memory in MB."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmRSS")


def cpu(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def counted(client: Client, wanted: int) -> float:
    """The time at which there are `wanted` pods, by one watch."""
    items, version = await client.list(PODS, "default")
    names = {item["metadata"]["name"] for item in items}
    if len(names) == wanted:
        return time.perf_counter()
    async for kind, obj in client.watch(PODS, "default", resource_version=version):
        (names.discard if kind == "DELETED" else names.add)(obj["metadata"]["name"])
        if len(names) == wanted:
            return time.perf_counter()
    raise ConnectionError("the watch ended")


async def measure(directory: Path, pods: int, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    async with Client(Config.from_kubeconfig(directory / "admin.conf")) as client:
        while True:
            try:
                await client.get(SERVICE_ACCOUNTS, "default", "default")
                break
            except StatusError:
                await asyncio.sleep(0.05)
        labels = {"app": "bench"}
        containers = [{"name": "c", "image": "x"}]
        spec = {
            "replicas": pods,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        }
        used = {name: cpu(process) for name, process in processes.items()}
        start = time.perf_counter()
        await client.create(
            DEPLOYMENTS, {"metadata": {"name": "bench", "namespace": "default"}, "spec": spec}
        )
        took = await counted(client, pods) - start
        print(f"Deployment 0 -> {pods} pod objects: {took:.2f} s ({pods / took:.0f}/s)")
        for name, process in processes.items():
            print(f"  {name}: {cpu(process) - used[name]:.2f} s of CPU, {resident(process):.0f} MB resident")
        start = time.perf_counter()
        await client.delete(DEPLOYMENTS, "bench", "default")
        print(f"deleted, {pods} pods collected: {await counted(client, 0) - start:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Deployment to pod objects and back, through the API.")
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--storage", default="sqlite", choices=("sqlite", "memory"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        commands = {
            "apiserver": ["--data-dir", name, "--secure-port", "0", "--storage", arguments.storage],
            "controllermanager": ["--kubeconfig", str(directory / "controller-manager.conf")],
        }
        processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for module, flags in commands.items():
                with (directory / f"{module}.log").open("wb") as log:
                    command = [sys.executable, "-P", "-m", module, *flags]
                    processes[module] = subprocess.Popen(command, stdout=log, stderr=log)
                while not (directory / "controller-manager.conf").exists():
                    time.sleep(0.05)
            uvloop.run(measure(directory, arguments.pods, processes))
        finally:
            for process in reversed(processes.values()):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
