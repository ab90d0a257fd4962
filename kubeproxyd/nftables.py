"""Applying rulesets to the kernel through `nft`, and the bridge the cluster's pods are on. Needs root."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import ruleset
from .plan import Ruleset

log = logging.getLogger(__name__)


class CommandError(Exception):
    """A command of the system failed; the text is its own."""


async def run(*command: str, stdin: str = "") -> str:
    """The output of a command. Raises CommandError with what it printed where it fails or is missing."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise CommandError(f"{command[0]} is not installed") from None
    out, err = await process.communicate(stdin.encode())
    if process.returncode:
        raise CommandError(f"{' '.join(command)}: {err.decode(errors='replace').strip()}")
    return out.decode()


async def bridge_with(address: str) -> str:
    """The network interface that holds `address`, or "" while there is none."""
    for link in json.loads(await run("ip", "-json", "-4", "address", "show") or "[]"):
        if any(info.get("local") == address for info in link.get("addr_info", ())):
            return str(link["ifname"])
    return ""


async def prepare_bridge(bridge: str, service_cidr: str, dns_address: str) -> None:
    """Lets the host reach service addresses over the bridge, and holds the cluster DNS address on it."""
    await run("ip", "address", "replace", f"{dns_address}/32", "dev", bridge)
    await run("ip", "route", "replace", service_cidr, "dev", bridge)
    settings = {
        f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet": "1",
        "/proc/sys/net/ipv4/ip_forward": "1",
    }
    for path, value in settings.items():
        if Path(path).read_text().strip() != value:
            Path(path).write_text(value)


class Table:
    """The nftables table of one cluster on this machine."""

    def __init__(self, cluster: str, bridge: str, cluster_cidr: str) -> None:
        self._name = ruleset.table_name(cluster)
        self._bridge = bridge
        self._cluster_cidr = cluster_cidr
        self._applied: Ruleset | None = None
        self._nodes: list[str] = []

    async def apply(self, wanted: Ruleset, node_addresses: Sequence[str]) -> None:
        """Brings the kernel to `wanted` in one transaction: the difference, or all of it the first time."""
        nodes = sorted(node_addresses)
        if self._applied is not None and nodes == self._nodes:
            script = ruleset.difference(self._name, self._applied, wanted)
            if not script:
                return
            try:
                await run("nft", "-f", "-", stdin=script)
            except CommandError as error:
                # Somebody else changed the table: what is there no longer counts.
                log.warning("rewriting table %s: %s", self._name, error)
                await self._rewrite(wanted, nodes)
        else:
            await self._rewrite(wanted, nodes)
        self._applied, self._nodes = wanted, nodes

    async def _rewrite(self, wanted: Ruleset, nodes: list[str]) -> None:
        script = ruleset.whole(
            self._name, wanted, bridge=self._bridge, cluster_cidr=self._cluster_cidr, node_addresses=nodes
        )
        await run("nft", "-f", "-", stdin=script)

    async def check(self) -> None:
        """Forgets what was applied where the table is gone, so that the next apply writes all of it."""
        try:
            await run("nft", "list", "chain", "ip", self._name, "services")
        except CommandError as error:
            log.warning("table %s: %s", self._name, error)
            self._applied = None

    async def remove(self) -> None:
        await run("nft", "-f", "-", stdin=f"add table ip {self._name}\ndelete table ip {self._name}\n")
