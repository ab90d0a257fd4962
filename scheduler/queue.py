"""Pods that wait for a node: ready ones by priority, failed ones until something changes that could help them.

A pure state machine: `now` is in seconds and passed in. A pod is ready (to be planned), backing off (tried a moment
ago), unschedulable (waits for an event that one of the filters that rejected it cares for), gated, or taken (handed
out by `take`, its outcome not yet reported).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntFlag, auto

from scheduler.views import Pod

Key = tuple[str, str]

INITIAL_BACKOFF = 1.0
LONGEST_BACKOFF = 10.0
# Unschedulable pods are tried again after so many seconds, whatever happened: the net under missed events.
LONGEST_WAIT = 300.0


class Event(IntFlag):
    """What happened in the cluster that may let a pod be placed."""

    NODE_ADDED = auto()
    NODE_REMOVED = auto()
    NODE_RESOURCES = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()
    POD_PLACED = auto()
    POD_REMOVED = auto()
    STORAGE = auto()
    NAMESPACE = auto()


_NODE = Event.NODE_ADDED
HELPFUL: dict[str, Event] = {
    "NodeUnschedulable": _NODE | Event.NODE_TAINTS,
    "TaintToleration": _NODE | Event.NODE_TAINTS,
    "NodeAffinity": _NODE | Event.NODE_LABELS,
    "NodePorts": _NODE | Event.POD_REMOVED,
    "NodeResourcesFit": _NODE | Event.NODE_RESOURCES | Event.POD_REMOVED,
    "PodTopologySpread": _NODE
    | Event.NODE_REMOVED
    | Event.NODE_LABELS
    | Event.NODE_TAINTS
    | Event.POD_PLACED
    | Event.POD_REMOVED,
    "InterPodAffinity": _NODE | Event.NODE_LABELS | Event.POD_PLACED | Event.POD_REMOVED | Event.NAMESPACE,
    "VolumeBinding": _NODE | Event.NODE_LABELS | Event.STORAGE,
    "VolumeZone": _NODE | Event.NODE_LABELS | Event.STORAGE,
    "VolumeRestrictions": Event.POD_REMOVED | Event.STORAGE,
    "NodeVolumeLimits": _NODE | Event.POD_REMOVED | Event.STORAGE,
}


NOTHING = Event(0)


class _State(Enum):
    READY = "ready"
    BACKING_OFF = "backing off"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    TAKEN = "taken"


@dataclass(slots=True)
class _Entry:
    """`ticket` tells the entry's current place in a heap from outdated ones."""

    pod: Pod
    state: _State
    since: float
    ticket: int = 0
    attempts: int = 0
    failed_at: float = 0.0
    helped_by: Event = NOTHING
    taken_at_event: int = 0


class Queue:
    """All pods that this scheduler has to place. Holds each pod once, so its size is bounded by the pods there are."""

    def __init__(
        self, initial_backoff: float = INITIAL_BACKOFF, longest_backoff: float = LONGEST_BACKOFF
    ) -> None:
        self._initial_backoff = initial_backoff
        self._longest_backoff = longest_backoff
        self._entries: dict[Key, _Entry] = {}
        self._ready: list[tuple[int, float, int, Key]] = []
        self._backing_off: list[tuple[float, int, Key]] = []
        # By what helps them, so that an event which helps none of thousands costs nothing; oldest first in each.
        self._unschedulable: dict[Event, dict[Key, None]] = {}
        self._tickets = 0
        self._events = 0
        self._last_event: dict[Event, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def counts(self) -> dict[str, int]:
        """Pods per state."""
        result = {state.value: 0 for state in _State}
        for entry in self._entries.values():
            result[entry.state.value] += 1
        return result

    def get(self, key: Key) -> Pod | None:
        entry = self._entries.get(key)
        return entry.pod if entry else None

    def put(self, pod: Pod, now: float) -> None:
        """A pod that has to be placed appeared or changed."""
        entry = self._entries.get(pod.key)
        if entry is not None and entry.pod.uid != pod.uid:
            self.remove(pod.key)
            entry = None
        if entry is None:
            state = _State.GATED if pod.gated else _State.READY
            entry = self._entries[pod.key] = _Entry(pod, state, now)
            if state is _State.READY:
                self._make_ready(entry)
            return
        old, entry.pod = entry.pod, pod
        if entry.state is _State.TAKEN:
            return
        if pod.gated:
            self._leave(entry)
            entry.state = _State.GATED
        elif entry.state is _State.GATED or old.wants is not pod.wants:
            # What it asks for changed: what was found out about it no longer holds.
            self._leave(entry)
            self._make_ready(entry)

    def remove(self, key: Key) -> None:
        """The pod is placed, finished or gone."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._leave(entry)

    def take(self, limit: int, now: float) -> list[Pod]:
        """The next pods to plan, the most important first; each must be reported on or removed."""
        self._refill(now)
        taken: list[Pod] = []
        while self._ready and len(taken) < limit:
            _, _, ticket, key = heapq.heappop(self._ready)
            entry = self._entries.get(key)
            if entry is None or entry.ticket != ticket or entry.state is not _State.READY:
                continue
            entry.state = _State.TAKEN
            entry.attempts += 1
            entry.taken_at_event = self._events
            taken.append(entry.pod)
        return taken

    def unschedulable(self, key: Key, plugins: Iterable[str], now: float) -> None:
        """No node will do: waits for an event that may change what these filters said."""
        entry = self._entries.get(key)
        if entry is None or entry.state is not _State.TAKEN:
            return
        entry.failed_at = now
        entry.helped_by = NOTHING
        for plugin in plugins:
            entry.helped_by |= HELPFUL[plugin]
        if not entry.helped_by:
            entry.helped_by = Event.NODE_ADDED
        missed = any(
            at > entry.taken_at_event and event & entry.helped_by for event, at in self._last_event.items()
        )
        if missed:
            self._back_off(entry)
            return
        entry.state = _State.UNSCHEDULABLE
        entry.since = now
        self._unschedulable.setdefault(entry.helped_by, {})[key] = None

    def retry(self, key: Key, now: float) -> None:
        """Placing failed for a reason that may pass: tried again after its back-off."""
        entry = self._entries.get(key)
        if entry is not None and entry.state is _State.TAKEN:
            entry.failed_at = now
            self._back_off(entry)

    def wake(self, event: Event, now: float, *, also: Iterable[Key] = ()) -> None:
        """Something happened: pods it may help are tried again, at once if their back-off is over.

        `also`: pods for which it does not matter how long ago they were tried (their victims are gone).
        """
        self._events += 1
        for kind in Event:
            if kind & event:
                self._last_event[kind] = self._events
        hurried = set(also)
        helped = [kinds for kinds in self._unschedulable if kinds & event]
        for key in [key for kinds in helped for key in self._unschedulable.pop(kinds)]:
            entry = self._entries[key]
            if key in hurried or now >= self._backoff_end(entry):
                self._make_ready(entry)
            else:
                self._back_off(entry)
        for key in hurried:
            waiting = self._entries.get(key)
            if waiting is not None and waiting.state is _State.BACKING_OFF:
                self._make_ready(waiting)

    def next_due(self) -> float | None:
        """When `take` has something new without any event; None if never."""
        due = [self._backing_off[0][0]] if self._backing_off else []
        due += [self._entries[next(iter(keys))].since + LONGEST_WAIT for keys in self._unschedulable.values()]
        return min(due, default=None)

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def _refill(self, now: float) -> None:
        while self._backing_off and self._backing_off[0][0] <= now:
            _, ticket, key = heapq.heappop(self._backing_off)
            entry = self._entries.get(key)
            if entry is not None and entry.ticket == ticket and entry.state is _State.BACKING_OFF:
                self._make_ready(entry)
        for keys in list(self._unschedulable.values()):
            while keys:
                entry = self._entries[next(iter(keys))]
                if entry.since + LONGEST_WAIT > now:
                    break
                self._leave(entry)
                self._make_ready(entry)

    def _backoff_end(self, entry: _Entry) -> float:
        delay = self._initial_backoff * 2.0 ** min(max(entry.attempts - 1, 0), 30)
        return entry.failed_at + min(delay, self._longest_backoff)

    def _ticket(self, entry: _Entry) -> int:
        self._tickets += 1
        entry.ticket = self._tickets
        return entry.ticket

    def _make_ready(self, entry: _Entry) -> None:
        entry.state = _State.READY
        pod = entry.pod
        heapq.heappush(self._ready, (-pod.wants.priority, entry.since, self._ticket(entry), pod.key))

    def _back_off(self, entry: _Entry) -> None:
        entry.state = _State.BACKING_OFF
        heapq.heappush(self._backing_off, (self._backoff_end(entry), self._ticket(entry), entry.pod.key))

    def _leave(self, entry: _Entry) -> None:
        """Takes the entry out of whatever it waits in; heaps skip outdated tickets."""
        waiting = self._unschedulable.get(entry.helped_by)
        if waiting is not None:
            waiting.pop(entry.pod.key, None)
            if not waiting:
                del self._unschedulable[entry.helped_by]
        self._ticket(entry)
