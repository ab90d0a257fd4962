"""ClusterTrustBundles: what one may say, under which name, and what a pod's file shows of them."""

from __future__ import annotations

from typing import Any

import pytest
from admitting import NODE, make, refused, request, run
from every_kind import ANCHOR
from hypothesis import given
from hypothesis import strategies as st
from objectreader import ObjectReader

from apimachinery import pem, resources, validation
from apiserver.authz_node import NodeAuthorizer
from apiserver.request import Attributes, User
from kubeletd.projection import ProjectionError, trust_anchors

GROUP = "certificates.k8s.io"
BUNDLES = resources.get("clustertrustbundles", GROUP)


def bundle(name: str, text: str = ANCHOR, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"trustBundle": text, **spec}}


def wrong(obj: dict[str, Any]) -> list[str]:
    return [f"{error.field}: {error.message}" for error in validation.create(BUNDLES, obj)]


def test_names_follow_from_signers() -> None:
    assert wrong(bundle("mine")) == []
    assert wrong(bundle("example.com:signer:mine", signerName="example.com/signer")) == []
    assert (
        "must be named with prefix example.com:signer:"
        in wrong(bundle("mine", signerName="example.com/signer"))[0]
    )
    assert 'without signer name must not have ":"' in wrong(bundle("a:mine"))[0]
    assert "fully qualified domain and path" in wrong(bundle("example.com:mine", signerName="example.com"))[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at least one trust anchor must be provided"),
        ("only prose", "at least one trust anchor must be provided"),
        (ANCHOR.replace("CERTIFICATE", "PRIVATE KEY"), "entry 0 has bad block type: PRIVATE KEY"),
        (ANCHOR.replace("-----\n", "-----\nA: b\n\n", 1), "entry 0 has PEM block headers"),
        (pem.encode("CERTIFICATE", b"no certificate"), "entry 0 does not parse as X.509 certificate"),
        (f"{ANCHOR}between\n{ANCHOR}", "duplicate trust anchor (indices [0 1])"),
    ],
)
def test_only_certificates_each_once_are_anchors(text: str, why: str) -> None:
    (message,) = wrong(bundle("mine", text))
    assert message.startswith("spec.trustBundle: ") and why in message


def test_comments_are_no_harm() -> None:
    assert wrong(bundle("mine", f"# a root\n{ANCHOR}# the end")) == []


@given(
    st.lists(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=4), min_size=1, max_size=4)
)
def test_a_file_has_each_anchor_once_and_nothing_else(anchors: list[list[bytes]]) -> None:
    objects = [
        bundle(str(i), "".join(f"comment: {i}\n{pem.encode('CERTIFICATE', data)}" for data in of_one))
        for i, of_one in enumerate(anchors)
    ]
    text = trust_anchors({"name": "any"}, objects).decode()
    blocks = list(pem.blocks(text))
    assert {block.data for block in blocks} == {data for of_one in anchors for data in of_one}
    assert len({block.data for block in blocks}) == len(blocks)
    assert text == "".join(pem.encode("CERTIFICATE", block.data) for block in blocks)
    assert trust_anchors({"name": "any"}, objects[::-1]).decode() == text, "the order is nobody's matter"


def test_what_is_not_there_is_said_unless_it_is_optional() -> None:
    with pytest.raises(ProjectionError, match=r'clustertrustbundle\.certificates\.k8s\.io "x" not found'):
        trust_anchors({"name": "x"}, [])
    with pytest.raises(ProjectionError, match="combination of signerName and labelSelector matched zero"):
        trust_anchors({"signerName": "example.com/signer"}, [])
    assert trust_anchors({"name": "x", "optional": True}, []) == b""


CAROL = User("carol", groups=("system:authenticated",))


RBAC = "rbac.authorization.k8s.io"


def may_attest(signer: str) -> list[dict[str, Any]]:
    rule = {"apiGroups": [GROUP], "resources": ["signers"], "resourceNames": [signer], "verbs": ["attest"]}

    def made(kind: str, **more: Any) -> dict[str, Any]:
        return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": "attester"}, **more}

    reference = {"kind": "ClusterRole", "name": "attester", "apiGroup": RBAC}
    subjects = [{"kind": "User", "name": "carol", "apiGroup": RBAC}]
    return [
        made("ClusterRole", rules=[rule]),
        made("ClusterRoleBinding", roleRef=reference, subjects=subjects),
    ]


async def test_who_speaks_for_a_signer_must_be_allowed_to() -> None:
    signed = bundle("example.com:signer:mine", signerName="example.com/signer")
    asked = request(signed, resource=BUNDLES, user=CAROL)
    chain, _ = make()
    error = await refused(chain, asked)
    assert error.message == (
        'clustertrustbundles.certificates.k8s.io "example.com:signer:mine" is forbidden: user not permitted to '
        'attest for signerName "example.com/signer"'
    )
    await run(chain, request(bundle("mine"), resource=BUNDLES, user=CAROL))
    for allowed in ("example.com/signer", "example.com/*"):
        chain, _ = make(*may_attest(allowed))
        await run(chain, asked)
    chain, _ = make(*may_attest("example.com/another"))
    await refused(chain, asked)


def test_nodes_read_them_and_write_none() -> None:
    authorizer = NodeAuthorizer(ObjectReader())
    for verb, allowed in (
        ("get", True),
        ("list", True),
        ("watch", True),
        ("create", False),
        ("update", False),
    ):
        assert authorizer.decide(Attributes(NODE, verb, GROUP, "v1beta1", BUNDLES.plural))[0] is allowed
