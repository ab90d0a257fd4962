"""What is told of a node as events when its status becomes another one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Told = tuple[str, str, str]  # Normal|Warning, reason, message

_PRESSURES = {
    "MemoryPressure": {"True": "NodeHasInsufficientMemory", "False": "NodeHasSufficientMemory"},
    "DiskPressure": {"True": "NodeHasDiskPressure", "False": "NodeHasNoDiskPressure"},
    "PIDPressure": {"True": "NodeHasInsufficientPID", "False": "NodeHasSufficientPID"},
}
_READY = {"True": "NodeReady", "False": "NodeNotReady"}


def starting() -> Told:
    return "Normal", "Starting", "Starting kubelet."


def shutting_down() -> Told:
    return "Normal", "NodeShutdown", "Shutdown manager detected shutdown event"


def of_change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Told]:
    """`old` is the status as it was reported, {} for a new node: nobody is told that it is not ready yet."""
    before, after = (
        {c["type"]: c["status"] for c in status.get("conditions") or ()} for status in (old, new)
    )
    reasons = [
        words[after[kind]]
        for kind, words in _PRESSURES.items()
        if kind in after and after[kind] != before.get(kind)
    ]
    if (
        "Ready" in after
        and after["Ready"] != before.get("Ready")
        and ("Ready" in before or after["Ready"] == "True")
    ):
        reasons.append(_READY[after["Ready"]])
    told = [("Normal", reason, f"Node {name} status is now: {reason}") for reason in reasons]
    boot, booted = ((status.get("nodeInfo") or {}).get("bootID") for status in (old, new))
    if boot and booted and boot != booted:
        told.insert(0, ("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {booted}"))
    return told
