"""Area auth: certificate signing requests, service accounts and their tokens, reviews of access, OIDC discovery."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

from apiclient import STRATEGIC, Api
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID
from lifecycle import LifeCycle, check_discovery, covers, fine, until
from registrations import eventually
from servers import Server

from apimachinery import resources

Object = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


def _request(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def _condition(kind: str, message: str) -> Object:
    return {"type": kind, "status": "True", "reason": "E2E", "message": message}


def test_certificatesigningrequest_api(api: Api) -> None:
    spec = {
        "request": _request("e2e.example.com"),
        "signerName": "example.com/e2e-test",
        "expirationSeconds": 3600,
        "usages": ["digital signature", "key encipherment", "server auth"],
    }
    life = LifeCycle(
        api, {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "spec": spec}
    )
    life.run()
    check_discovery(api, life.resource, "approval", "status")
    name = life.make()["metadata"]["name"]
    made = life.get(name)
    assert made["spec"]["username"]
    assert "system:authenticated" in made["spec"]["groups"]
    assert made["status"] == {}

    read = life.get(name, "approval")
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    assert read["kind"] == "CertificateSigningRequest"
    body = {
        "metadata": {"annotations": {"patchedapproval": "true"}},
        "status": {"conditions": [_condition("ApprovalPatch", "Patched by an e2e test")]},
    }
    patched = fine(api.patch(life.at(name, "approval"), body))
    assert [c["type"] for c in patched["status"]["conditions"]] == ["ApprovalPatch"]
    assert patched["metadata"]["annotations"]["patchedapproval"] == "true"
    patched["status"]["conditions"].append(_condition("Approved", "Set from an e2e test"))
    approved = fine(api.put(life.at(name, "approval"), patched))
    assert [c["type"] for c in approved["status"]["conditions"]] == ["ApprovalPatch", "Approved"]
    for condition in approved["status"]["conditions"]:
        assert condition["lastUpdateTime"]
        assert condition["lastTransitionTime"]

    certificate = base64.b64encode(_certificate()).decode()
    body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"certificate": certificate}}
    patched = fine(api.patch(life.at(name, "status"), body))
    assert patched["status"]["certificate"] == certificate
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    patched["status"]["conditions"].append(_condition("StatusUpdate", "Set from an e2e test"))
    updated = fine(api.put(life.at(name, "status"), patched))
    assert updated["status"]["conditions"][-1]["type"] == "StatusUpdate"
    assert [c["type"] for c in updated["status"]["conditions"]].count("Approved") == 1
    fine(api.delete(life.path + life.query))


def _certificate() -> bytes:
    from datetime import UTC, datetime, timedelta

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    )
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_certificatesigningrequest_signed_for_a_client(cluster: Api) -> None:
    """Certificates API: should support building a client with a CSR."""
    spec = {
        "request": _request("e2e-user"),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["digital signature", "client auth"],
    }
    made = fine(cluster.post(CSRS, {"metadata": {"generateName": "csr-"}, "spec": spec}), 201)
    path = f"{CSRS}/{made['metadata']['name']}"
    made["status"] = {"conditions": [_condition("Approved", "Approved by an e2e test")]}
    fine(cluster.put(f"{path}/approval", made))
    eventually(lambda: fine(cluster.get(path))["status"].get("certificate"))
    found = x509.load_pem_x509_certificate(base64.b64decode(fine(cluster.get(path))["status"]["certificate"]))
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "e2e-user"
    fine(cluster.delete(path))


# Service accounts


def test_serviceaccount_update_a_serviceaccount(api: Api, namespace: str) -> None:
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "ServiceAccount"}, namespace)
    made = life.make("e2e-sa")
    assert "automountServiceAccountToken" not in made
    made["automountServiceAccountToken"] = False
    assert fine(api.put(life.at("e2e-sa"), made))["automountServiceAccountToken"] is False


def test_serviceaccount_lifecycle(api: Api, namespace: str) -> None:
    """ServiceAccount, lifecycle: add, watch, patch, list by label, delete by collection."""
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "ServiceAccount"}, namespace)
    with api.watch(life.everywhere + life.query) as events:
        life.make("testserviceaccount")
        until(events, "ADDED", name="testserviceaccount")
        fine(api.patch(life.at("testserviceaccount"), {"automountServiceAccountToken": False}, STRATEGIC))
        assert until(events, "MODIFIED")["automountServiceAccountToken"] is False
        assert len(life.list(life.everywhere)) == 1
        fine(api.delete(life.path + life.query))
        until(events, "DELETED", name="testserviceaccount")
    life.run({"automountServiceAccountToken": True})


def _token(api: Api, namespace: str, name: str, **spec: Any) -> Object:
    path = f"{NAMESPACES}/{namespace}/serviceaccounts/{name}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return fine(api.post(path, body), 201)


def test_serviceaccount_create_and_review_token(api: Api, namespace: str) -> None:
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "ServiceAccount"}, namespace)
    account = life.make("e2e-sa")
    made = _token(api, namespace, "e2e-sa")
    assert (made["apiVersion"], made["kind"]) == ("authentication.k8s.io/v1", "TokenRequest")
    assert made["metadata"]["name"] == "e2e-sa"
    assert made["metadata"]["namespace"] == namespace
    assert made["metadata"]["creationTimestamp"]
    assert made["spec"]["expirationSeconds"] == 3600
    assert made["spec"]["audiences"]
    token = made["status"]["token"]
    assert token
    assert made["status"]["expirationTimestamp"]
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {"name": "e2e-review", "labels": {"a": "b"}},
        "spec": {"token": token},
    }
    answer = fine(api.post("/apis/authentication.k8s.io/v1/tokenreviews", review), 201)
    assert answer["spec"]["token"] == token
    assert answer["status"]["authenticated"] is True
    assert "error" not in answer["status"]
    user = answer["status"]["user"]
    assert user["username"] == f"system:serviceaccount:{namespace}:e2e-sa"
    assert user["uid"] == account["metadata"]["uid"]
    assert set(user["groups"]) >= {
        "system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated",
    }  # fmt: skip
    review["spec"] = {"token": token + "x"}
    answer = fine(api.post("/apis/authentication.k8s.io/v1/tokenreviews", review), 201)
    assert not answer["status"].get("authenticated")
    assert answer["status"]["error"]
    # Not when it is for somebody else.
    other = _token(api, namespace, "e2e-sa", audiences=["somebody-else"])["status"]["token"]
    review["spec"] = {"token": other}
    assert not fine(api.post("/apis/authentication.k8s.io/v1/tokenreviews", review), 201)["status"].get(
        "authenticated"
    )
    review["spec"] = {"token": other, "audiences": ["somebody-else"]}
    found = fine(api.post("/apis/authentication.k8s.io/v1/tokenreviews", review), 201)["status"]
    assert found["audiences"] == ["somebody-else"]
    # Nor when the account is gone.
    fine(api.delete(life.at("e2e-sa")))
    review["spec"] = {"token": token}
    eventually(lambda: not _reviewed(api, review).get("authenticated"))


def _reviewed(api: Api, review: Object) -> Object:
    return dict(fine(api.post("/apis/authentication.k8s.io/v1/tokenreviews", review), 201)["status"])


def test_service_account_tokens_must_automount(cluster: Api, space: str) -> None:
    """The volume with token, CA and namespace is in every container of a pod of an account."""
    eventually(lambda: cluster.get(f"{NAMESPACES}/{space}/serviceaccounts/default").code == 200)
    spec = {
        "containers": [{"name": "c", "image": "busybox"}],
        "initContainers": [{"name": "i", "image": "b"}],
    }
    pod = fine(cluster.post(f"{NAMESPACES}/{space}/pods", {"metadata": {"name": "p"}, "spec": spec}), 201)
    assert pod["spec"]["serviceAccountName"] == "default"
    (volume,) = pod["spec"]["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    sources = volume["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
    assert sources[0]["serviceAccountToken"] == {"expirationSeconds": 3607, "path": "token"}
    assert sources[1]["configMap"]["name"] == "kube-root-ca.crt"
    for container in pod["spec"]["containers"] + pod["spec"]["initContainers"]:
        assert container["volumeMounts"] == [
            {
                "name": volume["name"],
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "readOnly": True,
            }
        ]


def test_service_account_tokens_auto_mount_optionally(cluster: Api, space: str) -> None:
    accounts = f"{NAMESPACES}/{space}/serviceaccounts"
    for name, value in (("mount", True), ("nomount", False)):
        body = {"metadata": {"name": name}, "automountServiceAccountToken": value}
        fine(cluster.post(accounts, body), 201)
    eventually(lambda: cluster.get(f"{accounts}/default").code == 200)
    cases = [
        ("default", None, True), ("default", True, True), ("default", False, False),
        ("mount", None, True), ("mount", True, True), ("mount", False, False),
        ("nomount", None, False), ("nomount", True, True), ("nomount", False, False),
    ]  # fmt: skip
    for number, (account, wanted, mounted) in enumerate(cases):
        spec: Object = {"containers": [{"name": "c", "image": "busybox"}], "serviceAccountName": account}
        if wanted is not None:
            spec["automountServiceAccountToken"] = wanted
        body = {"metadata": {"name": f"pod-{number}"}, "spec": spec}
        pod = fine(cluster.post(f"{NAMESPACES}/{space}/pods", body), 201)
        assert bool(pod["spec"].get("volumes")) is mounted, (account, wanted)


def test_tokenrequestprojection_should_mount_a_projected_volume_with_token(api: Api, namespace: str) -> None:
    """TokenRequestProjection should mount a projected volume with token using TokenRequest API: what the node does."""
    LifeCycle(api, {"apiVersion": "v1", "kind": "ServiceAccount"}, namespace).make("default")
    containers = [{"name": "c", "image": "busybox"}]
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    spec = {"containers": containers, "volumes": [{"name": "t", "projected": {"sources": [token]}}]}
    pods = f"{NAMESPACES}/{namespace}/pods"
    pod = fine(
        api.post(pods, {"metadata": {"name": "p"}, "spec": {**spec, "serviceAccountName": "default"}}), 201
    )
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    made = _token(api, namespace, "default", boundObjectRef=bound, expirationSeconds=3607)
    claims = json.loads(base64.urlsafe_b64decode(made["status"]["token"].split(".")[1] + "=="))
    assert claims["kubernetes.io"]["pod"] == {"name": "p", "uid": pod["metadata"]["uid"]}
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "default"
    assert claims["kubernetes.io"]["namespace"] == namespace
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    review = {"spec": {"token": made["status"]["token"]}}
    found = _reviewed(api, review)
    assert found["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    assert found["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
    fine(api.delete(f"{pods}/p?gracePeriodSeconds=0"))
    eventually(lambda: not _reviewed(api, review).get("authenticated"))


def test_rootca_configmap_test(cluster: Api, space: str) -> None:
    path = f"{NAMESPACES}/{space}/configmaps/kube-root-ca.crt"
    eventually(lambda: cluster.get(path).code == 200)
    made = fine(cluster.get(path))
    assert "BEGIN CERTIFICATE" in made["data"]["ca.crt"]
    fine(cluster.delete(path))
    eventually(lambda: cluster.get(path).code == 200)
    for data in ({"ca.crt": ""}, {"ca.crt": "wrong", "more": "too"}):
        changed = fine(cluster.get(path))
        changed["data"] = data
        fine(cluster.put(path, changed))
        eventually(lambda: fine(cluster.get(path))["data"] == made["data"])


def test_oidc_discovery_serviceaccountissuerdiscovery(server: Server, api: Api, namespace: str) -> None:
    """A pod's token is verified by what the server publishes, and by nothing else."""
    LifeCycle(api, {"apiVersion": "v1", "kind": "ServiceAccount"}, namespace).make("default")
    token = _token(api, namespace, "default", audiences=["oidc-discovery-test"])["status"]["token"]
    pod = server.client(token=_token(api, namespace, "default")["status"]["token"])
    configuration = pod.get("/.well-known/openid-configuration")
    assert configuration.code == 200
    assert configuration.headers["Content-Type"] == "application/json"
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert configuration["issuer"] == claims["iss"]
    assert configuration["response_types_supported"] == ["id_token"]
    assert configuration["subject_types_supported"] == ["public"]
    keys = pod.get(urllib.request.urlparse(configuration["jwks_uri"]).path)
    assert keys.code == 200
    assert keys.headers["Content-Type"] == "application/jwk-set+json"
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    (key,) = [key for key in keys["keys"] if key["kid"] == header["kid"]]
    assert key["use"] == "sig"
    assert key["alg"] == header["alg"]
    assert header["alg"] in configuration["id_token_signing_alg_values_supported"]
    signed, _, signature = token.rpartition(".")
    raw = _decoded(signature)
    assert (key["kty"], key["alg"]) == ("EC", "ES256")
    x, y = (int.from_bytes(_decoded(key[part])) for part in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    halves = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    public.verify(encode_dss_signature(*halves), signed.encode(), ec.ECDSA(hashes.SHA256()))
    pod.close()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# Reviews


def test_subjectreview_api_operations(api: Api, namespace: str) -> None:
    LifeCycle(api, {"apiVersion": "v1", "kind": "ServiceAccount"}, namespace).make("e2e")
    user = f"system:serviceaccount:{namespace}:e2e"
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    group = "/apis/authorization.k8s.io/v1"
    # Bound to view, so that one answer is yes and another no.
    binding = {
        "metadata": {"name": "view"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "e2e", "namespace": namespace}],
    }
    fine(api.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding), 201)
    for verb, allowed in (("list", True), ("create", False)):
        attributes = {"verb": verb, "resource": "configmaps", "namespace": namespace, "version": "v1"}
        spec = {"user": user, "groups": groups, "resourceAttributes": attributes}
        answer = fine(api.post(f"{group}/subjectaccessreviews", {"spec": spec}), 201)
        assert (answer["kind"], answer["apiVersion"]) == ("SubjectAccessReview", "authorization.k8s.io/v1")
        assert answer["status"]["allowed"] is allowed
        assert covers(answer["spec"], spec)
        local = fine(
            api.post(
                f"{group}/namespaces/{namespace}/localsubjectaccessreviews",
                {"metadata": {"namespace": namespace}, "spec": spec},
            ),
            201,
        )
        assert local["status"]["allowed"] is allowed
        own = api.request(
            "POST",
            f"{group}/selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": attributes}},
            Impersonate_User=user,
        )
        assert fine(own, 201)["status"]["allowed"] is allowed
        configmaps = f"{NAMESPACES}/{namespace}/configmaps"
        if verb == "list":
            real = api.get(configmaps, Impersonate_User=user)
        else:
            real = api.request("POST", configmaps, {"metadata": {"name": "x"}}, Impersonate_User=user)
        assert (real.code < 300) is allowed
    for plural in ("subjectaccessreviews", "localsubjectaccessreviews", "selfsubjectaccessreviews"):
        check_discovery(api, resources.get(plural, "authorization.k8s.io"))


def test_selfsubjectreview(api: Api, namespace: str) -> None:
    """SelfSubjectReview: testing SSR in different API groups."""
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = fine(
        api.post(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}), 201
    )
    assert (answer["kind"], answer["apiVersion"]) == ("SelfSubjectReview", "authentication.k8s.io/v1")
    assert answer["metadata"]["creationTimestamp"]
    assert answer["status"]["userInfo"]["username"]
    assert "system:authenticated" in answer["status"]["userInfo"]["groups"]
    user = f"system:serviceaccount:{namespace}:somebody"
    other = api.request("POST", path, {}, Impersonate_User=user)
    assert fine(other, 201)["status"]["userInfo"]["username"] == user
    check_discovery(api, resources.get("selfsubjectreviews", "authentication.k8s.io"))
