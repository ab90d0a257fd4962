"""Area apimachinery: watches, and lists in chunks."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiclient import Answer, Api, selector
from lifecycle import fine, until
from servers import Server, serving

Object = dict[str, Any]
LABEL = "watch-this-configmap"
A, B = "multiple-watchers-A", "multiple-watchers-B"


class ConfigMaps:
    """The config maps of a namespace, labelled for watchers."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"

    def make(self, name: str, label: str) -> Object:
        return fine(self.api.post(self.path, {"metadata": {"name": name, "labels": {LABEL: label}}}), 201)

    def mutate(self, name: str, number: int, label: str = "") -> Object:
        change: Object = {"data": {"mutation": str(number)}}
        if label:
            change["metadata"] = {"labels": {LABEL: label}}
        return fine(self.api.patch(f"{self.path}/{name}", change))

    def delete(self, name: str) -> None:
        fine(self.api.delete(f"{self.path}/{name}"))

    def watch(self, *labels: str, version: str = "") -> Any:
        query = "?labelSelector=" + selector(f"{LABEL} in ({','.join(labels)})")
        if version:
            query += f"&resourceVersion={version}"
        return self.api.watch(self.path + query)


def event(events: Iterator[Object], kind: str, name: str, mutation: str = "") -> Object:
    """The next event must be this one."""
    found = next(events)
    assert (found["type"], found["object"]["metadata"]["name"]) == (kind, name)
    assert (found["object"].get("data") or {}).get("mutation", "") == mutation
    return dict(found["object"])


@pytest.fixture
def configmaps(api: Api, namespace: str) -> ConfigMaps:
    return ConfigMaps(api, namespace)


def test_watch_configmaps_with_multiple_watchers(configmaps: ConfigMaps) -> None:
    with configmaps.watch(A) as a, configmaps.watch(B) as b, configmaps.watch(A, B) as both:
        configmaps.make("a", A)
        configmaps.mutate("a", 1)
        configmaps.mutate("a", 2)
        configmaps.delete("a")
        configmaps.make("b", B)
        configmaps.delete("b")
        configmaps.make("end", A)
        configmaps.make("end-b", B)
        for events in (a, both):
            event(events, "ADDED", "a")
            event(events, "MODIFIED", "a", "1")
            event(events, "MODIFIED", "a", "2")
            event(events, "DELETED", "a", "2")
        for events in (b, both):
            event(events, "ADDED", "b")
            event(events, "DELETED", "b")
        event(a, "ADDED", "end")
        event(b, "ADDED", "end-b")
        event(both, "ADDED", "end")


def test_watch_configmaps_from_resource_version(configmaps: ConfigMaps) -> None:
    configmaps.make("e2e-watch", A)
    first = configmaps.mutate("e2e-watch", 1)
    configmaps.mutate("e2e-watch", 2)
    configmaps.delete("e2e-watch")
    with configmaps.watch(A, version=first["metadata"]["resourceVersion"]) as events:
        event(events, "MODIFIED", "e2e-watch", "2")
        event(events, "DELETED", "e2e-watch", "2")


def test_watch_configmaps_closed_and_restarted(configmaps: ConfigMaps) -> None:
    with configmaps.watch(A) as events:
        configmaps.make("e2e-watch", A)
        configmaps.mutate("e2e-watch", 1)
        event(events, "ADDED", "e2e-watch")
        last = event(events, "MODIFIED", "e2e-watch", "1")
    configmaps.mutate("e2e-watch", 2)
    with configmaps.watch(A, version=last["metadata"]["resourceVersion"]) as events:
        configmaps.delete("e2e-watch")
        event(events, "MODIFIED", "e2e-watch", "2")
        event(events, "DELETED", "e2e-watch", "2")


def test_watch_configmaps_label_changed(configmaps: ConfigMaps) -> None:
    with configmaps.watch(A) as events:
        configmaps.make("e2e-watch", A)
        configmaps.mutate("e2e-watch", 1)
        configmaps.mutate("e2e-watch", 1, label="wrong-value")
        event(events, "ADDED", "e2e-watch")
        event(events, "MODIFIED", "e2e-watch", "1")
        event(events, "DELETED", "e2e-watch", "1")
        configmaps.mutate("e2e-watch", 2)
        configmaps.mutate("e2e-watch", 2, label=A)
        configmaps.mutate("e2e-watch", 3)
        configmaps.delete("e2e-watch")
        event(events, "ADDED", "e2e-watch", "2")
        event(events, "MODIFIED", "e2e-watch", "3")
        event(events, "DELETED", "e2e-watch", "3")


def test_watch_consistency(server: Server, configmaps: ConfigMaps) -> None:
    """Watches opened at the version of each event of a first one see what that one sees, in its order."""
    writes = 60
    versions: list[str] = []
    random.seed(20)

    def produce() -> None:
        own = ConfigMaps(server.client(), configmaps.path.split("/")[4])
        alive: list[str] = []
        for number in range(writes):
            choice = random.random()
            if alive and choice < 0.2:
                own.delete(alive.pop())
            elif alive and choice < 0.6:
                own.mutate(random.choice(alive), number)
            else:
                own.make(f"cm-{number}", A)
                alive.append(f"cm-{number}")
        own.make("last", A)
        own.api.close()

    followers: list[tuple[str, list[str], threading.Thread]] = []

    def follow(version: str, seen: list[str]) -> None:
        with configmaps.watch(A, version=version) as events:
            for change in events:
                seen.append(change["object"]["metadata"]["resourceVersion"])
                if change["object"]["metadata"]["name"] == "last":
                    return

    start = fine(configmaps.api.get(configmaps.path))["metadata"]["resourceVersion"]
    producer = threading.Thread(target=produce)
    producer.start()
    with configmaps.watch(A, version=start) as events:
        for change in events:
            version = change["object"]["metadata"]["resourceVersion"]
            versions.append(version)
            if change["object"]["metadata"]["name"] == "last":
                break
            if len(followers) < 20:
                seen: list[str] = []
                thread = threading.Thread(target=follow, args=(version, seen))
                thread.start()
                followers.append((version, seen, thread))
    producer.join(20)
    assert len(versions) == writes + 1
    assert [int(v) for v in versions] == sorted(int(v) for v in versions)
    for version, seen, thread in followers:
        thread.join(20)
        assert seen == versions[versions.index(version) + 1 :]


# Chunks

TOTAL = 120


def _templates(api: Api, namespace: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/podtemplates"
    for number in range(TOTAL):
        spec = {"containers": [{"name": "test", "image": "test2"}]}
        body = {"metadata": {"name": f"template-{number:04d}"}, "template": {"spec": spec}}
        fine(api.post(path, body), 201)
    return path


def _check(page: Object, limit: int, found: int) -> int:
    """A page that starts at object `found`; returns where the next one starts."""
    names = [item["metadata"]["name"] for item in page["items"]]
    assert len(names) <= limit
    assert names == [f"template-{number:04d}" for number in range(found, found + len(names))]
    metadata = page["metadata"]
    if metadata.get("continue"):
        assert metadata["remainingItemCount"] + len(names) + found == TOTAL
    else:
        assert "remainingItemCount" not in metadata
    return found + len(names)


def _page(api: Api, path: str, limit: int, token: str = "") -> Answer:
    return api.get(f"{path}?limit={limit}" + (f"&continue={selector(token)}" if token else ""))


def test_api_chunking_server_should_return_chunks_of_results_for_list_calls(api: Api, namespace: str) -> None:
    path = _templates(api, namespace)
    random.seed(3)
    for _ in range(3):
        found, token, version = 0, "", ""
        while True:
            limit = random.randint(1, TOTAL // 10)
            page = fine(_page(api, path, limit, token))
            version = version or page["metadata"]["resourceVersion"]
            assert page["metadata"]["resourceVersion"] == version
            found = _check(page, limit, found)
            token = page["metadata"].get("continue", "")
            if not token:
                break
            # What comes later is not in this list.
            fine(api.patch(f"{path}/template-0000", {"metadata": {"annotations": {"at": str(found)}}}))
        assert found == TOTAL
    assert len(fine(_page(api, path, TOTAL + 1))["items"]) == TOTAL
    assert len(fine(api.get(path))["items"]) == TOTAL


def test_api_chunking_server_should_support_continue_listing_from_the_last_key_even_if_compacted_away(
    tmp_path: Path,
) -> None:
    """... even if the original version has been compacted away."""
    with serving(tmp_path / "compacted", "--etcd-compaction-interval", "0.5") as server:
        api = server.client()
        path = _templates(api, "default")
        tenth = TOTAL // 10
        first = fine(_page(api, path, tenth))
        found = _check(first, tenth, 0)
        token = first["metadata"]["continue"]
        answer = _expired(api, path, tenth, token)
        assert answer["reason"] == "Expired"
        token = answer["metadata"]["continue"]
        page = fine(_page(api, path, tenth, token))
        assert page["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
        assert len(page["items"]) == tenth
        version = page["metadata"]["resourceVersion"]
        while True:
            found = _check(page, tenth, found)
            token = page["metadata"].get("continue", "")
            if not token:
                break
            page = fine(_page(api, path, tenth, token))
            assert page["metadata"]["resourceVersion"] == version
        assert found == TOTAL
        api.close()


def _expired(api: Api, path: str, limit: int, token: str) -> Answer:
    """The refusal of a token, once what it is of has been compacted; each write is a revision to compact at."""
    with api.watch("/api/v1/namespaces/default/configmaps?timeoutSeconds=15") as events:
        give_up = time.monotonic() + 15
        number = 0
        while time.monotonic() < give_up:
            number += 1
            answer = _page(api, path, limit, token)
            if answer.code == 410:
                return answer
            assert answer.code == 200, answer.body
            fine(
                api.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": f"tick-{number}"}}),
                201,
            )
            until(events, "ADDED", name=f"tick-{number}")
    raise AssertionError(f"not compacted: {json.dumps(answer.body)[:300]}")
