"""local: a disk or directory of one node, offered by an administrator as a PersistentVolume."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubeletd.volumetypes.hostpath import host_path
from kubeletd.volumetypes.interface import Asked, Node


class Local:
    async def set_up(self, asked: Asked) -> str:
        return await asyncio.to_thread(host_path, asked.source["path"], "")

    async def tear_down(self, directory: Path) -> None:
        """What is on the node's disk outlives its pods."""


def create(node: Node) -> Local:
    return Local()
