"""ClusterTrustBundles that running pods are shown (KEP-3257)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from localcluster import until
from podset import FOREVER, Pods, shell

pytestmark = pytest.mark.e2e
Object = dict[str, Any]


def anchor(name: str, number: int) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), number)
        .not_valid_before(datetime(2026, 1, 1))
        .not_valid_after(datetime(2126, 1, 1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def bundle(pods: Pods, name: str, text: str, labels: Object | None = None, **spec: Any) -> None:
    pods.cluster.apply(
        {
            "apiVersion": "certificates.k8s.io/v1beta1",
            "kind": "ClusterTrustBundle",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"trustBundle": text, **spec},
        }
    )


ANCHORS = [anchor(name, number) for number, name in enumerate(("one", "two", "three"), 1)]
SIGNER = "example.com/volumes"


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> Iterator[None]:
    bundle(pods, "volumes-plain", f"# comment\n{ANCHORS[0]}")
    bundle(pods, "example.com:volumes:a", ANCHORS[0] + ANCHORS[1], {"of": "volumes"}, signerName=SIGNER)
    bundle(pods, "example.com:volumes:b", ANCHORS[1], {"of": "volumes"}, signerName=SIGNER)
    sources: list[Object] = [
        {"clusterTrustBundle": {"name": "volumes-plain", "path": "plain"}},
        {
            "clusterTrustBundle": {
                "signerName": SIGNER, "labelSelector": {"matchLabels": {"of": "volumes"}}, "path": "signed",
            }
        },
        {"clusterTrustBundle": {"name": "volumes-later", "path": "later", "optional": True}},
    ]  # fmt: skip
    trusting = shell(FOREVER, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    pods.create("trusting", trusting, volumes=[{"name": "v", "projected": {"sources": sources}}])
    missing = [{"clusterTrustBundle": {"name": "volumes-none", "path": "p"}}]
    pods.create("distrusting", trusting, volumes=[{"name": "v", "projected": {"sources": missing}}])
    yield
    for name in ("volumes-plain", "volumes-later", "example.com:volumes:a", "example.com:volumes:b"):
        pods.cluster.kubectl("delete", "clustertrustbundle", name, "--ignore-not-found")


def shown(pods: Pods, name: str) -> set[str]:
    text = pods.exec("trusting", f"cat /v/{name}")
    parts = text.split("-----END CERTIFICATE-----\n")
    assert parts.pop() == "" and len(set(parts)) == len(parts)
    return {f"{part}-----END CERTIFICATE-----\n" for part in parts}


def test_trust_bundles_are_shown_and_followed(pods: Pods) -> None:
    pods.ready("trusting")
    assert shown(pods, "plain") == {ANCHORS[0]}
    assert shown(pods, "signed") == {ANCHORS[0], ANCHORS[1]}
    assert pods.exec("trusting", "stat -L -c %s /v/later") == "0\n"
    (why, *_) = until(lambda: pods.events("distrusting", "FailedMount"), 90, "why it does not start")
    assert 'clustertrustbundle.certificates.k8s.io "volumes-none" not found' in why
    bundle(pods, "volumes-later", ANCHORS[2])
    bundle(pods, "example.com:volumes:a", ANCHORS[2], {"of": "volumes"}, signerName=SIGNER)
    until(lambda: shown(pods, "later") == {ANCHORS[2]}, 30, "the new bundle")
    until(lambda: shown(pods, "signed") == {ANCHORS[1], ANCHORS[2]}, 30, "the changed bundle")
