"""Properties: any chunking of a list or a selection is the whole; a watch replayed over a list is the state."""

from __future__ import annotations

from typing import Any

from apiclient import Api
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objects import config

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def by_name(items: list[Any]) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in items}


@settings(max_examples=12, deadline=None, suppress_health_check=FIXTURES)
@given(
    limits=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    changes=st.lists(st.integers(0, 24), max_size=6),
)
def test_chunks_are_the_whole(api: Api, namespace: str, limits: list[int], changes: list[int]) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(20):
        api.post(path, config(f"c{number:02}"))
    whole = api.get(path).body
    found: list[Any] = []
    token, turn = "", 0
    while True:
        answer = api.get(f"{path}?limit={limits[turn % len(limits)]}&continue={token}")
        assert answer.code == 200, answer.body
        assert answer["metadata"]["resourceVersion"] == whole["metadata"]["resourceVersion"]
        found += answer["items"]
        token = answer["metadata"].get("continue", "")
        if not token:
            break
        if turn < len(changes):
            api.delete(f"{path}/c{changes[turn]:02}")
            api.patch(f"{path}/c{(changes[turn] + 7) % 20:02}", {"data": {"turn": f"{turn}-{changes[turn]}"}})
        turn += 1
    assert found == whole["items"]


SELECTORS = [
    "labelSelector=parity%3Deven",
    "labelSelector=parity%21%3Deven",
    "labelSelector=third",
    "labelSelector=%21third,parity+in+(odd,none)",
    "labelSelector=parity+notin+(odd),third",
    "fieldSelector=metadata.name%3Ds07",
    "fieldSelector=metadata.name%21%3Ds07&labelSelector=parity%3Dodd",
    "labelSelector=parity%3Dnever",
]


@settings(max_examples=16, deadline=None, suppress_health_check=FIXTURES)
@given(selector=st.sampled_from(SELECTORS), limit=st.integers(1, 21))
def test_chunks_of_a_selection_are_the_selection(api: Api, namespace: str, selector: str, limit: int) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(20):
        body = config(f"s{number:02}")
        body["metadata"]["labels"] = {"parity": "odd" if number % 2 else "even"}
        if number % 3 == 0:
            body["metadata"]["labels"]["third"] = ""
        api.post(path, body)
    whole = api.get(f"{path}?{selector}").body
    found: list[Any] = []
    token = ""
    while True:
        answer = api.get(f"{path}?{selector}&limit={limit}&continue={token}")
        assert answer.code == 200, answer.body
        assert len(answer["items"]) <= limit
        # How many are left is not known where only some are chosen.
        assert "remainingItemCount" not in answer["metadata"]
        found += answer["items"]
        token = answer["metadata"].get("continue", "")
        if not token:
            break
        assert len(answer["items"]) == limit
    assert found == whole["items"]


@settings(max_examples=12, deadline=None, suppress_health_check=FIXTURES)
@given(steps=st.lists(st.tuples(st.sampled_from("cpd"), st.integers(0, 5), st.booleans()), max_size=15))
def test_a_watch_replayed_over_a_list_is_the_state(
    api: Api, namespace: str, steps: list[tuple[str, int, bool]]
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    selected = f"{path}?labelSelector=pick%3Dyes"
    listed = api.get(selected)
    state = by_name(listed["items"])
    for turn, (step, number, pick) in enumerate(steps):
        if step == "c":
            body = config(f"w{number}", turn=str(turn))
            body["metadata"]["labels"] = {"pick": "yes" if pick else "no"}
            api.post(path, body)
        elif step == "p":
            labels = {"pick": "yes" if pick else "no"}
            api.patch(f"{path}/w{number}", {"metadata": {"labels": labels}, "data": {"turn": str(turn)}})
        else:
            api.delete(f"{path}/w{number}")
    mark = config("mark")
    mark["metadata"]["labels"] = {"pick": "yes"}
    api.delete(f"{path}/mark")
    version = api.post(path, mark)["metadata"]["resourceVersion"]
    with api.watch(f"{selected}&resourceVersion={listed['metadata']['resourceVersion']}") as events:
        for event in events:
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                assert name in state
                del state[name]
            else:
                assert (name in state) == (event["type"] == "MODIFIED")
                state[name] = event["object"]
            if event["object"]["metadata"]["resourceVersion"] == version:
                break
    assert state == by_name(api.get(selected)["items"])
