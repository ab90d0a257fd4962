"""kubectl's less common flags: those that ask the server for something else than the plain command does."""

from __future__ import annotations

import base64
import json
import re
import select
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .kubectls import Kubectl, columns
from .manifests import WEB, config_map


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    return kubectl


def test_get(web: Kubectl) -> None:
    kinds = columns(web("get", "deploy,rs", "--show-kind", "-L", "app"))
    assert kinds[0][-1] == "APP"
    assert kinds[1][0] == "deployment.apps/web"
    bare = columns(web("get", "deploy", "--server-print=false"))
    assert bare[0] == ["NAME", "AGE"]
    chunked = columns(web("get", "pods", "--chunk-size=1"))
    assert len(chunked) == 3
    names = web("get", "pods", "--template={{range .items}}{{.metadata.name}} {{end}}").split()
    assert [row[0] for row in chunked[1:]] == names
    with web.running("get", "pods", "-w", "-o", "name") as watching:
        assert watching.stdout is not None
        assert {watching.stdout.readline() for _ in names} == {f"pod/{name}\n" for name in names}
        web("label", "pod", names[0], "seen=yes", "--overwrite")
        assert watching.stdout.readline() == f"pod/{names[0]}\n"
    with web.running("get", "pod", names[1], "--watch-only", "-o", "name") as watching:
        assert watching.stdout is not None
        while not select.select([watching.stdout], [], [], 0)[0]:  # it begins whenever it begins
            web("label", "pod", names[1], f"seen={time.monotonic_ns()}", "--overwrite")
        assert watching.stdout.readline() == f"pod/{names[1]}\n"
    with web.running("get", "pods", "-w", "--output-watch-events") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[:2] == ["EVENT", "NAME"]
        assert watching.stdout.readline().split()[0] == "ADDED"
    for place, name in enumerate(reversed(names)):
        web("label", "pod", name, f"place={place}")
    by_place = web(
        "get", "pods", "--sort-by=.metadata.labels.place", "-o", "jsonpath={.items[*].metadata.name}"
    )
    assert by_place.split() == names[::-1]


def test_raw(kubectl: Kubectl, tmp_path: Path) -> None:
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    body = tmp_path / "m.json"
    body.write_text(json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "raw"}}))
    assert json.loads(kubectl("create", "--raw", path, "-f", str(body)))["metadata"]["name"] == "raw"
    body.write_text(json.dumps({"metadata": {"name": "raw"}, "data": {"k": "v"}}))
    assert json.loads(kubectl("replace", "--raw", f"{path}/raw", "-f", str(body)))["data"] == {"k": "v"}
    listed = json.loads(kubectl("get", "--raw", f"{path}?labelSelector=!x&limit=500"))
    assert listed["kind"] == "ConfigMapList"
    assert json.loads(kubectl("delete", "--raw", f"{path}/raw"))["status"] == "Success"
    told = kubectl.fails("get", "--raw", f"{path}/raw")
    assert told == 'Error from server (NotFound): configmaps "raw" not found\n'


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_tokens(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    kubectl("run", "p", "--image=nginx:1", '--overrides={"spec":{"serviceAccountName":"robot"}}')
    bound = ("--bound-object-kind=Pod", "--bound-object-name=p")
    token = kubectl("create", "token", "robot", "--audience=a", "--audience=b", *bound).strip()
    claims = claims_of(token)
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:robot"
    assert claims["aud"] == ["a", "b"]
    assert claims["kubernetes.io"]["pod"]["name"] == "p"
    uid = kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.uid}")
    token = kubectl("create", "token", "robot", *bound, f"--bound-object-uid={uid}").strip()
    if kubectl.minor >= 28:
        # A kubeconfig of no certificate, with the token alone.
        config = kubectl.home / "robot.conf"
        plain = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        plain["users"] = [{"name": plain["users"][0]["name"], "user": {"token": token}}]
        config.write_text(json.dumps(plain))
        me = kubectl("auth", "whoami", "-o", "json", KUBECONFIG=str(config))
        assert json.loads(me)["status"]["userInfo"]["username"].endswith(":robot")
    told = kubectl.fails("create", "token", "robot", *bound, "--bound-object-uid=other")
    assert "the UID in the bound object reference" in told


def certificate_request(kubectl: Kubectl, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "dev"),
            x509.NameAttribute(NameOID.COMMON_NAME, "joe"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    encoded = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    signer = "kubernetes.io/kube-apiserver-client"
    kubectl(
        "create", "-f", "-",
        stdin="apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{request: {encoded}, signerName: {signer}, usages: [client auth]}}\n",
    )  # fmt: skip


def test_certificates(kubectl: Kubectl) -> None:
    yes, no = f"yes-{kubectl.namespace}", f"no-{kubectl.namespace}"
    certificate_request(kubectl, yes)
    certificate_request(kubectl, no)
    denied = f"certificatesigningrequest.certificates.k8s.io/{no} denied\n"
    assert kubectl("certificate", "deny", no) == denied
    assert columns(kubectl("get", "csr", no))[1][-1] == "Denied"
    assert "is already Denied" in kubectl.fails("certificate", "approve", no)
    assert kubectl("certificate", "deny", no, "--force") == denied
    assert kubectl("certificate", "approve", yes).endswith(" approved\n")
    kubectl("wait", f"csr/{yes}", "--for=condition=Approved", "--timeout=10s")
    issued = "jsonpath={.status.certificate}"
    while not (certificate := kubectl("get", "csr", yes, "-o", issued)):
        kubectl("get", "csr", yes, "--watch-only", "--request-timeout=1s")
    subject = x509.load_pem_x509_certificate(base64.b64decode(certificate)).subject
    assert subject.rfc4514_string() == "CN=joe,O=dev"
    assert columns(kubectl("get", "csr", yes))[1][-1] == "Approved,Issued"
    kubectl("delete", "csr", yes, no)


def test_debug_profiles_and_copies(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=nginx:1", "--labels=app=p")
    kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")
    kubectl("debug", "p", "--image=busybox", "-c", "net", "--profile=netadmin", "--target=p")
    found = json.loads(kubectl("get", "pod", "p", "-o", "json"))["spec"]["ephemeralContainers"]
    assert found[0]["targetContainerName"] == "p"
    assert "NET_ADMIN" in found[0]["securityContext"]["capabilities"]["add"]
    kubectl("debug", "p", "--image=busybox", "-c", "strict", "--profile=restricted")
    found = json.loads(kubectl("get", "pod", "p", "-o", "json"))["spec"]["ephemeralContainers"]
    assert found[1]["securityContext"]["runAsNonRoot"] is True
    kubectl("debug", "p", "--copy-to=p2", "--set-image=*=busybox:2", "--share-processes", "--same-node")
    copy = json.loads(kubectl("get", "pod", "p2", "-o", "json"))["spec"]
    original = json.loads(kubectl("get", "pod", "p", "-o", "json"))["spec"]
    assert copy["containers"][0]["image"] == "busybox:2"
    assert (copy["shareProcessNamespace"], copy["nodeName"]) == (True, original["nodeName"])
    kubectl("debug", "p", "--copy-to=p3", "--image=busybox", "--replace")
    kubectl("wait", "pod/p", "--for=delete", "--timeout=30s")
    profile = "sysadmin" if kubectl.minor >= 30 else "general"
    printed = kubectl("debug", "node/node-0", "--image=busybox", f"--profile={profile}")
    name = re.findall(r"node-debugger-node-0-\w+", printed)[0]
    spec = json.loads(kubectl("get", "pod", name, "-o", "json"))["spec"]
    assert (spec["hostNetwork"], spec["hostPID"], spec["nodeName"]) == (True, True, "node-0")
    if profile == "sysadmin":
        assert spec["containers"][0]["securityContext"]["privileged"] is True


def test_events(web: Kubectl) -> None:
    web("scale", "deploy", "web", "--replicas=1")
    scaled = columns(web("events", "--for=deployment/web", "--no-headers"))
    assert all(row[2:4] == ["ScalingReplicaSet", "Deployment/web"] for row in scaled)
    assert any(row[4].startswith("Scaled down replica set web-") for row in scaled)
    assert columns(web("events", "-A"))[0][:2] == ["NAMESPACE", "LAST SEEN"]
    assert web.run("events", "--types=Warning").err.startswith("No events found")
    with web.running("events", "--for=deployment/web", "--watch") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[:2] == ["LAST", "SEEN"]
    items = json.loads(web("events", "-o", "json"))["items"]
    assert {item["involvedObject"]["kind"] for item in items} >= {"Deployment", "ReplicaSet", "Pod"}


def test_autoscale(web: Kubectl) -> None:
    planned = web("autoscale", "deploy", "web", "--max=3", "--dry-run=server", "-o", "json")
    assert json.loads(planned)["spec"]["maxReplicas"] == 3
    assert web("get", "hpa", "-o", "name") == ""
    web("autoscale", "deploy", "web", "--name=h", "--min=2", "--max=4", "--cpu-percent=70")
    scaler = json.loads(web("get", "hpa.v2.autoscaling", "h", "-o", "json"))["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)
    (metric,) = scaler["metrics"]
    assert metric["resource"]["target"]["averageUtilization"] == 70
    assert "70%" in web("get", "hpa", "h")
    assert web.fails("autoscale", "deploy", "web", "--name=h", "--max=4") == (
        'Error from server (AlreadyExists): horizontalpodautoscalers.autoscaling "h" already exists\n'
    )


def test_proxy_serves_everything_below_its_prefix(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=config_map("m"))
    with kubectl.running("proxy", "--port=0", "--api-prefix=/k8s", "--reject-methods=^DELETE$") as proxy:
        assert proxy.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", proxy.stdout.readline())
        assert found is not None
        base = f"http://127.0.0.1:{found[1]}/k8s/api/v1/namespaces/{kubectl.namespace}/configmaps"
        with urlopen(f"{base}/m", timeout=20) as answer:
            assert json.load(answer)["data"] == {"a": "b"}
        with urlopen(f"{base}?watch=true&timeoutSeconds=1", timeout=20) as answer:
            kinds = {json.loads(line)["object"]["metadata"]["name"] for line in answer}
        assert "m" in kinds
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(f"{base}/m", method="DELETE"), timeout=20)
        assert refused.value.code == 403
        refused.value.close()


def test_deletions(web: Kubectl) -> None:
    web("run", "slow", "--image=nginx:1", '--overrides={"spec":{"terminationGracePeriodSeconds":600}}')
    web("wait", "pod/slow", "--for=condition=Ready", "--timeout=30s")
    told = web("delete", "pod", "slow", "--now", "--timeout=40s")
    assert told.startswith('pod "slow" deleted')
    orphaned = web("get", "rs", "-l", "app=web", "-o", "name").split()
    web("delete", "deploy", "web", "--cascade=orphan")
    assert web("get", "rs", "-l", "app=web", "-o", "name").split() == orphaned
    web("delete", *orphaned, "--cascade=foreground", "--timeout=40s")
    assert web("get", "pods", "-l", "app=web", "-o", "name") == ""


def test_exposing(web: Kubectl) -> None:
    address = web("create", "service", "clusterip", "probe", "--tcp=80", "-o", "jsonpath={.spec.clusterIP}")
    web("delete", "service", "probe")
    web(
        "expose", "deploy", "web", "--name=s", f"--cluster-ip={address}", "--port=53", "--protocol=UDP",
        "--session-affinity=ClientIP", "--external-ip=192.0.2.9",
    )  # fmt: skip
    spec = json.loads(web("get", "svc", "s", "-o", "json"))["spec"]
    assert (spec["clusterIP"], spec["externalIPs"], spec["sessionAffinity"]) == (
        address,
        ["192.0.2.9"],
        "ClientIP",
    )
    assert spec["ports"][0]["protocol"] == "UDP"
    taken = web.fails("expose", "deploy", "web", "--name=t", f"--cluster-ip={address}", "--port=53")
    assert "provided IP is already allocated" in taken


def test_draining_without_evictions(kubectl: Kubectl) -> None:
    manifest = """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: drained}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "x:1"}]
  volumes: [{name: v, emptyDir: {}}]
"""
    kubectl("create", "-f", "-", stdin=manifest)
    kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")
    only = ("--pod-selector=app=drained", "--timeout=30s")
    assert "use --delete-emptydir-data to override" in kubectl.fails("drain", "node-1", "--force", *only)
    assert "use --force to override" in kubectl.fails("drain", "node-1", "--delete-emptydir-data", *only)
    kubectl("drain", "node-1", *only, "--force", "--delete-emptydir-data", "--disable-eviction")
    assert kubectl("get", "pods", "-l", "app=drained", "-o", "name") == ""
    kubectl("uncordon", "node-1")


def test_local_group_versions_are_listed(kubectl: Kubectl) -> None:
    rows = columns(kubectl("get", "apiservices"))
    assert rows[0] == ["NAME", "SERVICE", "AVAILABLE", "AGE"]
    found = {row[0]: row[1:3] for row in rows[1:]}
    assert found["v1."] == found["v1.apps"] == found["v2.autoscaling"] == ["Local", "True"]
