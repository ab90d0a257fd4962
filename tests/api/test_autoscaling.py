"""An autoscaler on a real API server, with the metrics API played by custom resources."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from controllercluster import DEPLOYMENTS, PODS, Playground, controlling, eventually
from servers import serving

from apimachinery import meta, resources
from apimachinery.errors import StatusError

AUTOSCALERS = resources.get("horizontalpodautoscalers", "autoscaling")
CRDS = resources.get("customresourcedefinitions", "apiextensions.k8s.io")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("autoscaling") / "data"
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


def metrics_definition() -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "metadata": {
            "name": "pods.metrics.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/metrics"},
        },
        "spec": {
            "group": "metrics.k8s.io",
            "scope": "Namespaced",
            "names": {"plural": "pods", "kind": "PodMetrics"},
            "versions": [version],
        },
    }


async def measure(here: Playground, memory: str) -> None:
    """Plays the metrics server: each pod uses that much."""
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{here.namespace}/pods"
    for pod in await here.run_pods():
        body = {
            "apiVersion": "metrics.k8s.io/v1beta1",
            "kind": "PodMetrics",
            "metadata": {"name": pod["metadata"]["name"], "labels": pod["metadata"]["labels"]},
            "containers": [{"name": "c", "usage": {"memory": memory}}],
        }
        try:
            await here.client.request("POST", path, body=body)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise


async def test_an_autoscaler_says_what_it_lacks_and_scales_once_it_has_it(here: Playground) -> None:
    await here.deploy(replicas=2)
    await here.rolled_out()
    target = {"type": "AverageValue", "averageValue": "64Mi"}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "memory", "target": target}}],
    }
    await here.create_object(AUTOSCALERS, {"metadata": {"name": "web"}, "spec": spec})

    async def blind() -> None:
        found = await here.get(AUTOSCALERS, "web")
        able, active = meta.condition(found, "AbleToScale"), meta.condition(found, "ScalingActive")
        assert able is not None and able["status"] == "True"
        assert active is not None and (active["status"], active["reason"]) == (
            "False",
            "FailedGetResourceMetric",
        )

    await eventually(blind)
    assert len(await here.list(PODS)) == 2
    await here.client.create(CRDS, metrics_definition())

    async def measured() -> None:
        await measure(here, "128Mi")
        found = await here.get(AUTOSCALERS, "web")
        assert (await here.get(DEPLOYMENTS, "web"))["spec"]["replicas"] == 5
        assert found["status"]["desiredReplicas"] == 5 and found["status"]["lastScaleTime"]
        active = meta.condition(found, "ScalingActive")
        assert active is not None and active["reason"] == "ValidMetricFound"

    await eventually(measured)
    await here.patch(AUTOSCALERS, "web", {"spec": {"maxReplicas": 3}})

    async def bounded() -> None:
        assert (await here.get(DEPLOYMENTS, "web"))["spec"]["replicas"] == 3

    await eventually(bounded)
