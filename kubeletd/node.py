"""Keeps the Node object and its Lease: registration, heartbeats, status when it changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.meta import rfc3339_micro
from kubeclient.client import Client
from kubeletd import nodeevents, nodestatus
from kubeletd.nodestatus import NodeFindings, NodeSettings

log = logging.getLogger(__name__)

NODES = resources.get("nodes")
LEASES = resources.get("leases", "coordination.k8s.io")
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = LEASE_SECONDS / 4
REPORT_SECONDS = 300.0  # an unchanged status is reported again after so long
_RETRY = 1.0


def boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def hugepages(root: Path = Path("/sys/kernel/mm/hugepages")) -> dict[int, int]:
    """How many huge pages the machine has, by their size in KiB."""
    found = {}
    for entry in root.glob("hugepages-*kB"):
        with contextlib.suppress(OSError, ValueError):
            count = int((entry / "nr_hugepages").read_text())
            found[int(entry.name.removeprefix("hugepages-").removesuffix("kB"))] = count
    return found


def disk_size(path: str) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize


class NodeKeeper:
    """`findings()` tells what there is to report; `current()` the Node as the API has it, None if unknown.

    `record(type, reason, message)` makes an event of the node.
    """

    def __init__(
        self,
        client: Client,
        settings: NodeSettings,
        findings: Callable[[], NodeFindings],
        current: Callable[[], dict[str, Any] | None],
        clock: Callable[[], float],
        record: Callable[[str, str, str], None],
        update_seconds: float = 10.0,
    ) -> None:
        self._client = client
        self._settings = settings
        self._findings = findings
        self._current = current
        self._clock = clock
        self._record = record
        self._update_seconds = update_seconds
        self._reported_at = 0.0
        self._wake = asyncio.Event()

    def changed(self) -> None:
        """Something of the findings is another: report without waiting for the next turn."""
        self._wake.set()

    async def register(self) -> dict[str, Any]:
        """The Node exists, with our labels and endpoint; gives it. Tries until it works."""
        while True:
            try:
                return await self._register()
            except (StatusError, OSError, TimeoutError) as error:
                log.warning("node %s is not registered: %s", self._settings.name, error)
                await asyncio.sleep(_RETRY)

    async def _register(self) -> dict[str, Any]:
        wanted = nodestatus.node_object(self._settings, self._findings(), self._clock())
        try:
            made = await self._client.create(NODES, wanted)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        else:
            self._tell({}, wanted["status"])
            return made
        meta = {"labels": wanted["metadata"]["labels"], "annotations": wanted["metadata"]["annotations"]}
        return await self._client.patch(NODES, self._settings.name, {"metadata": meta}, kind="merge")

    async def stand_in(self, trouble: str) -> None:
        """Until cancelled, for an agent that cannot look after the node yet: one that the API knows is there, and not
        ready."""
        while True:
            try:
                node = await self._client.get(NODES, self._settings.name)
                old = node.get("status") or {}
                ready = nodestatus.not_ready(old, trouble, self._clock())
                await self._client.patch(
                    NODES, self._settings.name, {"status": ready}, kind="strategic", subresource="status"
                )
                break
            except (StatusError, OSError, TimeoutError) as error:
                log.warning("node %s cannot be told of: %s", self._settings.name, error)
                await asyncio.sleep(RENEW_SECONDS)
        self._tell(old, ready)
        await self.keep_lease(node["metadata"]["uid"])

    async def annotate(self, annotations: Mapping[str, str | None]) -> None:
        """Writes annotations of the Node, or (None) takes them away. Raises StatusError, OSError."""
        patch = {"metadata": {"annotations": dict(annotations)}}
        await self._client.patch(NODES, self._settings.name, patch, kind="merge")

    async def report(self) -> None:
        """One turn: the status if it changed or is old."""
        node = self._current()
        if node is None:
            return
        now = self._clock()
        old = node.get("status") or {}
        new = nodestatus.node_status(self._settings, self._findings(), old, now)
        if nodestatus.same(old, new) and now - self._reported_at < REPORT_SECONDS:
            return
        if old.get("addresses") not in (None, new["addresses"]):
            new["addresses"] = [{"$patch": "replace"}, *new["addresses"]]
        await self._client.patch(
            NODES, self._settings.name, {"status": new}, kind="strategic", subresource="status"
        )
        self._reported_at = now
        self._tell(old, new)

    def _tell(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        for event in nodeevents.of_change(self._settings.name, old, new):
            self._record(*event)

    async def run(self) -> None:
        """Reports until cancelled; a Node deleted meanwhile is not made again before the agent's next start."""
        while True:
            self._wake.clear()
            try:
                await self.report()
            except (StatusError, OSError, TimeoutError) as error:
                log.warning("status of node %s not written: %s", self._settings.name, error)
                await asyncio.sleep(_RETRY)
                continue
            try:
                async with asyncio.timeout(self._update_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def keep_lease(self, uid: str) -> None:
        """Renews the node's Lease until cancelled: that is its heartbeat."""
        exists = False
        while True:
            try:
                if exists:
                    renewal = {"spec": {"renewTime": self._now()}}
                    await self._client.patch(
                        LEASES, self._settings.name, renewal, LEASE_NAMESPACE, kind="merge"
                    )
                else:
                    exists = await self._make_lease(uid)
                    continue
            except StatusError as error:
                log.warning("lease of node %s not renewed: %s", self._settings.name, error)
                exists = exists and error.code != 404
                await asyncio.sleep(_RETRY)
                continue
            except (OSError, TimeoutError) as error:
                log.warning("lease of node %s not renewed: %s", self._settings.name, error)
                await asyncio.sleep(_RETRY)
                continue
            await asyncio.sleep(RENEW_SECONDS)

    def _now(self) -> str:
        return rfc3339_micro(datetime.fromtimestamp(self._clock(), UTC))

    async def _make_lease(self, uid: str) -> bool:
        name = self._settings.name
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": self._now(),
            },
        }
        try:
            await self._client.create(LEASES, lease)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return True
