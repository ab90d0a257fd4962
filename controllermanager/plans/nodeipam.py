"""Which addresses a node's pods get: its share of the cluster's CIDR."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from apimachinery import resources
from controllermanager.plans.actions import Action, Event, Patch

Object = dict[str, Any]

NODES = resources.get("nodes")


def free_share(cluster_cidr: str, mask_size: int, used: Iterable[str]) -> str | None:
    """The lowest share nobody has. The first one is left out: its first address is the network's gateway."""
    network = ip_network(cluster_cidr)
    size = 1 << (network.max_prefixlen - mask_size)
    base = int(network.network_address)
    taken = {(int(ip_network(cidr, strict=False).network_address) - base) // size for cidr in used}
    count = network.num_addresses // size
    for index in range(1, count):
        if index not in taken:
            address = network.network_address + index * size
            return f"{address}/{mask_size}"
    return None


def plan(node: Object, used: Iterable[str], cluster_cidr: str, mask_size: int) -> list[Action]:
    """Gives `node` its share if it has none. `used` are the shares of all other nodes."""
    metadata = node["metadata"]
    if (node.get("spec") or {}).get("podCIDR") or metadata.get("deletionTimestamp"):
        return []
    share = free_share(cluster_cidr, mask_size, used)
    if share is None:
        involved = {"kind": "Node", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        text = f"Node {metadata['name']} status is now: CIDRNotAvailable"
        return [Event(involved, "Normal", "CIDRNotAvailable", text)]
    patch = {"metadata": {"uid": metadata["uid"]}, "spec": {"podCIDR": share, "podCIDRs": [share]}}
    return [Patch(NODES, "", metadata["name"], patch, missing_ok=True)]
