"""How many replicas an autoscaler sets: by what pods use, within bounds, no faster than it may, and what it says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from clustermodel import START
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import meta
from controllermanager.plans import autoscaling as plans
from controllermanager.plans.actions import Patch
from controllermanager.plans.autoscalebehavior import History, follow
from controllermanager.plans.autoscalemetrics import MetricsMissing, Proposal, propose
from controllermanager.plans.autoscaling import Failure

LONG_AGO = "2025-12-31T00:00:00Z"


def pod(name: str, cpu: str | None = "1", ready: bool = True, phase: str = "Running") -> dict[str, Any]:
    requests = {} if cpu is None else {"cpu": cpu}
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": LONG_AGO}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]},
        "status": {"phase": phase, "startTime": LONG_AGO, "conditions": [condition]},
    }


def sample(name: str, cpu: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "window": "15s", "containers": [{"name": "c", "usage": {"cpu": cpu}}]}


def utilization(percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def wanted(
    usage: dict[str, str], percent: int, silent: int = 0, pending: int = 0, current: int | None = None
) -> int:
    pods = [pod(name) for name in usage]
    pods += [pod(f"silent-{i}") for i in range(silent)]
    pods += [pod(f"pending-{i}", phase="Pending") for i in range(pending)]
    samples = [sample(name, cpu) for name, cpu in usage.items()]
    return propose(utilization(percent), current or len(pods), pods, samples, START).replicas


@pytest.mark.parametrize(
    ("usage", "percent", "more", "replicas"),
    [
        ({"a": "300m", "b": "500m", "c": "700m"}, 30, {}, 5),
        ({"a": "100m", "b": "300m", "c": "500m", "d": "250m", "e": "250m"}, 50, {}, 3),
        ({"a": "1010m", "b": "1030m", "c": "1020m"}, 100, {}, 3),
        ({"a": "400m", "b": "400m"}, 20, {"pending": 1}, 4),
        ({"a": "900m", "b": "900m"}, 50, {"silent": 2}, 4),
        ({"a": "100m", "b": "100m"}, 50, {"silent": 1}, 3),
    ],
)
def test_replicas_by_utilization(usage: Any, percent: int, more: Any, replicas: int) -> None:
    assert wanted(usage, percent, **more) == replicas


def test_average_values_and_single_containers() -> None:
    target = {"type": "AverageValue", "averageValue": "100m"}
    metric = {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "c", "target": target},
    }
    found = propose(metric, 2, [pod("a"), pod("b")], [sample("a", "300m"), sample("b", "100m")], START)
    assert found.replicas == 4
    assert found.status["containerResource"]["current"] == {"averageValue": "200m"}


def test_what_cannot_be_known_is_said() -> None:
    with pytest.raises(MetricsMissing, match="missing request for cpu in container c of Pod a"):
        propose(utilization(50), 1, [pod("a", None)], [sample("a", "1")], START)
    for unknown in ([], [sample("other", "1")]):
        with pytest.raises(MetricsMissing, match="did not receive metrics"):
            propose(utilization(50), 1, [pod("a")], unknown, START)


def autoscaler(**spec: Any) -> dict[str, Any]:
    spec = {"minReplicas": 1, "maxReplicas": 10, "metrics": [utilization(50)], **spec}
    return {"metadata": {"name": "h", "namespace": "ns", "uid": "u", "generation": 3}, "spec": spec}


def conditions(decision: plans.Decision) -> dict[str, tuple[str, str]]:
    patch = next(a for a in decision.actions if isinstance(a, Patch))
    return {c["type"]: (c["status"], c["reason"]) for c in patch.patch["status"]["conditions"]}


def decide(current: int, *proposals: Any, history: History | None = None, **spec: Any) -> plans.Decision:
    found = [Proposal(p, "cpu resource", {}) if isinstance(p, int) else p for p in proposals]
    return plans.decide(autoscaler(**spec), current, found, history or History(), START)


def test_it_says_what_it_does() -> None:
    grown = decide(2, 4)
    assert grown.replicas == 4
    assert conditions(grown) == {
        "AbleToScale": ("True", "SucceededRescale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("False", "DesiredWithinRange"),
    }
    assert "New size: 4; reason: cpu resource above target" in [
        getattr(a, "message", "") for a in grown.actions
    ]
    same = decide(4, 4)
    assert same.replicas is None and conditions(same)["AbleToScale"] == ("True", "ReadyForNewScale")
    assert conditions(decide(9, 20))["ScalingLimited"] == ("True", "TooManyReplicas")
    assert conditions(decide(2, 10))["ScalingLimited"] == ("True", "ScaleUpLimit")
    assert decide(20, 20).replicas == 10 and decide(1, 1, minReplicas=3).replicas == 3
    asleep = decide(0)
    assert asleep.replicas is None and conditions(asleep)["ScalingActive"] == ("False", "ScalingDisabled")


def test_no_metrics_no_change_and_some_never_shrink() -> None:
    failure = Failure(
        "FailedGetResourceMetric", "unable to fetch metrics from resource metrics API: not found"
    )
    blind = decide(3, failure)
    assert blind.replicas is None
    assert conditions(blind) == {
        "AbleToScale": ("True", "SucceededGetScale"),
        "ScalingActive": ("False", "FailedGetResourceMetric"),
    }
    assert decide(5, 2, failure).replicas is None
    assert decide(5, 7, failure).replicas == 7


def test_scaling_down_waits_for_the_highest_recent_wish_to_age() -> None:
    history = History().recommended(8, START - timedelta(seconds=200))
    held = decide(8, 3, history=history)
    assert held.replicas is None and conditions(held)["AbleToScale"] == ("True", "ScaleDownStabilized")
    old = History().recommended(8, START - timedelta(seconds=400))
    assert decide(8, 3, history=old).replicas == 3


def test_policies_bound_the_speed() -> None:
    slow = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}], "stabilizationWindowSeconds": 0}
    behavior = {"scaleDown": slow, "scaleUp": {"selectPolicy": "Disabled"}}
    assert decide(8, 3, behavior=behavior).replicas == 7
    recently = History().changed(-1, START - timedelta(seconds=30))
    assert decide(7, 3, history=recently, behavior=behavior).replicas is None
    assert decide(3, 9, behavior=behavior).replicas is None


COUNT = st.integers(1, 30)


@given(COUNT, COUNT, COUNT, COUNT, st.lists(st.tuples(st.integers(0, 900), COUNT), max_size=6))
def test_the_outcome_is_between_where_it_is_and_where_it_was_to_go(
    current: int, target: int, low: int, high: int, past: Any
) -> None:
    low, high = sorted((low, high))
    current = min(max(current, low), high)
    history = History(tuple((START - timedelta(seconds=ago), n) for ago, n in past))
    spec = {"minReplicas": low, "maxReplicas": high}
    outcome = follow(spec, current, target, history, START)
    assert low <= outcome.replicas <= high
    wishes = [target, *(n for _, n in past)]
    assert min([current, *wishes]) <= outcome.replicas <= max([current, *wishes]) or outcome.is_limited
    if target >= current:
        assert current <= outcome.replicas <= max(target, *wishes)
    elif not past:
        assert outcome.replicas == max(target, low)


def test_a_target_that_is_not_there_is_told() -> None:
    patch, event = plans.unscalable(autoscaler(), "FailedGetScale", "not found", START)
    assert isinstance(patch, Patch)
    condition = meta.condition(patch.patch, "AbleToScale")
    assert condition is not None and condition["reason"] == "FailedGetScale"
    assert isinstance(event, plans.Event) and event.reason == "FailedGetScale"
