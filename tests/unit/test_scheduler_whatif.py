"""Plans without a cluster: from manifests and from traces."""

from __future__ import annotations

import pytest
from naivescheduler import Object, make_node, make_pod

from scheduler import __main__ as command
from scheduler import whatif
from scheduler.profiles import BINPACK


def node(name: str, cpu: str = "4") -> Object:
    return {"kind": "Node", **make_node(name, cpu=cpu)}


def workload(kind: str, name: str, cpu: str, **spec: int) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": make_pod("x", {"cpu": cpu})["spec"]}
    return {"kind": kind, "metadata": {"name": name}, "spec": {"template": template, **spec}}


def test_a_workloads_pods_are_placed() -> None:
    documents = [
        node("a"),
        node("b"),
        workload("Deployment", "web", "1", replicas=5),
        workload("Job", "j", "1"),
    ]
    outcome = whatif.simulate([{"kind": "List", "items": documents}], BINPACK)
    assert len(outcome.decided.placements) == 6


def test_pods_that_run_already_take_their_room() -> None:
    running = {"kind": "Pod", **make_pod("old", {"cpu": "3"}, nodeName="a")}
    outcome = whatif.simulate([node("a"), running, workload("ReplicaSet", "web", "1", replicas=2)], BINPACK)
    assert len(outcome.decided.placements) == 1
    assert "1 placed, 1 pending; 1 of 1 nodes in use" in whatif.report(outcome)
    assert "default/web-1: 0/1 nodes are available: 1 Insufficient cpu." in whatif.report(outcome)


def test_a_trace_is_read() -> None:
    nodes = ["sn,cpu_milli,memory_mib,gpu,model", "n0,8000,1024,2,T4", "n1,8000,1024,0,"]
    pods = [
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time",
        "p0,1000,10,1,1000,T4|V100,LS,Running,5,9,5",
        "p1,1000,10,0,0,,LS,Running,1,9,1",
        "p2,1000,10,1,1000,A100,LS,Running,2,9,2",
    ]
    outcome = whatif.simulate(whatif.trace(nodes, pods), BINPACK)
    assert {p.pod.name: p.node for p in outcome.decided.placements} == {"p0": "n0", "p1": "n1"}
    assert [u.pod.name for u in outcome.decided.unplaced] == ["p2"]


def test_the_command_prints_what_would_happen(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    import orjson

    path = f"{tmp_path}/all.yaml"
    with open(path, "wb") as file:
        file.write(orjson.dumps({"kind": "List", "items": [node("a"), workload("Deployment", "web", "1")]}))
    assert command.main(["--simulate", path]) == 0
    assert "default/web-0 -> a" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--simulate", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml" in capsys.readouterr().err
