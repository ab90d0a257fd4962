"""Where a volume is to be reachable from, and where it is. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
Segments = dict[str, str]


class TopologyError(Exception):
    """The driver is not where the volume is wanted."""


def keys_of(csi_node: Object | None, driver: str) -> list[str] | None:
    """The topology keys of a driver on a node; None if it is not there."""
    for entry in ((csi_node or {}).get("spec") or {}).get("drivers") or ():
        if entry["name"] == driver:
            return list(entry.get("topologyKeys") or ())
    return None


def node_id(csi_node: Object | None, driver: str) -> str:
    """The driver's own name of a node; "" if it is not there."""
    for entry in ((csi_node or {}).get("spec") or {}).get("drivers") or ():
        if entry["name"] == driver:
            return str(entry["nodeID"])
    return ""


def requirement(
    driver: str,
    claim_uid: str,
    nodes: Mapping[str, Object],
    csi_nodes: Mapping[str, Object],
    selected: str,
    allowed: Sequence[Object],
) -> dict[str, Any] | None:
    """TopologyRequirement. `selected` is the node that the scheduler chose, `allowed` the class's allowedTopologies.

    Raises TopologyError.
    """
    place: Segments | None = None
    if selected:
        keys = keys_of(csi_nodes.get(selected), driver)
        if keys is None or selected not in nodes:
            raise TopologyError(
                f"error generating accessibility requirements: no topology key found on CSINode {selected}"
            )
        place = _segments(nodes[selected], keys)
        if place is None:
            raise TopologyError(
                f"topology labels from selected node {selected} do not match its topology keys {keys}"
            )
    requisite = _distinct(_allowed(allowed)) if allowed else _everywhere(driver, nodes, csi_nodes, place)
    if not requisite:
        return None
    if place is None:
        first = zlib.crc32(claim_uid.encode()) % len(requisite)
    else:
        first = next((i for i, one in enumerate(requisite) if one.items() <= place.items()), -1)
        if first < 0:
            raise TopologyError(f"selected node {selected} is not in allowed topologies")
    preferred = requisite[first:] + requisite[:first]
    return {
        "requisite": [{"segments": one} for one in requisite],
        "preferred": [{"segments": one} for one in preferred],
    }


def _segments(node: Object, keys: Iterable[str]) -> Segments | None:
    labels = node["metadata"].get("labels") or {}
    found = {key: labels[key] for key in keys if key in labels}
    return found if len(found) == len(list(keys)) else None


def _everywhere(
    driver: str, nodes: Mapping[str, Object], csi_nodes: Mapping[str, Object], like: Segments | None
) -> list[Segments]:
    """The distinct places of the driver's nodes; with `like`, of those that have the same keys."""
    found = []
    for name, csi_node in csi_nodes.items():
        keys = keys_of(csi_node, driver)
        if not keys or name not in nodes or (like is not None and set(keys) != set(like)):
            continue
        segments = _segments(nodes[name], keys)
        if segments:
            found.append(segments)
    return _distinct(found)


def _allowed(terms: Sequence[Object]) -> list[Segments]:
    """Each combination of values that a term allows."""
    found: list[Segments] = []
    for term in terms:
        combined: list[Segments] = [{}]
        for expression in term.get("matchLabelExpressions") or ():
            combined = [
                {**one, expression["key"]: value}
                for one in combined
                for value in expression.get("values") or ()
            ]
        found += combined
    return found


def _distinct(found: Iterable[Segments]) -> list[Segments]:
    unique = {tuple(sorted(one.items())): one for one in found}
    return [unique[key] for key in sorted(unique)]


def node_affinity(places: Iterable[Mapping[str, str]]) -> dict[str, Any] | None:
    """The nodeAffinity of a volume that is reachable from these places; None: from everywhere."""
    terms = [
        {
            "matchExpressions": [
                {"key": key, "operator": "In", "values": [value]} for key, value in sorted(place.items())
            ]
        }
        for place in places
        if place
    ]
    return {"required": {"nodeSelectorTerms": terms}} if terms else None
