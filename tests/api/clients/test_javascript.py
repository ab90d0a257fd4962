"""Kubernetes's official JavaScript client: objects, patches, watches, informers, custom objects."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_pybernetes.servers import KubeServer

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).parent / "javascript" / "client.mjs"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")


@pytest.fixture(scope="session")
def client_module() -> str:
    """The client's file; it is installed where it is not yet. Fails where that cannot be."""
    done = subprocess.run(
        [ROOT / "scripts/javascript-client"], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"the JavaScript client cannot be installed: {done.stderr}"
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["objects", "errors", "patches", "watch", "informer", "dynamic"])
def test_javascript_client(
    name: str, client_module: str, kube_cluster: KubeServer, kube_cluster_namespace: str
) -> None:
    assert NODE is not None
    where = {"KUBECONFIG": str(kube_cluster.kubeconfig), "NAMESPACE": kube_cluster_namespace}
    done = subprocess.run(
        [NODE, PROGRAM, name],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, **where, "CLIENT": client_module},
    )
    assert done.returncode == 0, done.stderr
