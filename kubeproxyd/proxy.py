"""The runner: keeps the kernel's rules and the DNS names at what the API says."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from apimachinery import resources
from kubeclient.client import Client
from kubeclient.informer import Informer

from . import dns, nftables, views
from .bridge import keep_hairpin
from .config import ProxyConfig
from .plan import plan
from .zone import State

log = logging.getLogger(__name__)

_BRIDGE_RETRY = 0.25
_CHECK_INTERVAL = 60.0
_COALESCE = 0.02


class Proxy:
    def __init__(self, client: Client, config: ProxyConfig) -> None:
        self._client = client
        self._config = config
        self._state = State.empty()
        self._nodes: dict[str, views.Node] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Serves until cancelled."""
        service, piece, node = (
            Informer(self._client, resources.get("services"), view=views.service),
            Informer(
                self._client, resources.get("endpointslices", "discovery.k8s.io"), view=views.endpoint_slice
            ),
            Informer(self._client, resources.get("nodes"), view=views.node),
        )
        namespace = Informer(self._client, resources.get("namespaces"), view=_name)
        service.add_handler(self._on(self._state.set_service))
        piece.add_handler(self._on(self._state.set_slice))
        node.add_handler(self._on(self._set_node))
        namespace.add_handler(self._state.set_namespace)
        informers = (service, piece, node, namespace)
        async with asyncio.TaskGroup() as tasks:
            for informer in informers:
                tasks.create_task(informer.run())
            bridge = await self._bridge()
            tasks.create_task(keep_hairpin(bridge))
            for informer in informers:
                await informer.synced()
            tasks.create_task(self._keep_rules(bridge))
            tasks.create_task(self._serve_names())

    async def _serve_names(self) -> None:
        config = self._config
        upstream = dns.upstreams(Path(config.resolv_conf).read_text())
        resolver = dns.Resolver(self._state, config.cluster_domain, upstream)
        log.info("answering names of %s on %s", config.cluster_domain, config.dns_address)
        await dns.serve(resolver, config.dns_address)

    def _on(self, update: Any) -> Any:
        def handler(old: Any, new: Any) -> None:
            update(old, new)
            self._changed.set()

        return handler

    def _set_node(self, old: views.Node | None, new: views.Node | None) -> None:
        if old is not None:
            self._nodes.pop(old.metadata.name, None)
        if new is not None and (not self._config.node_name or new.metadata.name in self._config.node_name):
            self._nodes[new.metadata.name] = new

    async def _bridge(self) -> str:
        """Waits for the bridge that a node's agent makes, and prepares it."""
        told = False
        while not (bridge := await nftables.bridge_with(self._config.gateway)):
            if not told:
                log.info("waiting for the bridge with %s", self._config.gateway)
                told = True
            await asyncio.sleep(_BRIDGE_RETRY)
        await nftables.prepare_bridge(bridge, self._config.service_cidr, self._config.dns_address)
        return bridge

    async def _keep_rules(self, bridge: str) -> None:
        table = nftables.Table(self._config.cluster_name, bridge, self._config.cluster_cidr)
        local = frozenset({self._config.dns_address})
        while True:
            self._changed.clear()
            nodes = list(self._nodes.values())
            wanted = plan(self._state.services.values(), self._state.grouped(), nodes, local_addresses=local)
            try:
                await table.apply(wanted, [n.internal_ip for n in nodes if n.internal_ip])
            except nftables.CommandError as error:
                log.error("rules could not be applied: %s", error)
                await asyncio.sleep(1)
                continue
            try:
                await asyncio.wait_for(self._changed.wait(), _CHECK_INTERVAL)
                # Changes come in bursts (a rollout): one transaction takes them together.
                await asyncio.sleep(_COALESCE)
            except TimeoutError:
                await table.check()


def _name(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])
