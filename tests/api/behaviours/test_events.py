"""Area instrumentation: Events of both API groups."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import MERGE, STRATEGIC, Api
from lifecycle import LifeCycle, check_discovery, fine, until

Object = dict[str, Any]
NOW = "2026-01-02T03:04:05Z"
MICRO = "2026-01-02T03:04:05.678901Z"


def _core(api: Api, namespace: str) -> LifeCycle:
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {"namespace": namespace, "kind": "Pod", "name": "p"},
        "message": "This is a test event",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
    }
    return LifeCycle(api, body, namespace)


def _new(api: Api, namespace: str) -> LifeCycle:
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "regarding": {"namespace": namespace},
        "eventTime": MICRO,
        "note": "This is event",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
    }
    return LifeCycle(api, body, namespace)


def test_event_manage_lifecycle_of_an_event(api: Api, namespace: str) -> None:
    life = _core(api, namespace)
    life.make("event-test")
    (listed,) = life.list(life.everywhere)
    assert listed["metadata"]["namespace"] == namespace
    patched = fine(api.patch(life.at("event-test"), {"message": "This is a test event - patched"}, STRATEGIC))
    assert patched["message"] == "This is a test event - patched"
    assert life.get("event-test")["message"] == "This is a test event - patched"
    event = life.get("event-test")
    event["series"] = {"count": 100, "lastObservedTime": MICRO}
    event["lastTimestamp"] = NOW
    updated = fine(api.put(life.at("event-test"), event))
    assert updated["series"] == event["series"]
    assert life.get("event-test")["series"] == event["series"]
    fine(api.delete(life.at("event-test")))
    assert life.list(life.everywhere) == []
    life.run({"count": 2})


def test_event_delete_a_collection(api: Api, namespace: str) -> None:
    life = _core(api, namespace)
    for number in (1, 2, 3):
        life.make(f"test-event-{number}")
    assert len(life.list()) == 3
    fine(api.delete(life.path + life.query))
    assert life.list() == []


def test_new_event_resource_lifecycle_testing_a_list_of_events(api: Api, namespace: str) -> None:
    life = _new(api, namespace)
    for number in (1, 2, 3):
        life.make(f"test-event-{number}")
    assert len(life.list()) == 3
    assert len(fine(api.get(f"/api/v1/namespaces/{namespace}/events{life.query}"))["items"]) == 3
    fine(api.delete(life.path + life.query))
    assert life.list() == []


def test_new_event_resource_lifecycle_testing_a_single_event(api: Api, namespace: str) -> None:
    """New Event resource lifecycle, testing a single event."""
    life = _new(api, namespace)
    check_discovery(api, life.resource)
    with api.watch(life.everywhere + life.query) as events:
        made = life.make("event-test")
        assert made["eventTime"] == MICRO
        until(events, "ADDED", name="event-test")
        assert len(life.list(life.everywhere)) == 1
        series = {"count": 2, "lastObservedTime": MICRO}
        patched = fine(api.patch(life.at("event-test"), {"series": series}, MERGE))
        assert patched["series"] == series
        assert {**life.get("event-test"), "metadata": 0} == {**made, "metadata": 0, "series": series}
        assert until(events, "MODIFIED", name="event-test")["series"] == series
        event = life.get("event-test")
        event["series"] = {"count": 100, "lastObservedTime": MICRO}
        assert fine(api.put(life.at("event-test"), event))["series"]["count"] == 100
        fine(api.delete(life.at("event-test")))
        until(events, "MODIFIED", name="event-test")
        until(events, "DELETED", name="event-test")
    assert life.list() == []
    assert life.list(life.everywhere) == []


def test_an_event_is_one_object_in_both_groups(api: Api, namespace: str) -> None:
    made = _new(api, namespace).make("both")
    core = fine(api.get(f"/api/v1/namespaces/{namespace}/events/both"))
    assert core["involvedObject"] == {"namespace": namespace}
    assert core["message"] == made["note"]
    assert core["reportingComponent"] == made["reportingController"]
    _core(api, namespace).make("core")
    new = fine(api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/core"))
    assert new["regarding"]["name"] == "p"
    assert new["note"] == "This is a test event"
    assert new["deprecatedCount"] == 1


@pytest.mark.parametrize(
    "field", ["eventTime", "reportingController", "reportingInstance", "action", "reason"]
)
def test_a_new_event_without_what_it_must_say_is_refused(api: Api, namespace: str, field: str) -> None:
    life = _new(api, namespace)
    del life.template[field]
    life.template["metadata"]["name"] = "incomplete"
    refused = api.post(life.path, life.template)
    assert (refused.code, refused["reason"]) == (422, "Invalid")
    assert field in refused.message


def test_events_must_be_in_the_namespace_of_what_they_are_about(api: Api, namespace: str) -> None:
    life = _core(api, namespace)
    life.template["involvedObject"]["namespace"] = "elsewhere"
    life.template["metadata"]["name"] = "misplaced"
    refused = api.post(life.path, life.template)
    assert refused.code == 422
    assert "does not match event.namespace" in refused.message
