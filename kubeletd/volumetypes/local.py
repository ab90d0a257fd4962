"""local: a disk or directory of one node, offered by an administrator as a PersistentVolume."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from kubeletd import mounts
from kubeletd.interfaces import MountError
from kubeletd.volumetypes.interface import Asked, Node
from kubeletd.volumetypes.ownership import give_to_group


class Local:
    async def set_up(self, asked: Asked) -> str:
        return await asyncio.to_thread(_show, asked)

    async def tear_down(self, directory: Path) -> None:
        """It is unmounted and removed as every directory is: what is on the node's disk outlives its pods."""


def create(node: Node) -> Local:
    return Local()


def _show(asked: Asked) -> str:
    path = asked.source["path"]
    if not os.path.isdir(path):
        if os.path.lexists(path):
            raise MountError(f'local volume "{path}" is not a directory: only volumes of files are supported')
        raise MountError(f'path "{path}" does not exist')
    if not mounts.count_at(asked.directory):
        if not asked.read_only:
            give_to_group(asked.pod, Path(os.path.realpath(path)), may_skip=True)
        # That it is mounted says that the rest is done.
        asked.directory.mkdir(parents=True, exist_ok=True)
        mounts.bind(Path(path), asked.directory)
    return str(asked.directory)
