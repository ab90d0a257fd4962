"""ServiceCIDRs (KEP-1880): ranges that Services' addresses come from stay until none of theirs is in use."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Patch, status_patch
from controllermanager.plans.localpath import drop_finalizer

Object = dict[str, Any]

SERVICE_CIDRS = resources.get("servicecidrs", "networking.k8s.io")
IP_ADDRESSES = resources.get("ipaddresses", "networking.k8s.io")
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_IN_USE = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)


def _holds(cidr: Object, address: str) -> bool:
    value = ipaddress.ip_address(address)
    ranges = [ipaddress.ip_network(text, strict=False) for text in cidr["spec"].get("cidrs") or ()]
    return any(value.version == one.version and value in one for one in ranges)


def in_use(cidr: Object, others: Iterable[Object], addresses: Iterable[str]) -> bool:
    """Whether an address is of this range, and of no other one that stays."""
    uid = cidr["metadata"]["uid"]
    staying = [
        other
        for other in others
        if other["metadata"]["uid"] != uid and not other["metadata"].get("deletionTimestamp")
    ]
    return any(
        _holds(cidr, address) and not any(_holds(other, address) for other in staying)
        for address in addresses
    )


def plan(cidr: Object, used: bool, now: datetime) -> list[Action]:
    """`used`: what `in_use` says, which matters while the range is being deleted."""
    metadata = cidr["metadata"]
    if metadata.get("deletionTimestamp"):
        if FINALIZER not in meta.finalizers(cidr):
            return []
        if not used:
            return [drop_finalizer(SERVICE_CIDRS, cidr, FINALIZER)]
        return _told(cidr, "False", "Terminating", _IN_USE, now)
    actions = _told(cidr, "True", "", "Kubernetes Service CIDR is ready", now)
    if FINALIZER in meta.finalizers(cidr):
        return actions
    finalizers = [*meta.finalizers(cidr), FINALIZER]
    patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}}
    return [Patch(SERVICE_CIDRS, "", metadata["name"], patch, missing_ok=True), *actions]


def _told(cidr: Object, ready: str, reason: str, message: str, now: datetime) -> list[Action]:
    status = cidr.get("status") or {}
    conditions = status.get("conditions") or []
    if any(c["type"] == "Ready" and c["status"] == ready for c in conditions):
        return []
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    told = meta.set_condition(conditions, condition, meta.rfc3339(now))
    return status_patch(SERVICE_CIDRS, cidr, {**status, "conditions": told})
