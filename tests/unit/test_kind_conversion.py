"""Objects served in two versions keep everything on the way through the other one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.registry import conversion

CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
}


def hpa(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": {"maxReplicas": 3, **spec},
    }


def test_cpu_targets_are_a_field_in_v1() -> None:
    old = conversion.hpa_from_v2(
        hpa(metrics=[CPU, MEMORY], behavior={"scaleUp": {"stabilizationWindowSeconds": 3}})
    )
    assert old["spec"]["targetCPUUtilizationPercentage"] == 60
    assert "metrics" not in old["spec"] and "behavior" not in old["spec"]
    assert "autoscaling.alpha.kubernetes.io/metrics" in old["metadata"]["annotations"]


@given(
    st.sampled_from([[], [CPU], [MEMORY], [CPU, MEMORY]]),
    st.sampled_from([None, {"scaleDown": {"selectPolicy": "Max"}}]),
)
def test_autoscalers_survive_the_round_trip(metrics: list[Any], behavior: Any) -> None:
    spec: dict[str, Any] = {}
    if metrics:
        spec["metrics"] = metrics
    if behavior:
        spec["behavior"] = behavior
    original = hpa(**spec)
    assert conversion.hpa_to_v2(conversion.hpa_from_v2(original)) == original


@pytest.mark.parametrize("text", ["5", "[5]", "{", '{"a":1}', '[{"type":"Pods","pods":7}]', "null", ""])
def test_annotations_that_are_no_fields_of_v2_are_dropped(text: str) -> None:
    prefix = "autoscaling.alpha.kubernetes.io"
    written = dict.fromkeys(
        (f"{prefix}/{key}" for key in ("metrics", "behavior", "current-metrics", "conditions")), text
    )
    old = {"apiVersion": "autoscaling/v1", "metadata": {"name": "h", "annotations": written}, "spec": {}}
    new = conversion.hpa_to_v2(old)
    assert "annotations" not in new["metadata"]
    assert new["spec"] in ({}, {"behavior": {}})
    assert conversion.hpa_from_v2(new)["spec"] == {}
    assert conversion.hpa_to_v2({"kind": "HorizontalPodAutoscaler"})["spec"] == {}


def test_events_survive_the_round_trip() -> None:
    core = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod"},
        "message": "m",
        "source": {"component": "c"},
        "count": 1,
        "reportingComponent": "r",
        "eventTime": None,
    }
    new = conversion.event_from_core(core)
    assert new["note"] == "m" and new["regarding"] == {"kind": "Pod"} and new["reportingController"] == "r"
    assert conversion.event_to_core(new) == core
