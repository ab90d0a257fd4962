"""ResourceQuota: what a namespace uses stays within its quotas, also when many ask at once.

`status.used` is the ledger: a request is granted by raising it with a compare-and-swap, so two apiservers cannot both
spend the last pod. Requests of one namespace that arrive together are settled with one write. Releases are booked by
the quota controller; before denying, usage is counted anew from what exists and what was just granted, so a denial
never rests on a stale ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from apimachinery import quantities, quotausage
from apimachinery.errors import StatusError
from apimachinery.quantities import Quantities
from apimachinery.quotausage import RESOURCE_QUOTAS, ZERO
from apimachinery.resources import Resource
from apiserver.admission import quota_usage
from apiserver.admission.plugin import Object, Plugin, Step, forbid
from apiserver.request import AdmissionRequest, Reader, Writer

_ATTEMPTS = 20
_IN_FLIGHT_SECONDS = 5.0


@dataclass(slots=True)
class _Asked:
    """One request waiting for its namespace's ledger."""

    request: AdmissionRequest
    answer: asyncio.Future[None]


@dataclass(slots=True)
class _Namespace:
    """Requests that wait, whether somebody settles them, and what was granted but may not exist yet."""

    waiting: list[_Asked] = field(default_factory=list)
    settling: asyncio.Task[None] | None = None
    granted: dict[tuple[str, str], tuple[float, AdmissionRequest]] = field(default_factory=dict)


class ResourceQuota(Plugin):
    name = "ResourceQuota"

    def __init__(self, reader: Reader, writer: Writer, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._namespaces: dict[str, _Namespace] = {}

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if operation not in ("CREATE", "UPDATE") or not resource.namespaced or resource.virtual:
            return None
        if subresource not in ("", "resize") or not quota_usage.concerns(operation, resource):
            return None

        return self._step

    def _step(self, request: AdmissionRequest) -> Awaitable[None] | None:
        if not self._reader.list(RESOURCE_QUOTAS, request.namespace):
            return None
        return self._charge(request)

    async def _charge(self, request: AdmissionRequest) -> None:
        """Wait until the ledger says yes (return) or no (403)."""
        state = self._namespaces.setdefault(request.namespace, _Namespace())
        asked = _Asked(request, asyncio.get_running_loop().create_future())
        state.waiting.append(asked)
        if state.settling is None:
            # A task of its own: the request that happens to come first may be cancelled, the others' answers not.
            state.settling = asyncio.create_task(self._settle(request.namespace, state))
        await asked.answer

    async def _settle(self, namespace: str, state: _Namespace) -> None:
        """Answer all that wait, and those that come while a write is under way."""
        try:
            while state.waiting:
                batch = [asked for asked in state.waiting if not asked.answer.done()]
                state.waiting = []
                try:
                    await self._settle_batch(namespace, state, batch)
                except Exception as err:  # noqa: BLE001 - whatever it is, it is the answer to those who wait
                    for asked in batch:
                        if not asked.answer.done():
                            asked.answer.set_exception(err)
        finally:
            state.settling = None
            if not state.granted and not state.waiting:
                self._namespaces.pop(namespace, None)

    async def _settle_batch(self, namespace: str, state: _Namespace, batch: list[_Asked]) -> None:
        for attempt in range(_ATTEMPTS):
            ledgers = [_Ledger(quota) for quota in self._reader.list(RESOURCE_QUOTAS, namespace)]
            for ledger in ledgers:
                if not ledger.known:
                    self._recount(ledger, namespace, state)
            verdicts = [self._judge(asked.request, ledgers, namespace, state) for asked in batch]
            if await self._write(ledgers, any(v is None for v in verdicts) and not _dry(batch)):
                break
            if attempt == _ATTEMPTS - 1:
                raise forbid(batch[0].request, "the quota changed too often to be charged; please try again")
        now = self._clock()
        while state.granted and next(iter(state.granted.values()))[0] <= now:
            del state.granted[next(iter(state.granted))]
        for asked, verdict in zip(batch, verdicts, strict=True):
            if asked.answer.done():
                continue
            if verdict is not None:
                asked.answer.set_exception(verdict)
                continue
            if asked.request.operation == "CREATE" and not asked.request.dry_run:
                key = (asked.request.resource.qualified, asked.request.name)
                state.granted[key] = (now + _IN_FLIGHT_SECONDS, asked.request)
            asked.answer.set_result(None)

    def _judge(
        self, request: AdmissionRequest, ledgers: list[_Ledger], namespace: str, state: _Namespace
    ) -> StatusError | None:
        charges: list[tuple[_Ledger, Quantities]] = []
        for ledger in ledgers:
            try:
                delta = quota_usage.delta(request, ledger.quota, set(ledger.hard))
            except quota_usage.MissingLimits as err:
                return forbid(request, f"failed quota: {ledger.name}: {err}")
            if not delta:
                continue
            if ledger.exceeded(delta):
                self._recount(ledger, namespace, state)
            if exceeded := ledger.exceeded(delta):
                return forbid(request, _exceeded(ledger, delta, exceeded))
            charges.append((ledger, delta))
        if not request.dry_run:
            for ledger, delta in charges:
                ledger.charge(delta)
        return None

    def _recount(self, ledger: _Ledger, namespace: str, state: _Namespace) -> None:
        """Usage from what exists and what was granted within the last seconds and is not there yet."""
        used = quota_usage.total(self._reader, ledger.quota, namespace, set(ledger.hard))
        now = self._clock()
        for key, (until, request) in list(state.granted.items()):
            exists = self._reader.get(request.resource, namespace, request.name) is not None
            if exists or now >= until:
                del state.granted[key]
                continue
            used = quantities.add(used, quota_usage.delta(request, ledger.quota, set(ledger.hard)))
        ledger.recount(quantities.add(used, ledger.charged))

    async def _write(self, ledgers: list[_Ledger], wanted: bool) -> bool:
        """Store the ledgers that changed; False when one has moved on meanwhile."""
        if not wanted:
            return True
        for ledger in ledgers:
            if not ledger.changed:
                continue
            try:
                await self._writer.update(RESOURCE_QUOTAS, ledger.updated(), "status")
            except StatusError as err:
                if err.code in (404, 409):
                    return False
                raise
        return True


def _dry(batch: list[_Asked]) -> bool:
    return all(asked.request.dry_run for asked in batch)


class _Ledger:
    """One quota's limits and usage while a batch is judged."""

    def __init__(self, quota: Object) -> None:
        self.quota = quota
        self.name: str = quota["metadata"]["name"]
        self.hard = quantities.parse((quota.get("spec") or {}).get("hard"))
        status = quota.get("status") or {}
        self.used = quantities.parse(status.get("used"))
        self.known = set(self.hard) <= set(self.used) and quantities.parse(status.get("hard")) == self.hard
        self.charged: Quantities = {}
        self.changed = False

    def exceeded(self, delta: Quantities) -> list[str]:
        """The names that `delta` would take beyond the limit. A decrease never does."""
        return sorted(
            name
            for name, value in delta.items()
            if value.nano > 0 and self.used.get(name, ZERO) + value > self.hard[name]
        )

    def charge(self, delta: Quantities) -> None:
        self.used = {n: max(v, ZERO) for n, v in quantities.add(self.used, delta).items()}
        self.charged = quantities.add(self.charged, delta)
        self.changed = True

    def recount(self, used: Quantities) -> None:
        # Custom resources are counted by the controller alone: what it wrote, and charges since, stand.
        kept = {f"count/{name}" for name in quotausage.custom_counts(set(self.hard))}
        counted = {name: (self.used if name in kept else used).get(name, ZERO) for name in self.hard}
        self.changed = self.changed or counted != self.used or not self.known
        self.used = counted
        self.known = True

    def updated(self) -> Object:
        status = {
            "hard": (self.quota.get("spec") or {}).get("hard") or {},
            "used": {name: str(value) for name, value in sorted(self.used.items())},
        }
        return {**self.quota, "status": status}


def _exceeded(ledger: _Ledger, delta: Quantities, names: list[str]) -> str:
    def shown(values: Quantities) -> str:
        return ",".join(f"{name}={values.get(name, ZERO)}" for name in names)

    return (
        f"exceeded quota: {ledger.name}, requested: {shown(delta)}, used: {shown(ledger.used)}, "
        f"limited: {shown(ledger.hard)}"
    )
