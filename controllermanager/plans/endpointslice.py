"""EndpointSlices of a Service: few writes, at most 100 endpoints each, an empty one where there is nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import names, resources
from controllermanager.plans.actions import Action, Create, Delete, Update
from controllermanager.plans.ownership import reference
from controllermanager.plans.servicebackends import (
    HEADLESS,
    Backend,
    Ports,
    backends,
    families,
    has_backends,
    is_headless,
    port_object,
    target_reference,
)
from controllermanager.plans.views import PodView

Object = dict[str, Any]

SLICES = resources.get("endpointslices", "discovery.k8s.io")
SERVICES = resources.get("services")
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
LIMIT = 100  # endpoints in a slice


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A service, the pods of its namespace, the slices that carry its name, and the zones of nodes."""

    service: Object
    pods: Sequence[PodView]
    slices: Sequence[Object]
    zones: Mapping[str, str]


def plan(snapshot: Snapshot, suffixes: Iterator[str]) -> list[Action]:
    service = snapshot.service
    if not has_backends(service) or service["metadata"].get("deletionTimestamp"):
        return []
    mine = [
        s
        for s in snapshot.slices
        if s["metadata"].get("labels", {}).get(MANAGED_BY) == CONTROLLER
        and not s["metadata"].get("deletionTimestamp")
    ]
    actions: list[Action] = []
    wanted_families = families(service)
    for stale in mine:
        if stale["addressType"] not in wanted_families:
            actions.append(delete_slice(stale))
    for family in wanted_families:
        existing = [s for s in mine if s["addressType"] == family]
        actions += _plan_family(snapshot, family, existing, suffixes)
    return actions


def _plan_family(
    snapshot: Snapshot, family: str, existing: list[Object], suffixes: Iterator[str]
) -> list[Action]:
    service = snapshot.service
    by_ports: dict[Ports, dict[tuple[str, str], Object]] = defaultdict(dict)
    headless = is_headless(service)
    for backend in backends(service, snapshot.pods, family):
        if backend.ports or headless or not service["spec"].get("ports"):
            by_ports[backend.ports][(backend.ip, backend.pod.uid)] = _endpoint(
                service, backend, snapshot.zones
            )
    updates: list[Action] = []
    homeless: list[tuple[list[Object], list[Object]]] = []
    spare: list[Object] = []
    taken: set[str] = set()
    for ports, endpoints in by_ports.items():
        shown = [port_object(port, keep_empty_name=True) for port in ports]
        same = [s for s in existing if (s.get("ports") or []) == shown]
        taken.update(s["metadata"]["name"] for s in same)
        filled, rest = _keep(same, endpoints)
        spare += [s for s, kept in filled if not kept]
        filled = [(s, kept) for s, kept in filled if kept]
        # New endpoints go where a write is due anyway, then where there is room, then into further slices.
        filled.sort(key=lambda pair: pair[1] == (pair[0].get("endpoints") or []))
        for s, kept in filled:
            while rest and len(kept) < LIMIT:
                kept.append(rest.pop(0))
            updates += _update(service, s, kept, shown)
        homeless += [(rest[i : i + LIMIT], shown) for i in range(0, len(rest), LIMIT)]
    spare += [s for s in existing if s["metadata"]["name"] not in taken]
    if not by_ports:
        homeless = [([], [])]
    creates: list[Action] = []
    for part, shown in homeless:
        if spare:
            updates += _update(service, spare.pop(0), part, shown)
        else:
            creates.append(Create(SLICES, _new(service, family, part, shown, next(suffixes))))
    return [*creates, *updates, *(delete_slice(s) for s in spare)]


def _keep(
    slices: Sequence[Object], endpoints: dict[tuple[str, str], Object]
) -> tuple[list[tuple[Object, list[Object]]], list[Object]]:
    """Each slice with those of its endpoints that are still wanted (as they are now), and what has no place yet."""
    left = dict(endpoints)
    kept = []
    for s in slices:
        mine = []
        for endpoint in s.get("endpoints") or ():
            key = (endpoint["addresses"][0], (endpoint.get("targetRef") or {}).get("uid", ""))
            wanted = left.pop(key, None)
            if wanted is not None:
                mine.append(wanted)
        kept.append((s, mine))
    return kept, list(left.values())


def _endpoint(service: Object, backend: Backend, zones: Mapping[str, str]) -> Object:
    pod = backend.pod
    terminating = bool(pod.deleting)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Object = {
        "addresses": [backend.ip],
        "conditions": {
            "ready": publish or (pod.ready and not terminating),
            "serving": pod.ready,
            "terminating": terminating,
        },
    }
    if backend.hostname:
        endpoint["hostname"] = backend.hostname
    endpoint["targetRef"] = target_reference(pod)
    if pod.node:
        endpoint["nodeName"] = pod.node
    zone = zones.get(pod.node, "")
    if zone:
        endpoint["zone"] = zone
    hints = _hints(service["spec"].get("trafficDistribution"), pod.node, zone)
    if hints and endpoint["conditions"]["ready"]:
        endpoint["hints"] = hints
    return endpoint


def _hints(preference: str | None, node: str, zone: str) -> Object:
    """Whose clients an endpoint is best for, where the service prefers near ones (KEP-4444, KEP-3015)."""
    hints: Object = {}
    if node and preference == "PreferSameNode":
        hints["forNodes"] = [{"name": node}]
    if zone and preference in ("PreferSameNode", "PreferSameZone", "PreferClose"):
        hints["forZones"] = [{"name": zone}]
    return hints


def _labels(service: Object) -> dict[str, str]:
    own = service["metadata"].get("labels") or {}
    labels = {key: value for key, value in own.items() if key not in (HEADLESS, SERVICE_NAME, MANAGED_BY)}
    if is_headless(service):
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: CONTROLLER}


def _new(service: Object, family: str, endpoints: list[Object], ports: list[Object], suffix: str) -> Object:
    base = service["metadata"]["name"] + "-"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": names.generated(base, suffix),
            "generateName": base,
            "namespace": service["metadata"]["namespace"],
            "labels": _labels(service),
            "ownerReferences": [reference(service, SERVICES)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    }


def _update(service: Object, old: Object, endpoints: list[Object], ports: list[Object]) -> list[Action]:
    labels = _labels(service)
    same = (
        (old.get("endpoints") or []) == endpoints
        and (old.get("ports") or []) == ports
        and (old["metadata"].get("labels") or {}) == labels
    )
    if same:
        return []
    metadata = {**old["metadata"], "labels": labels}
    return [Update(SLICES, {**old, "metadata": metadata, "endpoints": endpoints, "ports": ports})]


def delete_slice(s: Object) -> Delete:
    metadata = s["metadata"]
    return Delete(SLICES, metadata["namespace"], metadata["name"], metadata["uid"])
