"""What a node takes, what it says of itself, and which addresses it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubeletd import admission, nodestatus
from kubeletd.network import Addresses, AddressesExhausted
from kubeletd.node import hugepages
from kubeletd.runtime import pause
from kubeletd.runtime.interface import EngineInfo

ENGINE = EngineInfo(
    name="docker", version="20.10", api_version="1.41", kernel_version="6", os_image="Debian", operating_system="linux",
    architecture="amd64", cpus=2, memory=4 << 30, cgroup_version=2, cgroup_driver="systemd",
)  # fmt: skip


def node(**allocatable: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n1", "labels": {"zone": "a", "size": "7"}},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3", **allocatable}},
    }


def pod(cpu: str = "", port: int = 0, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "resources": {"requests": {"cpu": cpu} if cpu else {}}}
    if port:
        container["ports"] = [{"containerPort": 80, "hostPort": port}]
    return {"metadata": {"name": "p"}, "spec": {"containers": [container], **spec}}


def test_requests_count_init_containers_and_sidecars() -> None:
    inits = [
        {"name": "big", "resources": {"requests": {"cpu": "3"}}},
        {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
        {"name": "later", "resources": {"requests": {"cpu": "2800m"}}},
    ]
    assert admission.requests(pod("1", initContainers=inits)) == {"cpu": 3300}
    assert admission.requests(pod("3", initContainers=inits, overhead={"cpu": "1"})) == {"cpu": 4500}


def test_what_does_not_fit_is_named() -> None:
    assert admission.refusal(pod("500m"), node(), [pod("1500m")]) is None
    refused = admission.refusal(pod("501m"), node(), [pod("1500m")])
    assert refused == (
        "OutOfcpu",
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
    )
    refused = admission.refusal(pod(), node(), [pod(), pod(), pod()])
    assert (
        refused is not None
        and refused[0] == "OutOfpods"
        and "requested: 1, used: 3, capacity: 3" in refused[1]
    )


def test_ports_and_places() -> None:
    assert admission.refusal(pod(port=80), node(), [pod(port=81)]) is None
    refused = admission.refusal(pod(port=80), node(), [pod(port=80)])
    assert refused is not None and refused[0] == "NodePorts"
    refused = admission.refusal(pod(nodeSelector={"zone": "b"}), node(), [])
    assert refused is not None and refused[0] == "NodeAffinity"


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "size", "operator": "Gt", "values": ["6"]}, True),
        ({"key": "size", "operator": "Lt", "values": ["7"]}, False),
        ({"key": "none", "operator": "DoesNotExist"}, True),
        ({"key": "none", "operator": "Exists"}, False),
    ],
)
def test_required_node_affinity(expression: dict[str, Any], allowed: bool) -> None:
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    assert admission.affinity_allows(pod(affinity={"nodeAffinity": required}), node()) is allowed


def test_capacity_is_the_machines_unless_settled() -> None:
    settings = nodestatus.NodeSettings("n1", {"cpu": "4000m", "example.com/gpu": "2"})
    findings = nodestatus.NodeFindings(ENGINE, address="10.0.0.1", endpoint="127.0.0.1:99")
    made = nodestatus.node_object(settings, findings, 0.0)
    capacity = made["status"]["capacity"]
    assert (capacity["cpu"], capacity["memory"], capacity["pods"]) == ("4", "4194304Ki", "110")
    assert capacity["example.com/gpu"] == "2"
    assert made["metadata"]["annotations"] == {
        "pybernetes.io/agent-endpoint": "127.0.0.1:99",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }
    assert made["status"]["nodeInfo"]["containerRuntimeVersion"] == "docker://20.10"
    ready = made["status"]["conditions"][-1]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "KubeletReady")


def test_heartbeats_alone_are_no_change() -> None:
    settings = nodestatus.NodeSettings("n1")
    findings = nodestatus.NodeFindings(ENGINE)
    old = nodestatus.node_status(settings, findings, {}, 0.0)
    assert nodestatus.same(old, nodestatus.node_status(settings, findings, old, 500.0))
    troubled = nodestatus.NodeFindings(ENGINE, trouble="container runtime is down")
    new = nodestatus.node_status(settings, troubled, old, 500.0)
    assert not nodestatus.same(old, new)
    assert new["conditions"][-1]["lastTransitionTime"] == "1970-01-01T00:08:20Z"
    assert new["conditions"][0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"


def test_taints_and_pairs() -> None:
    assert nodestatus.parse_taint("a=b:NoSchedule") == {"key": "a", "value": "b", "effect": "NoSchedule"}
    assert nodestatus.parse_taint("a:NoExecute") == {"key": "a", "effect": "NoExecute"}
    with pytest.raises(ValueError, match="invalid taint"):
        nodestatus.parse_taint("a=b:Sometimes")
    assert nodestatus.pairs(["a=1,b=2", "c=3"]) == {"a": "1", "b": "2", "c": "3"}


async def test_addresses_go_round_and_are_kept() -> None:
    addresses = Addresses()
    addresses.assign("10.1.2.0/29")
    assert addresses.node_address == "10.1.2.1"
    first = await addresses.acquire("a")
    assert (first, await addresses.acquire("a")) == ("10.1.2.2", "10.1.2.2")
    addresses.release("a")
    addresses.reserve("found", "10.1.2.3")
    assert [await addresses.acquire(uid) for uid in "bcde"] == [
        "10.1.2.4",
        "10.1.2.5",
        "10.1.2.6",
        "10.1.2.2",
    ]
    with pytest.raises(AddressesExhausted):
        await addresses.acquire("f")


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_pause_image_is_small_and_always_the_same(architecture: str) -> None:
    program = pause.program(architecture)
    assert program.startswith(b"\x7fELF") and len(program) < 500
    name, archive = pause.image(architecture)
    assert (name, archive) == pause.image(architecture)
    assert name.startswith("pybernetes/pause:")


def test_huge_pages_are_memory_that_is_not_for_other_things(tmp_path: Path) -> None:
    for size, count in ((2048, 8), (1048576, 0)):
        (tmp_path / f"hugepages-{size}kB").mkdir()
        (tmp_path / f"hugepages-{size}kB" / "nr_hugepages").write_text(f"{count}\n")
    pages = hugepages(tmp_path)
    assert pages == {2048: 8, 1048576: 0}
    status = nodestatus.node_status(
        nodestatus.NodeSettings("n"), nodestatus.NodeFindings(ENGINE, hugepages=pages), {}, 0.0
    )
    assert status["capacity"]["hugepages-2Mi"] == status["allocatable"]["hugepages-2Mi"] == "16Mi"
    assert status["capacity"]["hugepages-1Gi"] == "0"
    assert status["capacity"]["memory"] == f"{4 << 20}Ki"
    assert status["allocatable"]["memory"] == f"{(4 << 20) - (16 << 10)}Ki"


def test_extended_resources_of_others_are_made_allocatable_and_taken_back() -> None:
    settings, findings = nodestatus.NodeSettings("n"), nodestatus.NodeFindings(ENGINE)
    old = nodestatus.node_status(settings, findings, {}, 0.0)
    given = {**old, "capacity": {**old["capacity"], "example.com/dongle": "3"}}
    new = nodestatus.node_status(settings, findings, given, 1.0)
    assert new["capacity"]["example.com/dongle"] == new["allocatable"]["example.com/dongle"] == "3"
    assert nodestatus.same(new, nodestatus.node_status(settings, findings, new, 2.0))
    taken = {**new, "capacity": old["capacity"]}
    last = nodestatus.node_status(settings, findings, taken, 3.0)
    assert last["allocatable"]["example.com/dongle"] is None, "a patch takes it away"
    assert "example.com/dongle" not in last["capacity"]
