"""emptyDir: a directory that lives as long as its pod, on disk or in memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from apimachinery import quantity
from kubeletd import mounts
from kubeletd.interfaces import MountError, Pod
from kubeletd.projection import fs_group
from kubeletd.volumetypes.interface import Asked, Node
from kubeletd.volumetypes.ownership import give_to_group


class EmptyDir:
    async def set_up(self, asked: Asked) -> str:
        return await asyncio.to_thread(_make, asked)

    async def tear_down(self, directory: Path) -> None:
        """It is unmounted and removed as every directory is."""


def create(node: Node) -> EmptyDir:
    return EmptyDir()


def memory_size(asked: Asked) -> int:
    """Bytes that an emptyDir of medium Memory may hold: no more than its limit, its pod's and the node's memory."""
    limits = [
        quantity.to_int(str(text))
        for text in (
            (asked.facts.allocatable or {}).get("memory", "0"),
            asked.source.get("sizeLimit") or "0",
        )
    ]
    return min((limit for limit in (*limits, _memory_limit(asked.pod)) if limit > 0), default=0)


def _memory_limit(pod: Pod) -> int:
    """What all containers together may use; 0 where one of them has no limit."""
    spec = pod["spec"]

    def of(one: Pod) -> int:
        limit = ((one.get("resources") or {}).get("limits") or {}).get("memory", "0")
        return quantity.to_int(str(limit))

    if own := of(spec):
        return own
    starting = spec.get("initContainers") or ()
    together = [of(c) for c in (*spec["containers"], *(c for c in starting if c.get("restartPolicy")))]
    first = [of(c) for c in starting if not c.get("restartPolicy")]
    return max(sum(together), *first, 0) if all((*together, *first)) else 0


def _make(asked: Asked) -> str:
    directory, medium = asked.directory, asked.source.get("medium") or ""
    if medium.startswith("HugePages"):
        raise MountError(_no_huge_pages(asked.pod, medium))
    if medium not in ("", "Memory"):
        raise MountError(f'unknown storage medium "{medium}"')
    if medium == "Memory":
        directory.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(directory):
            group = fs_group(asked.pod)
            # As every tmpfs is unless a mode is asked for: in it only a file's owner may remove it.
            mode = 0o1777 if group is None else 0o3777
            mounts.mount_tmpfs(directory, size=memory_size(asked), mode=mode, group=group or 0)
    elif not directory.exists():
        # It is there when it is as it should be: an agent that ends half-way leaves nothing that looks done.
        new = directory.with_name(f".{directory.name}.new")
        new.mkdir(parents=True, exist_ok=True)
        # Any user of the pod may write; mkdir's mode is cut by the umask, chmod's is not.
        os.chmod(new, 0o777)
        give_to_group(asked.pod, new)
        new.rename(directory)
    return str(directory)


def _no_huge_pages(pod: Pod, medium: str) -> str:
    spec = pod["spec"]
    asking = [spec, *spec["containers"], *(spec.get("initContainers") or ())]
    requests = [((one.get("resources") or {}).get("requests") or {}) for one in asking]
    size = medium.removeprefix("HugePages").removeprefix("-")
    names = {name for request in requests for name in request if name.startswith(f"hugepages-{size}")}
    if not names:
        return (
            f"medium {medium}: hugePages storage requested, but there is no resource request for huge pages"
        )
    return f"medium {medium}: this node offers no huge pages"
