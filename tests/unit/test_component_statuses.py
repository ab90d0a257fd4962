"""ComponentStatuses: who is there."""

from datetime import UTC, datetime

from apiserver.componentstatus import statuses

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULER, CONTROLLERS = "system:kube-scheduler", "system:kube-controller-manager"


def healthy(users: set[str], **leases: dict[str, object]) -> list[str]:
    named = {name.replace("_", "-"): {"spec": spec} for name, spec in leases.items()}
    found = statuses(users, named, NOW)
    assert [status["metadata"]["name"] for status in found] == ["controller-manager", "etcd-0", "scheduler"]
    for status in found:
        (condition,) = status["conditions"]
        assert condition["type"] == "Healthy"
        assert (condition["status"] == "True") == (condition["message"] == "ok")
    return [status["metadata"]["name"] for status in found if status["conditions"][0]["status"] == "True"]


def test_connected_components_are_healthy() -> None:
    assert healthy(set()) == ["etcd-0"]
    assert healthy({SCHEDULER, "someone"}) == ["etcd-0", "scheduler"]
    assert healthy({SCHEDULER, CONTROLLERS}) == ["controller-manager", "etcd-0", "scheduler"]


def test_a_lease_that_is_held_counts_too() -> None:
    lease = {"holderIdentity": "b", "leaseDurationSeconds": 15, "renewTime": "2025-12-31T23:59:50.000000Z"}
    assert healthy(set(), kube_scheduler=lease) == ["etcd-0", "scheduler"]
    old = {**lease, "renewTime": "2025-12-31T23:59:40.000000Z"}
    assert healthy(set(), kube_scheduler=old, kube_controller_manager={}) == ["etcd-0"]
    assert healthy(set(), kube_scheduler={**lease, "holderIdentity": ""}) == ["etcd-0"]
