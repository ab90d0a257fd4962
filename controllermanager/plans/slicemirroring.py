"""EndpointSlices that show Endpoints which somebody made by hand, for a Service without a selector."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import meta, names
from controllermanager.plans.actions import Action, Create, Update
from controllermanager.plans.endpoints import ENDPOINTS
from controllermanager.plans.endpointslice import MANAGED_BY, SERVICE_NAME, SLICES, delete_slice
from controllermanager.plans.ownership import reference

Object = dict[str, Any]

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
LIMIT = 1000  # endpoints mirrored of one subset
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = (
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Endpoints and Service of one name; `slices` are those that carry the name."""

    endpoints: Object | None
    service: Object | None
    slices: Sequence[Object]


def is_mirrored(endpoints: Object | None, service: Object | None) -> bool:
    if endpoints is None or service is None or endpoints["metadata"].get("deletionTimestamp"):
        return False
    if meta.labels(endpoints).get(_SKIP) == "true" or _LEADER in meta.annotations(endpoints):
        return False
    return not (service["spec"].get("selector") or service["spec"].get("type") == "ExternalName")


def plan(snapshot: Snapshot, suffixes: Iterator[str]) -> list[Action]:
    mine = [
        s
        for s in snapshot.slices
        if meta.labels(s).get(MANAGED_BY) == CONTROLLER and not s["metadata"].get("deletionTimestamp")
    ]
    wanted: list[Object] = []
    if is_mirrored(snapshot.endpoints, snapshot.service):
        assert snapshot.endpoints is not None
        wanted = _wanted(snapshot.endpoints)
    actions: list[Action] = []
    left = sorted(mine, key=lambda s: str(s["metadata"]["name"]))
    for new in wanted:
        # A slice's address type never changes; one with the same ports changes least.
        fitting = [s for s in left if s["addressType"] == new["addressType"]]
        fitting.sort(key=lambda s: (s.get("ports") or []) != new["ports"])
        if not fitting:
            base = f"{new['metadata']['labels'][SERVICE_NAME]}-"
            name = {"name": names.generated(base, next(suffixes)), "generateName": base}
            actions.append(Create(SLICES, {**new, "metadata": {**new["metadata"], **name}}))
            continue
        old = fitting[0]
        left.remove(old)
        metadata = {**old["metadata"]}
        for key in ("labels", "annotations"):
            metadata[key] = new["metadata"][key]
        changed = {**old, "metadata": metadata, "endpoints": new["endpoints"], "ports": new["ports"]}
        if _content(changed) != _content(old):
            actions.append(Update(SLICES, changed))
    return [*actions, *(delete_slice(s) for s in left)]


def _content(s: Object) -> tuple[Any, ...]:
    return meta.labels(s), meta.annotations(s), s.get("endpoints") or [], s.get("ports") or []


def _wanted(endpoints: Object) -> list[Object]:
    metadata = endpoints["metadata"]
    annotations = {k: v for k, v in meta.annotations(endpoints).items() if k not in _NOT_COPIED}
    labels = {**meta.labels(endpoints), SERVICE_NAME: metadata["name"], MANAGED_BY: CONTROLLER}
    found: list[Object] = []
    for subset in endpoints.get("subsets") or ():
        by_family: dict[str, list[Object]] = {}
        for key, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(key) or ():
                by_family.setdefault(_family(address["ip"]), []).append(_endpoint(address, ready))
        for family, listed in sorted(by_family.items()):
            found.append(
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "namespace": metadata["namespace"],
                        "labels": labels,
                        "annotations": annotations,
                        "ownerReferences": [reference(endpoints, ENDPOINTS)],
                    },
                    "addressType": family,
                    "endpoints": listed[:LIMIT],
                    "ports": [_port(port) for port in subset.get("ports") or ()],
                }
            )
    return found


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def _endpoint(address: Object, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for key in ("hostname", "targetRef", "nodeName"):
        if address.get(key):
            endpoint[key] = address[key]
    return endpoint


def _port(port: Object) -> Object:
    shown = {"name": port.get("name") or "", "port": port["port"], "protocol": port.get("protocol") or "TCP"}
    if port.get("appProtocol"):
        shown["appProtocol"] = port["appProtocol"]
    return shown
