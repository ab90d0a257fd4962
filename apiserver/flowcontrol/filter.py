"""Flow control in the path of requests: classify, take a seat or wait for one, give it back, and count."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable

from apiserver.connection import Connection
from apiserver.flowcontrol import schema, seats
from apiserver.flowcontrol.schema import Digest, FlowSchema
from apiserver.flowcontrol.seats import Level, Seats
from apiserver.flowcontrol.sizes import LevelSpec
from apiserver.request import User
from apiserver.requestinfo import RequestInfo

LEVEL_HEADER = "X-Kubernetes-PF-PriorityLevel-UID"
SCHEMA_HEADER = "X-Kubernetes-PF-FlowSchema-UID"
#: Seconds; the buckets of apiserver_flowcontrol_request_wait_duration_seconds.
WAIT_BUCKETS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
_REMEMBERED = 8192


class Rejected(Exception):
    """A request that gets no seat; `reason` as the metrics name it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SchemaCounts:
    """What has become of the requests of one flow schema in one priority level."""

    __slots__ = ("dispatched", "executing", "level", "rejected", "schema", "waited", "waiting")

    def __init__(self, schema_name: str, level: str) -> None:
        self.schema = schema_name
        self.level = level
        self.dispatched = self.executing = self.waiting = 0
        self.rejected: dict[str, int] = {}
        #: By whether they were served then: requests that waited, by bucket, with the sum of the seconds last.
        self.waited: dict[bool, list[float]] = {}

    def observe(self, seconds: float, served: bool) -> None:
        series = self.waited.setdefault(served, [0.0] * (len(WAIT_BUCKETS) + 2))
        series[bisect_left(WAIT_BUCKETS, seconds)] += 1
        series[-1] += seconds


class Class:
    """What a request was found to be: remembered, and used by all requests like it."""

    __slots__ = ("counts", "flow", "headers", "level")

    def __init__(self, found: FlowSchema, level: Level, flow: str, counts: SchemaCounts) -> None:
        self.level = level
        self.flow = flow
        self.counts = counts
        self.headers = {SCHEMA_HEADER: found.uid, LEVEL_HEADER: level.spec.uid}


class FlowControl:
    """`total` seats are shared by the priority levels; a request waits for one at most `wait_limit` seconds."""

    def __init__(self, total: int, wait_limit: float) -> None:
        self.seats = Seats(total)
        self._wait_limit = wait_limit
        self._schemas: list[FlowSchema] = []
        self._classes: dict[tuple[object, ...], Class] = {}
        self.counts: dict[tuple[str, str], SchemaCounts] = {}

    def configure(self, levels: Iterable[LevelSpec], schemas: Iterable[FlowSchema]) -> None:
        """Use these priority levels and schemas from now on. Schemas of levels that are not there match nothing."""
        self.seats.configure(levels)
        active = {name for name, level in self.seats.levels.items() if not level.retiring}
        self._schemas = schema.in_order(s for s in schemas if s.level in active)
        self._classes.clear()
        named = {(found.level, found.name) for found in self._schemas}
        self.counts = {
            key: counts
            for key, counts in self.counts.items()
            if key in named or counts.executing or counts.waiting
        }

    def classify(self, user: User, info: RequestInfo) -> Class:
        """What the request is. Costs one look-up for a request like an earlier one."""
        if info.plural:
            key: tuple[object, ...] = (
                user.name, user.groups, info.verb, info.group, info.plural, info.subresource, info.namespace,
            )  # fmt: skip
        else:
            key = (user.name, user.groups, info.verb, info.path)
        found = self._classes.get(key)
        if found is None:
            if len(self._classes) >= _REMEMBERED:
                self._classes.clear()
            found = self._classes[key] = self._classified(user, info)
        return found

    def _classified(self, user: User, info: RequestInfo) -> Class:
        if info.plural:
            resource = f"{info.plural}/{info.subresource}" if info.subresource else info.plural
            digest = Digest(user, info.verb, info.group, resource, info.namespace)
        else:
            digest = Digest(user, info.verb, path=info.path)
        found = schema.choose(self._schemas, digest)
        if found is None:
            # The schema catch-all is for everybody, but may not be configured yet.
            found = next(s for s in reversed(self._schemas) if s.name == schema.CATCH_ALL)
        level = self.seats.levels[found.level]
        counts = self.counts.setdefault((found.level, found.name), SchemaCounts(found.name, found.level))
        return Class(found, level, found.flow(digest), counts)

    def take(self, found: Class) -> bool:
        """A seat for a request, where one is free: then it has to be given back by `release`."""
        if not self.seats.take(found.level):
            return False
        counts = found.counts
        counts.dispatched += 1
        counts.executing += 1
        return True

    def release(self, found: Class) -> None:
        found.counts.executing -= 1
        self.seats.release(found.level)

    async def wait(self, found: Class, connection: Connection) -> None:
        """Wait for a seat, which then has to be given back by `release`. Raises Rejected."""
        counts = found.counts
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[str] = loop.create_future()

        def end(reason: str) -> None:
            if not outcome.done():
                outcome.set_result(reason)

        def changed() -> None:
            if connection.transport is None:
                end(seats.CANCELLED)

        ticket = self.seats.wait(found.level, found.flow, lambda: end(""))
        if isinstance(ticket, str):
            counts.rejected[ticket] = counts.rejected.get(ticket, 0) + 1
            raise Rejected(ticket)
        began = loop.time()
        timer = loop.call_later(self._wait_limit, end, seats.TIMED_OUT)
        connection.on_change = changed
        counts.waiting += 1
        served = False
        try:
            reason = await outcome
            # A seat that came in the same turn of the loop as the end of the wait is a seat.
            served = ticket.seated
        finally:
            timer.cancel()
            connection.on_change = None
            counts.waiting -= 1
            counts.observe(loop.time() - began, served)
            if not served:
                self.seats.leave(ticket)
        if not served:
            counts.rejected[reason] = counts.rejected.get(reason, 0) + 1
            raise Rejected(reason)
        counts.dispatched += 1
        counts.executing += 1
