"""When a bootstrap token's Secret is deleted: at the time it says."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Delete, RequeueAfter

Object = dict[str, Any]

SECRETS = resources.get("secrets")
NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"


def plan(secret: Object, now: datetime) -> list[Action]:
    metadata = secret["metadata"]
    if secret.get("type") != TYPE or metadata["namespace"] != NAMESPACE or metadata.get("deletionTimestamp"):
        return []
    encoded = (secret.get("data") or {}).get("expiration")
    if not encoded:
        return []
    try:
        left = (meta.parse_time(b64decode(encoded).decode()) - now).total_seconds()
    except ValueError:
        left = 0  # What cannot be read must not let anybody in for ever.
    if left > 0:
        return [RequeueAfter(left)]
    return [Delete(SECRETS, NAMESPACE, metadata["name"], metadata["uid"], metadata["resourceVersion"])]
