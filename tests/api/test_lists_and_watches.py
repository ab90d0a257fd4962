"""Lists in one go and in chunks, at versions, selected; watches that miss nothing."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import Api, selector
from objects import config, pod


@pytest.fixture
def filled(api: Api, namespace: str) -> str:
    """The path of a collection with c0 to c9, of which the even ones have color=red."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(10):
        body = config(f"c{number}")
        body["metadata"]["labels"] = {"color": "red" if number % 2 == 0 else "blue"}
        assert api.post(path, body).code == 201
    return path


def names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


def test_list_is_in_order_at_one_version(api: Api, filled: str) -> None:
    answer = api.get(filled)
    assert answer["kind"] == "ConfigMapList"
    assert answer["apiVersion"] == "v1"
    assert names(answer) == [f"c{n}" for n in range(10)]
    newest = max(int(item["metadata"]["resourceVersion"]) for item in answer["items"])
    assert int(answer["metadata"]["resourceVersion"]) >= newest


def test_chunks_show_one_version(api: Api, filled: str) -> None:
    first = api.get(f"{filled}?limit=4")
    assert names(first) == ["c0", "c1", "c2", "c3"]
    assert first["metadata"]["remainingItemCount"] == 6
    api.delete(f"{filled}/c5")
    api.post(filled, config("c4a"))
    second = api.get(f"{filled}?limit=4&continue={first['metadata']['continue']}")
    assert names(second) == ["c4", "c5", "c6", "c7"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert second["metadata"]["remainingItemCount"] == 2
    last = api.get(f"{filled}?limit=4&continue={second['metadata']['continue']}")
    assert names(last) == ["c8", "c9"]
    assert "continue" not in last["metadata"]


def test_bad_continue_tokens(api: Api, filled: str) -> None:
    answer = api.get(f"{filled}?continue=nonsense")
    assert answer.code == 400
    assert answer.message.startswith("continue key is not valid")


def test_labels_select(api: Api, filled: str) -> None:
    assert names(api.get(f"{filled}?labelSelector={selector('color=red')}")) == ["c0", "c2", "c4", "c6", "c8"]
    assert names(api.get(f"{filled}?labelSelector={selector('color notin (red)')}")) == [
        "c1",
        "c3",
        "c5",
        "c7",
        "c9",
    ]
    page = api.get(f"{filled}?labelSelector={selector('color=red')}&limit=2")
    assert names(page) == ["c0", "c2"]
    assert "remainingItemCount" not in page["metadata"]
    rest = api.get(f"{filled}?labelSelector={selector('color=red')}&continue={page['metadata']['continue']}")
    assert names(rest) == ["c4", "c6", "c8"]
    wrong = api.get(f"{filled}?labelSelector={selector('a in (')}")
    assert wrong.code == 400
    assert wrong.message.startswith("unable to parse requirement:")


def test_fields_select(api: Api, filled: str, namespace: str) -> None:
    assert names(api.get(f"{filled}?fieldSelector=metadata.name%3Dc3")) == ["c3"]
    assert len(names(api.get(f"{filled}?fieldSelector=metadata.name!%3Dc3"))) == 9
    wrong = api.get(f"{filled}?fieldSelector=data.x%3D1")
    assert wrong.code == 400
    assert "field label not supported: data.x" in wrong.message
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod("bound", nodeName="n7"))
    api.post(path, pod("free"))
    assert names(api.get(f"{path}?fieldSelector=spec.nodeName%3Dn7")) == ["bound"]
    assert names(api.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn7")) == ["bound"]


def test_versions_of_lists(api: Api, filled: str) -> None:
    old = api.get(filled)["metadata"]["resourceVersion"]
    api.delete(f"{filled}/c0")
    exact = api.get(f"{filled}?resourceVersion={old}&resourceVersionMatch=Exact")
    assert names(exact)[0] == "c0"
    assert exact["metadata"]["resourceVersion"] == old
    newer = api.get(f"{filled}?resourceVersion={old}&resourceVersionMatch=NotOlderThan")
    assert names(newer)[0] == "c1"
    assert names(api.get(f"{filled}?resourceVersion=0"))[0] == "c1"
    for query, code in (
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("resourceVersion=5&resourceVersionMatch=Sometimes", 422),
        ("resourceVersion=x", 422),
        ("limit=x", 400),
        ("limit=-1", 200),
    ):
        assert api.get(f"{filled}?{query}").code == code, query


def test_a_version_from_the_future_is_waited_for(api: Api, filled: str) -> None:
    answer = api.get(f"{filled}?resourceVersion=99999999&resourceVersionMatch=NotOlderThan")
    assert answer.code == 504
    assert answer["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer["details"]["retryAfterSeconds"] == 1


def test_watch_from_a_version_misses_nothing(api: Api, filled: str) -> None:
    version = api.get(filled)["metadata"]["resourceVersion"]
    api.patch(f"{filled}/c1", {"data": {"x": "1"}})
    api.delete(f"{filled}/c2")
    api.post(filled, config("new"))
    with api.watch(f"{filled}?resourceVersion={version}") as events:
        seen = [next(events) for _ in range(3)]
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in seen] == [
            ("MODIFIED", "c1"),
            ("DELETED", "c2"),
            ("ADDED", "new"),
        ]
        versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in seen]
        assert versions == sorted(versions) and len(set(versions)) == 3
        api.patch(f"{filled}/c3", {"data": {"y": "2"}})
        live = next(events)
        assert live["type"] == "MODIFIED"
        assert live["object"]["data"] == {"y": "2"}


def test_watch_without_a_version_tells_the_present_first(api: Api, filled: str) -> None:
    with api.watch(f"{filled}?timeoutSeconds=1") as events:
        seen = list(events)
    assert [e["type"] for e in seen] == ["ADDED"] * 10


def test_a_selected_watch_sees_objects_come_and_go(api: Api, filled: str) -> None:
    version = api.get(filled)["metadata"]["resourceVersion"]
    query = f"labelSelector={selector('color=red')}&resourceVersion={version}"
    with api.watch(f"{filled}?{query}") as events:
        api.patch(f"{filled}/c1", {"metadata": {"labels": {"color": "red"}}})
        api.patch(f"{filled}/c1", {"data": {"x": "1"}})
        api.patch(f"{filled}/c1", {"metadata": {"labels": {"color": "blue"}}})
        api.patch(f"{filled}/c3", {"data": {"x": "1"}})
        api.delete(f"{filled}/c4")
        seen = [next(events) for _ in range(4)]
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in seen] == [
        ("ADDED", "c1"),
        ("MODIFIED", "c1"),
        ("DELETED", "c1"),
        ("DELETED", "c4"),
    ]


def test_watch_list_ends_its_first_part_with_a_bookmark(api: Api, filled: str) -> None:
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with api.watch(f"{filled}?{query}") as events:
        seen = [next(events) for _ in range(11)]
    assert [e["type"] for e in seen] == ["ADDED"] * 10 + ["BOOKMARK"]
    assert seen[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    refused = api.get(f"{filled}?watch=1&sendInitialEvents=true")
    assert refused.code == 422
    assert "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" in refused.message


def test_watch_of_one_object_and_the_old_paths(api: Api, filled: str) -> None:
    with api.watch(f"{filled}?fieldSelector=metadata.name%3Dc7&timeoutSeconds=1") as events:
        assert [e["object"]["metadata"]["name"] for e in events] == ["c7"]
    legacy = filled.replace("/api/v1/", "/api/v1/watch/")
    with api.watch(f"{legacy}/c7?timeoutSeconds=1") as events:
        assert [e["object"]["metadata"]["name"] for e in events] == ["c7"]


def test_watch_from_a_forgotten_version_is_expired(api: Api, filled: str) -> None:
    with api.watch(f"{filled}?resourceVersion=1&timeoutSeconds=5") as events:
        first = next(events)
    if first["type"] == "ERROR":
        assert first["object"]["code"] == 410
        assert first["object"]["reason"] == "Expired"
    else:
        assert first["type"] == "ADDED", "revision 1 may still be held by a young store"
