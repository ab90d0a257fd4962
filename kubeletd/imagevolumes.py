"""Image volumes (KEP-4639): an image's files, mounted read-only and without leave to run them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kubeletd.images import Images, ImageTrouble, Record, shown_id
from kubeletd.interfaces import Container, Pod
from kubeletd.runtime.interface import EngineUnavailable, Runtime, RuntimeFailure

PLUGIN = "kubernetes.io~image"


def used(pod: Pod, container: Container) -> list[Mapping[str, Any]]:
    """The image volumes that the container mounts."""
    names = {mount["name"] for mount in container.get("volumeMounts") or ()}
    return [v for v in pod["spec"].get("volumes") or () if "image" in v and v["name"] in names]


class ImageVolumes:
    """Those of one node's pods."""

    def __init__(self, runtime: Runtime, images: Images) -> None:
        self._runtime = runtime
        self._images = images
        self._locks: dict[str, asyncio.Lock] = {}  # by directory: containers of a pod may want one at once
        self._shown: dict[str, str] = {}  # by directory: the image's id as a status shows it

    async def ensure(
        self,
        pod: Pod,
        container: Container,
        paths: Mapping[str, str],
        secrets: Iterable[Mapping[str, Any]],
        record: Record,
    ) -> dict[str, str]:
        """Mounts what the container needs at the volumes' `paths`, pulled by each volume's policy; gives the images.

        Raises ImageTrouble, EngineUnavailable.
        """
        found = {}
        for volume in used(pod, container):
            path = paths[volume["name"]]
            async with self._locks.setdefault(path, asyncio.Lock()):
                if path not in self._shown or not os.path.ismount(path):
                    await self._show(pod, volume, Path(path), secrets, record)
            found[volume["name"]] = self._shown[path]
        return found

    async def _show(
        self,
        pod: Pod,
        volume: Mapping[str, Any],
        path: Path,
        secrets: Iterable[Mapping[str, Any]],
        record: Record,
    ) -> None:
        source = volume["image"]
        wanted = {"name": volume["name"], "image": source.get("reference") or ""}
        if source.get("pullPolicy"):
            wanted["imagePullPolicy"] = source["pullPolicy"]
        image = await self._images.ensure(pod, wanted, secrets, record)
        if not os.path.ismount(path):
            try:
                await self._runtime.show_image(image.id, pod["metadata"]["uid"], volume["name"], path)
            except EngineUnavailable:
                raise
            except RuntimeFailure as error:
                text = f'failed to mount image volume "{volume["name"]}": {error.message}'
                record("Warning", "Failed", f"Error: {text}")
                raise ImageTrouble("CreateContainerError", text) from error
        self._shown[str(path)] = shown_id(image, wanted["image"])

    async def release(self, uid: str, directory: Path) -> None:
        """The pod's volumes are unmounted. Raises RuntimeFailure."""
        if not (directory / "volumes" / PLUGIN).exists():
            return
        await self._runtime.forget_images(uid)
        for path in [path for path in self._locks if path.startswith(f"{directory}{os.sep}")]:
            self._locks.pop(path)
            self._shown.pop(path, None)
