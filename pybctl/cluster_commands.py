"""`pybctl cluster` and `pybctl node`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeclient.config import Config

from . import cluster, userconfig
from .home import ClusterHome, clusters
from .supervisor import running_pid
from .terminal import progress, table

DEFAULT_NAME = "local"


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser("cluster", help="create, delete, list and inspect local clusters")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="create a cluster and make it the current context")
    create.add_argument("name", nargs="?", default=DEFAULT_NAME)
    create.add_argument("--nodes", type=int, default=3, metavar="N", help="number of nodes (default: 3)")
    create.add_argument("--storage", choices=("sqlite", "memory", "etcd"), default="sqlite")
    create.add_argument("--etcd-servers", action="append", default=[], metavar="URL")
    create.add_argument("--runtime", choices=("docker", "simulated"), default="docker")
    create.add_argument("--port", type=int, default=6443, help="API server port; another one if it is taken")
    create.add_argument(
        "--node-capacity",
        action="append",
        default=[],
        metavar="RESOURCE=QUANTITY",
        help="what each node has, such as cpu=2 (default: an equal share of this machine)",
    )
    create.add_argument("--no-wait", action="store_true", help="return before the nodes are Ready")
    create.set_defaults(run=_create)
    for verb, text, run in (
        ("delete", "delete a cluster, its containers and its data", _delete),
        ("start", "start a stopped cluster", _start),
        ("stop", "end a cluster's processes; containers go on", _stop),
        ("status", "nodes, processes and their memory", _status),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("name", nargs="?", default=DEFAULT_NAME)
        one.set_defaults(run=run)
    verbs.add_parser("list", help="list the clusters of this user").set_defaults(run=_list)

    parser = commands.add_parser("node", help="stop and start nodes of a local cluster")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text, run in (
        ("stop", "kill a node's agent and containers, as a power cut would", _stop_node),
        ("start", "start a stopped node", _start_node),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("node")
        one.add_argument("--cluster", default=DEFAULT_NAME)
        one.set_defaults(run=run)


def _create(arguments: argparse.Namespace) -> int:
    wish = cluster.Wish(
        name=arguments.name,
        nodes=arguments.nodes,
        storage=arguments.storage,
        runtime=arguments.runtime,
        port=arguments.port,
        capacity=tuple(arguments.node_capacity),
        etcd_servers=tuple(arguments.etcd_servers),
    )
    began = time.monotonic()
    with progress() as shown:
        spec = cluster.create(wish, shown.step, wait=not arguments.no_wait)
    seconds = time.monotonic() - began
    print(f'Cluster "{spec.name}" with {len(spec.nodes)} nodes is ready after {seconds:.1f} s.')
    print(f"kubectl uses it now: context {userconfig.context_name(spec.name)} in {userconfig.path()}")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    home = cluster.find(arguments.name)
    with progress() as shown:
        cluster.delete(home, shown.step)
    print(f'Cluster "{arguments.name}" is gone.')
    return 0


def _start(arguments: argparse.Namespace) -> int:
    cluster.start(cluster.find(arguments.name))
    print(f'Cluster "{arguments.name}" is starting.')
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    cluster.stop(cluster.find(arguments.name))
    print(f'Cluster "{arguments.name}" is stopped; its containers go on.')
    return 0


def _list(arguments: argparse.Namespace) -> int:
    rows = []
    for home in clusters():
        spec = home.spec()
        state = "Running" if running_pid(home.run, "apiserver") else "Stopped"
        rows.append((spec.name, state, str(len(spec.nodes)), spec.storage, f"https://127.0.0.1:{spec.port}"))
    if not rows:
        print("No clusters. Create one with: pybctl cluster create", file=sys.stderr)
        return 0
    print(table(("NAME", "STATUS", "NODES", "STORAGE", "SERVER"), rows), end="")
    return 0


async def _nodes(home: ClusterHome) -> list[tuple[str, ...]]:
    async with Client(Config.from_kubeconfig(home.admin_kubeconfig)) as client:
        found, _ = await client.list(resources.get("nodes"))
        pods, _ = await client.list(resources.get("pods"))
    counts: dict[str, int] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName", "")
        counts[node] = counts.get(node, 0) + 1
    rows: list[tuple[str, ...]] = []
    for node in found:
        name = node["metadata"]["name"]
        capacity = (node.get("status") or {}).get("capacity") or {}
        status = "Ready" if cluster.is_ready(node) else "NotReady"
        rows.append(
            (name, status, str(counts.get(name, 0)), capacity.get("cpu", "?"), capacity.get("memory", "?"))
        )
    return rows


def _status(arguments: argparse.Namespace) -> int:
    home = cluster.find(arguments.name)
    found = cluster.processes(home)
    rows = [
        (p.name, "Running" if p.pid else "Stopped", str(p.pid or "-"), f"{p.rss / 2**20:.0f} MiB")
        for p in found
    ]
    total = sum(p.rss for p in found)
    print(
        table(("PROCESS", "STATUS", "PID", "MEMORY"), [*rows, ("total", "", "", f"{total / 2**20:.0f} MiB")])
    )
    try:
        nodes = asyncio.run(asyncio.wait_for(_nodes(home), 5))
    except (StatusError, OSError, TimeoutError) as error:
        print(f"The API server does not answer: {error or 'timed out'}", file=sys.stderr)
        return 1
    print(table(("NODE", "STATUS", "PODS", "CPU", "MEMORY"), nodes), end="")
    return 0 if all(row[1] == "Ready" for row in nodes) else 1


def _stop_node(arguments: argparse.Namespace) -> int:
    killed = cluster.stop_node(cluster.find(arguments.cluster), arguments.node)
    print(f"Node {arguments.node} is down: its agent and {killed} containers were killed.")
    return 0


def _start_node(arguments: argparse.Namespace) -> int:
    cluster.start_node(cluster.find(arguments.cluster), arguments.node)
    print(f"Node {arguments.node} is starting.")
    return 0
