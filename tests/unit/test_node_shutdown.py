"""The order in which pods end on a node that shuts down."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kubeletd.shutdown_plan import Group, Period, groups, periods

CRITICAL = 2_000_000_000


def test_critical_pods_end_last_in_time_kept_for_them() -> None:
    pods = {"web": 0, "batch": -10, "dns": CRITICAL, "important": 1000}
    assert groups(pods, periods(30, 10)) == [
        Group(20, ("batch", "important", "web")),
        Group(10, ("dns",)),
    ]


def test_nothing_ends_where_no_time_is_configured() -> None:
    assert periods(0, 0) == ()
    assert groups({"web": 0}, ()) == []


@given(
    st.dictionaries(st.uuids().map(str), st.integers(-10, 10)),
    st.lists(
        st.builds(Period, st.integers(-10, 10), st.floats(0, 9)), min_size=1, unique_by=lambda p: p.priority
    ),
)
def test_every_pod_ends_once_and_no_more_important_one_before(
    pods: dict[str, int], wanted: list[Period]
) -> None:
    found = groups(pods, wanted)
    order = [uid for group in found for uid in group.pods]
    assert sorted(order) == sorted(pods)
    for earlier, later in pairwise(found):
        assert max(pods[uid] for uid in earlier.pods) < min(pods[uid] for uid in later.pods)
