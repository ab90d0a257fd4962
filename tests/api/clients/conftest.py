"""kubectl of the oldest and the newest version found, and of those between, on a cluster of simulated nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pybernetes.servers import KubeServer

from .kubectls import BETWEEN, ENDS, Kubectl, params


@pytest.fixture(scope="session")
def kubectl_homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes are kept for the run: each version caches what it discovers there."""
    return tmp_path_factory.mktemp("kubectl")


def _kubectl(version: str, cluster: KubeServer, namespace: str, homes: Path) -> Kubectl:
    home = homes / version
    home.mkdir(exist_ok=True)
    return Kubectl(version, cluster.kubeconfig, namespace, home)


@pytest.fixture(params=params(ENDS))
def kubectl(
    request: pytest.FixtureRequest, kube_cluster: KubeServer, kube_cluster_namespace: str, kubectl_homes: Path
) -> Kubectl:
    """kubectl in a namespace of the test's own."""
    return _kubectl(request.param, kube_cluster, kube_cluster_namespace, kubectl_homes)


@pytest.fixture(params=params(BETWEEN))
def kubectl_between(
    request: pytest.FixtureRequest, kube_cluster: KubeServer, kube_cluster_namespace: str, kubectl_homes: Path
) -> Kubectl:
    return _kubectl(request.param, kube_cluster, kube_cluster_namespace, kubectl_homes)
