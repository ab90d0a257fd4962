"""Authentication: certificates, service account tokens and what they are bound to, bootstrap tokens, impersonation."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from multidict import CIMultiDict
from objectreader import ObjectReader, pod, service_account

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver import pki, tokens
from apiserver.authn import Authenticator
from apiserver.authn_tokens import BootstrapTokens
from apiserver.authz import Authorizer
from apiserver.request import Object, User
from apiserver.reviews import Reviews
from apiserver.tokenrequests import TokenIssuer

NOW = datetime.now(UTC)
API = "https://kubernetes.default.svc.cluster.local"


@pytest.fixture
def reader() -> ObjectReader:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "uid-n1"}}
    return ObjectReader([service_account("robot"), pod("p", serviceAccountName="robot", nodeName="n1"), node])


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    pki.ensure_service_account_key(tmp_path)
    return tmp_path


@pytest.fixture
def issuer(reader: ObjectReader, keys: Path) -> TokenIssuer:
    return TokenIssuer(reader, keys / "sa.key")


@pytest.fixture
def authenticator(reader: ObjectReader, keys: Path) -> Authenticator:
    return Authenticator(reader, Authorizer(reader), key_files=[keys / "sa.pub"])


def ask(issuer: TokenIssuer, *, now: datetime = NOW, **spec: Any) -> Object:
    return issuer.create("default", "robot", {"spec": spec}, now=now, jti="j1")


def token(issuer: TokenIssuer, **spec: Any) -> str:
    return str(ask(issuer, **spec)["status"]["token"])


def bearer(text: str) -> CIMultiDict[str]:
    return CIMultiDict({"Authorization": f"Bearer {text}"})


POD_REF = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "uid-default-p"}


def claims(text: str) -> Object:
    part = text.split(".")[1]
    return dict(json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def test_a_client_certificate_names_user_and_groups(authenticator: Authenticator) -> None:
    cert = {"subject": ((("organizationName", "dev"),), (("commonName", "jane"),))}
    assert authenticator.authenticate(CIMultiDict(), cert) == User(
        "jane", "", ("dev", "system:authenticated")
    )


def test_nobody_is_anonymous_and_a_wrong_token_is_refused(authenticator: Authenticator) -> None:
    assert authenticator.authenticate(CIMultiDict(), None).name == "system:anonymous"
    for text in ("nonsense", "a.b.c", "x" * 5000):
        with pytest.raises(StatusError) as refused:
            authenticator.authenticate(bearer(text), None)
        assert refused.value.code == 401


def test_a_pods_token_round_trip(issuer: TokenIssuer, authenticator: Authenticator) -> None:
    text = token(issuer, boundObjectRef=POD_REF)
    user = authenticator.authenticate(bearer(text), None)
    assert user.name == "system:serviceaccount:default:robot"
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    )
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    assert claims(text)["kubernetes.io"]["node"] == {"name": "n1", "uid": "uid-n1"}


def test_a_token_dies_with_the_pod_it_is_bound_to(
    issuer: TokenIssuer, authenticator: Authenticator, reader: ObjectReader
) -> None:
    text = token(issuer, boundObjectRef=POD_REF)
    reader.remove(resources.get("pods"), "default", "p")
    again = pod("p", serviceAccountName="robot")
    again["metadata"]["uid"] = "another"
    for _ in range(2):
        with pytest.raises(StatusError):
            authenticator.authenticate(bearer(text), None)
        reader.put(again)


def test_a_token_dies_with_its_account(
    issuer: TokenIssuer, authenticator: Authenticator, reader: ObjectReader
) -> None:
    text = token(issuer)
    reader.remove(resources.get("serviceaccounts"), "default", "robot")
    with pytest.raises(StatusError):
        authenticator.authenticate(bearer(text), None)


def test_an_expired_and_a_changed_token_are_refused(
    issuer: TokenIssuer, authenticator: Authenticator
) -> None:
    old = ask(issuer, now=NOW - timedelta(hours=3))["status"]["token"]
    header, payload, signature = token(issuer).split(".")
    forged = claims(f"{header}.{payload}.{signature}") | {"sub": "system:serviceaccount:kube-system:admin"}
    body = urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
    none = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for text in (old, f"{header}.{body}.{signature}", f"{none}.{body}.", f"{header}.{payload}.{'A' * 86}"):
        with pytest.raises(StatusError):
            authenticator.authenticate(bearer(text), None)


def test_a_token_for_another_audience_is_not_for_us(
    issuer: TokenIssuer, authenticator: Authenticator
) -> None:
    text = token(issuer, audiences=["vault"])
    with pytest.raises(StatusError):
        authenticator.authenticate(bearer(text), None)
    review = Reviews(authenticator, Authorizer(ObjectReader()))
    resource = resources.get("tokenreviews", "authentication.k8s.io")
    answer = review.create(
        resource, "", {"spec": {"token": text, "audiences": ["vault", "other"]}}, User("x")
    )
    assert answer["status"]["authenticated"] is True
    assert answer["status"]["audiences"] == ["vault"]
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:robot"
    refused = review.create(resource, "", {"spec": {"token": text}}, User("x"))
    assert refused["status"] == {"user": {}, "error": "invalid bearer token"}


def test_the_default_token_volume_gets_a_long_lived_token(issuer: TokenIssuer) -> None:
    answer = ask(issuer, boundObjectRef=POD_REF, expirationSeconds=3607)
    made = claims(answer["status"]["token"])
    assert made["exp"] - made["iat"] == tokens.EXTENDED_SECONDS
    assert made["kubernetes.io"]["warnafter"] - made["iat"] == 3607
    assert answer["status"]["expirationTimestamp"] == (NOW + timedelta(seconds=3607)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    made = claims(token(issuer, boundObjectRef=POD_REF, expirationSeconds=3607, audiences=["vault"]))
    assert made["exp"] - made["iat"] == 3607


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 10}, 422, "may not specify a duration less than 10 minutes"),
        ({"boundObjectRef": {"kind": "Pod", "name": "q"}}, 404, 'pods "q" not found'),
        (
            {"boundObjectRef": {**POD_REF, "uid": "no"}},
            409,
            "the UID in the bound object reference (no) does not match",
        ),
        ({"boundObjectRef": {"kind": "ConfigMap", "name": "q"}}, 400, "cannot bind token to object of type"),
    ],
)
def test_what_a_token_cannot_be_asked_for(issuer: TokenIssuer, spec: Object, code: int, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        ask(issuer, **spec)
    assert refused.value.code == code
    assert message in refused.value.message


def test_a_token_is_not_bound_to_another_accounts_pod(issuer: TokenIssuer, reader: ObjectReader) -> None:
    reader.put(pod("q", serviceAccountName="someone"))
    with pytest.raises(StatusError, match='cannot bind token for serviceaccount "robot" to pod running with'):
        ask(issuer, boundObjectRef={"kind": "Pod", "name": "q"})


def test_rsa_keys_verify_too(reader: ObjectReader, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "rsa.key").write_bytes(pem)
    authenticator = Authenticator(reader, Authorizer(reader), key_files=[tmp_path / "rsa.key"])
    text = token(TokenIssuer(reader, tmp_path / "rsa.key"))
    assert authenticator.authenticate(bearer(text), None).name.endswith(":robot")
    assert tokens.jwks(authenticator.verifier.keys)["keys"][0]["kty"] == "RSA"


def test_the_discovery_documents_describe_the_key(authenticator: Authenticator, issuer: TokenIssuer) -> None:
    keys = authenticator.verifier.keys
    document = tokens.openid_configuration(API, keys)
    assert document["jwks_uri"] == f"{API}/openid/v1/jwks"
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]
    header = token(issuer).split(".")[0]
    kid = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    assert [key["kid"] for key in tokens.jwks(keys)["keys"]] == [kid]


def _bootstrap_secret(**changes: str) -> Object:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:pybernetes:node",
        "expiration": "2999-01-01T00:00:00Z",
    } | changes
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "data": {key: b64encode(value.encode()).decode() for key, value in changes.items() | data.items()},
    }


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"expiration": "2001-01-01T00:00:00Z"}, False),
        ({"usage-bootstrap-authentication": "false"}, False),
        ({"token-secret": "ffffffffffffffff"}, False),
        ({"auth-extra-groups": "system:masters"}, False),
    ],
)
def test_bootstrap_tokens(changes: dict[str, str], valid: bool) -> None:
    identity = BootstrapTokens(ObjectReader([_bootstrap_secret(**changes)])).identify(
        "abcdef.0123456789abcdef", NOW
    )
    assert (identity is not None) is valid
    if identity is not None:
        assert identity.user.name == "system:bootstrap:abcdef"
        assert identity.user.groups[0] == "system:bootstrappers"


def test_static_tokens(reader: ObjectReader, tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text('s3cret,jane,7,"dev,ops"\n')
    authenticator = Authenticator(reader, Authorizer(reader), token_file=tmp_path / "tokens.csv")
    user = authenticator.authenticate(bearer("s3cret"), None)
    assert user == User("jane", "7", ("dev", "ops", "system:authenticated"))


ADMIN = {"subject": ((("organizationName", "system:masters"),), (("commonName", "admin"),))}


def test_impersonation_takes_on_user_groups_and_extras(authenticator: Authenticator) -> None:
    headers = CIMultiDict(
        [
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Group", "ops"),
            ("Impersonate-Extra-Scopes", "view"),
            ("Impersonate-Extra-acme.com%2fproject", "x"),
        ]
    )
    user = authenticator.authenticate(headers, ADMIN)
    assert user.name == "jane"
    assert user.groups == ("dev", "ops", "system:authenticated")
    assert user.extra == {"scopes": ("view",), "acme.com/project": ("x",)}


def test_impersonating_an_account_gives_its_groups(authenticator: Authenticator) -> None:
    headers = CIMultiDict({"Impersonate-User": "system:serviceaccount:a:robot"})
    assert authenticator.authenticate(headers, ADMIN).groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:a",
        "system:authenticated",
    )


def test_impersonation_needs_permission(authenticator: Authenticator) -> None:
    cert = {"subject": ((("commonName", "joe"),),)}
    with pytest.raises(StatusError) as refused:
        authenticator.authenticate(CIMultiDict({"Impersonate-User": "jane"}), cert)
    assert refused.value.message == (
        'users "jane" is forbidden: User "joe" cannot impersonate resource "users" in API group "" at the cluster scope'
    )


def test_access_reviews(authenticator: Authenticator) -> None:
    reviews = Reviews(authenticator, Authorizer(ObjectReader()))
    resource = resources.get("selfsubjectaccessreviews", "authorization.k8s.io")
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a"}}
    admin = User("admin", groups=("system:masters",))
    assert reviews.create(resource, "", {"spec": spec}, admin)["status"] == {"allowed": True}
    assert reviews.create(resource, "", {"spec": spec}, User("x"))["status"] == {"allowed": False}
    with pytest.raises(StatusError, match="exactly one of nonResourceAttributes or resourceAttributes"):
        reviews.create(resource, "", {"spec": {}}, admin)
    local = resources.get("localsubjectaccessreviews", "authorization.k8s.io")
    with pytest.raises(StatusError, match=r"must match metadata\.namespace"):
        reviews.create(local, "b", {"spec": {**spec, "user": "x"}}, admin)
