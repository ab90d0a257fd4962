"""Many imaginary nodes in one process under a real API server: pods run, become ready, end, are restarted, go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery import resources
from kubeclient.client import Client
from kubeclient.config import Config
from kubeclient.informer import Informer
from pytest_pybernetes.servers import KubeServer

PODS, NODES = resources.get("pods"), resources.get("nodes")
PREFIX = "simulated.pybernetes.io/"
NODE_COUNT = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    directory: Path = tmp_path_factory.mktemp("simulated")
    server = KubeServer(directory)
    server.start()
    server.start_controllers()
    server.start_nodes(NODE_COUNT)
    yield server
    server.stop()


class World:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.pods, self.nodes = Informer(client, PODS), Informer(client, NODES)
        self.changed = asyncio.Event()
        for informer in (self.pods, self.nodes):
            informer.add_handler(lambda old, new: self.changed.set())

    async def until(self, check: Callable[[], Any], timeout: float = 30.0) -> Any:
        try:
            async with asyncio.timeout(timeout):
                while not (found := check()):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            seen = {name: pod.get("status") for (_, name), pod in self.pods.store.items()}
            raise AssertionError(f"did not happen; pods: {seen}") from None
        return found

    def status(self, name: str) -> dict[str, Any]:
        pod = self.pods.get("default", name) or {}
        found: dict[str, Any] = pod.get("status") or {}
        return found

    async def create(
        self, name: str, node: str = "node-0", annotations: dict[str, str] | None = None, **spec: Any
    ) -> None:
        meta = {
            "name": name, "namespace": "default",
            "annotations": {PREFIX + key: value for key, value in (annotations or {}).items()},
        }  # fmt: skip
        probe = {"httpGet": {"port": 80}}
        container = {"name": "c", "image": "any", "readinessProbe": probe}
        body = {"spec": {"nodeName": node, "containers": [container], **spec}}
        await self.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, **body})


@pytest.fixture
async def world(server: KubeServer) -> AsyncIterator[World]:
    async with Client(Config.from_kubeconfig(server.kubeconfig)) as client:
        world = World(client)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(i.run()) for i in (world.pods, world.nodes)]
            await world.until(lambda: len(ready_nodes(world)) == NODE_COUNT)
            yield world
            for task in tasks:
                task.cancel()


def ready_nodes(world: World) -> list[str]:
    return [
        name
        for (_, name), node in world.nodes.store.items()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or ())
    ]


def is_ready(status: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())


async def test_nodes_get_addresses_of_their_own(world: World) -> None:
    found = [node["status"]["addresses"][0]["address"] for node in world.nodes.store.values()]
    assert len(set(found)) == NODE_COUNT


async def test_pods_everywhere_become_ready_and_go(world: World) -> None:
    names = [f"p{index}" for index in range(20)]
    await asyncio.gather(*(world.create(name, f"node-{i % NODE_COUNT}") for i, name in enumerate(names)))
    await world.until(lambda: all(is_ready(world.status(name)) for name in names))
    addresses = {world.status(name)["podIP"] for name in names}
    assert len(addresses) == len(names)
    await asyncio.gather(*(world.client.delete(PODS, name, "default") for name in names))
    await world.until(lambda: not any(world.status(name) for name in names))


async def test_annotations_say_how_a_container_ends(world: World) -> None:
    ends = {"run-seconds": "0.1"}
    await world.create("good", annotations=ends, restartPolicy="Never")
    await world.create("bad", annotations={**ends, "exit-code": "3"}, restartPolicy="Never")
    await world.create("again", annotations={**ends, "exit-code": "3"})
    await world.until(lambda: world.status("good").get("phase") == "Succeeded")
    await world.until(lambda: world.status("bad").get("phase") == "Failed")
    ended = world.status("bad")["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    waits = {"reason": "CrashLoopBackOff"}
    await world.until(
        lambda: any(
            (s["state"].get("waiting") or {}).get("reason") == waits["reason"]
            for s in world.status("again").get("containerStatuses") or ()
        )
    )


async def test_readiness_comes_when_the_annotation_says(world: World) -> None:
    await world.create("slow", annotations={"ready-seconds": "0.5"})
    await world.until(lambda: world.status("slow").get("phase") == "Running")
    assert not is_ready(world.status("slow"))
    await world.until(lambda: is_ready(world.status("slow")))


async def test_an_image_that_is_missing(world: World) -> None:
    container = {"name": "c", "image": "missing:1"}
    await world.create("noimage", containers=[container])
    await world.until(
        lambda: any(
            (s["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff"
            for s in world.status("noimage").get("containerStatuses") or ()
        )
    )


async def test_a_pod_of_a_ready_node_is_as_ready_as_the_node_says(world: World) -> None:
    await world.create("blamed")

    def ready(status: str) -> bool:
        conditions = world.status("blamed").get("conditions") or ()
        return any(c["type"] == "Ready" and c["status"] == status for c in conditions)

    await world.until(lambda: ready("True"))
    untrue = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
    changed = await world.client.patch(
        PODS,
        "blamed",
        {"status": {"conditions": [untrue]}},
        "default",
        kind="strategic",
        subresource="status",
    )
    version = changed["metadata"]["resourceVersion"]
    await world.until(lambda: world.pods.get("default", "blamed")["metadata"]["resourceVersion"] >= version)
    await world.until(lambda: ready("True"))
    reasons = [c.get("reason") for c in world.status("blamed")["conditions"] if c["type"] == "Ready"]
    assert reasons == [None]


async def test_a_pod_is_resized_as_far_as_its_node_has_room(world: World) -> None:
    def sized(cpu: str) -> dict[str, Any]:
        container = {"name": "c", "image": "any", "resources": {"requests": {"cpu": cpu}}}
        return {"spec": {"containers": [container]}}

    async def resize(cpu: str) -> None:
        await world.client.patch(
            PODS, "elastic", sized(cpu), "default", kind="strategic", subresource="resize"
        )

    def shown() -> tuple[str, list[tuple[str, str]]]:
        status = world.status("elastic")
        resources = (status.get("containerStatuses") or [{}])[0].get("resources") or {}
        conditions = [c for c in status.get("conditions") or () if c["type"].startswith("PodResize")]
        return (resources.get("requests") or {}).get("cpu", ""), [
            (c["type"], c.get("reason", "")) for c in conditions
        ]

    await world.create("elastic", "node-1", **sized("1")["spec"])
    await world.until(lambda: is_ready(world.status("elastic")) and shown() == ("1", []))
    await resize("2")
    await world.until(lambda: shown() == ("2", []))
    assert world.status("elastic")["observedGeneration"] == 2
    await resize("400")
    await world.until(lambda: shown() == ("2", [("PodResizePending", "Infeasible")]))
    await resize("1500m")
    await world.until(lambda: shown() == ("1500m", []))
    assert world.status("elastic")["containerStatuses"][0]["restartCount"] == 0


async def test_nodes_tell_what_becomes_of_them(world: World) -> None:
    """Starting, what there is enough of, ready; the controller says that it knows of the node."""
    reasons = {
        "Starting": ("kubelet", "Starting kubelet."),
        "NodeHasSufficientMemory": ("kubelet", "Node node-1 status is now: NodeHasSufficientMemory"),
        "NodeHasNoDiskPressure": ("kubelet", "Node node-1 status is now: NodeHasNoDiskPressure"),
        "NodeHasSufficientPID": ("kubelet", "Node node-1 status is now: NodeHasSufficientPID"),
        "NodeReady": ("kubelet", "Node node-1 status is now: NodeReady"),
        "RegisteredNode": ("node-controller", "Node node-1 event: Registered Node node-1 in Controller"),
    }
    events = Informer(world.client, resources.get("events"))
    events.add_handler(lambda old, new: world.changed.set())

    def told() -> dict[str, tuple[str, str]]:
        node = {"kind": "Node", "name": "node-1"}.items()
        about = [e for e in events.store.values() if node <= e["involvedObject"].items()]
        return {e["reason"]: (e["source"]["component"], e["message"]) for e in about}

    task = asyncio.create_task(events.run())
    try:
        await world.until(lambda: reasons.keys() <= told().keys())
        assert {reason: told()[reason] for reason in reasons} == reasons
    finally:
        task.cancel()


def test_hundreds_of_nodes_are_in_one_process(tmp_path: Path) -> None:
    """More than a usual cluster's addresses would do for."""
    count = 300
    server = KubeServer(tmp_path)
    server.start()
    try:
        server.start_controllers(["node-ipam-controller", "node-lifecycle-controller"])
        server.start_nodes(count)

        async def ready() -> None:
            async with Client(Config.from_kubeconfig(server.kubeconfig)) as client:
                world = World(client)
                tasks = [asyncio.create_task(informer.run()) for informer in (world.pods, world.nodes)]
                await world.until(lambda: len(ready_nodes(world)) == count, 120)
                cidrs = {node["spec"]["podCIDR"] for node in world.nodes.store.values()}
                assert len(cidrs) == count
                for task in tasks:
                    task.cancel()

        asyncio.run(ready())
    finally:
        server.stop()
