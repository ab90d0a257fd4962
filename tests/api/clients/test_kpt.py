"""`kpt live`: a package is applied, pruned and destroyed by an inventory that is kept in the cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_pybernetes.servers import KubeServer

from .kubectls import PROGRAMS
from .manifests import config_map


def program() -> str | None:
    """kpt on PATH, or beside the kubectls."""
    beside = [path.parent / "kpt" for path in PROGRAMS.values()]
    return shutil.which("kpt") or next((str(path) for path in beside if path.exists()), None)


KPT = program()
pytestmark = pytest.mark.skipif(KPT is None, reason="kpt is not installed")

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "nginx:1"}]}
"""
KPTFILE = """
apiVersion: kpt.dev/v1
kind: Kptfile
metadata: {name: package, annotations: {config.kubernetes.io/local-config: "true"}}
pipeline: {mutators: []}
"""


def test_a_package_is_applied_pruned_and_destroyed(
    kube_cluster: KubeServer, kube_cluster_namespace: str, tmp_path: Path
) -> None:
    namespace = kube_cluster_namespace
    package = tmp_path / "package"
    package.mkdir()
    (package / "Kptfile").write_text(KPTFILE)
    (package / "web.yaml").write_text(WEB.replace("name: web}", f"name: web, namespace: {namespace}}}", 1))
    for name in ("one", "two"):
        text = config_map(name).replace("metadata: {", f"metadata: {{namespace: {namespace}, ", 1)
        (package / f"{name}.yaml").write_text(text)

    def run(*command: str) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(kube_cluster.kubeconfig)},
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def live(*arguments: str) -> str:
        assert KPT is not None
        return run(KPT, "live", *arguments)

    def shown() -> list[str]:
        kubectl = str(next(iter(PROGRAMS.values())))
        kinds = "configmaps,deployments,resourcegroups.kpt.dev"
        return run(
            kubectl,
            "get",
            kinds,
            "-n",
            namespace,
            "-o",
            "name",
            "--field-selector=metadata.name!=kube-root-ca.crt",
        ).split()

    live("init", "package", "--namespace", namespace)
    told = live("apply", "package", "--reconcile-timeout=40s")
    assert "apply result: 3 attempted, 3 successful, 0 skipped, 0 failed" in told
    assert "reconcile result: 3 attempted, 3 successful, 0 skipped, 0 failed" in told
    applied = shown()
    assert applied[:3] == ["configmap/one", "configmap/two", "deployment.apps/web"]
    assert applied[3].startswith("resourcegroup.kpt.dev/")

    (package / "two.yaml").unlink()
    pruned = live("apply", "package", "--reconcile-timeout=40s")
    assert "configmap/two prune successful" in pruned
    assert "prune result: 1 attempted, 1 successful, 0 skipped, 0 failed" in pruned
    assert shown() == [name for name in applied if name != "configmap/two"]
    assert "deployment.apps" in live("status", "package", "--poll-until=current", "--timeout=30s")

    gone = live("destroy", "package")
    assert "delete result: 2 attempted, 2 successful, 0 skipped, 0 failed" in gone
    assert shown() == []
