"""Which certificate requests are approved, signed, refused and forgotten."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from apiserver import pki
from controllermanager import signing
from controllermanager.plans import certificates as plans
from controllermanager.plans.actions import Delete, RequeueAfter
from controllermanager.plans.certificates import Requested

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODE = Requested(common_name="system:node:n1", organizations=("system:nodes",))
CLIENT_USAGES = ["digital signature", "client auth"]


def request(
    signer: str, usages: Any = CLIENT_USAGES, user: str = "u", *conditions: str, **spec: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "r", "uid": "uid", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"signerName": signer, "usages": list(usages), "username": user, "groups": ["g"], **spec},
        "status": {"conditions": [{"type": t, "status": "True"} for t in conditions]},
    }


def test_a_node_may_ask_for_its_own_certificate_by_either_permission() -> None:
    own = plans.approvals(request(plans.NODE_CLIENT, user="system:node:n1"), NODE)
    assert [subresource for subresource, _ in own] == ["selfnodeclient", "nodeclient"]
    other = plans.approvals(request(plans.NODE_CLIENT, user="system:bootstrap:abcdef"), NODE)
    assert [subresource for subresource, _ in other] == ["nodeclient"]
    review = plans.review(request(plans.NODE_CLIENT), "nodeclient")
    assert review["spec"]["user"] == "u" and review["spec"]["groups"] == ["g"]
    assert review["spec"]["resourceAttributes"]["subresource"] == "nodeclient"


@pytest.mark.parametrize(
    ("signer", "usages", "wanted"),
    [
        (plans.CLIENT, CLIENT_USAGES, NODE),
        (plans.NODE_SERVING, ["digital signature", "server auth"], NODE),
        (plans.NODE_CLIENT, ["client auth"], NODE),
        (plans.NODE_CLIENT, [*CLIENT_USAGES, "server auth"], NODE),
        (plans.NODE_CLIENT, CLIENT_USAGES, Requested("system:node:n1", ("system:masters",))),
        (plans.NODE_CLIENT, CLIENT_USAGES, Requested("admin", ("system:nodes",))),
        (plans.NODE_CLIENT, CLIENT_USAGES, Requested("system:node:n1", ("system:nodes", "system:masters"))),
        (plans.NODE_CLIENT, CLIENT_USAGES, Requested("system:node:n1", ("system:nodes",), ("n1",))),
    ],
)
def test_nothing_else_is_approved_by_itself(signer: str, usages: list[str], wanted: Requested) -> None:
    assert not plans.approvals(request(signer, usages, "system:node:n1"), wanted)


def test_what_a_person_decided_stays() -> None:
    for condition in ("Approved", "Denied", "Failed"):
        assert not plans.approvals(request(plans.NODE_CLIENT, CLIENT_USAGES, "u", condition), NODE)
    assert plans.state(request(plans.CLIENT, CLIENT_USAGES, "u", "Approved", "Denied")) == "Denied"


def test_signers_refuse_what_is_not_for_them() -> None:
    serving = Requested("system:node:n1", ("system:nodes",), ("n1",), ("10.0.0.1",))
    usages = ["digital signature", "key encipherment", "server auth"]
    assert not plans.refusal(request(plans.NODE_SERVING, usages), serving)
    assert "at least one DNS or IP" in plans.refusal(request(plans.NODE_SERVING, usages), NODE)
    assert not plans.refusal(request(plans.CLIENT), Requested("anybody"))
    assert plans.refusal(request(plans.CLIENT, ["digital signature"]), Requested("anybody"))
    assert plans.refusal(request(plans.CLIENT, [*CLIENT_USAGES, "server auth"]), Requested("anybody"))
    assert not plans.refusal(request(plans.LEGACY, ["any"]), Requested("anything"))


def test_lifetimes_are_bounded() -> None:
    assert plans.lifetime(request(plans.CLIENT), 1000) == 1000
    assert plans.lifetime(request(plans.CLIENT, expirationSeconds=700), 1000) == 700
    assert plans.lifetime(request(plans.CLIENT, expirationSeconds=1), 1000) == plans.MINIMUM_SECONDS
    assert plans.lifetime(request(plans.CLIENT, expirationSeconds=9000), 1000) == 1000


def test_requests_are_forgotten_in_time() -> None:
    pending, settled = request(plans.CLIENT), request(plans.CLIENT, CLIENT_USAGES, "u", "Approved")
    (wait,) = plans.plan_cleaning(pending, NOW + timedelta(hours=2))
    assert wait == RequeueAfter(22 * 3600)
    for obj, age in ((pending, 25), (settled, 2)):
        (action,) = plans.plan_cleaning(obj, NOW + timedelta(hours=age))
        assert isinstance(action, Delete)


def encoded(key: Any, names: list[x509.GeneralName]) -> str:
    subject = x509.Name.from_rfc4514_string("CN=system:node:n1,O=system:nodes")
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return b64encode(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)).decode()


def test_a_signed_certificate_says_what_was_asked_and_no_more(tmp_path: Path) -> None:
    pki.ensure_cluster_pki(tmp_path, service_cidr="10.96.0.0/16")
    key = ec.generate_private_key(ec.SECP256R1())
    parsed = signing.parse(encoded(key, [x509.DNSName("n1")]))
    wanted = signing.requested(parsed)
    assert wanted == Requested("system:node:n1", ("system:nodes",), ("n1",))
    authority = signing.Authority(str(tmp_path / "ca.crt"), str(tmp_path / "ca.key"))
    now = datetime.now(UTC)
    pem = b64decode(authority.sign(parsed, ["digital signature", "server auth"], 3600, now))
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=1)
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign and not usage.key_encipherment
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_what_cannot_be_read_is_not_signed() -> None:
    for text in ("", b64encode(b"no request").decode(), "%%%"):
        with pytest.raises(signing.SigningError):
            signing.parse(text)
