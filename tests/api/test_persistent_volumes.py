"""Claims, volumes and local paths on a real API server, with scheduler, controllers and imaginary nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from controllercluster import NAMESPACES, NODES, PODS, Playground, eventually

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient import Client, Config
from pytest_pybernetes.servers import KubeServer

CLAIMS = resources.get("persistentvolumeclaims")
VOLUMES = resources.get("persistentvolumes")
CLASSES = resources.get("storageclasses", "storage.k8s.io")
_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    server = KubeServer(tmp_path_factory.mktemp("volumes"))
    server.start()
    server.start_controllers()
    server.start_scheduler()
    server.start_nodes(2)
    yield server
    server.stop()


@pytest_asyncio.fixture
async def here(server: KubeServer, request: pytest.FixtureRequest) -> AsyncIterator[Playground]:
    async with Client(Config.from_kubeconfig(server.kubeconfig)) as client:
        name = request.node.name.replace("_", "-")[:50].rstrip("-")
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        yield Playground(client, name)


def claim(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }


def pod(name: str, volume: dict[str, Any]) -> dict[str, Any]:
    volumes = [{"name": "data", **volume}]
    container = {"name": "c", "image": "any", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "volumes": volumes}}


async def phase(here: Playground, resource: Any, name: str, wanted: str) -> dict[str, Any]:
    async def check() -> dict[str, Any]:
        namespace = here.namespace if resource.namespaced else ""
        found = await here.client.get(resource, name, namespace)
        assert found["status"]["phase"] == wanted, found
        return found

    result: dict[str, Any] = await eventually(check)
    return result


async def protected(here: Playground, resource: Any, name: str, finalizer: str) -> None:
    async def check() -> None:
        found = await here.client.get(resource, name, here.namespace if resource.namespaced else "")
        assert found["metadata"]["finalizers"] == [finalizer]

    await eventually(check)


async def gone(here: Playground, resource: Any, name: str) -> None:
    async def check() -> None:
        try:
            found = await here.client.get(resource, name, here.namespace if resource.namespaced else "")
        except StatusError as error:
            assert error.code == 404
        else:
            raise AssertionError(found)

    await eventually(check)


async def test_a_volume_made_by_hand_goes_its_whole_way(here: Playground) -> None:
    spec = {
        "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/data"},
        "storageClassName": "by-hand",
    }
    await here.client.create(VOLUMES, {"metadata": {"name": "by-hand"}, "spec": spec})
    available = await phase(here, VOLUMES, "by-hand", "Available")
    assert available["status"]["lastPhaseTransitionTime"]
    await protected(here, VOLUMES, "by-hand", "kubernetes.io/pv-protection")
    await here.create_object(CLAIMS, claim("first", storageClassName="by-hand"))
    bound = await phase(here, CLAIMS, "first", "Bound")
    assert bound["spec"]["volumeName"] == "by-hand"
    assert bound["status"]["capacity"] == {"storage": "2Gi"}
    volume = await phase(here, VOLUMES, "by-hand", "Bound")
    assert volume["spec"]["claimRef"]["uid"] == bound["metadata"]["uid"]
    await here.create_object(CLAIMS, claim("second", storageClassName="by-hand"))
    await here.client.delete(VOLUMES, "by-hand")
    assert (await here.client.get(VOLUMES, "by-hand"))["metadata"]["deletionTimestamp"]
    await here.client.delete(CLAIMS, "first", here.namespace)
    await gone(here, VOLUMES, "by-hand")
    await phase(here, CLAIMS, "second", "Pending")


async def test_a_retained_volume_is_available_again_once_its_claim_is_taken_out(here: Playground) -> None:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/kept"},
        "storageClassName": "kept",
    }
    await here.client.create(VOLUMES, {"metadata": {"name": "kept"}, "spec": spec})
    await here.create_object(CLAIMS, claim("first", storageClassName="kept"))
    await phase(here, CLAIMS, "first", "Bound")
    await here.client.delete(CLAIMS, "first", here.namespace)
    await phase(here, VOLUMES, "kept", "Released")
    await here.client.patch(VOLUMES, "kept", {"spec": {"claimRef": None}})
    await phase(here, VOLUMES, "kept", "Available")


async def test_the_default_class_makes_a_directory_where_the_pod_runs(here: Playground) -> None:
    await here.create_object(CLAIMS, claim("data"))
    # The class comes late: the claim gets it all the same.
    manifest = yaml.safe_load((_ROOT / "manifests" / "storage-class.yaml").read_text())
    await here.client.create(CLASSES, manifest)

    async def chosen() -> None:
        assert (await here.get(CLAIMS, "data"))["spec"].get("storageClassName") == "standard"

    await eventually(chosen)
    await here.create_object(PODS, pod("user", {"persistentVolumeClaim": {"claimName": "data"}}))
    bound = await phase(here, CLAIMS, "data", "Bound")
    running = await phase(here, PODS, "user", "Running")
    volume = await here.client.get(VOLUMES, bound["spec"]["volumeName"])
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == [running["spec"]["nodeName"]]
    assert volume["spec"]["hostPath"]["path"].endswith("/local-path/" + volume["metadata"]["name"])
    await here.patch(CLAIMS, "data", {"spec": {"resources": {"requests": {"storage": "3Gi"}}}})

    async def grown() -> None:
        assert (await here.get(CLAIMS, "data"))["status"]["capacity"] == {"storage": "3Gi"}

    await eventually(grown)
    await protected(here, CLAIMS, "data", "kubernetes.io/pvc-protection")
    await here.client.delete(CLAIMS, "data", here.namespace)
    assert (await here.get(CLAIMS, "data"))["metadata"]["deletionTimestamp"]
    await here.client.delete(PODS, "user", here.namespace, grace_period_seconds=0)
    await gone(here, CLAIMS, "data")
    await gone(here, VOLUMES, volume["metadata"]["name"])

    async def forgotten() -> None:
        node = await here.client.get(NODES, running["spec"]["nodeName"])
        assert not [key for key in node["metadata"]["annotations"] if key.startswith("local-path.")]

    await eventually(forgotten)
    # An ephemeral volume is a claim that comes and goes with its pod.
    template = {"spec": claim("x", storageClassName="standard")["spec"]}
    await here.create_object(PODS, pod("temporary", {"ephemeral": {"volumeClaimTemplate": template}}))
    await phase(here, PODS, "temporary", "Running")
    name = (await here.get(CLAIMS, "temporary-data"))["spec"]["volumeName"]
    await here.client.delete(PODS, "temporary", here.namespace, grace_period_seconds=0)
    await gone(here, CLAIMS, "temporary-data")
    await gone(here, VOLUMES, name)
