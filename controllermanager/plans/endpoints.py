"""The Endpoints object of a Service: the older, single-object form of its EndpointSlices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import resources
from controllermanager.plans.actions import Action, Create, Delete, Update
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

ENDPOINTS = resources.get("endpoints")
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
LIMIT = 1000  # addresses in one object


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What exists under a service's name. `service` is None once it is gone."""

    service: Object | None
    pods: Sequence[PodView]
    current: Object | None


def plan(snapshot: Snapshot) -> list[Action]:
    service, current = snapshot.service, snapshot.current
    if service is None:
        if current is None:
            return []
        metadata = current["metadata"]
        return [Delete(ENDPOINTS, metadata["namespace"], metadata["name"], metadata["uid"])]
    if not has_backends(service):
        return []
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    found = [
        b for b in backends(service, snapshot.pods, families(service)[0]) if publish or not b.pod.deleting
    ]
    labels = {k: v for k, v in (service["metadata"].get("labels") or {}).items() if k != HEADLESS}
    labels[MANAGED_BY] = CONTROLLER
    if is_headless(service):
        labels[HEADLESS] = ""
    # Ready ones first, so that truncation takes those that do not matter.
    found.sort(key=lambda b: (not (publish or b.pod.ready), b.ip))
    subsets = _subsets(service, found[:LIMIT], publish)
    annotations: Object = {}
    if len(found) > LIMIT:
        annotations[OVER_CAPACITY] = "truncated"
    if current is None:
        metadata = {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]}
        if annotations:
            metadata["annotations"] = annotations
        body: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {**metadata, "labels": labels}}
        if subsets:
            body["subsets"] = subsets
        return [Create(ENDPOINTS, body)]
    kept = {k: v for k, v in (current["metadata"].get("annotations") or {}).items() if k != OVER_CAPACITY}
    kept.update(annotations)
    same = (
        (current.get("subsets") or []) == subsets
        and (current["metadata"].get("labels") or {}) == labels
        and (current["metadata"].get("annotations") or {}) == kept
    )
    if same:
        return []
    metadata = {**current["metadata"], "labels": labels}
    metadata.pop("annotations", None)
    if kept:
        metadata["annotations"] = kept
    body = {**current, "metadata": metadata}
    body.pop("subsets", None)
    if subsets:
        body["subsets"] = subsets
    return [Update(ENDPOINTS, body)]


def _subsets(service: Object, found: Sequence[Backend], publish: bool) -> list[Object]:
    """One subset for each set of ports that pods share."""
    groups: dict[Ports, list[Backend]] = defaultdict(list)
    for backend in found:
        if backend.ports or is_headless(service):
            groups[backend.ports].append(backend)
    subsets = []
    for ports in sorted(groups):
        members = sorted(groups[ports], key=lambda b: (b.ip, b.pod.uid))
        subset: Object = {}
        ready = [_address(b) for b in members if publish or b.pod.ready]
        not_ready = [_address(b) for b in members if not (publish or b.pod.ready)]
        if ready:
            subset["addresses"] = ready
        if not_ready:
            subset["notReadyAddresses"] = not_ready
        if ports:
            subset["ports"] = [port_object(port, keep_empty_name=False) for port in sorted(ports)]
        subsets.append(subset)
    return subsets


def _address(backend: Backend) -> Object:
    address: Object = {"ip": backend.ip}
    if backend.hostname:
        address["hostname"] = backend.hostname
    if backend.pod.node:
        address["nodeName"] = backend.pod.node
    address["targetRef"] = target_reference(backend.pod)
    return address
