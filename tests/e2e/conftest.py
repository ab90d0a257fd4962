"""One local cluster for the end-to-end tests, removed afterwards, and the check that nothing is left of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import busyboximage
import leftovers
import pytest
from docker.api.client import APIClient
from localcluster import LocalCluster

_numbers = count(1)
CLUSTER = "e2e"


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever the tests did, the machine is as before: this is the last thing that is looked at."""
    if os.geteuid() != 0:
        yield
        return
    base = tmp_path_factory.getbasetemp()
    before = set(leftovers.below(base))  # servers of other tests of this run
    yield
    if os.environ.get("KEEP_CLUSTER"):
        return
    client = APIClient(version="auto")
    found = [each for name in sorted(LocalCluster.made) for each in leftovers.of_cluster(client, name)]
    found += sorted(set(leftovers.below(base)) - before)
    found += leftovers.namespaces("pyb-e2e")
    client.close()
    assert found == []


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A three-node cluster on this machine's engine."""
    if os.geteuid() != 0:
        pytest.skip("end-to-end tests need root for networks and mounts")
    client = APIClient(version="auto")
    busyboximage.ensure(client)
    directory: Path = tmp_path_factory.mktemp("home")
    made = LocalCluster(CLUSTER, directory)
    capacity = [flag for setting in ("cpu=4", "memory=4Gi") for flag in ("--node-capacity", setting)]
    made.pybctl("cluster", "create", CLUSTER, "--port", "0", *capacity)
    yield made
    if os.environ.get("KEEP_CLUSTER"):
        return
    made.pybctl("cluster", "delete", CLUSTER)
    assert not made.home.exists()
    client.close()


@pytest.fixture
def namespace(cluster: LocalCluster) -> Iterator[str]:
    """A namespace of this test's own, deleted afterwards."""
    name = f"t{next(_numbers)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.pybctl("delete", "namespace", name, "--wait")
