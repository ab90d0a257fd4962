"""Namespaces, garbage collection, nodes and service accounts on a real API server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from controllercluster import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    Playground,
    controlling,
    eventually,
    free_port,
)
from servers import serving

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient import Client, Config

LEASES = resources.get("leases", "coordination.k8s.io")
SECRETS = resources.get("secrets")
SERVICE_ACCOUNTS = resources.get("serviceaccounts")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("controllers") / "data"
    flags = ("--node-monitor-period=0.2", "--node-monitor-grace-period=1", "--node-eviction-rate=100")
    with serving(path, "--secure-port", str(free_port())) as started, controlling(path, *flags):
        yield started


@pytest.fixture
def data(server: Any) -> Path:
    path: Path = server.data
    return path


@pytest_asyncio.fixture
async def here(data: Path) -> AsyncIterator[Playground]:
    playground = await Playground.create(data)
    yield playground
    await playground.client.close()


async def absent(here: Playground, resource: Any, name: str, namespace: str = "") -> None:
    async def check() -> None:
        try:
            found = await here.client.get(resource, name, namespace)
        except StatusError as error:
            assert error.code == 404
        else:
            raise AssertionError(f"still there: {found['metadata']}")

    await eventually(check)


async def test_a_namespace_takes_everything_with_it_but_waits_for_finalizers(here: Playground) -> None:
    await here.deploy(replicas=2)
    await here.rolled_out()
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}, "data": {"a": "b"}}
    await here.create_object(CONFIG_MAPS, held)
    await here.client.delete(NAMESPACES, here.namespace)

    async def waiting() -> None:
        await here.run_pods()
        namespace = await here.client.get(NAMESPACES, here.namespace)
        assert namespace["status"]["phase"] == "Terminating"
        conditions = {c["type"]: c for c in namespace["status"]["conditions"]}
        left = conditions["NamespaceContentRemaining"]
        assert (left["status"], left["reason"], left["message"]) == (
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: configmaps. has 1 resource instances",
        )
        assert conditions["NamespaceFinalizersRemaining"]["message"] == (
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        )

    await eventually(waiting)
    assert not await here.list(PODS) and not await here.list(DEPLOYMENTS)
    await here.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}})
    await absent(here, NAMESPACES, here.namespace)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_a_deleted_deployment_takes_its_pods_with_it(here: Playground, policy: str) -> None:
    await here.deploy(replicas=2)
    await here.rolled_out()
    await here.client.delete(DEPLOYMENTS, "web", here.namespace, propagation_policy=policy)

    async def gone() -> None:
        pods = await here.run_pods()
        assert not pods
        assert not await here.list(REPLICA_SETS)
        assert not await here.list(DEPLOYMENTS)

    await eventually(gone)


async def test_orphaned_dependents_stay_and_are_adopted_again(here: Playground) -> None:
    await here.deploy(replicas=2)
    await here.rolled_out()
    before = {p["metadata"]["uid"] for p in await here.list(PODS)}
    await here.client.delete(DEPLOYMENTS, "web", here.namespace, propagation_policy="Orphan")
    await absent(here, DEPLOYMENTS, "web", here.namespace)
    (only,) = await here.list(REPLICA_SETS)
    assert not only["metadata"].get("ownerReferences")
    deployment = await here.deploy(replicas=2)
    await here.rolled_out()
    (only,) = await here.list(REPLICA_SETS)
    assert only["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"]
    assert {p["metadata"]["uid"] for p in await here.list(PODS)} == before


async def test_an_object_whose_owner_never_was_is_collected(here: Playground) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-no-such-uid"}
    await here.create_object(CONFIG_MAPS, {"metadata": {"name": "orphan", "ownerReferences": [owner]}})
    await absent(here, CONFIG_MAPS, "orphan", here.namespace)


async def test_one_owner_left_is_enough(here: Playground) -> None:
    owners = [await here.create_object(CONFIG_MAPS, {"metadata": {"name": name}}) for name in ("a", "b")]
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]}
        for o in owners
    ]
    await here.create_object(CONFIG_MAPS, {"metadata": {"name": "child", "ownerReferences": references}})
    await here.client.delete(CONFIG_MAPS, "a", here.namespace)

    async def one_left() -> None:
        child = await here.get(CONFIG_MAPS, "child")
        assert [r["name"] for r in child["metadata"]["ownerReferences"]] == ["b"]

    await eventually(one_left)
    await here.client.delete(CONFIG_MAPS, "b", here.namespace)
    await absent(here, CONFIG_MAPS, "child", here.namespace)


async def beat(here: Playground, *names: str) -> None:
    """The heartbeats of nodes that live."""
    for name in names:
        spec = {"renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        await here.client.patch(LEASES, name, {"spec": spec}, "kube-node-lease")


async def add_node(here: Playground, name: str) -> None:
    await here.client.create(NODES, {"metadata": {"name": name}})
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
    patch = {"status": {"conditions": [condition]}}
    await here.client.patch(NODES, name, patch, subresource="status")
    lease = {"metadata": {"name": name}, "spec": {"holderIdentity": name}}
    await here.client.create(LEASES, lease, "kube-node-lease")


async def test_a_silent_node_becomes_unreachable_loses_its_pods_and_recovers(here: Playground) -> None:
    for name in ("alive", "silent"):
        await add_node(here, name)

    async def shares() -> None:
        nodes = [await here.client.get(NODES, name) for name in ("alive", "silent")]
        cidrs = {n["spec"]["podCIDR"] for n in nodes}
        assert len(cidrs) == 2 and all(c.startswith("10.244.") and c.endswith("/24") for c in cidrs)
        assert all(n["spec"]["podCIDRs"] == [n["spec"]["podCIDR"]] for n in nodes)

    await eventually(shares)
    tolerations = [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]
    containers = [{"name": "c", "image": "x"}]
    spec = {"nodeName": "silent", "containers": containers, "tolerations": tolerations}
    await here.create_object(PODS, {"metadata": {"name": "leaves"}, "spec": spec})
    stays = {**spec, "tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}
    await here.create_object(PODS, {"metadata": {"name": "stays"}, "spec": stays})
    await here.run_pods()

    async def unreachable() -> None:
        await beat(here, "alive")
        node = await here.client.get(NODES, "silent")
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
        assert ready["message"] == "Kubelet stopped posting node status."
        taints = {(t["key"], t["effect"]) for t in node["spec"]["taints"]}
        key = "node.kubernetes.io/unreachable"
        assert taints == {(key, "NoSchedule"), (key, "NoExecute")}
        pod = await here.get(PODS, "stays")
        assert next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["status"] == "False"

    await eventually(unreachable)

    async def evicted() -> None:
        await beat(here, "alive")
        pod = await here.get(PODS, "leaves")
        assert pod["metadata"].get("deletionTimestamp")
        reasons = {c["type"]: c.get("reason") for c in pod["status"]["conditions"]}
        assert reasons["DisruptionTarget"] == "DeletionByTaintManager"

    await eventually(evicted)
    assert not (await here.get(PODS, "stays"))["metadata"].get("deletionTimestamp")
    alive = await here.client.get(NODES, "alive")
    assert not alive["spec"].get("taints")

    async def recovered() -> None:
        await beat(here, "alive", "silent")
        condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:01:00Z"}
        patch = {"status": {"conditions": [condition]}}
        await here.client.patch(NODES, "silent", patch, subresource="status")
        node = await here.client.get(NODES, "silent")
        assert not node["spec"].get("taints")

    await eventually(recovered)
    await here.client.delete(NODES, "silent")
    await absent(here, PODS, "stays", here.namespace)
    await absent(here, PODS, "leaves", here.namespace)


async def test_an_outage_of_the_api_server_is_no_silence_of_the_nodes(here: Playground, server: Any) -> None:
    await add_node(here, "patient")
    versions: set[str] = set()

    async def known() -> None:
        node = await here.client.get(NODES, "patient")
        assert node["spec"]["podCIDR"] and not node["spec"].get("taints")
        await beat(here, "patient")

    await eventually(known)
    server.kill()
    await asyncio.sleep(1.5)  # Longer than the grace period: that is what this is about.
    server.start()
    for _ in range(30):
        await beat(here, "patient")
        node = await here.client.get(NODES, "patient")
        versions.add(next(c for c in node["status"]["conditions"] if c["type"] == "Ready")["status"])
        await asyncio.sleep(0.05)
    assert versions == {"True"}
    await here.client.delete(NODES, "patient")


async def test_every_namespace_has_its_account_and_ca_again_and_again(here: Playground, data: Path) -> None:
    async def there() -> None:
        await here.get(SERVICE_ACCOUNTS, "default")
        ca = await here.get(CONFIG_MAPS, "kube-root-ca.crt")
        assert ca["data"]["ca.crt"] == (data / "pki" / "ca.crt").read_text()

    await eventually(there)
    await here.client.delete(SERVICE_ACCOUNTS, "default", here.namespace)
    await here.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "tampered"}})
    await eventually(there)


async def test_a_token_secret_is_filled_and_its_token_is_good_until_it_is_deleted(
    here: Playground, data: Path
) -> None:
    account = await here.create_object(SERVICE_ACCOUNTS, {"metadata": {"name": "robot"}})
    annotations = {"kubernetes.io/service-account.name": "robot"}
    secret = {
        "metadata": {"name": "robot-token", "annotations": annotations},
        "type": "kubernetes.io/service-account-token",
    }
    await here.create_object(SECRETS, secret)

    async def filled() -> Any:
        found = await here.get(SECRETS, "robot-token")
        assert set(found["data"]) == {"token", "ca.crt", "namespace"}
        return found

    found = await eventually(filled)
    uid = found["metadata"]["annotations"]["kubernetes.io/service-account.uid"]
    assert uid == account["metadata"]["uid"]
    assert base64.b64decode(found["data"]["namespace"]).decode() == here.namespace
    admin = Config.from_kubeconfig(data / "admin.conf")
    token = base64.b64decode(found["data"]["token"]).decode()
    async with Client(Config(admin.server, ca=admin.ca, token=token), retry_for=0) as robot:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await robot.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
        name = answer.json()["status"]["userInfo"]["username"]
        assert name == f"system:serviceaccount:{here.namespace}:robot"
        await here.client.delete(SERVICE_ACCOUNTS, "robot", here.namespace)
        await absent(here, SECRETS, "robot-token", here.namespace)

        async def refused() -> None:
            with pytest.raises(StatusError) as caught:
                await robot.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
            assert caught.value.code == 401

        await eventually(refused)  # The server may remember a good token for some seconds.
