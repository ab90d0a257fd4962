"""An API server with the controllers beside it and no nodes: tests play the node by writing statuses."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from kubeclient import Client, Config

Object = dict[str, Any]

PODS = resources.get("pods")
NODES = resources.get("nodes")
NAMESPACES = resources.get("namespaces")
DEPLOYMENTS = resources.get("deployments", "apps")
REPLICA_SETS = resources.get("replicasets", "apps")
CONFIG_MAPS = resources.get("configmaps")

_ROOT = Path(__file__).resolve().parents[2]
_numbers = count()


class Controllers:
    """The controller manager's process."""

    def __init__(self, data: Path, *flags: str) -> None:
        self._data = data
        self._flags = flags
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._data.parent / f"{self._data.name}-controllers.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "controllermanager",
                    f"--kubeconfig={self._data / 'controller-manager.conf'}",
                    "--verbosity=1",
                    *self._flags,
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(20) == 0


@contextmanager
def controlling(data: Path, *flags: str) -> Iterator[Controllers]:
    controllers = Controllers(data, *flags)
    controllers.start()
    try:
        yield controllers
    finally:
        controllers.stop()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def eventually(check: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """The result of `check` once what it looks for is there: no failed assertion, no 404, no missing key any more."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            return await check()
        except (AssertionError, StatusError, KeyError, ValueError, pytest.fail.Exception) as error:
            if isinstance(error, StatusError) and error.code != 404:
                raise
            if loop.time() > deadline:
                raise
        await asyncio.sleep(0.02)


class Playground:
    """One namespace of a cluster, and hands to play user and node with."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self._addresses = count(1)

    @classmethod
    async def create(cls, data: Path) -> Playground:
        client = Client(Config.from_kubeconfig(data / "admin.conf"))
        name = f"test-{next(_numbers)}"
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        return cls(client, name)

    async def list(self, resource: Resource) -> list[Object]:
        items, _ = await self.client.list(resource, self.namespace)
        return items

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.client.get(resource, name, self.namespace)

    async def create_object(self, resource: Resource, obj: Object) -> Object:
        return await self.client.create(resource, obj, self.namespace)

    async def patch(self, resource: Resource, name: str, patch: Object) -> Object:
        return await self.client.patch(resource, name, patch, self.namespace)

    async def deploy(self, name: str = "web", replicas: int = 2, **spec: Any) -> Object:
        labels = {"app": name}
        container = {"name": "c", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]}
        body = {
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                **spec,
            },
        }
        return await self.create_object(DEPLOYMENTS, body)

    async def set_image(self, name: str, image: str) -> None:
        container = {"name": "c", "image": image}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        await self.client.patch(DEPLOYMENTS, name, patch, self.namespace, kind="strategic")

    async def run_pods(self, ready: bool = True) -> list[Object]:
        """Plays the node: what waits runs, and what is to end has ended. Returns the pods that are there."""
        for pod in await self.list(PODS):
            name, status = pod["metadata"]["name"], pod.get("status") or {}
            if pod["metadata"].get("deletionTimestamp"):
                try:
                    await self.client.delete(PODS, name, self.namespace, grace_period_seconds=0)
                except StatusError as error:
                    if error.code != 404:
                        raise
                continue
            conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
            wanted = "True" if ready else "False"
            if status.get("phase") == "Running" and conditions.get("Ready") == wanted:
                continue
            ip = status.get("podIP") or f"10.9.8.{next(self._addresses)}"
            stamp = "2026-01-01T00:00:00Z"
            condition = {"type": "Ready", "status": wanted, "lastTransitionTime": stamp}
            patch = {
                "status": {
                    "phase": "Running",
                    "podIP": ip,
                    "podIPs": [{"ip": ip}],
                    "conditions": [condition],
                }
            }
            try:
                await self.client.patch(PODS, name, patch, self.namespace, subresource="status")
            except StatusError as error:
                if error.code != 404:
                    raise
        return await self.list(PODS)

    async def rolled_out(self, name: str = "web", pods: int | None = None) -> Object:
        """Waits, with the node played, until the deployment says that it is complete."""

        async def check() -> Object:
            await self.run_pods()
            deployment = await self.get(DEPLOYMENTS, name)
            wanted = deployment["spec"]["replicas"] if pods is None else pods
            status = deployment.get("status") or {}
            assert status.get("observedGeneration") == deployment["metadata"]["generation"]
            for key in ("replicas", "updatedReplicas", "availableReplicas"):
                assert status.get(key, 0) == wanted, (key, status)
            return deployment

        result: Object = await eventually(check)
        return result
