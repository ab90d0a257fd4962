"""Leader election by a Lease: one of several instances acts, and stops acting before another may start."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client, Object

log = logging.getLogger(__name__)

LEASES = resources.get("leases", "coordination.k8s.io")


class LeadershipLost(Exception):
    """The lease could not be renewed in time: whoever led must stop at once."""


@dataclass(slots=True)
class Observation:
    """The lease as last seen to change, and when that was on our own clock (clocks of others are not trusted)."""

    renewals: tuple[str, str] = ("", "")
    at: float = 0.0


def claim(
    lease: Object | None, seen: Observation, identity: str, duration: int, now: float, stamp: str
) -> Object | None:
    """The spec to write in order to hold or take the lease, or None while another holds it.

    `now` is monotonic seconds, `stamp` the wall clock as RFC 3339 with microseconds. Updates `seen`.
    """
    spec = (lease or {}).get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    renewals = (holder, spec.get("renewTime") or "")
    if renewals != seen.renewals:
        seen.renewals, seen.at = renewals, now
    mine = holder == identity
    if holder and not mine and now - seen.at < (spec.get("leaseDurationSeconds") or duration):
        return None
    transitions = spec.get("leaseTransitions") or 0
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": duration,
        "acquireTime": (spec.get("acquireTime") or stamp) if mine else stamp,
        "renewTime": stamp,
        "leaseTransitions": transitions if mine or not holder else transitions + 1,
    }


class LeaderElector:
    """Holds the Lease `namespace/name` for `identity`. Times in seconds, Kubernetes's by default."""

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str,
        namespace: str = "kube-system",
        *,
        lease_duration: int = 15,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._name = name
        self._identity = identity
        self._namespace = namespace
        self._duration = lease_duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._random = random
        self._seen = Observation()

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Waits to become leader, then runs `lead()`. Returns when it does, after giving the lease up.

        Raises LeadershipLost, with `lead` cancelled, if the lease is lost first.
        """
        while not await self._try():  # noqa: ASYNC110 - what is waited for is another machine's lease
            await asyncio.sleep(self._retry_period * (1 + 0.2 * self._random()))
        log.info("%s leads as %s", self._identity, self._name)
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.ensure_future(self._renew())
        lost: BaseException | None = None
        try:
            await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leading, renewing):
                task.cancel()
            outcome, lost = await asyncio.gather(leading, renewing, return_exceptions=True)
            if not isinstance(lost, LeadershipLost):
                await self._release()
        for error in (lost, outcome):
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._retry_period)
            try:
                async with asyncio.timeout_at(renewed + self._renew_deadline):
                    held = await self._try()
            except TimeoutError:
                held = False
            if held:
                renewed = loop.time()
            elif loop.time() - renewed >= self._renew_deadline or self._seen.renewals[0] != self._identity:
                raise LeadershipLost(f"{self._identity} no longer leads as {self._name}")

    async def _try(self) -> bool:
        loop = asyncio.get_running_loop()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        try:
            try:
                lease: Object | None = await self._client.get(LEASES, self._name, self._namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                lease = None
            spec = claim(lease, self._seen, self._identity, self._duration, loop.time(), stamp)
            if spec is None:
                return False
            if lease is None:
                metadata = {"name": self._name, "namespace": self._namespace}
                body = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": metadata,
                    "spec": spec,
                }
                await self._client.create(LEASES, body)
            else:
                await self._client.update(LEASES, {**lease, "spec": spec})
        except (StatusError, ConnectionError, TimeoutError) as error:
            log.debug("lease %s: %s", self._name, error)
            return False
        self._seen.renewals, self._seen.at = (self._identity, stamp), loop.time()
        return True

    async def _release(self) -> None:
        """Lets the next one in without waiting for the lease to run out."""
        try:
            async with asyncio.timeout(self._retry_period):
                lease = await self._client.get(LEASES, self._name, self._namespace)
                if lease["spec"].get("holderIdentity") == self._identity:
                    spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._client.update(LEASES, {**lease, "spec": spec})
        except (StatusError, ConnectionError, TimeoutError) as error:
            log.debug("lease %s not released: %s", self._name, error)
