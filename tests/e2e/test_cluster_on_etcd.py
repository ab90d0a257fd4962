"""A cluster whose state is in three etcd members: one may go at any time; without two of them nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator

import busyboximage
import pytest
from docker.api.client import APIClient
from etcd_server import EtcdServers, etcd_servers
from localcluster import LocalCluster, is_ready, restarts, until
from test_pods_on_containers import SLEEP, container_id, deployment, shell

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServers]:
    with etcd_servers(tmp_path_factory.mktemp("members"), members=3) as servers:
        yield servers


@pytest.fixture(scope="module")
def on_etcd(members: EtcdServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    if os.geteuid() != 0:
        pytest.skip("needs root for networks and mounts")
    client = APIClient(version="auto")
    busyboximage.ensure(client)
    made = LocalCluster("etcd", tmp_path_factory.mktemp("home"))
    flags = [flag for url in members.endpoints for flag in ("--etcd-servers", url)]
    made.pybctl(
        "cluster", "create", made.name, "--nodes", "2", "--port", "0", "--node-capacity", "cpu=4", *flags
    )
    yield made
    made.pybctl("cluster", "delete", made.name)
    client.close()


def containers(cluster: LocalCluster, replicas: int) -> dict[str, str]:
    """Pod → container id, once that many are Ready."""

    def found() -> dict[str, str]:
        pods = cluster.pods("default", "app=web")
        return {p["metadata"]["name"]: container_id(p) for p in pods} if (
            len(pods) == replicas and all(map(is_ready, pods))
        ) else {}  # fmt: skip

    return until(found, 90, f"{replicas} Ready pods")


def test_writes_go_on_without_any_one_member(on_etcd: LocalCluster, members: EtcdServers) -> None:
    on_etcd.apply(deployment("web", "default", 2, shell(SLEEP)))
    before = containers(on_etcd, 2)
    for member in range(3):
        members.kill(member)
        name = f"without-{member}"
        on_etcd.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
        )
        on_etcd.pybctl("scale", "deploy/web", "--replicas", str(3 + member))
        containers(on_etcd, 3 + member)
        members.start(member)
        members.wait_healthy(member)
    after = containers(on_etcd, 5)
    assert before.items() <= after.items(), "no container was replaced"
    for member in range(3):
        assert on_etcd.core.read_namespaced_config_map(f"without-{member}", "default")


def test_without_a_majority_writes_are_refused_and_pods_go_on(
    on_etcd: LocalCluster, members: EtcdServers
) -> None:
    on_etcd.pybctl("scale", "deploy/web", "--replicas", "3")
    before = containers(on_etcd, 3)
    members.kill(0)
    members.kill(1)
    body = "{apiVersion: v1, kind: ConfigMap, metadata: {name: unheard, namespace: default}}"
    refused = on_etcd.pybctl("apply", "-f", "-", check=False, stdin=body)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    print(refused.stderr)
    for member in (0, 1):
        members.start(member)
    for member in (0, 1):
        members.wait_healthy(member)
    until(lambda: on_etcd.pybctl("scale", "deploy/web", "--replicas", "4", check=False).returncode == 0, 60)
    after = containers(on_etcd, 4)
    assert before.items() <= after.items(), "no container was replaced"
    assert all(restarts(p) == 0 for p in on_etcd.pods("default", "app=web"))
    on_etcd.kill("apiserver")
    until(lambda: on_etcd.pybctl("cluster", "status", on_etcd.name, check=False).returncode == 0, 60)
    assert containers(on_etcd, 4) == after
