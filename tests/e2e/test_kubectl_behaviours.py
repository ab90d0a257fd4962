"""The behaviours of area `kubectl` that are about what containers do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import datetime

import pytest
from busyboximage import NAME as IMAGE
from localcluster import LocalCluster, until
from test_kubectl_streams import PROGRAMS, Kubectl

pytestmark = pytest.mark.e2e

#: A hundred lines, then it is quiet.
LINES = (
    "i=0; while [ $i -lt 100 ]; do echo $i GET /api/v1/namespaces/x; i=$((i+1)); sleep 0.02; done; sleep 600"
)


@pytest.fixture
def kubectl(cluster: LocalCluster, namespace: str) -> Iterator[Kubectl]:
    if not PROGRAMS:
        pytest.skip("no kubectl")
    yield Kubectl(PROGRAMS[max(PROGRAMS)], cluster, namespace)


def test_kubectl_logs(kubectl: Kubectl) -> None:
    kubectl("run", "logs", f"--image={IMAGE}", "--restart=Never", "--", "sh", "-c", LINES)
    kubectl("wait", "pod/logs", "--for=condition=Ready", "--timeout=60s")
    until(lambda: "99 GET" in kubectl("logs", "logs", "logs"))
    assert kubectl("logs", "logs", "logs", "--tail=1") == "99 GET /api/v1/namespaces/x\n"
    assert kubectl("logs", "logs", "logs", "--limit-bytes=1") == "0"
    (line,) = kubectl("logs", "logs", "logs", "--tail=1", "--timestamps").splitlines()
    stamp, _, rest = line.partition(" ")
    assert rest == "99 GET /api/v1/namespaces/x"
    assert datetime.fromisoformat(f"{stamp[:19]}Z").year >= 2024
    assert stamp.endswith("Z")
    until(lambda: len(kubectl("logs", "logs", "logs", "--since=1s").splitlines()) < 50)
    older = kubectl("logs", "logs", "logs", "--since=24h").splitlines()
    assert len(older) == 100


def deployment(name: str, replicas: int, **scripts: str) -> str:
    """Web servers, and a service before them. Each script answers at /cgi-bin/<its name>."""
    made = "; ".join(
        f"printf '%s\\n' '#!/bin/sh' echo {shlex.quote(script)} > /www/cgi-bin/{path}; chmod +x /www/cgi-bin/{path}"
        for path, script in scripts.items()
    )
    command = ["sh", "-c", f"mkdir -p /www/cgi-bin; {made}; exec httpd -f -p 80 -h /www"]
    probe = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    container = {"name": "c", "image": IMAGE, "command": command, "readinessProbe": probe}
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    selector = {"app": name}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": selector}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": 80}]},
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [workload, service]})


def test_kubectl_guestbook_application(kubectl: Kubectl) -> None:
    """Entries are written to the primary and read from replicas, all of it through the frontend."""
    parts = {
        "primary": deployment(
            "primary", 1, set='echo "$QUERY_STRING" >> /tmp/book; echo ok', get="cat /tmp/book"
        ),
        "replica": deployment("replica", 2, get="wget -q -O - http://primary/cgi-bin/get"),
        "frontend": deployment(
            "frontend",
            3,
            set='wget -q -O - "http://primary/cgi-bin/set?$QUERY_STRING"',
            get="wget -q -O - http://replica/cgi-bin/get",
        ),
    }
    for manifest in parts.values():
        kubectl("create", "-f", "-", stdin=manifest.encode())
    for name in parts:
        kubectl("rollout", "status", f"deploy/{name}", "--timeout=80s")
    frontend = f"/api/v1/namespaces/{kubectl.namespace}/services/frontend:80/proxy/cgi-bin"
    until(lambda: kubectl.run("get", "--raw", f"{frontend}/set?TestEntry").out == b"ok\n", 60)
    until(lambda: b"TestEntry" in kubectl.run("get", "--raw", f"{frontend}/get").out, 60)
    for manifest in parts.values():
        kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=manifest.encode())
    until(lambda: kubectl("get", "deploy,svc,pods", "--no-headers") == "", 60)


CONTROLLER = f"""
apiVersion: v1
kind: ReplicationController
metadata: {{name: demo}}
spec:
  replicas: 2
  selector: {{name: demo}}
  template:
    metadata: {{labels: {{name: demo}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: c, image: "{IMAGE}", command: [sleep, "600"]}}]
"""


def test_kubectl_scale_replication_controller(kubectl: Kubectl) -> None:
    """There are as many running containers as replicas, and each answers."""
    kubectl("create", "-f", "-", stdin=CONTROLLER.encode())
    for replicas in (2, 1, 2):
        kubectl("scale", "rc", "demo", f"--replicas={replicas}", "--timeout=60s")

        def running(wanted: int = replicas) -> list[str]:
            pods = json.loads(kubectl("get", "pods", "-l", "name=demo", "-o", "json"))["items"]
            statuses = [pod["status"].get("containerStatuses", [{}])[0] for pod in pods]
            found = [pod["metadata"]["name"] for pod in pods]
            return found if len(found) == wanted and all(s.get("ready") for s in statuses) else []

        for name in until(running, 60):
            assert kubectl("exec", name, "--", "echo", "here") == "here\n"
    kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=CONTROLLER.encode())
    until(lambda: kubectl("get", "rc,pods", "--no-headers") == "", 60)
