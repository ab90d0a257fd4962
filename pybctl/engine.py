"""What a local cluster leaves on the Docker Engine and on the machine, and its removal."""

from __future__ import annotations

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

LABEL_CLUSTER = "io.pybernetes.cluster"
LABEL_NODE = "io.pybernetes.node"


class EngineError(Exception):
    """No Docker Engine answers; the text says what to do."""


def connect() -> Any:
    """A low-level client of the engine. Raises EngineError."""
    import docker  # heavy: only the commands that touch the engine pay for it
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=60).api
        client.ping()
    except (DockerException, OSError) as error:
        raise EngineError(
            f"no Docker Engine answers ({error}): start it, or create the cluster with --runtime simulated"
        ) from error
    return client


def containers(client: Any, cluster: str, node: str = "") -> list[dict[str, Any]]:
    """The cluster's containers, running or not; of one node if named."""
    labels = [f"{LABEL_CLUSTER}={cluster}"] + ([f"{LABEL_NODE}={node}"] if node else [])
    found: list[dict[str, Any]] = client.containers(all=True, filters={"label": labels})
    return found


def remove_containers(client: Any, found: list[dict[str, Any]]) -> None:
    """Removes containers, sandboxes after the others, several at a time."""
    from docker.errors import APIError, NotFound

    def remove(container: dict[str, Any]) -> None:
        try:
            client.remove_container(container["Id"], force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            # The engine may be removing it already.
            if error.status_code != 409:
                raise

    inner = [c for c in found if c["Labels"].get("io.pybernetes.kind") != "sandbox"]
    outer = [c for c in found if c["Labels"].get("io.pybernetes.kind") == "sandbox"]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(remove, inner))
        list(pool.map(remove, outer))


def kill_containers(client: Any, found: list[dict[str, Any]]) -> int:
    """SIGKILL to every running one, at once; how many there were."""
    from docker.errors import APIError

    running = [c for c in found if c["State"] == "running"]

    def kill(container: dict[str, Any]) -> None:
        try:
            client.kill(container["Id"])
        except APIError as error:
            # 404 and 409: it has ended meanwhile.
            if error.status_code not in (404, 409):
                raise

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(kill, running))
    return len(running)


def remove_networks(client: Any, cluster: str) -> None:
    from docker.errors import NotFound

    for network in client.networks(filters={"label": [f"{LABEL_CLUSTER}={cluster}"]}):
        try:
            client.remove_network(network["Id"])
        except NotFound:
            continue


def remove_rules(cluster: str) -> None:
    """The service proxy's nftables table, where there is one. Needs root."""
    if os.geteuid() != 0:
        return
    table = f"pybernetes-{cluster}"
    script = f"add table ip {table}\ndelete table ip {table}\n"
    try:
        subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True, capture_output=True)
    except FileNotFoundError:
        # Without nft nothing can have made the table.
        return


def used_subnets(client: Any) -> list[str]:
    """The IPv4 ranges of the engine's networks."""
    found = []
    for network in client.networks():
        for config in (network.get("IPAM") or {}).get("Config") or ():
            if config.get("Subnet") and ":" not in config["Subnet"]:
                found.append(config["Subnet"])
    return found


def free_port(preferred: int) -> int:
    """`preferred` if nothing listens there, else a port the system chooses."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise EngineError("no free TCP port on 127.0.0.1")
