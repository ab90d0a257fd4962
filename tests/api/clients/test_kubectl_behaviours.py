"""The behaviours of area `kubectl` that need no containers: what kubectl and a cluster must come to together."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path
from urllib.request import urlopen

from .kubectls import Kubectl

CONTROLLER = """
apiVersion: v1
kind: ReplicationController
metadata: {name: primary, labels: {app: agnhost, role: primary}}
spec:
  replicas: 1
  selector: {app: agnhost, role: primary}
  template:
    metadata: {labels: {app: agnhost, role: primary}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: primary, image: "example.com/agnhost:2", ports: [{name: primary-server, containerPort: 6379}]}
"""
SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: primary, labels: {app: agnhost, role: primary}}
spec:
  ports: [{port: 6379, targetPort: primary-server}]
  selector: {app: agnhost, role: primary}
"""
PODS = "-l=app=agnhost"


def start(kubectl: Kubectl, manifest: str, replicas: int = 1) -> list[str]:
    """Create, and wait for the pods; their names."""
    kubectl("create", "-f", "-", stdin=manifest)
    return running(kubectl, replicas)


def running(kubectl: Kubectl, replicas: int) -> list[str]:
    kubectl("wait", "rc/primary", f"--for=jsonpath={{.status.readyReplicas}}={replicas}", "--timeout=30s")
    names = kubectl("get", "pods", PODS, "-o", "jsonpath={.items[*].metadata.name}").split()
    assert len(names) == replicas
    return names


def has_in_order(text: str, *parts: str) -> None:
    """Each part is in the text, after the one before."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is missing from {text[at:]!r}"
        at = found + len(part)


def test_kubectl_check_version_v1(kubectl: Kubectl) -> None:
    assert "v1" in kubectl("api-versions").splitlines()


def test_kubectl_cluster_info(kubectl: Kubectl) -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", kubectl("cluster-info"))
    assert re.match(r"Kubernetes control plane is running at https://127\.0\.0\.1:\d+\n", plain)


def test_kubectl_version_prints_both_sides(kubectl: Kubectl) -> None:
    """Client and server, each with digits for numbers and a hexadecimal commit."""
    told = json.loads(kubectl("version", "-o", "json"))
    for side in ("clientVersion", "serverVersion"):
        found = told[side]
        assert re.fullmatch(r"\d", found["major"])
        assert re.fullmatch(r"\d+\+?", found["minor"])
        assert re.fullmatch(r"v\d\.\d+\.[\d\w\-.+]+", found["gitVersion"])
        assert re.fullmatch(r"[0-9a-f]+", found["gitCommit"])
    assert re.search(r"Server Version: (v|version\.Info)", kubectl("version"))


def test_kubectl_describe_pod_or_rc(kubectl: Kubectl) -> None:
    (pod,) = start(kubectl, CONTROLLER + SERVICE)
    has_in_order(
        kubectl("describe", "pod", pod),
        "Name:", "Namespace:", "Node:", "Labels:", "app=agnhost", "role=primary", "Annotations:", "Status:", "IP:",
        "Controlled By:", "ReplicationController/primary", "Image:", "State:", "QoS Class:",
    )  # fmt: skip
    has_in_order(
        kubectl("describe", "rc", "primary"),
        "Name:", "primary", "Namespace:", kubectl.namespace, "Selector:", "app=agnhost,role=primary", "Labels:",
        "app=agnhost", "role=primary", "Annotations:", "Replicas:", "1 current", "1 desired", "Pods Status:",
        "1 Running", "0 Waiting", "0 Succeeded", "0 Failed", "Pod Template:", "Image:", "Events:",
        "SuccessfulCreate", "Created pod: primary-",
    )  # fmt: skip
    backend = f"--for=jsonpath={{.subsets[0].addresses[0].targetRef.name}}={pod}"
    kubectl("wait", "endpoints/primary", backend, "--timeout=20s")
    has_in_order(
        kubectl("describe", "service", "primary"),
        "Name:", "primary", "Namespace:", "Labels:", "app=agnhost", "Annotations:", "Selector:",
        "app=agnhost,role=primary", "Type:", "ClusterIP", "IP:", "Port:", "<unset>", "6379/TCP", "Endpoints:",
        ":6379", "Session Affinity:",
    )  # fmt: skip
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    has_in_order(
        kubectl("describe", "node", node),
        "Name:", "Labels:", "Annotations:", "CreationTimestamp:", "Conditions:", "Type", "Status",
        "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message", "Addresses:", "Capacity:",
        "Container Runtime Version:", "Kubelet Version:",
    )  # fmt: skip
    has_in_order(
        kubectl("describe", "namespace", kubectl.namespace), "Name:", "Labels:", "Annotations:", "Active"
    )


def test_kubectl_diff_deployment(kubectl: Kubectl) -> None:
    deployment = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "example.com/agnhost:2"}]}
"""
    kubectl("create", "-f", "-", stdin=deployment)
    done = kubectl.run("diff", "-f", "-", stdin=deployment.replace("agnhost:2", "busybox:1"))
    assert done.code == 1, done.err
    lines = [line.replace(" ", "") for line in done.out.splitlines()]
    assert "--image:example.com/agnhost:2" in lines
    assert "+-image:example.com/busybox:1" in lines
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={..image}") == "example.com/agnhost:2"


def test_kubectl_label_update(kubectl: Kubectl) -> None:
    kubectl("run", "pause", "--image=example.com/pause:3", "--labels=name=pause")
    kubectl("wait", "pod/pause", "--for=condition=Ready", "--timeout=30s")
    kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    shown = kubectl("get", "pod", "pause", "-L", "testing-label")
    assert "testing-label-value" in shown
    assert kubectl("get", "pod", "-l", "testing-label=testing-label-value", "-o", "name") == "pod/pause\n"
    kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert kubectl("get", "pod", "-l", "testing-label", "-o", "name") == ""


def test_kubectl_patch_to_annotate(kubectl: Kubectl) -> None:
    start(kubectl, CONTROLLER.replace("replicas: 1", "replicas: 2"), 2)
    for pod in kubectl("get", "pods", PODS, "-o", "name").split():
        kubectl("patch", pod, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert kubectl("get", "pods", PODS, "-o", "jsonpath={.items[*].metadata.annotations.x}") == "y y"


def test_kubectl_replace(kubectl: Kubectl) -> None:
    kubectl("run", "web", "--image=example.com/httpd:1", "--labels=run=web")
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=30s")
    live = kubectl("get", "pod", "web", "-o", "json")
    changed = live.replace("example.com/httpd:1", "example.com/busybox:1")
    assert kubectl("replace", "-f", "-", stdin=changed) == "pod/web replaced\n"
    assert (
        kubectl("get", "pod", "web", "-o", "jsonpath={.spec.containers[0].image}") == "example.com/busybox:1"
    )
    uid = json.loads(live)["metadata"]["uid"]
    manifest = json.loads(changed)
    manifest["metadata"] = {"name": "web", "labels": {"run": "web"}}
    manifest["spec"] = {"containers": [{"name": "web", "image": "example.com/httpd:2"}]}
    told = kubectl("replace", "--force", "--grace-period=0", "-f", "-", stdin=json.dumps(manifest))
    assert told.endswith("pod/web replaced\n")
    shown = json.loads(kubectl("get", "pod", "web", "-o", "json"))
    assert shown["metadata"]["uid"] != uid
    assert shown["spec"]["containers"][0]["image"] == "example.com/httpd:2"


def test_kubectl_replication_controller(kubectl: Kubectl) -> None:
    names = start(kubectl, CONTROLLER.replace("replicas: 1", "replicas: 2"), 2)
    for name in names:
        pod = json.loads(kubectl("get", "pod", name, "-o", "json"))
        assert pod["status"]["phase"] == "Running"
        (container,) = pod["status"]["containerStatuses"]
        assert "running" in container["state"]
    kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=CONTROLLER)
    kubectl("wait", "pods", PODS, "--for=delete", "--timeout=30s")
    assert kubectl("get", "rc,svc,pods", PODS, "--no-headers") == ""


def test_kubectl_scale_replication_controller(kubectl: Kubectl) -> None:
    start(kubectl, CONTROLLER.replace("replicas: 1", "replicas: 2"), 2)
    for replicas in (1, 2):
        kubectl("scale", "rc", "primary", f"--replicas={replicas}", "--timeout=30s")
        running(kubectl, replicas)


def test_kubectl_server_side_dry_run_pod(kubectl: Kubectl) -> None:
    kubectl("run", "web", "--image=example.com/httpd:1", "--labels=run=web")
    patch = '{"spec":{"containers":[{"name":"web","image":"example.com/busybox:1"}]}}'
    image = "jsonpath={.spec.containers[0].image}"
    told = kubectl("patch", "pod", "web", "-p", patch, "--dry-run=server", "-o", image)
    assert told == "example.com/busybox:1"
    assert kubectl("get", "pod", "web", "-o", image) == "example.com/httpd:1"


def test_kubectl_proxy_port_zero(kubectl: Kubectl) -> None:
    with kubectl.running("proxy", "--port=0", "--disable-filter") as proxy:
        assert proxy.stdout is not None
        said = [proxy.stdout.readline()]
        while not (found := re.search(r"Starting to serve on 127\.0\.0\.1:(\d+)", said[-1])):
            assert said[-1], said
            said.append(proxy.stdout.readline())
        with urlopen(f"http://127.0.0.1:{found[1]}/api/", timeout=20) as answer:
            assert json.load(answer)["versions"]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def test_kubectl_proxy_socket(kubectl: Kubectl, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with kubectl.running("proxy", f"--unix-socket={path}") as proxy:
        assert proxy.stdout is not None
        assert proxy.stdout.readline() == f"Starting to serve on {path}\n"
        connection = _UnixConnection(path)
        connection.request("GET", "/api/")
        assert json.load(connection.getresponse())["versions"]
        connection.close()
