"""Who gets a seat of the server: never too many, everybody in the end, and in a flow in the order they came."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.flowcontrol.seats import NO_SEAT, QUEUE_FULL, Level, Seats, Ticket, deal
from apiserver.flowcontrol.sizes import LevelSpec, sizes


def level(name: str, shares: int = 10, **shape: int | None) -> LevelSpec:
    given: dict[str, int | None] = {"queues": 8, "hand_size": 3, "queue_length": 20, **shape}
    return LevelSpec(name, shares=shares, **given)  # type: ignore[arg-type]


@dataclass
class Requests:
    """Requests at a server: those in their seats and those that wait, by the order they came."""

    seats: Seats
    serving: list[tuple[Level, str, int]] = field(default_factory=list)
    waiting: dict[int, tuple[Ticket, str]] = field(default_factory=dict)
    served: list[tuple[str, int]] = field(default_factory=list)
    number: int = 0

    def come(self, name: str, flow: str) -> str:
        """A request comes. Says "served", "waits", or why it is refused."""
        found, number = self.seats.levels[name], self.number
        self.number += 1
        if self.seats.take(found):
            self._serve(found, flow, number)
            return "served"
        ticket = self.seats.wait(found, flow, lambda: self._woken(number))
        if isinstance(ticket, str):
            return ticket
        self.waiting[number] = (ticket, flow)
        return "waits"

    def _woken(self, number: int) -> None:
        ticket, flow = self.waiting.pop(number)
        self._serve(ticket.level, flow, number)

    def _serve(self, found: Level, flow: str, number: int) -> None:
        self.serving.append((found, flow, number))
        self.served.append((flow, number))

    def end(self, index: int) -> None:
        found, _, _ = self.serving.pop(index % len(self.serving))
        self.seats.release(found)

    def leave(self, index: int) -> None:
        number = sorted(self.waiting)[index % len(self.waiting)]
        ticket, _ = self.waiting.pop(number)
        self.seats.leave(ticket)

    def finish(self) -> None:
        while self.serving:
            self.end(0)


def test_shares_become_seats() -> None:
    found = sizes([level("a", 30, lendable_percent=33), level("b", 5), level("c", 0)], 600)
    assert (found["a"].nominal, found["a"].reserved) == (515, 345)
    assert (found["b"].nominal, found["b"].reserved) == (86, 86)
    assert found["a"].ceiling == found["b"].ceiling == found["c"].ceiling == 601
    assert found["c"].nominal == 0


def test_borrowing_has_a_limit() -> None:
    found = sizes([level("a", 1, borrowing_percent=50), level("b", 1, borrowing_percent=0)], 20)
    assert (found["a"].ceiling, found["b"].ceiling) == (15, 10)


def test_a_level_that_does_not_queue_refuses() -> None:
    seats = Seats(2)
    seats.configure([level("a", queues=0)])
    requests = Requests(seats)
    assert [requests.come("a", "x") for _ in range(3)] == ["served", "served", NO_SEAT]


def test_a_full_queue_refuses() -> None:
    seats = Seats(1)
    seats.configure([level("a", queues=2, hand_size=2, queue_length=2)])
    requests = Requests(seats)
    assert [requests.come("a", "x") for _ in range(6)] == ["served", *["waits"] * 4, QUEUE_FULL]


def test_exempt_requests_are_always_served_and_take_nobodys_seat() -> None:
    seats = Seats(2)
    seats.configure([level("a"), LevelSpec("exempt", exempt=True)])
    requests = Requests(seats)
    assert {requests.come("exempt", "x") for _ in range(50)} == {"served"}
    assert [requests.come("a", "x") for _ in range(3)] == ["served", "served", "waits"]


def test_a_flooded_level_leaves_others_their_reserved_seats() -> None:
    seats = Seats(20)
    seats.configure([level("a", lendable_percent=50), level("b", lendable_percent=50)])
    requests = Requests(seats)
    flood = [requests.come("a", "flood") for _ in range(40)]
    assert flood.count("served") == 15
    assert [requests.come("b", "x") for _ in range(6)] == [*["served"] * 5, "waits"]


def test_a_lender_gets_its_seats_back_first() -> None:
    seats = Seats(4)
    seats.configure([level("a"), level("b", lendable_percent=100)])
    requests = Requests(seats)
    assert [requests.come("a", "flood") for _ in range(5)] == [*["served"] * 4, "waits"]
    assert requests.come("b", "x") == "waits"
    requests.end(0)
    assert requests.served[-1][0] == "x"


def test_a_flood_in_the_same_level_delays_another_flow_by_its_turn_only() -> None:
    seats = Seats(1)
    seats.configure([level("a", queues=64, hand_size=6, queue_length=50)])
    requests = Requests(seats)
    for _ in range(200):
        requests.come("a", "elephant")
    assert requests.come("a", "mouse") == "waits"
    while ("mouse", 200) not in requests.served:
        requests.end(0)
    # One turn for each of the elephant's queues at most.
    assert len(requests.served) <= 1 + 6 + 1


def test_levels_that_are_configured_no_more_serve_what_they_have() -> None:
    seats = Seats(4)
    seats.configure([level("a"), level("b")])
    requests = Requests(seats)
    assert [requests.come("a", "x") for _ in range(3)] == ["served", "served", "waits"]
    seats.configure([level("b")])
    assert "a" in seats.levels
    requests.finish()
    assert len(requests.served) == 3
    assert set(seats.levels) == {"b"}
    assert seats.free == 0 and seats.levels["b"].reserved == 4


def test_the_hands_of_flows_seldom_are_the_same() -> None:
    hands = {frozenset(deal(f"flow-{i}", 64, 6)) for i in range(500)}
    assert len(hands) == 500
    assert all(len(hand) == 6 and max(hand) < 64 for hand in hands)
    assert {n for hand in hands for n in hand} == set(range(64))
    assert sorted(deal("flow", 5, 5)) == [0, 1, 2, 3, 4]


def test_queues_cost_nothing_until_somebody_waits_in_them() -> None:
    seats = Seats(1)
    seats.configure([level("a", queues=10_000_000, hand_size=2, queue_length=1)])
    requests = Requests(seats)
    assert [requests.come("a", f"flow-{i}") for i in range(3)] == ["served", "waits", "waits"]
    assert len(seats.levels["a"].queues) == 4
    requests.finish()
    assert not seats.levels["a"].queues


_LEVELS = st.lists(
    st.builds(
        level,
        name=st.just(""),
        shares=st.integers(0, 40),
        lendable_percent=st.integers(0, 100),
        borrowing_percent=st.none() | st.integers(0, 200),
        queues=st.integers(0, 6),
        hand_size=st.integers(1, 3),
        queue_length=st.integers(1, 5),
    ),
    min_size=1,
    max_size=4,
)
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("come", "come", "come", "end", "leave")), st.integers(0, 3), st.integers(0, 4)
    ),
    max_size=150,
)


def _specs(levels: list[LevelSpec]) -> list[LevelSpec]:
    return [
        LevelSpec(
            f"level-{i}", "", False, s.shares, s.lendable_percent, s.borrowing_percent,
            s.queues, max(1, min(s.hand_size, s.queues)), s.queue_length,
        )
        for i, s in enumerate(levels)
    ]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(_LEVELS, st.integers(1, 20), _STEPS)
def test_seats_are_never_more_than_allowed_and_nobody_waits_in_vain(
    levels: list[LevelSpec], total: int, steps: list[tuple[str, int, int]]
) -> None:
    specs = _specs(levels)
    seats = Seats(total)
    seats.configure(specs)
    allowed = sum(found.nominal for found in seats.levels.values())
    requests = Requests(seats)
    left = 0
    refused = 0
    for step, which, flow in steps:
        if step == "come":
            name = specs[which % len(specs)].name
            refused += requests.come(name, f"{name}/{flow}") in (NO_SEAT, QUEUE_FULL)
        elif step == "end" and requests.serving:
            requests.end(flow)
        elif step == "leave" and requests.waiting:
            requests.leave(flow)
            left += 1
        executing = sum(found.executing for found in seats.levels.values())
        assert executing == len(requests.serving) <= allowed
        for found in seats.levels.values():
            assert found.executing <= max(found.ceiling, found.reserved)
            # Nobody waits while there is a seat for them.
            if found.waiting:
                assert found.executing >= found.reserved
                assert seats.free <= 0 or found.executing >= found.ceiling
        assert seats.waiting == len(requests.waiting)
        reserved = sum(max(found.executing, found.reserved) for found in seats.levels.values())
        assert seats.free == allowed - reserved
    requests.finish()
    # Where a level may have a seat at all, everybody is served in the end, in a flow in the order they came.
    for ticket, _ in requests.waiting.values():
        assert ticket.level.ceiling == 0 or (ticket.level.reserved == 0 and seats.free <= 0)
    assert len(requests.served) + len(requests.waiting) + left + refused == requests.number
    last: dict[str, int] = {}
    for name, number in requests.served:
        assert number > last.get(name, -1)
        last[name] = number


@settings(max_examples=100, deadline=None)
@given(_LEVELS, _LEVELS, st.integers(1, 20), _STEPS)
def test_a_change_of_the_levels_loses_no_request(
    before: list[LevelSpec], after: list[LevelSpec], total: int, steps: list[tuple[str, int, int]]
) -> None:
    seats = Seats(total)
    seats.configure(_specs(before))
    requests = Requests(seats)
    for step, which, flow in steps:
        if step == "come":
            name = f"level-{which % len(before)}"
            requests.come(name, f"{name}/{flow}")
        elif step == "end" and requests.serving:
            requests.end(flow)
    seats.configure(_specs(after))
    assert seats.waiting == len(requests.waiting)
    requests.finish()
    assert all(found.executing == 0 for found in seats.levels.values())
    assert seats.waiting == len(requests.waiting)
    assert seats.free == sum(found.nominal - found.reserved for found in seats.levels.values())
    assert all(ticket.level.ceiling == 0 or seats.free <= 0 for ticket, _ in requests.waiting.values())
