"""A real API server with controllers, and node agents on the real engine, for tests of what pods do."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import busyboximage
from docker.api.client import APIClient

from apimachinery import resources
from apiserver import kubeconfigs, pki
from kubeclient.client import Client
from kubeclient.config import Config
from kubeclient.informer import Informer
from pytest_pybernetes.servers import KubeServer

PODS, EVENTS, NODES = resources.get("pods"), resources.get("events"), resources.get("nodes")
Pod = dict[str, Any]
CIDR = "10.197.0.0/16"


class Agent:
    """A kubeletd process."""

    def __init__(self, cluster: NodeCluster, name: str, *flags: str) -> None:
        self.name = name
        self._cluster = cluster
        self._flags = flags
        self.log = cluster.directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-P", "-m", "kubeletd", f"--node-name={self.name}",
                    f"--kubeconfig={self._cluster.node_kubeconfig(self.name)}",
                    f"--root-dir={self._cluster.directory / 'root' / self.name}",
                    f"--cluster-name={self._cluster.name}", f"--cluster-cidr={CIDR}", *self._flags,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(15)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


class NodeCluster:
    """Use `start` and `stop`; `pod(name, predicate)` waits for what a test wants to see."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.server = KubeServer(directory)
        self.engine = APIClient(version="auto")
        self.agents: dict[str, Agent] = {}

    def start(self) -> None:
        busyboximage.ensure(self.engine)
        self.server.start()
        self.server._spawn(
            "controllermanager",
            f"--kubeconfig={self.directory / 'controller-manager.conf'}",
            f"--root-ca-file={self.server.ca_file}",
            f"--cluster-cidr={CIDR}",
            "--allocate-node-cidrs",
        )

    def node_kubeconfig(self, node: str) -> Path:
        path = self.directory / f"node-{node}.conf"
        if not path.exists():
            authority = pki.ensure_ca(self.directory / "pki")
            credential = pki.issue_node(authority, node)
            ca_pem = self.server.ca_file.read_bytes()
            kubeconfigs.write_kubeconfig(
                path, self.server.url, ca_pem, credential, user=f"system:node:{node}"
            )
        return path

    def add_node(self, name: str, *flags: str) -> Agent:
        agent = self.agents[name] = Agent(self, name, *flags)
        agent.start()
        return agent

    def stop(self) -> None:
        for agent in self.agents.values():
            if agent.process is not None and agent.process.poll() is None:
                agent.stop()
        self.server.stop()
        mine = {"label": f"io.pybernetes.cluster={self.name}"}
        for container in self.engine.containers(all=True, filters=mine):
            self.engine.remove_container(container["Id"], force=True)
        for network in self.engine.networks(filters=mine):
            self.engine.remove_network(network["Id"])
        self.engine.close()
        for point in _mounts_below(self.directory):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    async def emptied(self, pod: str, timeout: float = 30.0) -> None:
        """Waits until the engine has no container of that pod any more."""

        def wait() -> None:
            filters = {"event": "destroy", "label": f"io.pybernetes.pod={pod}"}
            events = self.engine.events(decode=True, filters=filters)
            try:
                while self.containers(pod):
                    next(events)
            finally:
                events.close()

        async with asyncio.timeout(timeout):
            await asyncio.to_thread(wait)

    def containers(
        self, pod: str, container: str | None = None, running: bool = False
    ) -> list[dict[str, Any]]:
        labels = [f"io.pybernetes.cluster={self.name}", f"io.pybernetes.pod={pod}"]
        if container is not None:
            labels.append(f"io.pybernetes.container={container}")
        found: list[dict[str, Any]] = self.engine.containers(all=not running, filters={"label": labels})
        return found


def _mounts_below(directory: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in reversed(points) if point.startswith(str(directory) + os.sep)]


class Eyes:
    """Watches pods and events of the cluster within one test."""

    def __init__(self, cluster: NodeCluster) -> None:
        self.cluster = cluster
        self.client = Client(Config.from_kubeconfig(cluster.server.kubeconfig))
        self._informers = {r.plural: Informer(self.client, r) for r in (PODS, EVENTS, NODES)}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Eyes:
        for informer in self._informers.values():
            informer.add_handler(lambda old, new: self._changed.set())
            self._tasks.append(asyncio.create_task(informer.run()))
            await informer.synced()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()

    async def until(self, check: Callable[[], Any], timeout: float = 30.0, what: Any = None) -> Any:
        """Waits for `check()` to be true, looking whenever something in the cluster changed."""
        try:
            async with asyncio.timeout(timeout):
                while not (found := check()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"did not happen within {timeout} s; last seen: {what() if what else None}"
            ) from None
        return found

    def get(self, name: str) -> Pod | None:
        return self._informers["pods"].get("default", name)

    async def pod(self, name: str, check: Callable[[Pod], Any], timeout: float = 30.0) -> Pod:
        def seen() -> Pod | None:
            pod = self.get(name)
            return pod if pod is not None and check(pod) else None

        found: Pod = await self.until(seen, timeout, lambda: (self.get(name) or {}).get("status"))
        return found

    async def gone(self, name: str, timeout: float = 30.0) -> None:
        await self.until(lambda: self.get(name) is None, timeout, lambda: self.get(name))

    async def node(self, name: str, check: Callable[[dict[str, Any]], Any], timeout: float = 30.0) -> None:
        informer = self._informers["nodes"]
        await self.until(
            lambda: (node := informer.get("", name)) is not None and check(node), timeout,
            lambda: informer.get("", name),
        )  # fmt: skip

    async def event(self, pod: str, reason: str, text: str = "", timeout: float = 30.0) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            for event in self._informers["events"].store.values():
                about = event["involvedObject"]
                if about["name"] == pod and event["reason"] == reason and text in event["message"]:
                    found: dict[str, Any] = event
                    return found
            return None

        found: dict[str, Any] = await self.until(seen, timeout, lambda: self.messages(pod))
        return found

    def messages(self, pod: str) -> list[tuple[str, str]]:
        events = self._informers["events"].store.values()
        return [(e["reason"], e["message"]) for e in events if e["involvedObject"]["name"] == pod]

    async def create(self, name: str, *containers: dict[str, Any], node: str = "n1", **spec: Any) -> Pod:
        """A pod bound to a node; containers without an image get busybox."""
        made = [{"name": "main", "image": busyboximage.NAME, **container} for container in containers]
        inits = [{"image": busyboximage.NAME, **container} for container in spec.pop("initContainers", ())]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "nodeName": node, "containers": made, "initContainers": inits,
                "terminationGracePeriodSeconds": 2, **spec,
            },
        }  # fmt: skip
        return await self.client.create(PODS, body)

    async def delete(self, name: str, grace: int | None = None) -> None:
        await self.client.delete(PODS, name, "default", grace_period_seconds=grace)


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **more}


SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def container_status(pod: Pod, name: str = "main") -> dict[str, Any]:
    status = pod.get("status") or {}
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(key) or ():
            if entry["name"] == name:
                found: dict[str, Any] = entry
                return found
    return {}


def running(pod: Pod, name: str = "main") -> bool:
    return "running" in (container_status(pod, name).get("state") or {})


def waiting(pod: Pod, name: str = "main") -> dict[str, Any]:
    found: dict[str, Any] = (container_status(pod, name).get("state") or {}).get("waiting") or {}
    return found


def condition(pod: Pod, kind: str) -> str:
    for entry in (pod.get("status") or {}).get("conditions") or ():
        if entry["type"] == kind:
            return str(entry["status"])
    return ""


def ready(pod: Pod) -> bool:
    return condition(pod, "Ready") == "True"
