"""Who may approve and sign which certificate requests, and that nobody asks for the superusers' group."""

from __future__ import annotations

from apimachinery.resources import Resource
from apiserver.admission.plugin import Plugin, Step, forbid
from apiserver.authz import SUPERUSERS, Authorizer
from apiserver.request import AdmissionRequest, Attributes, User

GROUP = "certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def may(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """Whether the user may do `verb` in the name of the signer, or of all signers of its domain."""
    return any(
        authorizer.authorize(Attributes(user, verb, GROUP, "*", "signers", name=name)) is None
        for name in (signer, f"{signer.partition('/')[0]}/*")
    )


class _Signers(Plugin):
    """Needs `verb` on the signer (or all signers of its domain) for a write of `subresource`."""

    verb = ""
    subresource = ""
    denied = ""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        wanted = ("CertificateSigningRequest", "UPDATE", self.subresource)
        return self._check if (resource.kind, operation, subresource) == wanted else None

    def applies(self, request: AdmissionRequest) -> bool:
        return True

    def _check(self, request: AdmissionRequest) -> None:
        if not self.applies(request):
            return
        signer = ((request.old_object or {}).get("spec") or {}).get("signerName", "")
        if not may(self._authorizer, request.user, self.verb, signer):
            raise forbid(request, self.denied.format(signer))


class CertificateApproval(_Signers):
    name = "CertificateApproval"
    verb = "approve"
    subresource = "approval"
    denied = 'user not permitted to approve requests with signerName "{}"'


class CertificateSigning(_Signers):
    name = "CertificateSigning"
    verb = "sign"
    subresource = "status"
    denied = 'user not permitted to sign requests with signerName "{}"'

    def applies(self, request: AdmissionRequest) -> bool:
        new, old = ((o or {}).get("status") or {} for o in (request.object, request.old_object))
        return bool(
            new.get("certificate") != old.get("certificate") or new.get("conditions") != old.get("conditions")
        )


class ClusterTrustBundleAttest(Plugin):
    """Who says whom a signer's clients trust needs `attest` on the signer."""

    name = "ClusterTrustBundleAttest"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        wanted = resource.kind == "ClusterTrustBundle" and operation in ("CREATE", "UPDATE")
        return self._check if wanted and not subresource else None

    def _check(self, request: AdmissionRequest) -> None:
        signer = ((request.object or {}).get("spec") or {}).get("signerName", "")
        if signer and not may(self._authorizer, request.user, "attest", signer):
            raise forbid(request, f'user not permitted to attest for signerName "{signer}"')


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        wanted = ("CertificateSigningRequest", "CREATE", "")
        return self._check if (resource.kind, operation, subresource) == wanted else None

    @staticmethod
    def _check(request: AdmissionRequest) -> None:
        spec = (request.object or {}).get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        if SUPERUSERS in requested_groups(spec.get("request", "")):
            why = f"use of {CLIENT_SIGNER} signer with {SUPERUSERS} group is not allowed"
            raise forbid(request, why)


def requested_groups(request: str) -> list[str]:
    """The organizations in a base64 PEM certificate request; none where it cannot be read."""
    from base64 import b64decode

    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        parsed = x509.load_pem_x509_csr(b64decode(request))
    except ValueError:
        return []
    return [str(a.value) for a in parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
