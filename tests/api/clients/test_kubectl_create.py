"""kubectl create, run, expose and autoscale: every generator, and what the server makes of it."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

from .kubectls import Kubectl


def got(kubectl: Kubectl, *what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", *what, "-o", "json"))
    return found


def test_workloads(kubectl: Kubectl) -> None:
    create = ("create", "deployment", "web", "--image=nginx:1", "--replicas=2", "--port=80")
    assert kubectl(*create) == "deployment.apps/web created\n"
    assert kubectl.fails(*create) == (
        'error: failed to create deployment: deployments.apps "web" already exists\n'
    )
    spec = got(kubectl, "deploy", "web")["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["ports"]) == (
        2,
        [{"containerPort": 80, "protocol": "TCP"}],
    )
    assert kubectl("create", "job", "once", "--image=x", "--", "echo", "hi") == "job.batch/once created\n"
    labels = got(kubectl, "job", "once")["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "once"
    often = ("create", "cronjob", "often", "--image=x", "--schedule=*/5 * * * *", "--", "date")
    assert kubectl(*often) == "cronjob.batch/often created\n"
    assert kubectl("create", "job", "now", "--from=cronjob/often") == "job.batch/now created\n"
    now = got(kubectl, "job", "now")
    assert now["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert now["metadata"]["ownerReferences"][0]["kind"] == "CronJob"


def test_configuration(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text\n")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    (tmp_path / "env").write_text("A=1\nB=2\n")
    kubectl(
        "create", "configmap", "c", "--from-literal=a=b", f"--from-file={tmp_path / 'file.txt'}",
        f"--from-file=bin={tmp_path / 'binary'}",
    )  # fmt: skip
    found = got(kubectl, "cm", "c")
    assert (found["data"], found["binaryData"]) == ({"a": "b", "file.txt": "text\n"}, {"bin": "/wA="})
    kubectl("create", "configmap", "e", f"--from-env-file={tmp_path / 'env'}")
    assert got(kubectl, "cm", "e")["data"] == {"A": "1", "B": "2"}
    assert kubectl("create", "secret", "generic", "s", "--from-literal=a=b") == "secret/s created\n"
    assert (got(kubectl, "secret", "s")["type"], got(kubectl, "secret", "s")["data"]) == (
        "Opaque",
        {"a": "Yg=="},
    )
    kubectl(
        "create", "secret", "docker-registry", "dr", "--docker-username=u", "--docker-password=p",
        "--docker-server=r.example",
    )  # fmt: skip
    docker = json.loads(b64decode(got(kubectl, "secret", "dr")["data"][".dockerconfigjson"]))
    assert docker["auths"]["r.example"]["username"] == "u"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-subj", "/CN=x", "-days", "1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    kubectl("create", "secret", "tls", "t", f"--cert={tmp_path}/cert.pem", f"--key={tmp_path}/key.pem")
    assert set(got(kubectl, "secret", "t")["data"]) == {"tls.crt", "tls.key"}


def test_access(kubectl: Kubectl) -> None:
    cluster_role = f"role-{kubectl.namespace}"
    assert kubectl("create", "sa", "bot") == "serviceaccount/bot created\n"
    role = ("create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps,pods/log")
    assert kubectl(*role) == "role.rbac.authorization.k8s.io/reader created\n"
    assert got(kubectl, "role", "reader")["rules"] == [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
    ]
    account = f"--serviceaccount={kubectl.namespace}:bot"
    kubectl("create", "rolebinding", "reads", "--role=reader", account)
    kubectl("create", "clusterrole", cluster_role, "--verb=get", "--non-resource-url=/logs/*")
    kubectl("create", "clusterrolebinding", cluster_role, f"--clusterrole={cluster_role}", "--group=g")
    told = kubectl.fails("create", "role", "bad", "--verb=get", "--resource=nosuch")
    assert 'the server doesn\'t have a resource type "nosuch"' in told
    me = f"--as=system:serviceaccount:{kubectl.namespace}:bot"
    assert kubectl("auth", "can-i", "list", "pods", me) == "yes\n"
    assert kubectl.run("auth", "can-i", "create", "pods", me).out == "no\n"
    token = kubectl("create", "token", "bot", "--duration=10m").strip()
    claims = json.loads(b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:bot"
    assert claims["exp"] - claims["iat"] == 600
    told = kubectl.fails("create", "token", "nobody")
    assert told == 'error: failed to create token: serviceaccounts "nobody" not found\n'
    assert kubectl("delete", "clusterrole,clusterrolebinding", cluster_role).count("deleted") == 2


def test_policies(kubectl: Kubectl) -> None:
    assert kubectl("create", "quota", "q", "--hard=configmaps=3,pods=9") == "resourcequota/q created\n"
    assert kubectl("create", "pdb", "p", "--selector=app=web", "--min-available=50%") == (
        "poddisruptionbudget.policy/p created\n"
    )
    assert got(kubectl, "pdb", "p")["spec"]["minAvailable"] == "50%"
    name = f"class-{kubectl.namespace}"
    assert kubectl("create", "priorityclass", name, "--value=10", "--description=d") == (
        f"priorityclass.scheduling.k8s.io/{name} created\n"
    )
    kubectl("delete", "priorityclass", name)
    assert kubectl("create", "namespace", name) == f"namespace/{name} created\n"
    assert kubectl("delete", "namespace", name).startswith(f'namespace "{name}" deleted')
    for number in ("1", "2"):
        kubectl("create", "configmap", f"c{number}")
    assert kubectl.fails("create", "configmap", "c3") == (
        'error: failed to create configmap: configmaps "c3" is forbidden: exceeded quota: q, '
        "requested: configmaps=1, used: configmaps=3, limited: configmaps=3\n"
    )


def test_services_and_ingresses(kubectl: Kubectl) -> None:
    assert kubectl("create", "service", "clusterip", "a", "--tcp=80:8080") == "service/a created\n"
    assert got(kubectl, "svc", "a")["spec"]["ports"] == [
        {"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}
    ]
    kubectl("create", "service", "clusterip", "headless", "--clusterip=None")
    kubectl("create", "service", "nodeport", "n", "--tcp=80")
    kubectl("create", "service", "loadbalancer", "l", "--tcp=80")
    kubectl("create", "service", "externalname", "x", "--external-name=a.example")
    kinds = {item["metadata"]["name"]: item["spec"] for item in got(kubectl, "svc")["items"]}
    assert kinds["headless"]["clusterIP"] == "None"
    assert 30000 <= kinds["n"]["ports"][0]["nodePort"] <= 32767
    assert (kinds["l"]["type"], kinds["x"]["externalName"]) == ("LoadBalancer", "a.example")
    ingress = (
        "create",
        "ingress",
        "i",
        "--class=c",
        "--rule=h.example/p*=a:80,tls=t",
        "--default-backend=a:80",
    )
    assert kubectl(*ingress) == "ingress.networking.k8s.io/i created\n"
    rule = got(kubectl, "ingress", "i")["spec"]["rules"][0]
    assert (rule["host"], rule["http"]["paths"][0]["pathType"]) == ("h.example", "Prefix")


def test_run(kubectl: Kubectl) -> None:
    assert kubectl("run", "p", "--image=nginx:1", "--restart=Never", "--labels=a=b") == "pod/p created\n"
    assert kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s") == "pod/p condition met\n"
    local = kubectl("run", "q", "--image=nginx", "--dry-run=client", "-o", "yaml")
    assert "uid" not in local
    remote = json.loads(kubectl("run", "q", "--image=nginx", "--dry-run=server", "-o", "json", "--env=A=b"))
    assert remote["metadata"]["uid"]
    assert remote["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert remote["spec"]["serviceAccountName"] == "default"
    assert [source for volume in remote["spec"]["volumes"] for source in volume["projected"]["sources"]]
    assert 'pods "q" not found' in kubectl.fails("get", "pod", "q")
    exposed = kubectl("run", "r", "--image=nginx:1", "--port=80", "--expose")
    assert exposed == "service/r created\npod/r created\n"
    told = kubectl.fails("run", "P_2", "--image=nginx")
    assert told.startswith(
        'The Pod "P_2" is invalid: \n* metadata.name: Invalid value: "P_2": a lowercase RFC 1123'
    )
    named = "apiVersion: v1\nkind: Pod\nmetadata: {name: a.b}\nspec: {containers: [{name: c, image: x}]}\n"
    done = kubectl.run("create", "-f", "-", stdin=named)
    assert done.out == "pod/a.b created\n"
    assert done.err.startswith(
        "Warning: metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        "a DNS label is recommended: [a lowercase RFC 1123 label must consist"
    )


def test_expose_and_autoscale(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx:1", "--port=80")
    assert kubectl("expose", "deploy", "web", "--target-port=8080", "--port=80") == "service/web exposed\n"
    assert got(kubectl, "svc", "web")["spec"]["selector"] == {"app": "web"}
    again = kubectl.fails("expose", "deploy", "web", "--port=80")
    assert again == 'Error from server (AlreadyExists): services "web" already exists\n'
    assert kubectl("autoscale", "deploy", "web", "--min=1", "--max=3", "--cpu-percent=50") == (
        "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    )
    line = kubectl("get", "hpa", "--no-headers").split()
    assert line[:2] == ["web", "Deployment/web"]
    assert "<unknown>/50%" in line
    assert (
        got(kubectl, "horizontalpodautoscalers.v1.autoscaling", "web")["spec"][
            "targetCPUUtilizationPercentage"
        ]
        == 50
    )


def test_what_is_not_an_object(kubectl: Kubectl) -> None:
    kind = kubectl.fails("create", "-f", "-", stdin="apiVersion: v1\nkind: Foo\nmetadata: {name: b}\n")
    assert 'no matches for kind "Foo" in version "v1"' in kind
    old = kubectl.fails(
        "create", "-f", "-", stdin="apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: b}\n"
    )
    assert 'no matches for kind "Deployment" in version "apps/v1beta1"' in old
    assert "kind not set" in kubectl.fails("create", "-f", "-", stdin="apiVersion: v1\nmetadata: {name: b}\n")
    missing = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: nosuch}\n"
    assert kubectl.fails("--namespace=nosuch", "create", "-f", "-", stdin=missing) == (
        'Error from server (NotFound): error when creating "STDIN": namespaces "nosuch" not found\n'
    )
    raw = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    assert '"kind":"ConfigMap"' in kubectl(
        "create", "--raw", raw, "-f", "-", stdin='{"metadata":{"name":"raw"}}'
    )
