"""Cluster addresses and node ports of Services, taken so that several API servers never give one out twice.

An address is taken by creating the IPAddress object named after it, a node port by creating a key under
`/registry/ranges/servicenodeports/`; both are compare-and-swap writes. A crash between taking and storing the Service
leaks at most those, and `repair` gives them back.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from apimachinery import meta
from apimachinery.errors import StatusError
from apiserver.registry import services
from apiserver.registry.call import Backend, system_call
from apiserver.storage.interface import Compare, Delete, Put, Target

Object = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS_PREFIX = "/registry/ranges/servicenodeports/"
_TRIES = 64
_MANAGED = "ipallocator.k8s.io"


class Taken(Exception):
    """The address or port is another Service's."""


class Full(Exception):
    """No address or port is left."""


def band(size: int) -> int:
    """How many of `size` addresses or ports, from the first, are left for those who ask for one (KEP-3070)."""
    return min(max(16, size // 16), 256) if size >= 32 else 0


class Allocator:
    """Takes and gives back addresses and ports for Services of the backend's ranges."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.network: Network = ipaddress.ip_network(backend.service_cidr, strict=False)

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"

    # Addresses

    def networks(self) -> list[Network]:
        """The ranges that addresses come from: the cluster's own, then those of further ServiceCIDRs that are ready."""
        found = [self.network]
        for entry in self._backend.find("servicecidrs", "networking.k8s.io").cacher.entries():
            cidr = entry.object()
            ready = any(
                condition.get("type") == "Ready" and condition.get("status") == "True"
                for condition in (cidr.get("status") or {}).get("conditions") or ()
            )
            if not ready or cidr["metadata"].get("deletionTimestamp"):
                continue
            ranges = (ipaddress.ip_network(text, strict=False) for text in cidr["spec"].get("cidrs") or ())
            found += [one for one in ranges if one.version == self.network.version and one not in found]
        return found

    def holds(self, address: str) -> bool:
        """Whether an address can be given out: in a range, and neither its first nor (IPv4) last one."""
        try:
            value = ipaddress.ip_address(address)
        except ValueError:
            return False
        if self._inside(value, self.network):
            return True
        return any(self._inside(value, network) for network in self.networks())

    @staticmethod
    def _inside(value: ipaddress.IPv4Address | ipaddress.IPv6Address, network: Network) -> bool:
        if value.version != network.version or value not in network or value == network.network_address:
            return False
        return network.version == 6 or value != network.broadcast_address

    async def take_address(self, address: str, namespace: str, name: str, *, dry_run: bool) -> None:
        """Take one address. Raises Taken."""
        registry = self._backend.find("ipaddresses", "networking.k8s.io")
        if registry.cacher.get("", address) is not None:
            raise Taken
        if dry_run:
            return
        obj = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {
                "name": address,
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": self.family,
                    "ipaddress.kubernetes.io/managed-by": _MANAGED,
                },
            },
            "spec": {
                "parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": name}
            },
        }
        try:
            await registry.create(system_call(), "", obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            raise Taken from None

    async def next_address(self, namespace: str, name: str, *, dry_run: bool) -> str:
        """Take a free address. Raises Full."""
        for address in self._candidates():
            try:
                await self.take_address(address, namespace, name, dry_run=dry_run)
            except Taken:
                continue
            return address
        raise Full

    def _candidates(self) -> Iterator[str]:
        yield from self._free(self.network)
        for network in self.networks()[1:]:
            yield from self._free(network)

    def _free(self, network: Network) -> Iterator[str]:
        first, size = int(network.network_address), min(network.num_addresses, 1 << 32)
        used = self._backend.find("ipaddresses", "networking.k8s.io").cacher
        low, high = band(size - 2) + 1, size - (2 if network.version == 4 else 1)
        if high < low:
            return
        for _ in range(_TRIES):
            yield str(ipaddress.ip_address(first + random.randint(low, high)))
        for offset in chain(range(low, high + 1), range(1, low)):
            address = str(ipaddress.ip_address(first + offset))
            if used.get("", address) is None:
                yield address

    async def give_back_address(self, address: str, namespace: str, name: str) -> None:
        """Give an address back, unless it is another Service's by now."""
        cacher = self._backend.find("ipaddresses", "networking.k8s.io").cacher
        entry = cacher.get("", address)
        if entry is None:
            return
        parent = entry.object()["spec"]["parentRef"]
        if (parent.get("namespace"), parent.get("name")) == (namespace, name):
            await cacher.delete("", address, entry.revision)

    # Ports

    async def take_port(self, port: int, owner: str, *, dry_run: bool) -> None:
        """Take one node port for `owner` (namespace/name). Raises Taken."""
        key = f"{PORTS_PREFIX}{port}"
        store = self._backend.store
        if dry_run:
            if await store.get(key) is not None:
                raise Taken
            return
        result = await store.txn(
            [Compare(key, Target.VERSION, 0)], [Put(key, orjson.dumps({"owner": owner}))]
        )
        if not result.succeeded:
            raise Taken

    async def next_port(self, owner: str, *, dry_run: bool) -> int:
        """Take a free node port. Raises Full."""
        first, last = self._backend.node_ports
        low: int = first + band(last - first + 1)
        for _ in range(_TRIES):
            port: int = random.randint(low, last)
            try:
                await self.take_port(port, owner, dry_run=dry_run)
            except Taken:
                continue
            return port
        used = {kv.key for kv in (await self._backend.store.range(PORTS_PREFIX)).kvs}
        for port in (*range(low, last + 1), *range(first, low)):
            if f"{PORTS_PREFIX}{port}" in used:
                continue
            try:
                await self.take_port(port, owner, dry_run=dry_run)
            except Taken:
                continue
            return port
        raise Full

    async def give_back_port(self, port: int, owner: str) -> None:
        """Give a node port back, unless it is another Service's by now."""
        key = f"{PORTS_PREFIX}{port}"
        current = await self._backend.store.get(key)
        if current is not None and orjson.loads(current.value).get("owner") == owner:
            await self._backend.store.txn(
                [Compare(key, Target.MOD_REVISION, current.mod_revision)], [Delete(key)]
            )

    # Repair

    async def repair(self, suspects: set[str]) -> set[str]:
        """Give back what no Service holds, and take what one holds and nobody took.

        Only what was already in `suspects`, the result of an earlier run, is given back: a Service may be about to be
        stored. Returns the suspects of this run.
        """
        held_addresses: dict[str, tuple[str, str]] = {}
        held_ports: dict[int, str] = {}
        for entry in self._backend.find("services").cacher.entries():
            spec = entry.object().get("spec") or {}
            for address in services.addresses(spec):
                held_addresses[address] = (entry.namespace, entry.name)
            for _, port in services.node_ports(spec):
                held_ports[port] = f"{entry.namespace}/{entry.name}"
        found: set[str] = set()
        cacher = self._backend.find("ipaddresses", "networking.k8s.io").cacher
        for entry in cacher.entries():
            obj = entry.object()
            parent = (obj.get("spec") or {}).get("parentRef") or {}
            managed = meta.labels(obj).get("ipaddress.kubernetes.io/managed-by") == _MANAGED
            if managed and entry.name not in held_addresses:
                found.add(entry.name)
                if entry.name in suspects:
                    await self.give_back_address(
                        entry.name, parent.get("namespace", ""), parent.get("name", "")
                    )
        for address, (namespace, name) in held_addresses.items():
            if cacher.get("", address) is None and self.holds(address):
                try:
                    await self.take_address(address, namespace, name, dry_run=False)
                except Taken:
                    continue
        taken = {
            int(kv.key.rpartition("/")[2]): kv for kv in (await self._backend.store.range(PORTS_PREFIX)).kvs
        }
        for port, kv in taken.items():
            if port not in held_ports:
                found.add(kv.key)
                if kv.key in suspects:
                    await self.give_back_port(port, orjson.loads(kv.value).get("owner", ""))
        for port, owner in held_ports.items():
            if port not in taken:
                try:
                    await self.take_port(port, owner, dry_run=False)
                except Taken:
                    continue
        return found
