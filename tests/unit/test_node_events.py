"""What is told of a node as its status changes, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

from kubeletd.nodeevents import of_change


def status(ready: str = "True", boot: str = "b1", **pressures: str) -> dict[str, Any]:
    kinds = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", **pressures}
    conditions = [{"type": kind, "status": value} for kind, value in {**kinds, "Ready": ready}.items()]
    return {"conditions": conditions, "nodeInfo": {"bootID": boot}}


def reasons(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [reason for _, reason, _ in of_change("n", old, new)]


def test_a_new_node_has_enough_of_everything() -> None:
    enough = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
    assert reasons({}, status("False")) == enough
    assert reasons({}, status("True")) == [*enough, "NodeReady"]


def test_changes_are_told_and_nothing_else() -> None:
    assert of_change("n", status("False"), status()) == [
        ("Normal", "NodeReady", "Node n status is now: NodeReady")
    ]
    assert reasons(status(), status("False")) == ["NodeNotReady"]
    assert reasons(status("Unknown"), status("False")) == ["NodeNotReady"]
    assert reasons(status(), status()) == []
    short = status(MemoryPressure="True", PIDPressure="True", DiskPressure="True")
    assert reasons(status(), short) == [
        "NodeHasInsufficientMemory",
        "NodeHasDiskPressure",
        "NodeHasInsufficientPID",
    ]
    assert reasons(short, status(DiskPressure="True")) == ["NodeHasSufficientMemory", "NodeHasSufficientPID"]
    lost = status("Unknown", MemoryPressure="Unknown")
    assert reasons(lost, status()) == ["NodeHasSufficientMemory", "NodeReady"]


def test_another_boot_id_is_a_reboot() -> None:
    told = of_change("n", status(), status(boot="b2"))
    assert told == [("Warning", "Rebooted", "Node n has been rebooted, boot id: b2")]
    assert reasons({}, status(boot="b2"))[0] != "Rebooted"
