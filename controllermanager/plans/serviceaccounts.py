"""What every namespace has: its default ServiceAccount, the cluster's CA in a ConfigMap; and token Secrets filled."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Create, Delete, Patch

Object = dict[str, Any]

NAMESPACES = resources.get("namespaces")
SERVICE_ACCOUNTS = resources.get("serviceaccounts")
CONFIG_MAPS = resources.get("configmaps")
SECRETS = resources.get("secrets")

DEFAULT_ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
_ROOT_CA_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
TOKEN_TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
# Bound to its Secret, a token ends with it; the longest time the API grants is as good as none.
TOKEN_SECONDS = 1 << 32


def _active(namespace: Object) -> bool:
    phase = (namespace.get("status") or {}).get("phase", "Active")
    return phase == "Active" and not namespace["metadata"].get("deletionTimestamp")


def plan_account(namespace: Object, account: Object | None) -> list[Action]:
    """The ServiceAccount `default`."""
    if not _active(namespace) or account is not None:
        return []
    metadata = {"name": DEFAULT_ACCOUNT, "namespace": namespace["metadata"]["name"]}
    return [Create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})]


def plan_root_ca(namespace: Object, current: Object | None, ca: str) -> list[Action]:
    """The ConfigMap with the CA that pods verify the API server by."""
    if not _active(namespace) or not ca:
        return []
    name = namespace["metadata"]["name"]
    annotations = {"kubernetes.io/description": _ROOT_CA_TEXT}
    if current is None:
        metadata = {"name": ROOT_CA, "namespace": name, "annotations": annotations}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": ca}}
        return [Create(CONFIG_MAPS, body)]
    if current.get("data") == {"ca.crt": ca}:
        return []
    extra = {key: None for key in current.get("data") or {} if key != "ca.crt"}
    patch = {"metadata": {"annotations": annotations}, "data": {**extra, "ca.crt": ca}}
    return [Patch(CONFIG_MAPS, name, ROOT_CA, patch)]


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """`needs_token`: ask for one, for this Secret and account, and plan again with it."""

    actions: tuple[Action, ...] = ()
    needs_token: bool = False


def plan_token(secret: Object, account: Object | None, ca: str, token: str = "") -> TokenPlan:
    """Fills a Secret of type kubernetes.io/service-account-token; one whose account is gone is deleted."""
    metadata = secret["metadata"]
    if secret.get("type") != TOKEN_TYPE or metadata.get("deletionTimestamp"):
        return TokenPlan()
    wanted_uid = meta.annotations(secret).get(ACCOUNT_UID, "")
    if account is None or (wanted_uid and wanted_uid != account["metadata"]["uid"]):
        return TokenPlan((Delete(SECRETS, metadata["namespace"], metadata["name"], metadata["uid"]),))
    data = secret.get("data") or {}
    wanted = {"ca.crt": _encoded(ca), "namespace": _encoded(metadata["namespace"])}
    changes = {key: value for key, value in wanted.items() if value and data.get(key) != value}
    if not data.get("token"):
        if not token:
            return TokenPlan(needs_token=True)
        changes["token"] = _encoded(token)
    patch: Object = {"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}}
    if not wanted_uid:
        patch["metadata"]["annotations"] = {ACCOUNT_UID: account["metadata"]["uid"]}
    if changes:
        patch["data"] = changes
    elif wanted_uid:
        return TokenPlan()
    return TokenPlan((Patch(SECRETS, metadata["namespace"], metadata["name"], patch, missing_ok=True),))


def token_request(secret: Object) -> Object:
    """The TokenRequest for that Secret."""
    metadata = secret["metadata"]
    bound = {"apiVersion": "v1", "kind": "Secret", "name": metadata["name"], "uid": metadata["uid"]}
    spec = {"expirationSeconds": TOKEN_SECONDS, "boundObjectRef": bound}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
