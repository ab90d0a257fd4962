"""Every kubectl on this machine, from 1.27 on, over a script of everyday commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apiclient import Api
from conftest import Server

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "nginx:1", ports: [{containerPort: 80}]}
"""


def installed() -> list[Any]:
    """`kubectl` and each `kubectl.<version>` beside it; all but the newest are slow tests."""
    found = shutil.which("kubectl")
    if found is None:
        return [pytest.param(None, id="none")]
    first = Path(found).resolve()
    programs = sorted(first.parent.glob("kubectl.1.*")) or [first]
    older = [pytest.param(path, id=path.name, marks=pytest.mark.slow) for path in programs[:-1]]
    return [*older, pytest.param(programs[-1], id=programs[-1].name)]


Run = Callable[..., str]


@pytest.fixture(params=installed())
def kubectl(request: pytest.FixtureRequest, server: Server, namespace: str, tmp_path: Path) -> Run:
    """Run kubectl in the test's namespace: its output; AssertionError where it fails (`fails=True`: where not)."""
    if request.param is None:
        pytest.skip("no kubectl is installed")
    if server.data.name != "sqlite":
        pytest.skip("kubectl sees no difference between the storage engines")

    def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        result = subprocess.run(
            [str(request.param), "--namespace", namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "KUBECONFIG": str(server.data / "admin.conf"),
            },
        )
        assert (result.returncode != 0) == fails, result.stdout + result.stderr
        return result.stderr if fails else result.stdout

    return run


def test_apply_and_its_friends(kubectl: Run) -> None:
    assert kubectl("apply", "-f", "-", stdin=MANIFEST) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=MANIFEST) == "deployment.apps/web unchanged\n"
    changed = MANIFEST.replace("nginx:1", "nginx:2")
    assert kubectl("apply", "-f", "-", stdin=changed) == "deployment.apps/web configured\n"
    assert kubectl("diff", "-f", "-", stdin=changed) == ""
    misspelt = MANIFEST.replace("replicas", "replicaz")
    assert 'unknown field "spec.replicaz"' in kubectl("apply", "-f", "-", stdin=misspelt, fails=True)
    dry = kubectl("apply", "--dry-run=server", "-f", "-", stdin=MANIFEST)
    assert dry == "deployment.apps/web configured (server dry run)\n"
    assert (
        kubectl("apply", "--server-side", "-f", "-", stdin=changed)
        == "deployment.apps/web serverside-applied\n"
    )
    other = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    assert "Apply failed with 1 conflict" in kubectl(*other, stdin=MANIFEST, fails=True)
    kubectl(*other, "--force-conflicts", stdin=MANIFEST)
    assert kubectl("delete", "deployment", "web") == 'deployment.apps "web" deleted\n'


def test_get_and_explain(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    lines = kubectl("get", "deploy", "-o", "wide").splitlines()
    assert re.sub(" +", " ", lines[0]) == "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR"
    assert re.match(r"web +0/2 +0 +0 +\d+s +c +nginx:1 +app=web", lines[1])
    assert kubectl("get", "deploy", "-o", "name") == "deployment.apps/web\n"
    assert json.loads(kubectl("get", "deploy", "web", "-o", "json"))["kind"] == "Deployment"
    assert re.search(
        r"rollingUpdate\s+<RollingUpdateDeployment>", kubectl("explain", "deployment.spec.strategy")
    )
    assert re.search(r"containers\s+<\[\]Container> -required-", kubectl("explain", "pod.spec"))
    assert re.search(r"deployments +deploy +apps/v1 +true +Deployment", kubectl("api-resources"))
    assert "apps/v1" in kubectl("api-versions").splitlines()


def test_patches_labels_and_scaling(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    change = '{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"x"}]}}}}'
    kubectl("patch", "deploy", "web", "-p", change)
    kubectl("patch", "deploy", "web", "--type", "merge", "-p", '{"metadata":{"labels":{"a":"1"}}}')
    kubectl("patch", "deploy", "web", "--type", "json", "-p", '[{"op":"remove","path":"/metadata/labels/a"}]')
    missing = '[{"op":"remove","path":"/metadata/labels/a"}]'
    refused = kubectl("patch", "deploy", "web", "--type", "json", "-p", missing, fails=True)
    assert refused.startswith(
        "The request is invalid: the server rejected our request due to an error in our request"
    )
    kubectl("label", "deploy", "web", "tier=front")
    kubectl("annotate", "deploy", "web", "note=hi")
    kubectl("scale", "deploy", "web", "--replicas=7")
    kubectl("set", "image", "deploy/web", "c=nginx:9")
    kubectl("rollout", "restart", "deploy/web")
    web = json.loads(kubectl("get", "deploy", "web", "-o", "json"))
    assert (web["spec"]["replicas"], web["metadata"]["labels"]) == (7, {"tier": "front"})
    names = {c["name"]: c["image"] for c in web["spec"]["template"]["spec"]["containers"]}
    assert names == {"c": "nginx:9", "d": "x"}


def test_commands_that_create(kubectl: Run, api: Api, namespace: str) -> None:
    """These are typed: from 1.32 on they send protobuf."""
    kubectl("create", "deployment", "d", "--image=x", "--replicas=0")
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "job", "j", "--image=x")
    kubectl("create", "cronjob", "cj", "--image=x", "--schedule=* * * * *")
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "rb", "--role=r", "--user=joe")
    kubectl("create", "ingress", "i", "--rule=a/b=c:80")
    kubectl("create", "pdb", "p", "--selector=a=b", "--min-available=1")
    kubectl("create", "quota", "q", "--hard=configmaps=30")
    kubectl("expose", "deployment", "d", "--port=80")
    kubectl("autoscale", "deployment", "d", "--max=3")
    assert kubectl("auth", "can-i", "get", "pods") == "yes\n"
    deployment = json.loads(kubectl("get", "deploy", "d", "-o", "json"))
    assert deployment["spec"]["replicas"] == 0
    assert json.loads(kubectl("get", "secret", "s", "-o", "json"))["data"] == {"a": "Yg=="}
    assert api.get(f"/apis/batch/v1/namespaces/{namespace}/cronjobs/cj")["spec"]["schedule"] == "* * * * *"
