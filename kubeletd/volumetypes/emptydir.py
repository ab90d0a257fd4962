"""emptyDir: a directory that lives as long as its pod, on disk or in memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from apimachinery import quantity
from kubeletd import mounts
from kubeletd.projection import fs_group
from kubeletd.volumetypes.interface import Asked, Node


class EmptyDir:
    async def set_up(self, asked: Asked) -> str:
        return await asyncio.to_thread(_make, asked)

    async def tear_down(self, directory: Path) -> None:
        """It is unmounted and removed as every directory is."""


def create(node: Node) -> EmptyDir:
    return EmptyDir()


def _make(asked: Asked) -> str:
    directory = asked.directory
    directory.mkdir(parents=True, exist_ok=True)
    group = fs_group(asked.pod)
    if asked.source.get("medium") == "Memory" and not os.path.ismount(directory):
        limit = asked.source.get("sizeLimit")
        mounts.mount_tmpfs(directory, size=quantity.to_int(limit) if limit else 0, mode=0o777)
    if group is not None:
        os.chown(directory, -1, group)
    # Any user of the pod may write; mkdir's mode is cut by the umask, chmod's is not.
    os.chmod(directory, 0o2777 if group is not None else 0o777)
    return str(directory)
