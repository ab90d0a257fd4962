"""kubectl on what runs: rollout, set, scale, drain and its kin, taint, delete in its variants, certificates, debug."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .kubectls import Kubectl, columns
from .manifests import WEB, config_map

ROLLED_OUT = 'deployment "web" successfully rolled out\n'


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    kubectl("apply", "-f", "-", stdin=WEB)
    assert kubectl("rollout", "status", "deploy/web", "--timeout=30s").endswith(ROLLED_OUT)
    return kubectl


def image(kubectl: Kubectl) -> str:
    return kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[*].image}")


def test_rollouts(web: Kubectl) -> None:
    assert web("set", "image", "deploy/web", "c=nginx:2") == "deployment.apps/web image updated\n"
    assert web("rollout", "status", "deploy/web", "--timeout=30s").endswith(ROLLED_OUT)
    web("annotate", "deploy", "web", "kubernetes.io/change-cause=second")
    history = web("rollout", "history", "deploy/web").splitlines()
    assert history[:2] == ["deployment.apps/web ", "REVISION  CHANGE-CAUSE"]
    assert [line.split()[0] for line in history[2:] if line] == ["1", "2"]
    assert "nginx:1" in web("rollout", "history", "deploy/web", "--revision=1")
    assert web("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    assert image(web) == "nginx:1"
    assert web("rollout", "status", "deploy/web", "--timeout=30s").endswith(ROLLED_OUT)
    assert web.fails("rollout", "undo", "deploy/web", "--to-revision=9") == (
        "error: unable to find specified revision 9 in history\n"
    )
    assert web("rollout", "pause", "deploy/web") == "deployment.apps/web paused\n"
    assert web.fails("rollout", "pause", "deploy/web") == 'error: deployments.apps "web" is already paused\n'
    assert "can't restart paused deployment" in web.fails("rollout", "restart", "deploy/web")
    assert web("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    assert web("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    assert web("rollout", "status", "deploy/web", "--timeout=30s").endswith(ROLLED_OUT)
    # Restarted pods are new ones, of a revision of their own.
    assert len(web("get", "rs", "-o", "name").split()) == 3


def test_set(web: Kubectl) -> None:
    web("create", "configmap", "settings", "--from-literal=key=value")
    web("create", "sa", "bot")
    assert web("set", "env", "deploy/web", "A=1", "B=2") == "deployment.apps/web env updated\n"
    web("set", "env", "deploy/web", "B-")
    web("set", "env", "deploy/web", "--from=configmap/settings", "--prefix=X_")
    listed = web("set", "env", "deploy/web", "--list")
    assert listed == "# Deployment web, container c\nA=1\n# X_KEY from configmap settings, key key\n"
    limits = ("--limits=cpu=100m,memory=64Mi", "--requests=cpu=50m")
    assert (
        web("set", "resources", "deploy/web", *limits)
        == "deployment.apps/web resource requirements updated\n"
    )
    assert web("set", "serviceaccount", "deploy/web", "bot") == "deployment.apps/web serviceaccount updated\n"
    web("expose", "deploy", "web")
    assert web("set", "selector", "svc/web", "x=y") == "service/web selector updated\n"
    web("create", "rolebinding", "rb", "--clusterrole=view", "--user=a")
    subject = web("set", "subject", "rolebinding", "rb", "--user=b")
    assert subject == "rolebinding.rbac.authorization.k8s.io/rb subjects updated\n"
    assert web("rollout", "status", "deploy/web", "--timeout=30s").endswith(ROLLED_OUT)
    pod = json.loads(web("get", "pods", "-l", "app=web", "-o", "json"))["items"][-1]
    assert pod["spec"]["serviceAccountName"] == "bot"
    assert pod["status"]["qosClass"] == "Burstable"


def test_scale(web: Kubectl) -> None:
    assert web("scale", "deploy", "web", "--replicas=3") == "deployment.apps/web scaled\n"
    told = web.fails("scale", "deploy", "web", "--replicas=1", "--current-replicas=7")
    assert told == "error: Expected replicas to be 7, was 3\n"
    done = web.run("scale", "deploy/web", "rs/nosuch", "--replicas=0")
    assert (done.out, done.err) == (
        "deployment.apps/web scaled\n",
        'Error from server (NotFound): replicasets.apps "nosuch" not found\n',
    )
    web("wait", "--for=jsonpath={.status.observedGeneration}=3", "deploy/web", "--timeout=30s")
    web("wait", "--for=delete", "pods", "-l", "app=web", "--timeout=30s")


def test_nodes(web: Kubectl) -> None:
    assert web("cordon", "node-0") == "node/node-0 cordoned\n"
    assert web("cordon", "node-0") == "node/node-0 already cordoned\n"
    assert columns(web("get", "node", "node-0"))[1][1] == "Ready,SchedulingDisabled"
    assert web("uncordon", "node-0") == "node/node-0 uncordoned\n"
    taint = ("taint", "node", "node-2", "t=1:PreferNoSchedule")
    assert web(*taint) == "node/node-2 tainted\n"
    assert "already has" in web.fails(*taint)
    assert web("taint", "node", "node-2", "t=2:PreferNoSchedule", "--overwrite") == "node/node-2 modified\n"
    assert web("taint", "node", "node-2", "t-") == "node/node-2 untainted\n"
    assert 'taint "t" not found' in web.fails("taint", "node", "node-2", "t-")
    assert "unsupported taint effect" in web.fails("taint", "node", "node-2", "t=1:Never")


def test_drain_heeds_disruption_budgets(web: Kubectl) -> None:
    web("create", "pdb", "p", "--selector=app=web", "--min-available=2")
    web("wait", "pdb/p", "--for=jsonpath={.status.currentHealthy}=2", "--timeout=30s")
    pod = json.loads(web("get", "pods", "-o", "json"))["items"][0]
    node = pod["spec"]["nodeName"]
    # Not the whole node: other tests' pods may be there.
    drain = ("drain", node, "--pod-selector=app=web", "--ignore-daemonsets")
    try:
        told = web.fails(*drain, "--timeout=1s")
        assert (
            f'error when evicting pods/"{pod["metadata"]["name"]}" -n "{web.namespace}" (will retry after 5s): '
            "Cannot evict pod as it would violate the pod's disruption budget.\n"
        ) in told
        web("delete", "pdb", "p")
        drained = web(*drain, "--timeout=60s")
        assert f"pod/{pod['metadata']['name']} evicted\n" in drained
        assert drained.endswith(f"node/{node} drained\n")
    finally:
        web("uncordon", node)
    web("run", "bare", "--image=nginx:1", "--overrides", json.dumps({"spec": {"nodeName": "node-0"}}))
    dry = web.fails("drain", "node-0", "--dry-run=server", "--pod-selector=run=bare")
    assert "declare no controller (use --force to override)" in dry
    assert columns(web("get", "node", "node-0"))[1][1] == "Ready"


def test_deletions(web: Kubectl) -> None:
    web("apply", "-f", "-", stdin=config_map("one") + config_map("two") + config_map("three"))
    assert web("delete", "cm", "one").startswith('configmap "one" deleted')
    assert web.fails("delete", "cm", "one") == 'Error from server (NotFound): configmaps "one" not found\n'
    assert web("delete", "cm", "one", "--ignore-not-found") == ""
    assert web("delete", "-f", "-", stdin=config_map("two")).startswith('configmap "two" deleted')
    assert web("delete", "cm", "-l", "part=of-test").startswith('configmap "three" deleted')
    assert "no name was specified" in web.fails("delete", "cm")
    dry = web("delete", "deploy", "web", "--dry-run=server")
    assert dry.startswith('deployment.apps "web" deleted')
    assert "(server dry run)" in dry
    web("delete", "deploy", "web", "--cascade=orphan")
    [owned] = json.loads(web("get", "rs", "-o", "json"))["items"]
    assert "ownerReferences" not in owned["metadata"]
    assert len(web("get", "pods", "-o", "name").split()) == 2
    web("delete", "rs", "--all", "--cascade=foreground", "--timeout=30s")
    assert web("get", "pods", "-o", "name") == ""
    web("run", "p", "--image=nginx:1")
    forced = web.run("delete", "pod", "p", "--force", "--grace-period=0")
    assert forced.err.startswith("Warning: Immediate deletion does not wait for confirmation")
    assert forced.out.startswith('pod "p" force deleted')
    told = web.fails("delete", "ns", "default")
    assert told.endswith(
        'Error from server (Forbidden): namespaces "default" is forbidden: this namespace may not be deleted\n'
    )


def test_certificates(kubectl: Kubectl) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "joe")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    encoded = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    csr = f"joe-{kubectl.namespace}"
    manifest = f"""
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: {csr}}}
spec: {{request: {encoded}, signerName: example.com/none, usages: [client auth], expirationSeconds: 86400}}
"""
    kubectl("create", "-f", "-", stdin=manifest)
    assert columns(kubectl("get", "csr", csr))[1][2:] == [
        "example.com/none",
        "kubernetes-admin",
        "24h",
        "Pending",
    ]
    assert (
        kubectl("certificate", "approve", csr)
        == f"certificatesigningrequest.certificates.k8s.io/{csr} approved\n"
    )
    assert columns(kubectl("get", "csr", csr))[1][-1] == "Approved"
    assert "Common Name: " in kubectl("describe", "csr", csr)
    assert f'certificate signing request "{csr}" is already Approved' in kubectl.fails(
        "certificate", "deny", csr
    )
    kubectl("delete", "csr", csr)


def test_debug(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=nginx:1")
    kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")
    kubectl("debug", "p", "--image=busybox", "--container=look")
    assert kubectl("get", "pod", "p", "-o", "jsonpath={.spec.ephemeralContainers[*].name}") == "look"
    kubectl("debug", "p", "--image=busybox", "--copy-to=copy", "--container=look", "--", "sleep", "1")
    assert kubectl("get", "pod", "copy", "-o", "jsonpath={.spec.containers[*].name}") == "p look"
    printed = kubectl("debug", "node/node-0", "--image=busybox")
    assert "Creating debugging pod node-debugger-node-0-" in printed
    assert kubectl.fails("top", "pods") == "error: metrics not available yet\n"  # simulated ones use nothing


SETS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "x:1"}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "x:1"}]}
"""


def test_rollouts_of_stateful_and_daemon_sets(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=SETS)

    def rolled_out() -> None:
        done = kubectl("rollout", "status", "sts/db", "--timeout=60s")
        assert done.endswith("partitioned roll out complete: 2 new pods have been updated...\n")
        done = kubectl("rollout", "status", "ds/agent", "--timeout=60s")
        assert done.endswith('daemon set "agent" successfully rolled out\n')

    rolled_out()
    kubectl("set", "image", "sts/db", "ds/agent", "c=x:2")
    rolled_out()
    assert columns(kubectl("get", "sts", "-o", "wide"))[1][:2] == ["db", "2/2"]
    assert columns(kubectl("get", "ds"))[0][1:6] == ["DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE"]
    for name in ("sts/db", "ds/agent"):
        history = kubectl("rollout", "history", name).splitlines()
        assert [line.split()[0] for line in history[2:] if line] == ["1", "2"]
        assert "x:1" in kubectl("rollout", "history", name, "--revision=1")
        assert kubectl("rollout", "undo", name).endswith(" rolled back\n")
        told = kubectl.fails("rollout", "undo", name, "--to-revision=9")
        assert told == "error: unable to find specified revision 9 in history\n"
    rolled_out()
    kubectl("rollout", "restart", "sts/db", "ds/agent")
    rolled_out()
    assert kubectl("get", "pods", "-l", "app=db", "-o", "name") == "pod/db-0\npod/db-1\n"
    told = kubectl.fails("drain", "node-0", "--dry-run=server", "--pod-selector=app=agent")
    assert "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)" in told
