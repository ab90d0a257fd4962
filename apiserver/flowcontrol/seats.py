"""Who gets a seat, who waits and in which queue, and who is next. Pure: waiters are woken by their callbacks.

A level always gets the seats reserved to it. Beyond them it uses what is free of all that may be lent, up to its
ceiling; a seat given back goes to the waiting level that uses the least of its own. Within a level, queues take turns
(start-time fair queuing, a request costs one); a flow waits in the shortest of the few queues dealt to it (shuffle
sharding), and its requests are served in the order they came.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import count

from apiserver.flowcontrol.sizes import LevelSpec, Size, sizes

#: Why a request is refused, as the metrics say it.
QUEUE_FULL = "queue-full"
NO_SEAT = "concurrency-limit"
TIMED_OUT = "time-out"
CANCELLED = "cancelled"


class Queue:
    """One queue of a level: whose turn comes, one slot for each waiting request. `start` is its next turn's time."""

    __slots__ = ("finish", "listed", "slots", "start")

    def __init__(self) -> None:
        self.slots: deque[Flow] = deque()
        self.start = 0
        self.finish = 0
        self.listed = False


class Flow:
    """The waiting requests of one flow, and the queues in which it has slots for them."""

    __slots__ = ("hand", "key", "slots", "waiters")

    def __init__(self, key: str, hand: list[Queue]) -> None:
        self.key = key
        self.hand = hand
        self.waiters: deque[Ticket] = deque()
        self.slots: list[Queue] = []


class Ticket:
    """A waiting request. `seated` once it has a seat, which must then be given back."""

    __slots__ = ("flow", "level", "seated", "wake")

    def __init__(self, level: Level, flow: Flow, wake: Callable[[], None]) -> None:
        self.level = level
        self.flow = flow
        self.wake = wake
        self.seated = False


class Level:
    """A priority level at work. `retiring` when it is configured no more and only serves what it has."""

    __slots__ = (
        "ceiling", "executing", "exempt", "flows", "nominal", "queues", "reserved", "retiring", "spec",
        "turns", "virtual", "waiting",
    )  # fmt: skip

    def __init__(self, spec: LevelSpec) -> None:
        self.spec = spec
        self.exempt = spec.exempt
        self.nominal = self.reserved = self.ceiling = 0
        self.executing = 0
        self.waiting = 0
        self.retiring = False
        #: Those of its queues that flows wait in: there may be very many.
        self.queues: dict[int, Queue] = {}
        self.flows: dict[str, Flow] = {}
        self.turns: list[tuple[int, int, Queue]] = []
        self.virtual = 0

    @property
    def idle(self) -> bool:
        return not self.executing and not self.waiting

    def configure(self, spec: LevelSpec) -> None:
        """Take another shape. Requests in queues that are no more are served in their turn."""
        self.spec = spec
        self.exempt = spec.exempt
        self.retiring = False

    def flow(self, key: str) -> Flow:
        """The flow of that key, with its queues dealt."""
        found = self.flows.get(key)
        if found is None:
            queues = self.queues
            hand = [
                queues.get(number) or queues.setdefault(number, Queue())
                for number in deal(key, self.spec.queues, self.spec.hand_size)
            ]
            found = Flow(key, hand)
        return found

    def left(self, flow: Flow) -> None:
        """One waiting request less."""
        self.waiting -= 1
        if not flow.waiters:
            del self.flows[flow.key]
        if not self.waiting:
            self.queues.clear()
            self.turns.clear()
            self.virtual = 0

    def size(self, size: Size) -> None:
        self.nominal, self.reserved, self.ceiling = size.nominal, size.reserved, size.ceiling


class Seats:
    """The seats of the server, and the levels that share them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.levels: dict[str, Level] = {}
        #: Seats that whoever is below its ceiling may use: not reserved and not in use.
        self.free = 0
        self.waiting = 0
        self._turn = count()

    def configure(self, specs: Iterable[LevelSpec]) -> None:
        """Have these levels. One that is left out goes when it has no more requests."""
        wanted = {spec.name: spec for spec in specs}
        for name, spec in wanted.items():
            level = self.levels.get(name)
            if level is None:
                level = self.levels[name] = Level(spec)
            level.configure(spec)
        for name in self.levels.keys() - wanted.keys():
            self.levels[name].retiring = True
        self._resize()

    def _resize(self) -> None:
        self.levels = {
            name: level for name, level in self.levels.items() if not (level.retiring and level.idle)
        }
        found = sizes((level.spec for level in self.levels.values()), self.total)
        free = 0
        for name, level in self.levels.items():
            level.size(found[name])
            free += level.nominal - self._taken(level)
        self.free = free
        self._dispatch()

    @staticmethod
    def _taken(level: Level) -> int:
        """What others cannot have for this level's sake. An exempt one takes none but what it reserves."""
        return level.reserved if level.exempt else max(level.executing, level.reserved)

    def take(self, level: Level) -> bool:
        """A seat for a request of the level, where there is one. Waiting requests are never overtaken:
        while there are any, there is no seat."""
        if level.executing >= level.reserved and not level.exempt:
            if self.free <= 0 or level.executing >= level.ceiling:
                return False
            self.free -= 1
        level.executing += 1
        return True

    def release(self, level: Level) -> None:
        """A request of the level has been served: its seat goes to whoever is next."""
        level.executing -= 1
        if level.executing >= level.reserved and not level.exempt:
            self.free += 1
        if self.waiting:
            self._dispatch()
        if level.retiring and level.idle:
            self._resize()

    def wait(self, level: Level, key: str, wake: Callable[[], None]) -> Ticket | str:
        """Queue a request of a flow that found no seat; `wake` is called when it has one. Or why it cannot wait."""
        spec = level.spec
        if not spec.queues:
            return NO_SEAT
        flow = level.flow(key)
        queue = min(flow.hand, key=_length)
        if len(queue.slots) >= spec.queue_length:
            return QUEUE_FULL
        level.flows[key] = flow
        ticket = Ticket(level, flow, wake)
        flow.waiters.append(ticket)
        flow.slots.append(queue)
        queue.slots.append(flow)
        if not queue.listed:
            queue.start = max(level.virtual, queue.finish)
            self._list(level, queue)
        level.waiting += 1
        self.waiting += 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """A request waits no longer; where it has a seat already, that is given back."""
        level, flow = ticket.level, ticket.flow
        if ticket.seated:
            self.release(level)
            return
        flow.waiters.remove(ticket)
        # The flow gives up the last of its places: those who stay each move up.
        slots = flow.slots.pop().slots
        at = max(i for i, other in enumerate(slots) if other is flow)
        del slots[at]
        level.left(flow)
        self.waiting -= 1
        if level.retiring and level.idle:
            self._resize()

    def _list(self, level: Level, queue: Queue) -> None:
        queue.listed = True
        heapq.heappush(level.turns, (queue.start, next(self._turn), queue))

    def _dispatch(self) -> None:
        """Give seats to waiting requests for as long as there are both."""
        while self.waiting:
            level = self._next_level()
            if level is None or not self.take(level):
                return
            ticket = self._next_of(level)
            ticket.seated = True
            ticket.wake()

    def _next_level(self) -> Level | None:
        """The waiting level that may have a seat and uses the least of its nominal ones."""
        chosen, least = None, 0.0
        for level in self.levels.values():
            executing = level.executing
            full = self.free <= 0 or executing >= level.ceiling
            if not level.waiting or (full and executing >= level.reserved and not level.exempt):
                continue
            used = executing / (level.nominal or 0.5)
            if chosen is None or used < least:
                chosen, least = level, used
        return chosen

    def _next_of(self, level: Level) -> Ticket:
        """The request whose turn it is in a level where some wait."""
        while True:
            _, _, queue = heapq.heappop(level.turns)
            queue.listed = False
            if queue.slots:
                break
        flow = queue.slots.popleft()
        flow.slots.remove(queue)
        level.virtual = queue.start
        queue.finish = queue.start + 1
        if queue.slots:
            queue.start = queue.finish
            self._list(level, queue)
        ticket = flow.waiters.popleft()
        level.left(flow)
        self.waiting -= 1
        return ticket


def deal(key: str, deck: int, hand: int) -> list[int]:
    """The numbers of the queues a flow may wait in: `hand` different ones of `deck`, by a hash of its key.

    Any two flows seldom have all queues in common, so that one that fills its own leaves others most of theirs.
    """
    entropy = int.from_bytes(blake2b(key.encode(), digest_size=16).digest())
    dealt: list[int] = []
    for left in range(deck, deck - hand, -1):
        entropy, card = divmod(entropy, left)
        # The card is a place among those not dealt yet.
        for other in dealt:
            if card < other:
                break
            card += 1
        insort(dealt, card)
    return dealt


def _length(queue: Queue) -> int:
    return len(queue.slots)
