"""A disk that is full or not writable, a port that is taken: said in one sentence, and over when the cause is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import busyboximage
import pytest
from docker.api.client import APIClient
from localcluster import LocalCluster, is_ready, restarts, until
from test_pods_on_containers import SLEEP, container_id, pod, ready, shell

pytestmark = pytest.mark.e2e

NODE = "disk-node-1"
AGENT = f"kubeletd-{NODE}"


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of `size` at `path`, with what was there before."""
    path.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["tar", "-C", str(path), "-c", "."], capture_output=True, check=True).stdout
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)], check=True)
    try:
        subprocess.run(["tar", "-C", str(path), "-x"], input=archive, check=True)
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path) -> Path:
    """A file that leaves no room on the file system of `path`."""
    file = path / "full"
    with file.open("wb", buffering=0) as out:
        for size in (65536, 4096, 512, 1):
            try:
                while out.write(b"x" * size):
                    pass
            except OSError:
                continue
    return file


def remount(path: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster of one node."""
    if os.geteuid() != 0:
        pytest.skip("needs root for networks and mounts")
    client = APIClient(version="auto")
    busyboximage.ensure(client)
    made = LocalCluster("disk", tmp_path_factory.mktemp("home"))
    made.pybctl("cluster", "create", made.name, "--nodes", "1", "--port", "0", "--node-capacity", "cpu=4")
    yield made
    made.pybctl("cluster", "delete", made.name)
    client.close()


def node_is(cluster: LocalCluster, status: str) -> bool:
    node = cluster.api.resources.get(api_version="v1", kind="Node").get(name=NODE).to_dict()
    return any(c["type"] == "Ready" and c["status"] == status for c in node["status"]["conditions"])


def log(cluster: LocalCluster, component: str) -> str:
    return (cluster.home / "logs" / f"{component}.log").read_text()


def test_an_agents_disk_that_is_not_writable_or_full(small: LocalCluster) -> None:
    small.pybctl("node", "stop", NODE, "--cluster", small.name)
    with small_disk(small.home / "nodes" / NODE / "root", "400k") as root:
        remount(root, "ro")
        small.pybctl("node", "start", NODE, "--cluster", small.name)
        said = f"kubeletd: cannot write to --root-dir {root}: Read-only file system\n"
        until(lambda: said in log(small, AGENT), 30, said)
        assert "Traceback" not in log(small, AGENT)
        until(lambda: node_is(small, "Unknown"), 60, "the node to be missed")
        remount(root, "rw")
        until(lambda: node_is(small, "True"), 60, "the node to be Ready")

        full = fill(root)
        small.apply(pod("p", "default", shell(SLEEP)))
        until(
            lambda: any(
                "No space left on device" in text
                for reason in ("FailedMount", "FailedCreatePodSandBox", "Failed")
                for text in small.events("default", reason)
            ),
            60,
            "an event about the disk",
        )
        full.unlink()
        ready(small, "default", "p")
        small.pybctl("delete", "pod", "p")
        assert list((root / "pods").iterdir()) == []
        small.pybctl("node", "stop", NODE, "--cluster", small.name)
    small.pybctl("node", "start", NODE, "--cluster", small.name)
    until(lambda: node_is(small, "True"), 60, "the node to be Ready")


def test_an_apiservers_disk_that_is_full(small: LocalCluster) -> None:
    small.apply(pod("p", "default", shell(SLEEP)))
    before = container_id(ready(small, "default", "p"))
    small.pybctl("cluster", "stop", small.name)
    with small_disk(small.home / "data", "16M") as data:
        small.pybctl("cluster", "start", small.name)
        healthy = ("cluster", "status", small.name)
        until(lambda: small.pybctl(*healthy, check=False).returncode == 0, 60, "every process to run")
        small.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}})
        full = fill(data)
        refused = small.pybctl(
            "apply", "-f", "-", check=False, stdin="{apiVersion: v1, kind: Namespace, metadata: {name: lost}}"
        )
        assert refused.returncode == 1
        assert "disk" in refused.stderr
        assert "kept" in small.pybctl("get", "namespaces").stdout, "reading goes on"
        full.unlink()
        small.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "later"}})
        small.kill("apiserver")
        until(lambda: small.pybctl(*healthy, check=False).returncode == 0, 60, "every process to run")
        names = small.pybctl("get", "namespaces").stdout
        assert "kept" in names and "later" in names and "lost" not in names
        current = small.pod("p", "default")
        assert container_id(current) == before and is_ready(current) and restarts(current) == 0
        small.pybctl("cluster", "stop", small.name)
    # The store of before is older than what the agents have seen: as after a restored backup.
    small.pybctl("cluster", "start", small.name)
    until(lambda: small.pybctl("cluster", "status", small.name, check=False).returncode == 0, 60)


def test_a_taken_port_is_named(small: LocalCluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for component, flags, said in (
            (
                "apiserver",
                [f"--data-dir={tmp_path}", f"--secure-port={port}", "--bind-address=127.0.0.1"],
                f"cannot listen on 127.0.0.1:{port}: Address already in use",
            ),
            (
                "kubeletd",
                [
                    f"--kubeconfig={small.home / 'data' / 'admin.conf'}",
                    f"--root-dir={tmp_path / 'root'}",
                    "--node-name=port-test",
                    "--cluster-name=disk",
                    f"--port={port}",
                ],
                f"kubeletd: cannot listen on 127.0.0.1:{port}: Address already in use",
            ),
        ):
            ended = subprocess.run(
                [sys.executable, "-P", "-m", component, *flags],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert ended.returncode == 1
            assert said in ended.stderr
            assert "Traceback" not in ended.stderr


def test_a_host_port_is_taken(small: LocalCluster) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        ports = [{"containerPort": 80, "hostPort": port}]
        small.apply(pod("mine", "default", shell(SLEEP, ports=ports)))
        until(
            lambda: any(
                "address already in use" in text or "port is already allocated" in text
                for text in small.events("default", "FailedCreatePodSandBox")
            ),
            60,
            "an event that the port is taken",
        )
    ready(small, "default", "mine")
    # Two pods of the cluster: the second stays Pending, and the scheduler says why.
    small.apply(pod("second", "default", shell(SLEEP, ports=ports)))
    wanted = "didn't have free ports for the requested pod ports"
    until(lambda: any(wanted in text for text in small.events("default", "FailedScheduling")), 30, wanted)
    small.pybctl("delete", "pod", "mine")
    ready(small, "default", "second")
