"""Who may do what, over HTTP: roles, tokens, impersonation, nodes, quotas, reviews."""

from __future__ import annotations

import json
import ssl
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiclient import Api, Object
from servers import Server

from apiserver import kubeconfigs, pki

RBAC = "rbac.authorization.k8s.io"
KUBECTL = "/usr/bin/kubectl"


def as_user(name: str, *groups: str) -> dict[str, str]:
    headers = {"Impersonate_User": name}
    if groups:
        headers["Impersonate_Group"] = groups[0]
    return headers


def pod(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def grant(api: Api, namespace: str, user: str, role: Object) -> None:
    base = f"/apis/{RBAC}/v1/namespaces/{namespace}"
    assert api.post(f"{base}/roles", {"metadata": {"name": user}, "rules": [role]}).code == 201
    binding = {
        "metadata": {"name": user},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": user},
    }
    assert api.post(f"{base}/rolebindings", binding).code == 201


@pytest.fixture
def node_client(server: Server, api: Api, tmp_path: Path) -> Iterator[Api]:
    """A client with the certificate of node n1."""
    ca = pki.CertificateAuthority.load(server.data / "pki")
    config = yaml.safe_load((server.data / "admin.conf").read_text())
    url = config["clusters"][0]["cluster"]["server"]
    kubeconfigs.write_kubeconfig(
        tmp_path / "node.conf", url, ca.pem, pki.issue_node(ca, "n1"), user="system:node:n1"
    )
    client = Api(tmp_path / "node.conf")
    yield client
    client.close()


def test_anonymous_sees_only_what_is_public(server: Server) -> None:
    nobody = server.client(anonymous=True)
    assert nobody.get("/version").code == 200
    assert nobody.get("/livez").code == 200
    refused = nobody.get("/metrics")
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    assert refused.message == 'forbidden: User "system:anonymous" cannot get path "/metrics"'
    assert nobody.get("/api/v1/namespaces/default/pods").message == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" '
        'in the namespace "default"'
    )


def test_a_wrong_token_and_a_strangers_certificate_are_refused(server: Server, tmp_path: Path) -> None:
    refused = server.client(token="wrong").get("/version")
    assert (refused.code, refused.message) == (401, "Unauthorized")
    stranger = pki.create_ca()
    config = yaml.safe_load((server.data / "admin.conf").read_text())
    cluster = config["clusters"][0]["cluster"]
    credential = pki.issue_client(stranger, "admin", ("system:masters",))
    ca = b64decode(cluster["certificate-authority-data"])
    kubeconfigs.write_kubeconfig(tmp_path / "x.conf", cluster["server"], ca, credential, user="admin")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Api(tmp_path / "x.conf").get("/version")


def test_rights_come_and_go_with_their_binding(api: Api, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    user = f"jane-{namespace}"
    assert api.get(pods, **as_user(user)).code == 403
    grant(api, namespace, user, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    assert api.get(pods, **as_user(user)).code == 200
    assert api.post(pods, pod("p"), **as_user(user)).message == (
        f'pods is forbidden: User "{user}" cannot create resource "pods" in API group "" '
        f'in the namespace "{namespace}"'
    )
    api.delete(f"/apis/{RBAC}/v1/namespaces/{namespace}/rolebindings/{user}")
    assert api.get(pods, **as_user(user)).code == 403


def test_nobody_grants_more_than_he_has(api: Api, namespace: str) -> None:
    user = f"joe-{namespace}"
    grant(api, namespace, user, {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["create"]})
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    roles = f"/apis/{RBAC}/v1/namespaces/{namespace}/roles"
    refused = api.post(roles, {"metadata": {"name": "x"}, "rules": [rule]}, **as_user(user))
    assert refused.code == 403
    assert "is attempting to grant RBAC permissions not currently held:\n" in refused.message
    assert '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}' in refused.message


def test_impersonation_needs_permission(api: Api, namespace: str, server: Server) -> None:
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert api.post(account, {"metadata": {"name": "robot"}}).code == 201
    token = api.post(f"{account}/robot/token", {"spec": {}})["status"]["token"]
    robot = server.client(token=token)
    refused = robot.get("/version", Impersonate_User="admin")
    assert refused.message == (
        f'users "admin" is forbidden: User "system:serviceaccount:{namespace}:robot" cannot impersonate resource '
        '"users" in API group "" at the cluster scope'
    )


def test_a_token_from_issue_to_end(api: Api, namespace: str, server: Server) -> None:
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    uid = api.post(account, {"metadata": {"name": "robot"}})["metadata"]["uid"]
    answer = api.post(f"{account}/robot/token", {"spec": {"audiences": ["vault"]}})
    assert answer.code == 201
    assert (answer["kind"], answer["spec"]["audiences"]) == ("TokenRequest", ["vault"])
    review = {"spec": {"token": answer["status"]["token"], "audiences": ["vault"]}}
    reviewed = api.post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert reviewed["status"]["user"]["uid"] == uid
    assert server.client(token=answer["status"]["token"]).get("/api").code == 401

    token = api.post(f"{account}/robot/token", {"spec": {}})["status"]["token"]
    robot = server.client(token=token)
    me = robot.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:robot"
    keys = robot.get("/openid/v1/jwks")["keys"]
    header = token.split(".")[0]
    kid = json.loads(b64decode(header + "=" * (-len(header) % 4)))["kid"]
    assert kid in [key["kid"] for key in keys]
    assert robot.get("/.well-known/openid-configuration")["issuer"].startswith(
        "https://kubernetes.default.svc"
    )
    short = api.post(f"{account}/robot/token", {"spec": {"expirationSeconds": 60}})
    assert "may not specify a duration less than 10 minutes" in short.message


def test_a_bootstrap_token(api: Api, server: Server) -> None:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
    }
    secret = {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: b64encode(value.encode()).decode() for key, value in data.items()},
    }
    assert api.post("/api/v1/namespaces/kube-system/secrets", secret).code == 201
    joining = server.client(token="abcdef.0123456789abcdef")
    me = joining.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["groups"] == ["system:bootstrappers", "system:authenticated"]
    api.delete("/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef")
    assert joining.get("/version").code == 401


def test_a_nodes_rights_end_at_its_own_objects(api: Api, namespace: str, node_client: Api) -> None:
    for name in ("n1", "n2"):
        api.post("/api/v1/nodes", {"metadata": {"name": name}})
    base = f"/api/v1/namespaces/{namespace}"
    for name in ("mine", "other"):
        assert api.post(f"{base}/secrets", {"metadata": {"name": name}}).code == 201
    assert api.post(f"{base}/serviceaccounts", {"metadata": {"name": "robot"}}).code == 201
    source = {"serviceAccountToken": {"path": "token", "audience": "vault"}}
    volumes = [
        {"name": "s", "secret": {"secretName": "mine"}},
        {"name": "t", "projected": {"sources": [source]}},
    ]
    mine = api.post(f"{base}/pods", pod("a", nodeName="n1", volumes=volumes, serviceAccountName="robot"))
    api.post(f"{base}/pods", pod("b", nodeName="n2", serviceAccountName="robot"))

    assert node_client.get(f"{base}/secrets/mine").code == 200
    assert node_client.get(f"{base}/secrets/other").message == (
        'secrets "other" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" '
        f"in the namespace \"{namespace}\": no relationship found between node 'n1' and this object"
    )
    assert node_client.get("/api/v1/nodes/n1").code == 200
    assert node_client.get("/api/v1/nodes/n2").code == 403
    assert node_client.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").code == 200
    assert node_client.get("/api/v1/pods").code == 403
    status = {"status": {"phase": "Running"}}
    assert node_client.patch(f"{base}/pods/a/status", status).code == 200
    assert "can only update pod status for pods with spec.nodeName" in (
        node_client.patch(f"{base}/pods/b/status", status).message
    )
    label = {"metadata": {"labels": {"node-restriction.kubernetes.io/secure": "yes"}}}
    assert "is not allowed to modify labels" in node_client.patch("/api/v1/nodes/n1", label).message
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "a", "uid": mine["metadata"]["uid"]}
    tokens = f"{base}/serviceaccounts/robot/token"
    spec: Object = {"boundObjectRef": reference, "audiences": ["vault"]}
    assert node_client.post(tokens, {"spec": spec}).code == 201
    assert 'audience "bank" not found in pod spec volume' in (
        node_client.post(tokens, {"spec": {**spec, "audiences": ["bank"]}}).message
    )
    assert "not bound to a pod" in node_client.post(tokens, {"spec": {}}).message


def test_many_writers_get_exactly_what_the_quota_allows(server: Server, api: Api, namespace: str) -> None:
    base = f"/api/v1/namespaces/{namespace}"
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "7"}}}
    assert api.post(f"{base}/resourcequotas", quota).code == 201

    def create(worker: int) -> list[int]:
        client = server.client()
        codes = [client.post(f"{base}/pods", pod(f"p-{worker}-{i}")).code for i in range(5)]
        client.close()
        return codes

    with ThreadPoolExecutor(8) as pool:
        codes = [code for made in pool.map(create, range(8)) for code in made]
    assert (codes.count(201), codes.count(403)) == (7, 33)
    assert len(api.get(f"{base}/pods")["items"]) == 7
    assert api.get(f"{base}/resourcequotas/q")["status"]["used"] == {"pods": "7"}
    refused = api.post(f"{base}/pods", pod("more"))
    assert refused.message == (
        'pods "more" is forbidden: exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7'
    )
    name = api.get(f"{base}/pods")["items"][0]["metadata"]["name"]
    api.delete(f"{base}/pods/{name}?gracePeriodSeconds=0")
    assert api.post(f"{base}/pods", pod("more")).code == 201


def test_pod_security_warns_and_refuses(api: Api, namespace: str) -> None:
    labels = {
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    assert api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}}).code == 200
    pods = f"/api/v1/namespaces/{namespace}/pods"
    refused = api.post(pods, pod("x", hostNetwork=True))
    assert 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)' in refused.message
    made = api.post(pods, pod("x"))
    assert made.code == 201
    assert "would violate PodSecurity" in str(made.headers["Warning"])


def test_nothing_is_created_where_no_namespace_is(api: Api) -> None:
    refused = api.post("/api/v1/namespaces/nowhere/pods", pod("x"))
    assert (refused.code, refused.message) == (404, 'namespaces "nowhere" not found')
    kept = api.delete("/api/v1/namespaces/default")
    assert kept.message == 'namespaces "default" is forbidden: this namespace may not be deleted'


@pytest.mark.skipif(not Path(KUBECTL).exists(), reason="needs kubectl")
def test_kubectl_auth(server: Server, api: Api, namespace: str) -> None:
    user = f"kim-{namespace}"
    grant(
        api, namespace, user, {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}
    )

    def kubectl(*arguments: str) -> str:
        command = [KUBECTL, "--kubeconfig", str(server.data / "admin.conf"), "-n", namespace, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()

    assert kubectl("auth", "can-i", "list", "deployments.apps", "--as", user) == "yes"
    assert kubectl("auth", "can-i", "delete", "deployments.apps", "--as", user) == "no"
    assert kubectl("auth", "can-i", "delete", "nodes") == "yes"
    assert "deployments.apps" in kubectl("auth", "can-i", "--list", "--as", user)
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert kubectl("create", "token", "default").startswith("ey") is False  # nobody made the account
