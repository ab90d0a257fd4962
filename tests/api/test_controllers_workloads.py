"""Deployments and their services on a real API server, with the node played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from controllercluster import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Controllers,
    Playground,
    controlling,
    eventually,
    free_port,
)
from servers import serving

from apimachinery import resources

SERVICES = resources.get("services")
SLICES = resources.get("endpointslices", "discovery.k8s.io")
ENDPOINTS = resources.get("endpoints")
EVENTS = resources.get("events")


class Cluster:
    def __init__(self, server: Any, controllers: Controllers) -> None:
        self.server = server
        self.controllers = controllers
        self.data: Path = server.data


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data = tmp_path_factory.mktemp("controllers") / "data"
    with serving(data, "--secure-port", str(free_port())) as server, controlling(data) as controllers:
        yield Cluster(server, controllers)


@pytest_asyncio.fixture
async def here(cluster: Cluster) -> AsyncIterator[Playground]:
    playground = await Playground.create(cluster.data)
    yield playground
    await playground.client.close()


async def test_a_deployment_rolls_out_over_and_back(here: Playground) -> None:
    await here.deploy(replicas=3)
    first = await here.rolled_out()
    assert first["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert first["metadata"]["generation"] == 1
    conditions = {c["type"]: (c["status"], c["reason"]) for c in first["status"]["conditions"]}
    assert conditions["Available"] == ("True", "MinimumReplicasAvailable")
    await here.set_image("web", "app:2")
    second = await here.rolled_out()
    assert second["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    pods = await here.list(PODS)
    assert {p["spec"]["containers"][0]["image"] for p in pods} == {"app:2"}
    await here.set_image("web", "app:1")
    third = await here.rolled_out()
    assert third["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert len(await here.list(REPLICA_SETS)) == 2
    conditions = {c["type"]: (c["status"], c["reason"]) for c in third["status"]["conditions"]}
    assert conditions["Progressing"] == ("True", "NewReplicaSetAvailable")


async def test_a_deleted_pod_is_replaced_and_scaling_follows(here: Playground) -> None:
    await here.deploy(replicas=2)
    await here.rolled_out()
    before = {p["metadata"]["name"] for p in await here.list(PODS)}
    await here.client.delete(PODS, min(before), here.namespace, grace_period_seconds=0)

    async def replaced() -> None:
        after = {p["metadata"]["name"] for p in await here.list(PODS)}
        assert len(after) == 2 and min(before) not in after

    await eventually(replaced)
    for replicas in (5, 0):
        await here.patch(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}})

        async def scaled(wanted: int = replicas) -> None:
            pods = await here.run_pods()
            deployment = await here.get(DEPLOYMENTS, "web")
            assert len(pods) == deployment["status"].get("availableReplicas", 0) == wanted

        await eventually(scaled)

    async def told() -> None:
        messages = [e["message"] for e in await here.list(EVENTS)]
        assert any(m.startswith("Scaled up replica set web-") and m.endswith("from 2 to 5") for m in messages)
        assert any(m.startswith("Created pod: web-") for m in messages)

    await eventually(told)


async def test_recreate_waits_for_the_old_pods(here: Playground) -> None:
    await here.deploy(replicas=2, strategy={"type": "Recreate"})
    await here.rolled_out()
    await here.set_image("web", "app:2")
    await here.rolled_out()
    assert {p["spec"]["containers"][0]["image"] for p in await here.list(PODS)} == {"app:2"}


async def test_endpoints_follow_readiness(here: Playground) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"name": "web", "port": 80, "targetPort": "http"}]}
    await here.create_object(SERVICES, {"metadata": {"name": "front"}, "spec": spec})

    async def empty() -> None:
        (only,) = await here.list(SLICES)
        assert not only.get("endpoints")
        assert only["metadata"]["labels"]["kubernetes.io/service-name"] == "front"

    await eventually(empty)
    await here.deploy(replicas=2)

    async def shown(ready: bool) -> None:
        await here.run_pods(ready=ready)
        (only,) = await here.list(SLICES)
        assert [e["conditions"]["ready"] for e in only["endpoints"]] == [ready, ready]
        assert only["ports"] == [{"name": "web", "port": 8080, "protocol": "TCP"}]
        endpoints = await here.get(ENDPOINTS, "front")
        (subset,) = endpoints["subsets"]
        assert len(subset["addresses" if ready else "notReadyAddresses"]) == 2
        assert ("notReadyAddresses" if ready else "addresses") not in subset

    await eventually(lambda: shown(True))
    await eventually(lambda: shown(False))
    await here.client.delete(SERVICES, "front", here.namespace)

    async def gone() -> None:
        assert not await here.list(SLICES)
        assert not await here.list(ENDPOINTS)

    await eventually(gone)


async def test_kill_minus_nine_in_the_middle_of_a_burst_makes_no_pod_twice(
    here: Playground, cluster: Cluster
) -> None:
    await here.deploy(replicas=300)

    async def some() -> None:
        assert len(await here.list(PODS)) >= 20

    await eventually(some)
    cluster.controllers.kill()
    assert len(await here.list(PODS)) < 300
    cluster.controllers.start()

    async def counted() -> None:
        pods = await here.list(PODS)
        (only,) = await here.list(REPLICA_SETS)
        assert (len(pods), only["status"].get("replicas")) == (300, 300)

    await eventually(counted)
    await here.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}})
    await here.rolled_out(pods=0)


async def test_a_restart_of_the_api_server_is_survived(here: Playground, cluster: Cluster) -> None:
    await here.deploy(replicas=400)

    async def some() -> None:
        assert len(await here.list(PODS)) >= 20

    await eventually(some)
    cluster.server.kill()
    cluster.server.start()

    async def counted() -> None:
        pods = await here.list(PODS)
        (only,) = await here.list(REPLICA_SETS)
        assert (len(pods), only["status"].get("replicas")) == (400, 400)

    await eventually(counted)
    await here.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}})
    await here.rolled_out(pods=0)
