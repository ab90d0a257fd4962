"""kubectl get in every form, and what describes the cluster: explain, api-resources, describe, wait, auth, config."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .kubectls import Kubectl, columns
from .manifests import WEB, config_map


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """kubectl where a deployment of two pods has rolled out."""
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    return kubectl


def test_outputs(web: Kubectl) -> None:
    lines = columns(web("get", "deploy", "-o", "wide"))
    assert lines[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert (lines[1][:4], lines[1][5:]) == (["web", "2/2", "2", "2"], ["c", "nginx:1", "app=web"])
    assert columns(web("get", "pods"))[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert columns(web("get", "pods", "-o", "wide"))[0][5:] == [
        "IP",
        "NODE",
        "NOMINATED NODE",
        "READINESS GATES",
    ]
    assert "app=web,pod-template-hash=" in web("get", "pods", "--show-labels")
    assert columns(web("get", "pods", "-L", "app"))[0][-1] == "APP"
    assert [line[-1] for line in columns(web("get", "pods", "-L", "app"))[1:]] == ["web", "web"]
    assert len(web("get", "pods", "--no-headers").splitlines()) == 2
    assert re.fullmatch(r"(pod/web-[a-z0-9]+-[a-z0-9]{5}\n){2}", web("get", "pods", "-o", "name"))
    found = json.loads(web("get", "deploy", "web", "-o", "json"))
    assert (found["kind"], found["apiVersion"], "managedFields" in found["metadata"]) == (
        "Deployment",
        "apps/v1",
        False,
    )
    assert web("get", "deploy", "web", "-o", "yaml").startswith("apiVersion: apps/v1\nkind: Deployment\n")
    assert json.loads(web("get", "deploy,pods", "-o", "json"))["kind"] == "List"
    phases = web("get", "pods", "-o", 'jsonpath={range .items[*]}{.status.phase}{"\\n"}{end}')
    assert phases == "Running\nRunning\n"
    assert web("get", "pods", "-o", "go-template={{range .items}}{{.kind}} {{end}}") == "Pod Pod "
    chosen = web("get", "pods", "-o", "custom-columns=KIND:.kind,IMAGE:.spec.containers[*].image")
    assert columns(chosen) == [["KIND", "IMAGE"], ["Pod", "nginx:1"], ["Pod", "nginx:1"]]
    every = web("get", "all")
    for kind in ("pod/web-", "deployment.apps/web", "replicaset.apps/web-"):
        assert kind in every


def test_choosing(web: Kubectl) -> None:
    web("apply", "-f", "-", stdin=config_map("one") + config_map("two"))
    names = web("get", "cm", "-l", "part=of-test", "--sort-by=.metadata.name", "-o", "name")
    assert names == "configmap/one\nconfigmap/two\n"
    assert web("get", "cm", "-l", "part in (of-test),part!=x,!none", "-o", "name") == names
    assert web("get", "cm", "--field-selector", "metadata.name!=one,metadata.name!=two", "-o", "name") == (
        "configmap/kube-root-ca.crt\n"
    )
    assert len(web("get", "pods", "--field-selector=status.phase=Running", "-o", "name").split()) == 2
    assert web.run("get", "pods", "--field-selector=spec.nodeName=none").err == (
        f"No resources found in {web.namespace} namespace.\n"
    )
    assert web.fails("get", "pods", "--field-selector=spec.foo=1") == (
        'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label selector "", '
        'field selector "spec.foo=1": field label not supported: spec.foo\n'
    )
    assert "unable to parse requirement" in web.fails("get", "pods", "-l", "a in (b")
    assert len(web("get", "cm", "--chunk-size=1", "-o", "name").split()) == 3
    assert columns(web("get", "cm", "-A"))[0][0] == "NAMESPACE"
    one, missing = web("get", "cm/one", "deploy/web"), web.run("get", "cm", "one", "nosuch")
    assert one.count("NAME ") == 2
    assert missing.out.startswith("NAME ")
    assert missing.err == 'Error from server (NotFound): configmaps "nosuch" not found\n'
    assert web.fails("get", "nosuch") == 'error: the server doesn\'t have a resource type "nosuch"\n'
    assert web("get", "cm", "nosuch", "--ignore-not-found") == ""
    assert columns(web("get", "deploy", "web", "--subresource=scale"))[0][0] == "NAME"


def test_watching(web: Kubectl) -> None:
    with web.running("get", "cm", "-w", "--output-watch-events") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline().split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert watch.stdout.readline().split()[:2] == ["ADDED", "kube-root-ca.crt"]
        web("create", "configmap", "seen")
        web("label", "cm", "seen", "a=b")
        web("delete", "cm", "seen")
        lines = [watch.stdout.readline().split()[:2] for _ in range(3)]
    assert lines == [[kind, "seen"] for kind in ("ADDED", "MODIFIED", "DELETED")]
    with web.running("get", "pods", "-w") as watch:
        assert watch.stdout is not None
        assert columns(watch.stdout.readline())[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        for _ in range(2):
            assert watch.stdout.readline().split()[1:3] == ["1/1", "Running"]
        web("scale", "deploy", "web", "--replicas=3")
        assert watch.stdout.readline().split()[1:3] == ["0/1", "Pending"]


def test_waiting(web: Kubectl) -> None:
    met = "deployment.apps/web condition met\n"
    assert web("wait", "--for=condition=Available", "deploy/web", "--timeout=30s") == met
    assert web("wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web", "--timeout=30s") == met
    assert web("wait", "--for=condition=Ready", "pods", "--all", "--timeout=30s").count("condition met") == 2
    assert web.fails("wait", "--for=condition=Never", "deploy/web", "--timeout=0.2s") == (
        "error: timed out waiting for the condition on deployments/web\n"
    )
    with web.running("wait", "--for=delete", "deploy/web", "--timeout=30s") as waiting:
        web("delete", "deploy", "web", "--wait=false")
        assert waiting.wait(30) == 0
    if web.minor >= 31:
        with web.running("wait", "--for=create", "cm/late", "--timeout=30s") as waiting:
            web("create", "configmap", "late")
            assert waiting.wait(30) == 0


def test_describe(web: Kubectl) -> None:
    web("expose", "deploy", "web")
    deployment = web("describe", "deploy", "web")
    assert re.search(
        r"Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable", deployment
    )
    assert re.search(r"Normal +ScalingReplicaSet +\S+ +deployment-controller +Scaled up", deployment)
    pods = web("describe", "pods")
    assert re.search(r"Normal +Scheduled +\S+ +default-scheduler +Successfully assigned", pods)
    assert re.search(r"Normal +Started +\S+ +kubelet ", pods)
    assert re.search(r"PodReadyToStartContainers +True", pods)
    assert re.search(
        r"SuccessfulCreate +\S+ +replicaset-controller +Created pod: web-", web("describe", "rs")
    )
    service = web("describe", "svc", "web")
    assert re.search(r"Endpoints: +10\.\d+\.\d+\.\d+:80,10\.\d+\.\d+\.\d+:80", service)
    node = web("describe", "node", "node-0")
    assert re.search(r"Ready +True .* KubeletReady +kubelet is posting ready status", node)
    assert "node-controller" in node
    for kind in ("sa", "cm", "endpointslices", "ns", "clusterrole/view", "clusterrolebinding/cluster-admin",
                 "pc/system-node-critical"):  # fmt: skip
        assert web("describe", kind).startswith("Name: ")
    assert web.fails("describe", "pod", "nosuch") == 'Error from server (NotFound): pods "nosuch" not found\n'


def test_events(web: Kubectl) -> None:
    lines = columns(web("get", "events", "--field-selector=reason=Scheduled"))
    assert lines[0] == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert len(lines) == 3
    table = columns(web("events", "--for", "deploy/web", "--types=Normal"))
    assert table[1][2:4] == ["ScalingReplicaSet", "Deployment/web"]
    assert web("get", "events.events.k8s.io", "-o", "name").startswith("event.events.k8s.io/web")


def test_explain_and_discovery(kubectl: Kubectl, tmp_path: Path) -> None:
    spec = kubectl("explain", "pod.spec")
    assert re.search(r"containers\s+<\[\]Container> -required-", spec)
    recursive = kubectl("explain", "pod.spec", "--recursive")
    for line in (
        "  activeDeadlineSeconds\t<integer>",
        "          matchExpressions\t<[]NodeSelectorRequirement>",
    ):
        assert line in recursive
    assert 'field "nosuch" does not exist' in kubectl.fails("explain", "pod.spec.nosuch")
    assert "VERSION:    v1\n" in kubectl("explain", "hpa", "--api-version=autoscaling/v1")
    resources = kubectl("api-resources")
    assert re.search(r"deployments +deploy +apps/v1 +true +Deployment", resources)
    assert re.search(r"ingresses +ing +networking.k8s.io/v1 +true +Ingress", resources)
    cluster_wide = kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    assert {"nodes", "clusterroles.rbac.authorization.k8s.io"} < set(cluster_wide)
    assert {"v1", "apps/v1", "batch/v1", "autoscaling/v2"} < set(kubectl("api-versions").split())
    assert json.loads(kubectl("version", "-o", "json"))["serverVersion"]["minor"] == "36"
    assert "Kubernetes control plane" in kubectl("cluster-info")
    kubectl("cluster-info", "dump", f"--output-directory={tmp_path}")
    assert (tmp_path / "nodes.json").exists()
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert json.loads(kubectl("get", "--raw", "/apis/apps/v1"))["groupVersion"] == "apps/v1"


def test_auth_and_config(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "*", "*") == "yes\n"
    done = kubectl.run("auth", "can-i", "get", "pods", "--as=joe")
    assert (done.code, done.out) == (1, "no\n")
    assert re.search(r"\*\.\* +\[\] +\[\] +\[\*\]", kubectl("auth", "can-i", "--list"))
    assert kubectl.fails("get", "pods", "--as=joe") == (
        'Error from server (Forbidden): pods is forbidden: User "joe" cannot list resource "pods" in API group "" '
        f'in the namespace "{kubectl.namespace}"\n'
    )
    if kubectl.minor >= 28:  # before, it asks for an alpha or beta API
        me = kubectl("auth", "whoami", "--as=joe", "--as-group=dev")
        assert columns(me)[1:] == [["Username", "joe"], ["Groups", "[dev system:authenticated]"]]
    kubectl(
        "auth", "reconcile", "-f", "-",
        stdin="apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n"
        f"metadata: {{name: r, namespace: {kubectl.namespace}}}\n"
        "rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]\n",
    )  # fmt: skip
    assert columns(kubectl("get", "role"))[1][0] == "r"
    assert "server: https://127.0.0.1:" in kubectl("config", "view", "--minify")
    assert kubectl("config", "current-context") in kubectl("config", "get-contexts", "-o", "name")


def test_no_resource_table_is_missing(kubectl: Kubectl) -> None:
    """Each kind has a table that starts with its name, or for events when it was last seen."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    printed = kubectl.run("get", ",".join(kinds), "-A")
    assert printed.code == 0
    headers = [
        line.split()
        for line in printed.out.splitlines()
        if re.match(r"(NAMESPACE +)?(NAME|LAST SEEN) ", line)
    ]
    assert len(headers) > 10
    leases = kubectl("get", "leases", "-n", "kube-node-lease")
    assert columns(leases)[0] == ["NAME", "HOLDER", "AGE"]
