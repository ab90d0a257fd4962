"""Events about objects: repeated ones counted, floods cut, and never a reason to wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client, Object

log = logging.getLogger(__name__)

EVENTS = resources.get("events")
_REMEMBERED = 1024  # events and sources the correlator keeps in mind
_BURST = 25  # events one source may write at once about one object…
_REFILL = 300.0  # …and the seconds until it may write one more
_SIMILAR = 10  # so many different messages with one reason within _SIMILAR_WINDOW are combined
_SIMILAR_WINDOW = 600.0
_ATTEMPTS = 12


@dataclass(slots=True)
class _Seen:
    """What is known of one event: how it is stored and how often it happened."""

    name: str
    count: int
    first: str


class Correlator:
    """Decides what to write for an event: nothing, a new Event, or a higher count on one written before.

    The rules are Kubernetes's: per source and object a burst of 25, then one in five minutes; more than ten
    different messages with one reason within ten minutes are combined into one; equal ones are counted.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self._tokens: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], tuple[float, set[str]]] = OrderedDict()

    def correlate(self, event: Object, now: float) -> tuple[str, Object] | None:
        """("create" | "patch", Event), or None to drop it. `now` in seconds."""
        involved = event["involvedObject"]
        about = (
            event["source"]["component"],
            involved.get("kind", ""),
            involved.get("namespace", ""),
            involved.get("name", ""),
            involved.get("uid", ""),
            involved.get("apiVersion", ""),
            involved.get("fieldPath", ""),
        )
        if not self._allowed(about, now):
            return None
        reason = (*about, event["type"], event["reason"])
        since, messages = self._similar.pop(reason, (now, set()))
        if now - since > _SIMILAR_WINDOW:
            since, messages = now, set()
        key: tuple[str, ...] = (*reason, event["message"])
        messages.add(event["message"])
        if len(messages) > _SIMILAR:
            messages.pop()
            key = (*reason, "")
            event = {**event, "message": "(combined from similar events): " + event["message"]}
        self._similar[reason] = (since, messages)
        self._trim(self._similar)
        seen = self._seen.pop(key, None)
        if seen is None:
            self._seen[key] = _Seen(event["metadata"]["name"], 1, event["firstTimestamp"])
            self._trim(self._seen)
            return "create", event
        seen.count += 1
        self._seen[key] = seen
        metadata = {**event["metadata"], "name": seen.name}
        return "patch", {**event, "metadata": metadata, "count": seen.count, "firstTimestamp": seen.first}

    def _allowed(self, about: tuple[str, ...], now: float) -> bool:
        tokens, then = self._tokens.pop(about, (float(_BURST), now))
        tokens = min(float(_BURST), tokens + (now - then) / _REFILL)
        allowed = tokens >= 1
        self._tokens[about] = (tokens - 1 if allowed else tokens, now)
        self._trim(self._tokens)
        return allowed

    @staticmethod
    def _trim(memory: OrderedDict[Any, Any]) -> None:
        if len(memory) > _REMEMBERED:
            memory.popitem(last=False)


class EventRecorder:
    """Writes Events (core/v1) about objects in the background; `run` does the writing.

    `event` never waits: what does not fit in the queue of `limit` events is dropped.
    """

    def __init__(self, client: Client, component: str, host: str = "", limit: int = 1000) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._queue: deque[Object] = deque()
        self._limit = limit
        self._ready = asyncio.Event()
        self._correlator = Correlator()
        self._serial = 0
        self.dropped = 0

    def event(
        self,
        involved: Object,
        type: str,
        reason: str,
        message: str,
        field_path: str = "",
        component: str = "",
    ) -> None:
        """`involved` is the object, or a reference to it (kind, apiVersion, name, namespace, uid). `type` is Normal
        or Warning. `component` names another source than the recorder's own."""
        if len(self._queue) >= self._limit:
            self.dropped += 1
            return
        now = time.time_ns()
        self._serial += 1
        self._queue.append(
            make_event(
                involved,
                type,
                reason,
                message,
                field_path,
                component or self._component,
                self._host,
                now + self._serial,
            )
        )
        self._ready.set()

    async def run(self) -> None:
        while True:
            await self._ready.wait()
            while self._queue:
                event = self._queue.popleft()
                decided = self._correlator.correlate(event, time.monotonic())
                if decided is not None:
                    await self._write(*decided)
            self._ready.clear()

    async def flush(self) -> None:
        """Writes what waits now; for a component on its way out."""
        while self._queue:
            decided = self._correlator.correlate(self._queue.popleft(), time.monotonic())
            if decided is not None:
                await self._write(*decided)

    async def _write(self, verb: str, event: Object) -> None:
        metadata = event["metadata"]
        try:
            if verb == "patch":
                change = {
                    "count": event["count"],
                    "lastTimestamp": event["lastTimestamp"],
                    "message": event["message"],
                }
                try:
                    await self._client.patch(
                        EVENTS, metadata["name"], change, metadata["namespace"], kind="merge"
                    )
                    return
                except StatusError as error:
                    if error.code != 404:
                        raise
            await self._client.create(EVENTS, event)
        except StatusError as error:
            # A namespace on its way out, or no right to write there: an event is not worth more.
            log.debug("event not written: %s", error)
        except (ConnectionError, TimeoutError) as error:
            self.dropped += 1
            log.warning("event dropped: %s", error)


def make_event(
    involved: Object,
    type: str,
    reason: str,
    message: str,
    field_path: str,
    component: str,
    host: str,
    now_ns: int,
) -> Object:
    """The Event object; `now_ns` is the time in ns since 1970 and makes its name unique."""
    metadata = involved.get("metadata")
    reference: Object = {}
    if metadata is None:
        reference = {k: v for k, v in involved.items() if v}
    else:
        reference = {
            "kind": involved.get("kind", ""),
            "apiVersion": involved.get("apiVersion", ""),
            "name": metadata["name"],
        }
        for field in ("namespace", "uid", "resourceVersion"):
            if metadata.get(field):
                reference[field] = metadata[field]
    if field_path:
        reference["fieldPath"] = field_path
    stamp = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    source = {"component": component}
    if host:
        source["host"] = host
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{reference['name']}.{now_ns:x}",
            "namespace": reference.get("namespace") or "default",
        },
        "involvedObject": reference,
        "type": type,
        "reason": reason,
        "message": message[:1024],
        "source": source,
        "reportingComponent": component,
        "reportingInstance": host,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
