"""The scheduler process against a real API server, with nodes that nobody runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from controllercluster import NAMESPACES, NODES, PODS, eventually
from servers import Server

from apimachinery import quantity, resources
from apimachinery.errors import StatusError
from kubeclient import Client, Config

Object = dict[str, Any]
EVENTS = resources.get("events")
VOLUMES = resources.get("persistentvolumes")
CLAIMS = resources.get("persistentvolumeclaims")
PRIORITY_CLASSES = resources.get("priorityclasses", "scheduling.k8s.io")
_ROOT = Path(__file__).resolve().parents[2]
_numbers = count()


class SchedulerProcess:
    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._data.parent / f"{self._data.name}-scheduler.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "scheduler",
                    f"--kubeconfig={self._data / 'scheduler.conf'}",
                    "--verbosity=1",
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(20) == 0


@pytest.fixture(scope="module")
def scheduler(server: Server) -> Iterator[SchedulerProcess]:
    process = SchedulerProcess(server.data)
    process.start()
    yield process
    process.stop()


class Place:
    """A namespace, and nodes that only its pods select."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.nodes: list[str] = []

    async def node(self, name: str, cpu: str = "4", **spec: Any) -> str:
        full = f"{self.name}-{name}"
        resources_ = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        await self.client.create(
            NODES,
            {
                "metadata": {"name": full, "labels": {"place": self.name, "kubernetes.io/hostname": full}},
                "status": {"allocatable": resources_, "capacity": resources_},
            },
        )
        self.nodes.append(full)
        # New nodes are not ready; here nobody but us says that they are.
        await self.client.patch(NODES, full, {"spec": {"taints": None, **spec}})
        return full

    async def pod(self, name: str, cpu: str = "1", **spec: Any) -> Object:
        container = {"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}
        body = {
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "containers": [container],
                "nodeSelector": {"place": self.name},
                "terminationGracePeriodSeconds": 0,
                **spec,
            },
        }
        return await self.client.create(PODS, body, self.name)

    async def get(self, name: str) -> Object:
        return await self.client.get(PODS, name, self.name)

    async def bound(self, name: str) -> str:
        async def check() -> str:
            return str((await self.get(name))["spec"]["nodeName"])

        return str(await eventually(check))

    async def pending_message(self, name: str, wanted: str) -> str:
        async def check() -> str:
            conditions = (await self.get(name))["status"]["conditions"]
            message = next(
                c["message"] for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"
            )
            assert wanted in message
            return str(message)

        return str(await eventually(check))

    async def event(self, reason: str, about: str) -> Object:
        async def check() -> Object:
            items, _ = await self.client.list(EVENTS, self.name, field_selector=f"reason={reason}")
            found = [e for e in items if e["involvedObject"]["name"] == about]
            assert found
            return found[-1]

        result: Object = await eventually(check)
        return result

    async def clean(self) -> None:
        pods, _ = await self.client.list(PODS, self.name)
        for pod in pods:
            with suppress(StatusError):
                await self.client.delete(PODS, pod["metadata"]["name"], self.name, grace_period_seconds=0)
        for node in self.nodes:
            with suppress(StatusError):
                await self.client.delete(NODES, node)


@pytest_asyncio.fixture
async def place(server: Server, scheduler: SchedulerProcess) -> AsyncIterator[Place]:
    async with Client(Config.from_kubeconfig(server.data / "admin.conf")) as client:
        name = f"place-{next(_numbers)}"
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        result = Place(client, name)
        yield result
        await result.clean()


async def test_a_pod_is_bound_and_told_about(place: Place) -> None:
    node = await place.node("a")
    await place.pod("p")
    assert await place.bound("p") == node
    conditions = {c["type"]: c["status"] for c in (await place.get("p"))["status"]["conditions"]}
    assert conditions["PodScheduled"] == "True"
    event = await place.event("Scheduled", "p")
    assert event["message"] == f"Successfully assigned {place.name}/p to {node}"
    assert event["source"]["component"] == "default-scheduler"


async def test_a_pod_that_fits_nowhere_says_why_and_is_bound_once_it_does(place: Place) -> None:
    await place.node("a", "1")
    await place.pod("p", "2")
    message = await place.pending_message("p", "1 Insufficient cpu")
    assert "nodes are available: " in message
    assert "preemption: 0/" in message
    assert (await place.event("FailedScheduling", "p"))["type"] == "Warning"
    node = await place.node("b", "2")
    assert await place.bound("p") == node


async def test_room_that_becomes_free_is_used(place: Place) -> None:
    await place.node("a", "1")
    await place.pod("first")
    await place.bound("first")
    await place.pod("second")
    await place.pending_message("second", "Insufficient cpu")
    await place.client.delete(PODS, "first", place.name)
    await place.bound("second")


async def test_an_untolerated_taint_is_named_and_its_removal_noticed(place: Place) -> None:
    node = await place.node("a", taints=[{"key": "keep", "value": "out", "effect": "NoSchedule"}])
    await place.pod("p")
    await place.pending_message("p", "1 node(s) had untolerated taint {keep: out}")
    await place.client.patch(NODES, node, {"spec": {"taints": None}})
    assert await place.bound("p") == node


async def test_gates_hold_a_pod_back(place: Place) -> None:
    await place.node("a")
    await place.pod("gated", schedulingGates=[{"name": "example.com/wait"}])
    await place.pod("open")
    await place.bound("open")
    assert "nodeName" not in (await place.get("gated"))["spec"]
    await place.client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, place.name)
    await place.bound("gated")


async def test_other_schedulers_pods_are_left_alone(place: Place) -> None:
    await place.node("a")
    await place.pod("theirs", schedulerName="other")
    await place.pod("ours")
    await place.bound("ours")
    assert "nodeName" not in (await place.get("theirs"))["spec"]


async def test_a_more_important_pod_takes_the_place_of_a_lesser_one(place: Place) -> None:
    node = await place.node("a", "1")
    await place.client.create(
        PRIORITY_CLASSES,
        {"metadata": {"name": f"{place.name}-high"}, "value": 1000, "description": "important"},
    )
    await place.pod("low")
    await place.bound("low")
    await place.pod("high", priorityClassName=f"{place.name}-high")
    assert await place.bound("high") == node
    with pytest.raises(StatusError, match="not found"):
        await place.get("low")
    assert "Preempted by pod" in (await place.event("Preempted", "low"))["message"]


async def test_a_killed_scheduler_loses_and_doubles_nothing(
    place: Place, scheduler: SchedulerProcess
) -> None:
    for index in range(4):
        await place.node(f"n{index}", "4")
    for index in range(8):
        await place.pod(f"p{index}", "2")
    await place.pod("too-many", "2")
    scheduler.kill()
    scheduler.start()
    for index in range(8):
        await place.pod(f"later-{index}", "10m", nodeSelector={"place": "nowhere"})
    await place.pending_message("later-7", "node affinity/selector")

    async def all_placed() -> list[Object]:
        pods, _ = await place.client.list(PODS, place.name)
        placed = [p for p in pods if p["spec"].get("nodeName")]
        assert len(placed) == 8
        return placed

    used: dict[str, int] = {}
    for pod in await eventually(all_placed):
        cpu = quantity.to_milli(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"])
        used[pod["spec"]["nodeName"]] = used.get(pod["spec"]["nodeName"], 0) + cpu
    assert sorted(used.values()) == [4000] * 4


async def test_a_waiting_claim_is_given_a_volume_before_its_pod_is_bound(place: Place) -> None:
    node, client = await place.node("a"), place.client
    name = f"{place.name}-local"
    metadata = {"name": name}
    mode = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    await client.create(resources.get("storageclasses", "storage.k8s.io"), {"metadata": metadata, **mode})
    reach = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    common = {"storageClassName": name, "accessModes": ["ReadWriteOnce"]}
    volume = {
        **common,
        "capacity": {"storage": "1Gi"},
        "local": {"path": "/data"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": reach}},
    }
    await client.create(VOLUMES, {"metadata": metadata, "spec": volume})
    claim = {**common, "resources": {"requests": {"storage": "1Gi"}}}
    await client.create(CLAIMS, {"metadata": metadata, "spec": claim}, place.name)
    await place.pod("p", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": name}}])

    async def promised() -> None:
        reference = (await client.get(VOLUMES, name))["spec"]["claimRef"]
        assert (reference["namespace"], reference["name"]) == (place.name, name)

    await eventually(promised)
    assert "nodeName" not in (await place.get("p"))["spec"]
    # What the volume controller does then.
    await client.patch(CLAIMS, name, {"spec": {"volumeName": name}}, place.name)
    await client.patch(CLAIMS, name, {"status": {"phase": "Bound"}}, place.name, subresource="status")
    assert await place.bound("p") == node
