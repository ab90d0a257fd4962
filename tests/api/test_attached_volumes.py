"""The attach/detach controller on a real API server; the test is the node's agent and the driver's attacher."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from controllercluster import NAMESPACES, NODES, PODS, Playground, eventually

from apimachinery import resources
from apimachinery.attachments import attachment_name, unique_name
from kubeclient import Client, Config
from pytest_pybernetes.servers import KubeServer

CLAIMS = resources.get("persistentvolumeclaims")
VOLUMES = resources.get("persistentvolumes")
EVENTS = resources.get("events")
ACCOUNTS = resources.get("serviceaccounts")
ATTACHMENTS = resources.get("volumeattachments", "storage.k8s.io")
DRIVER = "d.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    server = KubeServer(tmp_path_factory.mktemp("attached"))
    server.start()
    server.start_controllers()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def here(server: KubeServer, request: pytest.FixtureRequest) -> AsyncIterator[Playground]:
    async with Client(Config.from_kubeconfig(server.kubeconfig)) as client:
        name = request.node.name.replace("_", "-")[:50].rstrip("-")
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        await eventually(lambda: client.get(ACCOUNTS, "default", name))
        yield Playground(client, name)


class Disk:
    """A volume of a driver with its claim, and the nodes and pods that are to have it."""

    def __init__(self, here: Playground, handle: str) -> None:
        self.here = here
        self.client = here.client
        self.handle = handle
        self.unique = unique_name(DRIVER, handle)

    def name_on(self, node: str) -> str:
        return attachment_name(DRIVER, self.handle, node)

    async def make(self) -> None:
        shape = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        csi = {"driver": DRIVER, "volumeHandle": self.handle}
        volume = {**shape, "capacity": {"storage": "1Gi"}, "csi": csi}
        await self.client.create(VOLUMES, {"metadata": {"name": self.handle}, "spec": volume})
        wanted = {**shape, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": self.handle}
        claim = {"metadata": {"name": "data"}, "spec": wanted}
        await self.client.create(CLAIMS, claim, self.here.namespace)

    async def node(self, name: str) -> None:
        await self.client.create(NODES, {"metadata": {"name": name}})

    async def pod(self, name: str, node: str) -> None:
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "any"}], "volumes": volumes}
        await self.client.create(PODS, {"metadata": {"name": name}, "spec": spec}, self.here.namespace)

    async def end(self, pod: str) -> None:
        await self.client.delete(PODS, pod, self.here.namespace, grace_period_seconds=0)

    async def attachment(self, node: str) -> dict[str, Any]:
        async def check() -> dict[str, Any]:
            return await self.client.get(ATTACHMENTS, self.name_on(node))

        found: dict[str, Any] = await eventually(check)
        return found

    async def attached(self, node: str, **status: Any) -> None:
        """The driver's attacher has answered."""
        patch = {"status": {"attached": True, **status}}
        await self.client.patch(ATTACHMENTS, self.name_on(node), patch, subresource="status")

    async def uses(self, node: str, *names: str) -> None:
        """The node's agent says what it may have mounted."""
        await self.client.patch(
            NODES, node, {"status": {"volumesInUse": list(names) or None}}, subresource="status"
        )

    async def reported(self, node: str, *names: str) -> None:
        async def check() -> None:
            status = (await self.client.get(NODES, node)).get("status") or {}
            assert [one["name"] for one in status.get("volumesAttached") or ()] == list(names)

        await eventually(check)

    async def detached(self, node: str) -> None:
        async def check() -> None:
            found, _ = await self.client.list(ATTACHMENTS)
            assert self.name_on(node) not in [one["metadata"]["name"] for one in found]

        await eventually(check)

    async def told(self, reason: str, text: str) -> None:
        async def check() -> None:
            found, _ = await self.client.list(EVENTS, self.here.namespace)
            assert [e for e in found if e["reason"] == reason and text in e["message"]], found

        await eventually(check)


async def test_a_volume_follows_its_pod_and_waits_for_its_node(here: Playground) -> None:
    disk = Disk(here, "one")
    await disk.make()
    await disk.node("a1")
    await disk.node("a2")
    await disk.pod("first", "a1")
    found = await disk.attachment("a1")
    assert found["spec"] == {
        "attacher": DRIVER,
        "nodeName": "a1",
        "source": {"persistentVolumeName": "one"},
    }
    await disk.uses("a1", disk.unique)
    await disk.attached("a1")
    await disk.reported("a1", disk.unique)
    await disk.told("SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "one"')
    # Another node may not have it meanwhile.
    await disk.pod("second", "a2")
    await disk.told(
        "FailedAttachVolume", 'Multi-Attach error for volume "one" Volume is already used by pod(s) first'
    )
    await disk.end("first")
    await disk.told("FailedAttachVolume", "Multi-Attach error")
    assert (await disk.attachment("a1"))["status"]["attached"]
    # The node lets go: detached there, attached here.
    await disk.uses("a1")
    await disk.detached("a1")
    await disk.reported("a1")
    await disk.attachment("a2")


async def test_a_node_out_of_service_loses_its_volumes(here: Playground) -> None:
    disk = Disk(here, "two")
    await disk.make()
    await disk.node("b1")
    await disk.pod("user", "b1")
    await disk.attachment("b1")
    await disk.uses("b1", disk.unique)
    await disk.attached("b1")
    await disk.reported("b1", disk.unique)
    await disk.end("user")
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    await here.client.patch(NODES, "b1", {"spec": {"taints": [taint]}}, kind="strategic")
    await disk.detached("b1")
    await disk.reported("b1")


async def test_what_the_attacher_says_reaches_the_pod(here: Playground) -> None:
    disk = Disk(here, "three")
    await disk.make()
    await disk.node("c1")
    await disk.pod("user", "c1")
    await disk.attachment("c1")
    trouble = {"message": "no port is free", "time": "2030-01-01T00:00:00Z"}
    await disk.attached("c1", attached=False, attachError=trouble)
    await disk.told("FailedAttachVolume", 'AttachVolume.Attach failed for volume "three" : no port is free')


async def test_attachments_of_others_are_left_alone(here: Playground) -> None:
    theirs = {
        "metadata": {"name": "theirs"},
        "spec": {"attacher": DRIVER, "nodeName": "d1", "source": {"persistentVolumeName": "nothing"}},
    }
    await here.client.create(ATTACHMENTS, theirs)
    disk = Disk(here, "four")
    await disk.make()
    await disk.node("d1")
    await disk.pod("user", "d1")
    await disk.attachment("d1")
    await disk.end("user")
    await disk.detached("d1")
    assert (await here.client.get(ATTACHMENTS, "theirs"))["metadata"]["name"] == "theirs"
