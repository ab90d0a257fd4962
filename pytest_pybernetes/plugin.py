"""Fixtures for tests of controllers and operators against a real Kubernetes API.

| fixture | scope | gives |
|---|---|---|
| `kube_server` | session | an API server alone: objects are stored, validated and watched, nothing acts on them |
| `kube_cluster` | session | an API server with controllers, scheduler and three simulated nodes |
| `kube_namespace` | function | a namespace of the test's own on `kube_server` |
| `kube_cluster_namespace` | function | the same on `kube_cluster` |

Both servers have `.kubeconfig` (a path), `.url` and `.ca_file`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .namespaces import Administrator
from .servers import KubeServer

_NODES = 3


@pytest.fixture(scope="session")
def kube_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """A real API server, in memory, started once for the test run in well under a second."""
    server = KubeServer(tmp_path_factory.mktemp("kube-server"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kube_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """An API server with controllers, scheduler and simulated nodes: Deployments roll out, pods become Ready."""
    server = KubeServer(tmp_path_factory.mktemp("kube-cluster"))
    try:
        server.start()
        server.start_controllers()
        server.start_scheduler()
        server.start_nodes(_NODES)
        yield server
    finally:
        server.stop()


def _namespace(server: KubeServer) -> Iterator[str]:
    administrator = Administrator(server.kubeconfig)
    name = administrator.create_namespace("test")
    yield name
    administrator.delete_namespace(name)


@pytest.fixture
def kube_namespace(kube_server: KubeServer) -> Iterator[str]:
    """The name of a namespace of this test's own; deleted afterwards."""
    yield from _namespace(kube_server)


@pytest.fixture
def kube_cluster_namespace(kube_cluster: KubeServer) -> Iterator[str]:
    """The name of a namespace of this test's own on `kube_cluster`; deleted afterwards."""
    yield from _namespace(kube_cluster)
