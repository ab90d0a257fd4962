"""Which certificate requests are approved by themselves, which a signer refuses, and when one is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Delete, RequeueAfter, Update

Object = dict[str, Any]

REQUESTS = resources.get("certificatesigningrequests", "certificates.k8s.io")

CLIENT = "kubernetes.io/kube-apiserver-client"
NODE_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
NODE_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNERS = (CLIENT, NODE_CLIENT, NODE_SERVING, LEGACY)

_NODE_USER = "system:node:"
_NODES = ("system:nodes",)
_OPTIONAL = {"key encipherment"}
_NODE_CLIENT_USAGES = {"digital signature", "client auth"}
_NODE_SERVING_USAGES = {"digital signature", "server auth"}
_CLIENT_USAGES = {"digital signature", "key encipherment", "client auth"}

# Seconds after which a request is deleted, by what became of it.
_SETTLED = 3600.0
_PENDING = 24 * 3600.0
MINIMUM_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Requested:
    """What the PKCS#10 request inside asks for."""

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def state(request: Object) -> str:
    """Failed, Denied, Approved or ""."""
    types = {
        c["type"] for c in (request.get("status") or {}).get("conditions") or () if c.get("status") == "True"
    }
    return next((t for t in ("Failed", "Denied", "Approved") if t in types), "")


def is_issued(request: Object) -> bool:
    return bool((request.get("status") or {}).get("certificate"))


def approvals(request: Object, wanted: Requested) -> list[tuple[str, str]]:
    """What permission would let this request approve itself, the first that is held counts: (subresource, message)."""
    spec = request["spec"]
    if state(request) or spec.get("signerName") != NODE_CLIENT:
        return []
    if _node_client(wanted, set(spec.get("usages") or ())):
        return []
    found = [("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
    if spec.get("username") == wanted.common_name:
        text = "Auto approving self kubelet client certificate after SubjectAccessReview."
        found.insert(0, ("selfnodeclient", text))
    return found


def review(request: Object, subresource: str) -> Object:
    """The SubjectAccessReview that asks whether who made the request may make such a one."""
    spec = request["spec"]
    attributes = {
        "group": "certificates.k8s.io",
        "resource": "certificatesigningrequests",
        "subresource": subresource,
        "verb": "create",
        "version": "*",
    }
    user = {"user": spec.get("username", ""), "uid": spec.get("uid"), "groups": spec.get("groups") or []}
    found = {**user, "extra": spec.get("extra"), "resourceAttributes": attributes}
    return {"spec": {key: value for key, value in found.items() if value is not None}}


def approve(request: Object, message: str) -> Action:
    return Update(REQUESTS, _with(request, "Approved", "AutoApproved", message), "approval")


def refusal(request: Object, wanted: Requested) -> str:
    """Why the signer of an approved request does not sign it; "" if it does."""
    spec = request["spec"]
    usages = set(spec.get("usages") or ())
    signer = spec["signerName"]
    if signer == NODE_CLIENT:
        return _node_client(wanted, usages)
    if signer == NODE_SERVING:
        return _node_serving(wanted, usages)
    if signer == CLIENT and not usages <= _CLIENT_USAGES:
        return f"usages did not match {_listed(_CLIENT_USAGES)}"
    if signer == CLIENT and "client auth" not in usages:
        return 'usages did not include "client auth"'
    return ""


def failed(request: Object, why: str) -> Action:
    return Update(REQUESTS, _with(request, "Failed", "SignerValidationFailure", why), "status")


def signed(request: Object, certificate: str) -> Action:
    """`certificate` is PEM in base64."""
    status = {**(request.get("status") or {}), "certificate": certificate}
    return Update(REQUESTS, {**request, "status": status}, "status")


def lifetime(request: Object, longest: int) -> int:
    """Seconds, from what is asked for and at most what the cluster grants."""
    wanted = request["spec"].get("expirationSeconds")
    return longest if wanted is None else max(MINIMUM_SECONDS, min(int(wanted), longest))


def plan_cleaning(request: Object, now: datetime) -> list[Action]:
    metadata = request["metadata"]
    since, keep = metadata["creationTimestamp"], _PENDING
    if settled := state(request):
        keep = _SETTLED
        since = next(
            (
                c.get("lastUpdateTime") or since
                for c in request["status"]["conditions"]
                if c["type"] == settled
            ),
            since,
        )
    left = keep - (now - meta.parse_time(since)).total_seconds()
    if left > 0:
        return [RequeueAfter(left)]
    return [Delete(REQUESTS, "", metadata["name"], metadata["uid"])]


def _with(request: Object, kind: str, reason: str, message: str) -> Object:
    status = request.get("status") or {}
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {**request, "status": {**status, "conditions": [*(status.get("conditions") or ()), condition]}}


def _node_client(wanted: Requested, usages: set[str]) -> str:
    if problem := _node_subject(wanted):
        return problem
    if wanted.dns_names:
        return "DNS subjectAltNames are not allowed"
    if wanted.addresses:
        return "IP subjectAltNames are not allowed"
    if problem := _no_people(wanted):
        return problem
    if usages - _OPTIONAL != _NODE_CLIENT_USAGES:
        return f"usages did not match {_listed(_NODE_CLIENT_USAGES)}"
    return ""


def _node_serving(wanted: Requested, usages: set[str]) -> str:
    if problem := _node_subject(wanted):
        return problem
    if not wanted.dns_names and not wanted.addresses:
        return "at least one DNS or IP subjectAltName is required"
    if problem := _no_people(wanted):
        return problem
    if usages - _OPTIONAL != _NODE_SERVING_USAGES:
        return f"usages did not match {_listed(_NODE_SERVING_USAGES)}"
    return ""


def _node_subject(wanted: Requested) -> str:
    if wanted.organizations != _NODES:
        return "subject organization is not system:nodes"
    if not wanted.common_name.startswith(_NODE_USER):
        return "subject common name does not begin with system:node:"
    return ""


def _no_people(wanted: Requested) -> str:
    if wanted.emails:
        return "Email subjectAltNames are not allowed"
    return "URI subjectAltNames are not allowed" if wanted.uris else ""


def _listed(usages: Iterable[str]) -> str:
    return "[" + " ".join(sorted(usages)) + "]"
