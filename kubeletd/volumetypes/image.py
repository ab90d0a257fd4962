"""image: a place for an image's files, filled when the first container that mounts it is prepared (KEP-4639)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubeletd.volumetypes.interface import Asked, Node


class ImagePlace:
    async def set_up(self, asked: Asked) -> str:
        """Empty: `imagevolumes` fills it by the volume's pull policy."""
        await asyncio.to_thread(asked.directory.mkdir, parents=True, exist_ok=True)
        return str(asked.directory)

    async def tear_down(self, directory: Path) -> None:
        """It is unmounted and removed as every directory is."""


def create(node: Node) -> ImagePlace:
    return ImagePlace()
