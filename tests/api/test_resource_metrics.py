"""The resource metrics API of the server itself, and an autoscaler that reads it: agents played by the test."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from conftest import serving
from controllercluster import DEPLOYMENTS, NODES, PODS, Playground, controlling, eventually
from fakeagent import FakeAgent, serve

from apimachinery import meta, resources
from apimachinery.errors import StatusError
from apiserver import nodeagent_pb2 as pb

AUTOSCALERS = resources.get("horizontalpodautoscalers", "autoscaling")
API = "/apis/metrics.k8s.io/v1beta1"
NODE = "measured"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("metrics") / "data"
    with (
        serving(path, "--storage", "memory"),
        controlling(path, "--horizontal-pod-autoscaler-sync-period=0.2"),
    ):
        yield path


@pytest_asyncio.fixture
async def here(data: Path) -> AsyncIterator[Playground]:
    playground = await Playground.create(data)
    yield playground
    await playground.client.close()


@pytest_asyncio.fixture
async def agent(here: Playground, data: Path) -> AsyncIterator[FakeAgent]:
    made = FakeAgent()
    server, endpoint = await serve(made, data / "pki", NODE)
    note = {"annotations": {"pybernetes.io/agent-endpoint": endpoint}}
    try:
        await here.client.create(NODES, {"metadata": {"name": NODE, **note}})
    except StatusError as error:
        assert error.reason == "AlreadyExists"
        await here.client.patch(NODES, NODE, {"metadata": note})
    yield made
    await server.stop(None)


def figures(pods: list[dict[str, Any]], nanocores: int) -> Any:
    """Every pod has one container that uses so much."""
    rate = pb.Rate(nanocores=nanocores, window_nanoseconds=15 * 10**9)
    return pb.StatsResponse(
        # Later than the pods became ready, by more than a window.
        time_nanoseconds=time.time_ns() + 60 * 10**9,
        memory_working_set=5 << 20,
        cpu=rate,
        pods=[
            pb.PodStats(
                namespace=pod["metadata"]["namespace"],
                name=pod["metadata"]["name"],
                uid=pod["metadata"]["uid"],
                containers=[pb.ContainerStats(name="c", cpu=rate, memory_working_set=1 << 20)],
            )
            for pod in pods
        ],
    )


async def get(here: Playground, path: str) -> Any:
    return (await here.client.request("GET", API + path)).json()


async def settle(here: Playground) -> list[dict[str, Any]]:
    """All pods are bound to the node, and run."""
    for pod in await here.list(PODS):
        if not pod["spec"].get("nodeName"):
            binding = {"metadata": {"name": pod["metadata"]["name"]}, "target": {"name": NODE}}
            path = PODS.path(here.namespace, pod["metadata"]["name"], "binding")
            await here.client.request("POST", path, body=binding)
            started = {"status": {"startTime": "2026-01-01T00:00:00Z"}}
            name = pod["metadata"]["name"]
            await here.client.patch(PODS, name, started, here.namespace, subresource="status")
    return await here.run_pods()


async def test_pods_and_nodes_are_measured(here: Playground, agent: FakeAgent) -> None:
    await here.deploy(replicas=2)
    await here.rolled_out()
    pods = await settle(here)
    agent.stats = figures(pods, 250_000_000)
    listed = await get(here, f"/namespaces/{here.namespace}/pods")
    assert (listed["kind"], listed["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    assert {item["metadata"]["name"] for item in listed["items"]} == {p["metadata"]["name"] for p in pods}
    (container,) = listed["items"][0]["containers"]
    assert container == {"name": "c", "usage": {"cpu": "250m", "memory": "1Mi"}}
    assert listed["items"][0]["window"] == "15s"
    name = pods[0]["metadata"]["name"]
    one = await get(here, f"/namespaces/{here.namespace}/pods/{name}")
    assert (one["kind"], one["metadata"]["name"]) == ("PodMetrics", name)
    assert one["metadata"]["labels"] == pods[0]["metadata"]["labels"]
    # Selectors choose by what the pods themselves have.
    chosen = await get(here, f"/namespaces/{here.namespace}/pods?labelSelector=app%3Dnone")
    assert chosen["items"] == []
    chosen = await get(here, f"/pods?fieldSelector=metadata.name%3D{name}")
    assert [item["metadata"]["name"] for item in chosen["items"]] == [name]
    node = await get(here, f"/nodes/{NODE}")
    assert node["usage"] == {"cpu": "250m", "memory": "5Mi"}
    assert [item["metadata"]["name"] for item in (await get(here, "/nodes"))["items"]] == [NODE]
    for path in (f"/namespaces/{here.namespace}/pods/none", "/nodes/none", "/pods/none", "/things"):
        with pytest.raises(StatusError) as missing:
            await get(here, path)
        assert missing.value.code == 404


async def test_what_does_not_run_or_does_not_answer_is_left_out(here: Playground, agent: FakeAgent) -> None:
    await here.deploy(replicas=1)
    await here.rolled_out()
    assert (await get(here, f"/namespaces/{here.namespace}/pods"))["items"] == []
    pods = await settle(here)
    await here.client.create(NODES, {"metadata": {"name": f"silent-{here.namespace}"}})
    agent.stats = figures(pods, 1)
    assert [item["metadata"]["name"] for item in (await get(here, "/nodes"))["items"]] == [NODE]
    agent.stats.pods[0].containers[0].ClearField("cpu")
    assert (await get(here, f"/namespaces/{here.namespace}/pods"))["items"] == []


async def test_the_group_is_discovered(here: Playground) -> None:
    groups = (await here.client.request("GET", "/apis")).json()["groups"]
    assert "metrics.k8s.io" in [group["name"] for group in groups]
    found = await get(here, "")
    assert {(r["name"], r["kind"], r["namespaced"], tuple(r["verbs"])) for r in found["resources"]} == {
        ("nodes", "NodeMetrics", False, ("get", "list")),
        ("pods", "PodMetrics", True, ("get", "list")),
    }


async def test_an_autoscaler_follows_the_cpu_of_the_pods(here: Playground, agent: FakeAgent) -> None:
    """Horizontal pod autoscaling needs nothing installed."""
    await here.deploy(replicas=1)
    sized = {"name": "c", "resources": {"requests": {"cpu": "100m"}}}
    patch = {"spec": {"template": {"spec": {"containers": [sized]}}}}
    await here.client.patch(DEPLOYMENTS, "web", patch, here.namespace, kind="strategic")
    await here.rolled_out()
    target = {"type": "Utilization", "averageUtilization": 50}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    await here.create_object(AUTOSCALERS, {"metadata": {"name": "web"}, "spec": spec})

    async def grown() -> None:
        agent.stats = figures(await settle(here), 100_000_000)
        found = await here.get(AUTOSCALERS, "web")
        assert (await here.get(DEPLOYMENTS, "web"))["spec"]["replicas"] == 3, found["status"]
        active = meta.condition(found, "ScalingActive")
        assert active is not None and active["reason"] == "ValidMetricFound"
        (metric,) = found["status"]["currentMetrics"]
        assert metric["resource"]["current"] == {"averageUtilization": 100, "averageValue": "100m"}

    await eventually(grown)
