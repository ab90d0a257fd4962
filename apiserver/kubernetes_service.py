"""The Service `kubernetes` in the namespace `default`, and the addresses of all API servers behind it.

Each server holds a leased key with its address; each of them writes Endpoints and EndpointSlice from the keys that
live. A server that dies is out of them when its lease ends.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import Any

from apimachinery import meta
from apimachinery.errors import StatusError
from apiserver.registry import metadata
from apiserver.registry.call import system_call
from apiserver.registry.registries import Registries
from apiserver.storage.interface import Put, StorageError

logger = logging.getLogger(__name__)

Object = dict[str, Any]
LEASES = "/registry/masterleases/"
LEASE_SECONDS = 15
PERIOD = 10.0
STOP_SECONDS = 2.0
NAME = "kubernetes"
PORT_NAME = "https"


def service(cidr: str, target_port: int) -> Object:
    """The Service; its address is the first of the range."""
    network = ipaddress.ip_network(cidr, strict=False)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": str(network[1]),
            "ports": [{"name": PORT_NAME, "port": 443, "protocol": "TCP", "targetPort": target_port}],
        },
    }


def endpoints(addresses: dict[str, int]) -> Object:
    """The Endpoints of servers by address and port."""
    obj = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": NAME,
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
    }
    by_port: dict[int, list[str]] = {}
    for address, port in sorted(addresses.items()):
        by_port.setdefault(port, []).append(address)
    subsets = [
        {
            "addresses": [{"ip": ip} for ip in ips],
            "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}],
        }
        for port, ips in sorted(by_port.items())
    ]
    return {**obj, "subsets": subsets} if subsets else obj


def endpoint_slice(addresses: dict[str, int]) -> Object:
    """The EndpointSlice of servers by address; all servers of a cluster use one port."""
    ports = sorted(set(addresses.values()))
    version = 6 if any(":" in address for address in addresses) else 4
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": NAME,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": NAME},
        },
        "addressType": f"IPv{version}",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in sorted(addresses)],
        "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"} for port in ports[:1]],
    }


class KubernetesService:
    """Keeps the Service and its addresses as long as `run` runs."""

    def __init__(self, registries: Registries, address: str, port: int) -> None:
        self._registries = registries
        self._address = address
        self._port = port
        self._lease = 0

    async def start(self) -> None:
        """Make the Service where it is missing, and announce this server."""
        registry = self._registries.registry("services")
        backend = self._registries.backend
        if registry.cacher.get("default", NAME) is None:
            try:
                await registry.create(system_call(), "default", service(backend.service_cidr, self._port))
            except StatusError as error:
                if error.reason not in ("AlreadyExists", "Invalid"):
                    raise
                logger.warning("cannot make the kubernetes Service: %s", error.message)
        await self._announce()
        await self._reconcile()

    async def run(self) -> None:
        """Keep this server announced and the addresses right."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self._announce()
                await self._reconcile()
            except (StorageError, StatusError) as error:
                logger.warning("cannot update the kubernetes Service: %s", error)

    async def stop(self) -> None:
        """Take this server's address out at once."""
        if not self._lease:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._registries.backend.store.revoke_lease(self._lease)
                await self._reconcile(without=self._address)
        except (StorageError, StatusError, TimeoutError) as error:
            logger.warning("cannot take this server out of the kubernetes Service: %s", error)

    async def _announce(self) -> None:
        store = self._registries.backend.store
        key = LEASES + self._address
        if self._lease and await store.get(key) is not None:
            await store.keep_lease_alive(self._lease)
            return
        self._lease = await store.grant_lease(LEASE_SECONDS)
        await store.txn([], [Put(key, str(self._port).encode(), self._lease)])

    async def _reconcile(self, without: str = "") -> None:
        found = await self._registries.backend.store.range(LEASES)
        addresses = {kv.key[len(LEASES) :]: int(kv.value) for kv in found.kvs}
        addresses.pop(without, None)
        await self._write("endpoints", "", endpoints(addresses))
        await self._write("endpointslices", "discovery.k8s.io", endpoint_slice(addresses))

    async def _write(self, plural: str, group: str, wanted: Object) -> None:
        """Store an object past validation, which refuses loopback addresses: a local cluster has no others."""
        registry = self._registries.registry(plural, group)
        identity = self._registries.backend.identity
        entry = registry.cacher.get("default", NAME)
        if entry is None:
            metadata.for_create(
                wanted, uid=identity.uid(), now=identity.timestamp(), generation=registry.strategy.generation
            )
            try:
                await registry.cacher.create("default", NAME, wanted)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
            return
        current = entry.object()
        if all(
            current.get(key) == wanted.get(key) for key in ("subsets", "endpoints", "ports", "addressType")
        ):
            return
        new = {**wanted, "metadata": {**current["metadata"], "labels": meta.labels(wanted)}}
        if registry.strategy.generation:
            metadata.bump_generation(new)
        await registry.cacher.update("default", NAME, new, entry.revision)
