"""Quotas, aggregated roles, certificate requests, bootstrap tokens and mirrored slices on a real API server."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from controllercluster import PODS, Playground, controlling, eventually
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from servers import serving

from apimachinery import meta, resources
from apimachinery.errors import StatusError

QUOTAS = resources.get("resourcequotas")
SECRETS = resources.get("secrets")
SERVICES = resources.get("services")
ENDPOINTS = resources.get("endpoints")
SLICES = resources.get("endpointslices", "discovery.k8s.io")
CLAIMS = resources.get("persistentvolumeclaims")
BUDGETS = resources.get("poddisruptionbudgets", "policy")
CRDS = resources.get("customresourcedefinitions", "apiextensions.k8s.io")
CLUSTER_ROLES = resources.get("clusterroles", "rbac.authorization.k8s.io")
REQUESTS = resources.get("certificatesigningrequests", "certificates.k8s.io")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("policies") / "data"
    signing = [
        f"--cluster-signing-{kind}-file={path}/pki/ca.{end}"
        for kind, end in (("cert", "crt"), ("key", "key"))
    ]
    with serving(path, "--storage", "memory"), controlling(path, *signing):
        yield path


@pytest_asyncio.fixture
async def here(data: Path) -> AsyncIterator[Playground]:
    playground = await Playground.create(data)
    yield playground
    await playground.client.close()


def pod(name: str, **spec: Any) -> dict[str, Any]:
    requests = {"cpu": "100m", "memory": "64Mi"}
    container = {"name": "c", "image": "i", "resources": {"requests": requests, "limits": requests}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def used(here: Playground, name: str, **wanted: str) -> None:
    async def check() -> None:
        quota = await here.get(QUOTAS, name)
        shown = {key.replace(".", "_"): value for key, value in quota["status"]["used"].items()}
        assert {key: shown.get(key) for key in wanted} == wanted
        assert quota["status"]["hard"] == quota["spec"]["hard"]

    await eventually(check)


async def test_a_quota_follows_what_comes_and_goes(here: Playground) -> None:
    hard = {
        "pods": "5",
        "requests.cpu": "1",
        "secrets": "10",
        "persistentvolumeclaims": "3",
        "requests.storage": "10Gi",
    }
    await here.create_object(PODS, pod("before"))
    await here.create_object(QUOTAS, {"metadata": {"name": "all"}, "spec": {"hard": hard}})
    await used(here, "all", pods="1", requests_cpu="100m", secrets="0", persistentvolumeclaims="0")
    await here.create_object(PODS, pod("after"))
    await here.create_object(SECRETS, {"metadata": {"name": "s"}})
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await here.create_object(CLAIMS, {"metadata": {"name": "c"}, "spec": claim})
    await used(here, "all", pods="2", requests_cpu="200m", secrets="1", requests_storage="1Gi")
    await here.client.patch(
        PODS, "after", {"status": {"phase": "Succeeded"}}, here.namespace, subresource="status"
    )
    await used(here, "all", pods="1", requests_cpu="100m")
    await here.client.delete(PODS, "before", here.namespace, grace_period_seconds=0)
    await here.client.delete(SECRETS, "s", here.namespace)
    await used(here, "all", pods="0", requests_cpu="0", secrets="0")
    await here.patch(QUOTAS, "all", {"spec": {"hard": {"secrets": None, "services": "1"}}})
    await used(here, "all", pods="0", services="0")


async def test_quota_scopes_tell_ending_pods_from_others(here: Playground) -> None:
    for scope in ("Terminating", "NotTerminating"):
        spec = {"hard": {"pods": "1"}, "scopes": [scope]}
        await here.create_object(QUOTAS, {"metadata": {"name": scope.lower()}, "spec": spec})
        await used(here, scope.lower(), pods="0")
    await here.create_object(PODS, pod("endless"))
    await used(here, "notterminating", pods="1")
    await used(here, "terminating", pods="0")
    with pytest.raises(StatusError, match="exceeded quota: notterminating"):
        await here.create_object(PODS, pod("more"))
    await here.create_object(PODS, pod("ending", activeDeadlineSeconds=3600))
    await used(here, "terminating", pods="1")
    await here.client.delete(PODS, "endless", here.namespace, grace_period_seconds=0)
    await here.client.delete(PODS, "ending", here.namespace, grace_period_seconds=0)
    await used(here, "notterminating", pods="0")
    await used(here, "terminating", pods="0")


async def test_many_pods_at_once_never_exceed_a_quota(here: Playground) -> None:
    await here.create_object(QUOTAS, {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "5"}}})
    await used(here, "few", pods="0")
    for round_ in range(3):
        wishes = [here.create_object(PODS, pod(f"p{round_}-{i}")) for i in range(15)]
        await asyncio.gather(*wishes, return_exceptions=True)
        assert len(await here.list(PODS)) <= 5
        for each in (await here.list(PODS))[:3]:
            await here.client.delete(PODS, each["metadata"]["name"], here.namespace, grace_period_seconds=0)
    await used(here, "few", pods=str(len(await here.list(PODS))))


async def test_a_role_collects_the_rules_of_those_that_carry_its_label(here: Playground) -> None:
    label = {f"{here.namespace}.example.com/collect": "true"}
    selector = {"clusterRoleSelectors": [{"matchLabels": label}]}
    name = f"{here.namespace}-all"
    await here.client.create(
        CLUSTER_ROLES, {"metadata": {"name": name}, "aggregationRule": selector, "rules": []}
    )
    rules = [{"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}]
    part = {"metadata": {"name": f"{here.namespace}-part", "labels": label}, "rules": rules}
    await here.client.create(CLUSTER_ROLES, part)

    async def collected(wanted: list[Any]) -> None:
        found = await here.client.get(CLUSTER_ROLES, name)
        assert (found.get("rules") or []) == wanted

    await eventually(lambda: collected(rules))
    await here.client.delete(CLUSTER_ROLES, part["metadata"]["name"])
    await eventually(lambda: collected([]))


def certificate_request(subject: str, signer: str, usages: list[str]) -> tuple[Any, dict[str, Any]]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_rfc4514_string(subject))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    spec = {
        "request": b64encode(pem).decode(),
        "signerName": signer,
        "usages": usages,
        "expirationSeconds": 3600,
    }
    return key, {"metadata": {"generateName": "request-"}, "spec": spec}


async def test_an_approved_request_is_signed(here: Playground) -> None:
    usages = ["digital signature", "client auth"]
    key, wish = certificate_request("CN=jane,O=devs", "kubernetes.io/kube-apiserver-client", usages)
    made = await here.client.create(REQUESTS, wish)
    name = made["metadata"]["name"]
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "fine"}
    await here.client.update(REQUESTS, {**made, "status": {"conditions": [condition]}}, "approval")

    async def signed() -> str:
        return str((await here.client.get(REQUESTS, name))["status"]["certificate"])

    certificate = x509.load_pem_x509_certificate(b64decode(await eventually(signed)))
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=jane,O=devs"
    assert certificate.not_valid_after_utc < datetime.now(UTC) + timedelta(hours=1)


async def test_a_nodes_request_is_approved_by_itself_and_a_wrong_one_fails(here: Playground) -> None:
    signer, usages = "kubernetes.io/kube-apiserver-client-kubelet", ["digital signature", "client auth"]
    _, wish = certificate_request("CN=system:node:n,O=system:nodes", signer, usages)
    own = (await here.client.create(REQUESTS, wish))["metadata"]["name"]
    _, wish = certificate_request("CN=system:node:n,O=system:nodes", "kubernetes.io/kubelet-serving", usages)
    wrong = await here.client.create(REQUESTS, wish)
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "by mistake"}
    await here.client.update(REQUESTS, {**wrong, "status": {"conditions": [condition]}}, "approval")

    async def done() -> None:
        assert (await here.client.get(REQUESTS, own))["status"]["certificate"]
        failed = await here.client.get(REQUESTS, wrong["metadata"]["name"])
        reasons = {c["type"]: c["reason"] for c in failed["status"]["conditions"]}
        assert reasons["Failed"] == "SignerValidationFailure" and "certificate" not in failed["status"]

    await eventually(done)


async def test_an_expired_bootstrap_token_is_deleted(here: Playground) -> None:
    when = meta.rfc3339(datetime.now(UTC) + timedelta(seconds=1))
    name = "bootstrap-token-abcdef"
    text = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "expiration": when}
    secret = {"metadata": {"name": name}, "type": "bootstrap.kubernetes.io/token", "stringData": text}
    await here.client.create(SECRETS, secret, "kube-system")

    async def gone() -> None:
        names = [s["metadata"]["name"] for s in (await here.client.list(SECRETS, "kube-system"))[0]]
        assert name not in names

    await eventually(gone)


async def test_endpoints_made_by_hand_are_mirrored(here: Playground) -> None:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    await here.create_object(SERVICES, {"metadata": {"name": "db"}, "spec": {"ports": ports}})
    subsets = [{"addresses": [{"ip": "10.1.2.3"}], "ports": ports}]
    await here.create_object(ENDPOINTS, {"metadata": {"name": "db"}, "subsets": subsets})

    async def shown(*addresses: str) -> None:
        slices = await here.list(SLICES)
        assert [e["addresses"][0] for s in slices for e in s["endpoints"]] == list(addresses)
        for each in slices:
            managed = each["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
            assert managed == "endpointslicemirroring-controller.k8s.io"

    await eventually(lambda: shown("10.1.2.3"))
    subsets = [{"addresses": [{"ip": "10.2.3.4"}], "ports": ports}]
    await here.patch(ENDPOINTS, "db", {"subsets": subsets})
    await eventually(lambda: shown("10.2.3.4"))
    await here.client.delete(ENDPOINTS, "db", here.namespace)
    await eventually(lambda: shown())


async def test_a_budget_blocks_an_eviction_until_it_allows_one(here: Playground) -> None:
    await here.deploy(replicas=1)
    await here.rolled_out()
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await here.create_object(BUDGETS, {"metadata": {"name": "web"}, "spec": spec})

    async def allowed(number: int) -> None:
        status = (await here.get(BUDGETS, "web"))["status"]
        assert status["observedGeneration"] == (1 if number == 0 else 2)
        shown = [
            status[k] for k in ("disruptionsAllowed", "currentHealthy", "expectedPods", "desiredHealthy")
        ]
        assert shown == [number, 1, 1, 1 - number]
        condition = meta.condition({"status": status}, "DisruptionAllowed")
        assert condition is not None and condition["status"] == ("True" if number else "False")

    await eventually(lambda: allowed(0))
    (only,) = await here.list(PODS)
    name = only["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    with pytest.raises(StatusError) as refused:
        await here.client.create(PODS, eviction, here.namespace, name=name, subresource="eviction")
    assert refused.value.code == 429
    await here.patch(BUDGETS, "web", {"spec": {"minAvailable": 0}})
    await eventually(lambda: allowed(1))
    await here.client.create(PODS, eviction, here.namespace, name=name, subresource="eviction")

    async def replaced() -> None:
        names = [each["metadata"]["name"] for each in await here.list(PODS)]
        assert len(names) == 1 and name not in names

    await eventually(replaced)


async def test_custom_resources_count_too(here: Playground) -> None:
    group = f"{here.namespace}.example.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "kind": "Widget"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    await here.client.create(CRDS, {"metadata": {"name": f"widgets.{group}"}, "spec": spec})
    hard = {f"count/widgets.{group}": "2"}
    await here.create_object(QUOTAS, {"metadata": {"name": "widgets"}, "spec": {"hard": hard}})
    path = f"/apis/{group}/v1/namespaces/{here.namespace}/widgets"

    async def make(name: str) -> None:
        body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}}
        await here.client.request("POST", path, body=body)

    async def counted(number: str) -> None:
        assert (await here.get(QUOTAS, "widgets"))["status"]["used"] == {f"count/widgets.{group}": number}

    await eventually(lambda: make("a"))
    await eventually(lambda: counted("1"))
    await make("b")
    with pytest.raises(StatusError, match="exceeded quota: widgets"):
        await make("c")
    await here.client.request("DELETE", f"{path}/a")
    await eventually(lambda: counted("1"))
    await make("c")
    await eventually(lambda: counted("2"))
