"""What the clusters of a test run have left on the machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from docker.api.client import APIClient

from kubeletd.runtime.docker import bridge_name
from pybctl import engine

PREFIX = "pybernetes-"


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _processes(mark: str) -> list[str]:
    """Command lines that have `mark` in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if mark in text:
            found.append(text)
    return found


def of_cluster(client: APIClient, name: str) -> list[str]:
    """Containers, networks, bridges and rules of a cluster."""
    found = [f"container {c['Names'][0]}" for c in engine.containers(client, name)]
    found += [f"network {n['Name']}" for n in client.networks(names=[f"{PREFIX}{name}"])]
    if Path("/sys/class/net", bridge_name(name)).exists():
        found.append(f"interface {bridge_name(name)}")
    tables = [line.split()[-1] for line in _lines("nft", "list", "tables")]
    found += [f"table {table}" for table in tables if table == f"{PREFIX}{name}"]
    return found


def below(directory: Path) -> list[str]:
    """Mounts in a directory, and processes that were told of it."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found = [f"mount {point}" for point in mounted if point.startswith(f"{directory}/")]
    return found + [f"process {text}" for text in _processes(f"{directory}/")]


def namespaces(prefix: str) -> list[str]:
    """Named network namespaces."""
    return [f"network namespace {line}" for line in _lines("ip", "netns", "list") if line.startswith(prefix)]
