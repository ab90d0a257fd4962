"""Resources of a pod as a whole: its class, what it takes of a node, and the limits of its containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubeletd import admission, qos, translate
from kubeletd.runtime import podcgroups
from kubeletd.runtime.interface import Resources


def pod(requests: dict[str, str], limits: dict[str, str], *containers: dict[str, Any]) -> dict[str, Any]:
    made = [{"name": f"c{i}", "image": "x", "resources": r} for i, r in enumerate(containers or ({},))]
    spec = {"containers": made, "resources": {"requests": requests, "limits": limits}}
    return {"metadata": {"uid": "u", "name": "p", "namespace": "n"}, "spec": spec}


BOTH = {"cpu": "1", "memory": "100Mi"}
SMALL = {"requests": {"cpu": "100m", "memory": "10Mi"}}


@pytest.mark.parametrize(
    ("requests", "limits", "kind"),
    [(BOTH, BOTH, "Guaranteed"), (BOTH, {}, "Burstable"), ({"cpu": "1"}, {"cpu": "1"}, "Burstable")],
)
def test_the_pods_own_resources_decide_its_class(
    requests: dict[str, str], limits: dict[str, str], kind: str
) -> None:
    assert qos.qos_class(pod(requests, limits, SMALL)) == kind


def test_they_are_what_it_takes_of_a_node() -> None:
    wanted = {"requests": {"cpu": "3", "memory": "1Mi", "ephemeral-storage": "1"}}
    assert admission.requests(pod(BOTH, {}, wanted)) == {
        "cpu": 1000, "memory": 100 * 1024**2 * 1000, "ephemeral-storage": 1000
    }  # fmt: skip
    assert admission.requests(pod({}, {"cpu": "2"}, wanted))["cpu"] == 2000


def test_a_container_without_a_limit_has_the_pods() -> None:
    manifest = pod({}, BOTH, {"limits": {"cpu": "200m"}})
    given = translate.resources(manifest, manifest["spec"]["containers"][0], 1 << 33)
    assert (given.cpu_limit_milli, given.memory_limit) == (200, 100 * 1024**2)
    assert translate.pod_resources(manifest) == Resources(1000, 1000, 100 * 1024**2)
    assert translate.pod_resources({"spec": {"containers": []}}) is None


def test_what_else_is_the_pods_together() -> None:
    pages = {"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}
    manifest = pod({}, {}, pages, pages)
    assert translate.pod_resources(manifest) == Resources(2000, hugepages=((2 << 20, 8 << 20),))
    assert translate.pod_resources(pod({}, {}, {}), 50) == Resources(pids_limit=50)
    # Its runtime's overhead is not its containers' to use.
    manifest = {"spec": {**pod(BOTH, BOTH, {})["spec"], "overhead": {"cpu": "250m", "memory": "1Mi"}}}
    assert translate.pod_resources(manifest) == Resources(1250, 1250, 101 * 1024**2)


def test_what_the_pod_asks_for_beyond_its_containers_is_shared_by_them() -> None:
    def score(*containers: dict[str, Any]) -> int:
        manifest = pod({"memory": "512Mi"}, {}, *containers)
        return qos.oom_score_adj(manifest, manifest["spec"]["containers"][0], 1 << 30)

    assert score({}) == 500 and score({}, {}) == 750
    assert score({"requests": {"memory": "256Mi"}}, {}) == 1000 - 1000 * 384 // 1024


LIMITED = Resources(cpu_request_milli=500, cpu_limit_milli=1500, memory_limit=1 << 20)


def test_the_pods_group_in_cgroup_v1(tmp_path: Path) -> None:
    for tree in ("cpu", "memory", "pids"):
        (tmp_path / tree).mkdir()
    podcgroups.make("u", LIMITED, tmp_path)
    group = tmp_path / "cpu/pybernetes/podu"
    assert (group / "cpu.shares").read_text() == "512"
    assert (group / "cpu.cfs_quota_us").read_text() == "150000"
    assert (tmp_path / "memory/pybernetes/podu/memory.limit_in_bytes").read_text() == str(1 << 20)
    for file in (*group.iterdir(), *(tmp_path / "memory/pybernetes/podu").iterdir()):
        file.unlink()  # the kernel's own go with their group
    (tmp_path / "pids/pybernetes/podu").mkdir(parents=True)  # the engine's doing
    for _ in range(2):
        podcgroups.remove("u", tmp_path)
        assert not list(tmp_path.glob("*/pybernetes/podu"))


def test_processes_and_huge_pages_of_a_pod(tmp_path: Path) -> None:
    wanted = Resources(pids_limit=50, hugepages=((2 << 20, 8 << 20), (1 << 30, 0)))
    for tree in ("cpu", "memory", "pids"):
        (tmp_path / "v1" / tree).mkdir(parents=True)
    podcgroups.make("u", wanted, tmp_path / "v1")
    assert (tmp_path / "v1/pids/pybernetes/podu/pids.max").read_text() == "50"
    assert not (tmp_path / "v1/hugetlb").exists(), "the kernel has no such controller"
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2/cgroup.controllers").write_text("cpu memory hugetlb pids io")
    podcgroups.make("u", wanted, tmp_path / "v2")
    group = tmp_path / "v2/pybernetes/podu"
    assert (group / "hugetlb.2MB.max").read_text() == str(8 << 20)
    assert (group / "hugetlb.1GB.max").read_text() == "0"
    assert (group / "pids.max").read_text() == "50"
    assert (tmp_path / "v2/cgroup.subtree_control").read_text() == "+cpu +memory +pids +hugetlb"


def test_the_pods_group_in_cgroup_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    podcgroups.make("u", Resources(cpu_request_milli=500), tmp_path)
    group = tmp_path / "pybernetes/podu"
    assert (group / "cpu.weight").read_text() == "20"
    assert (group / "cpu.max").read_text() == "max 100000"
    assert not (group / "memory.max").exists()
    assert (tmp_path / "pybernetes/cgroup.subtree_control").read_text() == "+cpu +memory"
