"""What a pod asks of a node, as Kubernetes counts it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from naivescheduler import make_pod

from scheduler.requirements import normalized_image, pod_requests, requirements
from scheduler.views import Node, Pod


def container(cpu: str = "", restart: str = "", **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = {"name": "c", "resources": {"requests": {"cpu": cpu} if cpu else {}}, **more}
    if restart:
        result["restartPolicy"] = restart
    return result


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("100m"), container("200m")]}, 300),
        ({"containers": [container("100m")], "initContainers": [container("1")]}, 1000),
        ({"containers": [container("1")], "initContainers": [container("300m"), container("400m")]}, 1000),
        ({"containers": [container("1")], "initContainers": [container("200m", "Always")]}, 1200),
        # The second init container runs beside the sidecar started before it.
        (
            {
                "containers": [container("100m")],
                "initContainers": [container("200m", "Always"), container("1")],
            },
            1200,
        ),
        # The first one does not.
        (
            {
                "containers": [container("100m")],
                "initContainers": [container("1"), container("200m", "Always")],
            },
            1000,
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "3"}}}, 3000),
        (
            {"containers": [container("1")], "resources": {"limits": {"cpu": "2"}}, "overhead": {"cpu": "1"}},
            3000,
        ),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "700m"}}}]}, 700),
        ({"containers": [container()]}, 0),
    ],
)
def test_cpu_requests_of_a_pod(spec: dict[str, Any], cpu: int) -> None:
    assert pod_requests(spec).get("cpu", 0) == cpu


def test_every_pod_takes_one_place() -> None:
    assert pod_requests({"containers": [container()]}) == {"pods": 1}


def test_pods_that_ask_for_nothing_count_in_scores() -> None:
    wants = requirements(make_pod("p"))
    assert (wants.scored_cpu, wants.scored_memory) == (100, 200 * 1024 * 1024)


def test_identical_pods_share_their_requirements() -> None:
    one, two = Pod.of(make_pod("a", {"cpu": "1"})), Pod.of(make_pod("b", {"cpu": "1"}))
    assert one.wants is two.wants
    assert Pod.of(make_pod("c", {"cpu": "2"})).wants is not one.wants


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"app": "other"}},
        {"namespace": "other"},
        {"nodeSelector": {"zone": "1"}},
        {"tolerations": [{"operator": "Exists"}]},
        {"priority": 1},
        {"ports": [{"hostPort": 80}]},
        {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
    ],
)
def test_pods_that_ask_for_different_things_do_not(change: dict[str, Any]) -> None:
    assert Pod.of(make_pod("a")).wants is not Pod.of(make_pod("b", **change)).wants


def test_requirements_nobody_has_are_dropped() -> None:
    pod = Pod.of(make_pod("a", {"cpu": "77m"}))
    kept = weakref.ref(pod.wants)
    del pod
    gc.collect()
    assert kept() is None


def test_amounts_too_large_to_add_up_are_cut() -> None:
    wants = requirements(make_pod("p", {"memory": "9223372036854775807"}))
    assert wants.requests["memory"] == 1 << 60


def test_claims_of_ephemeral_volumes_bear_the_pods_name() -> None:
    volumes = [{"name": "data", "ephemeral": {}}, {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    assert Pod.of(make_pod("p", volumes=volumes)).wants.claims == ("p-data", "c")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("nginx", "nginx:latest"),
        ("host:5000/nginx", "host:5000/nginx:latest"),
        ("nginx:1", "nginx:1"),
        ("nginx@sha256:0", "nginx@sha256:0"),
    ],
)
def test_image_names_have_a_tag(given: str, expected: str) -> None:
    assert normalized_image(given) == expected


def test_selectors_by_label_keys_take_the_pods_own_values() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}},
        "matchLabelKeys": ["hash"],
    }
    labels = {"app": "x", "hash": "1"}
    first = requirements(make_pod("a", labels=labels, topologySpreadConstraints=[constraint]))
    second = requirements(make_pod("b", labels={"app": "x", "hash": "2"}))
    assert first.spread[0].term.matches(first, {})
    assert not first.spread[0].term.matches(second, {})


def test_a_heartbeat_does_not_change_the_view_of_a_node() -> None:
    obj = {
        "metadata": {"name": "a", "resourceVersion": "1"},
        "status": {"allocatable": {"cpu": "1"}, "conditions": [{"lastHeartbeatTime": "1"}]},
    }
    later = {**obj, "metadata": {"name": "a", "resourceVersion": "2"}}
    assert Node.of(obj) == Node.of(later)


def resized(asked: str, allocated: str, actual: str, reason: str = "") -> dict[str, Any]:
    """A pod in the middle of a resize of its only container."""
    pod = make_pod("p")
    pod["spec"]["containers"] = [container(asked)]
    status: dict[str, Any] = {"name": "c", "resources": {"requests": {"cpu": actual}}}
    pod["status"] = {"containerStatuses": [{**status, "allocatedResources": {"cpu": allocated}}]}
    if reason:
        pod["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
    return pod


@pytest.mark.parametrize(
    ("asked", "allocated", "actual", "reason", "cpu"),
    [
        ("1", "1", "1", "", 1000),
        ("2", "1", "1", "Deferred", 2000),
        ("2", "1", "1", "Infeasible", 1000),
        ("1", "2", "1", "", 2000),
        ("1", "1", "1500m", "", 1500),
    ],
)
def test_a_pod_holds_the_most_of_what_it_asks_for_and_has(
    asked: str, allocated: str, actual: str, reason: str, cpu: int
) -> None:
    assert requirements(resized(asked, allocated, actual, reason)).requests["cpu"] == cpu
