"""kubeletd.probes: when a probe's state is settled, and the gRPC health messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubeletd.probes import Thresholds, health_request, health_status


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.booleans(), max_size=20))
def test_a_state_is_settled_by_a_run_of_its_threshold(
    success: int, failure: int, outcomes: list[bool]
) -> None:
    counts = Thresholds(success, failure)
    for index, ok in enumerate(outcomes):
        needed = success if ok else failure
        run = outcomes[: index + 1][-needed:]
        expected = ok if len(run) == needed and all(o == ok for o in run) else None
        assert counts.observe(ok) == expected


def test_health_messages() -> None:
    assert health_request("") == b""
    assert health_request("db") == b"\x0a\x02db"
    assert health_status(b"\x08\x01") == 1
    assert health_status(b"") == 0
