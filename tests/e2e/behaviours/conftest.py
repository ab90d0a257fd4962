"""What the tests of the specification's behaviours share: a cluster, and a namespace for each module."""

from __future__ import annotations

import json
from collections.abc import Iterator

import busyboximage
import pytest
from docker.api.client import APIClient
from localcluster import LocalCluster
from podset import SERVE, Pods, shell

ENTRY_IMAGE = "pybernetes-test/entry:1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What only time brings about is looked at last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="module")
def pods(cluster: LocalCluster, request: pytest.FixtureRequest) -> Iterator[Pods]:
    """The pods of a namespace of the module's own."""
    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Pods(cluster, name)
    cluster.pybctl("delete", "namespace", name)


@pytest.fixture(scope="session", autouse=True)
def slow_pods(cluster: LocalCluster) -> Pods:
    """Pods whose tests have to wait for minutes: they begin before all others, and are looked at last."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "slow"}})
    found = Pods(cluster, "slow")
    # Each run is healthy for two seconds.
    script = SERVE.replace("exec httpd", "(sleep 2; rm /www/health.txt) & exec httpd")
    probe = {"httpGet": {"path": "/health.txt", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    # Tests of taints shall not drive it away.
    everything = [{"operator": "Exists"}]
    found.create(
        "five-restarts", shell(script, livenessProbe=probe), restartPolicy="Always", tolerations=everything
    )
    return found


@pytest.fixture(scope="session")
def entry_image() -> str:
    """An image with an entry point and arguments of its own."""
    client = APIClient(version="auto")
    changes = (
        f"ENTRYPOINT {json.dumps(['/bin/echo', 'entry'])}",
        f"CMD {json.dumps(['default', 'arguments'])}",
    )
    busyboximage.ensure(client, ENTRY_IMAGE, changes)
    client.close()
    return ENTRY_IMAGE
