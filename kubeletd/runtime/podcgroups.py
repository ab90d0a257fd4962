"""A control group around the containers of a pod with resources of its own (KEP-2837), in cgroup v1 and v2.

The engine makes containers' groups below it (`CgroupParent`) and never limits or removes it: that is done here. It is
made for those pods only. An engine whose groups systemd keeps takes no other hand in its tree: pods' own limits hold
there only through those that each container is given.
"""

from __future__ import annotations

import os
from pathlib import Path

from kubeletd.runtime.interface import Resources

ROOT = Path("/sys/fs/cgroup")
PARENT = "pybernetes"
_CONTROLLERS = ("cpu", "memory", "pids", "hugetlb")
MIN_SHARES, PERIOD, MIN_QUOTA = 2, 100_000, 1000


def name(uid: str) -> str:
    """The group as the engine is told it."""
    return f"/{PARENT}/pod{uid}"


def shares(milli: int) -> int:
    return max(MIN_SHARES, milli * 1024 // 1000)


def quota(milli: int) -> int:
    """Microseconds of each period; -1 for as many as there are."""
    return max(MIN_QUOTA, milli * PERIOD // 1000) if milli else -1


def weight(milli: int) -> int:
    """Version 2's weight for version 1's shares, as runc reckons it."""
    return 1 + (shares(milli) - 2) * 9999 // 262142


def _unified(root: Path) -> bool:
    return (root / "cgroup.controllers").exists()


def settings(resources: Resources, unified: bool) -> list[tuple[str, str, str]]:
    """(controller, file, content) of a pod's limits."""
    limit, milli = quota(resources.cpu_limit_milli), resources.cpu_request_milli or resources.cpu_limit_milli
    if unified:
        found = [
            ("cpu", "cpu.weight", str(weight(milli))),
            ("cpu", "cpu.max", f"{limit if limit > 0 else 'max'} {PERIOD}"),
        ]
        memory, pages = "memory.max", "max"
    else:
        found = [
            ("cpu", "cpu.shares", str(shares(milli))),
            ("cpu", "cpu.cfs_period_us", str(PERIOD)),
            ("cpu", "cpu.cfs_quota_us", str(limit)),
        ]
        memory, pages = "memory.limit_in_bytes", "limit_in_bytes"
    if resources.memory_limit:
        found.append(("memory", memory, str(resources.memory_limit)))
    if resources.pids_limit:
        found.append(("pids", "pids.max", str(resources.pids_limit)))
    for size, amount in resources.hugepages:
        found.append(("hugetlb", f"hugetlb.{_page(size)}.{pages}", str(amount)))
    return found


def _page(size: int) -> str:
    """As the kernel names a size: 2MB, 1GB."""
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB")):
        if size >= unit:
            return f"{size // unit}{name}"
    return f"{size >> 10}KB"


def make(uid: str, resources: Resources, root: Path = ROOT) -> None:
    """Makes the pod's group, or changes its limits. What the kernel has no controller for is not limited.

    Raises OSError.
    """
    unified = _unified(root)
    wanted = settings(resources, unified)
    if unified:
        known = (root / "cgroup.controllers").read_text().split()
        wanted = [entry for entry in wanted if entry[0] in known]
        parent = root / PARENT
        parent.mkdir(exist_ok=True)
        switched_on = " ".join(f"+{controller}" for controller in _CONTROLLERS if controller in known)
        for directory in (root, parent):
            (directory / "cgroup.subtree_control").write_text(switched_on)
    else:
        wanted = [entry for entry in wanted if (root / entry[0]).is_dir()]
    for controller, file, content in wanted:
        group = root / ("" if unified else controller) / PARENT / f"pod{uid}"
        group.mkdir(parents=True, exist_ok=True)
        (group / file).write_text(content)


def remove(uid: str, root: Path = ROOT) -> None:
    """Takes the pod's group away, wherever the engine has made it too. Again is free. Raises OSError."""
    trees = [root] if _unified(root) else [tree for tree in root.iterdir() if not tree.is_symlink()]
    for tree in trees:
        group = tree / PARENT / f"pod{uid}"
        if group.is_dir():
            os.rmdir(group)
