"""Ranges of Services' addresses stay until none of theirs is in use, unless another range holds it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from controllermanager.plans import servicecidr as plans

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cidr(name: str, *ranges: str, deleting: bool = False, **fields: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", **fields}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        metadata["finalizers"] = [plans.FINALIZER]
    return {"metadata": metadata, "spec": {"cidrs": list(ranges)}}


def test_a_range_is_in_use_by_the_addresses_that_no_other_one_holds() -> None:
    going = cidr("going", "10.0.0.0/24", "fd00::/64", deleting=True)
    assert plans.in_use(going, [going], ["10.0.1.1", "10.0.0.9"])
    assert plans.in_use(going, [going], ["fd00::9"])
    assert not plans.in_use(going, [going], ["10.0.1.1", "fd01::1"])
    assert not plans.in_use(going, [going, cidr("wider", "10.0.0.0/16")], ["10.0.0.9"])
    also_going = cidr("wider", "10.0.0.0/16", deleting=True)
    assert plans.in_use(going, [going, also_going], ["10.0.0.9"])


def test_a_new_range_gets_its_finalizer_and_is_ready() -> None:
    finalizer, status = plans.plan(cidr("new", "10.0.0.0/24"), False, NOW)
    assert finalizer.patch["metadata"]["finalizers"] == [plans.FINALIZER]  # type: ignore[union-attr]
    (condition,) = status.patch["status"]["conditions"]  # type: ignore[union-attr]
    assert (condition["type"], condition["status"]) == ("Ready", "True")
    done = cidr("new", "10.0.0.0/24", finalizers=[plans.FINALIZER])
    assert plans.plan({**done, "status": {"conditions": [condition]}}, False, NOW) == []


def test_a_range_that_goes_says_why_it_is_still_there() -> None:
    going = cidr("going", "10.0.0.0/24", deleting=True)
    (told,) = plans.plan(going, True, NOW)
    (condition,) = told.patch["status"]["conditions"]  # type: ignore[union-attr]
    assert (condition["status"], condition["reason"]) == ("False", "Terminating")
    (released,) = plans.plan(going, False, NOW)
    assert not released.patch["metadata"]["finalizers"]  # type: ignore[union-attr]
    assert (
        plans.plan(
            cidr("other", "10.0.0.0/24") | {"metadata": {**going["metadata"], "finalizers": []}}, False, NOW
        )
        == []
    )
