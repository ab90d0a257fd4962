"""File systems of images shown on the host: what image volumes are made of. (KEP-4639)

Nothing is copied where the engine keeps layers in overlay2: they are mounted over each other once more, read-only. A
container that never starts holds the image, so that nobody removes it from under the mount; where layers cannot be
mounted, the files are those that the engine exports of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from urllib.parse import quote

from kubeletd import mounts
from kubeletd.runtime.dockerengine import Engine
from kubeletd.runtime.dockerspec import NO_HEALTHCHECK, PREFIX
from kubeletd.runtime.dockerstream import EngineError
from kubeletd.runtime.interface import ImageNotFound, RuntimeFailure

_HOLDS_FOR = PREFIX + "image-volume-of"
_OPTIONS_MAX = 4000  # bytes; the kernel takes a page of mount options


def layers(image: dict[str, Any]) -> list[str]:
    """The directories of an inspected image's layers, topmost first; none where they cannot be mounted."""
    driver = image.get("GraphDriver") or {}
    data = driver.get("Data") or {}
    if driver.get("Name") != "overlay2" or not data.get("UpperDir"):
        return []
    found = [data["UpperDir"], *filter(None, (data.get("LowerDir") or "").split(":"))]
    return found if len(":".join(found)) < _OPTIONS_MAX and all(map(os.path.isdir, found)) else []


class DockerViews:
    """The image view methods of interface.Runtime."""

    _engine: Engine
    cluster: str
    node: str

    async def show_image(self, image_id: str, uid: str, volume: str, target: Path) -> None:
        try:
            image = await self._engine.call("GET", f"/images/{quote(image_id)}/json")
            holder = await self._hold(image_id, uid, volume)
            directories = layers(image)
            if directories:
                await asyncio.to_thread(mounts.mount_layers, directories, target)
            else:
                await self._export(holder, target)
        except EngineError as error:
            kind = ImageNotFound if error.status == 404 else RuntimeFailure
            raise kind(error.message) from error
        except (OSError, tarfile.TarError) as error:
            raise RuntimeFailure(f"cannot show image {image_id}: {error}") from error

    async def _hold(self, image_id: str, uid: str, volume: str) -> str:
        name = f"pyb_{self.node}_image_{uid}_{volume}"
        labels = {PREFIX + "cluster": self.cluster, PREFIX + "node": self.node, _HOLDS_FOR: uid}
        body = {"Image": image_id, "Cmd": ["none"], "Labels": labels, "Healthcheck": NO_HEALTHCHECK,
                "NetworkDisabled": True}  # fmt: skip
        try:
            answer = await self._engine.call("POST", "/containers/create", {"name": name}, body)
        except EngineError as error:
            if error.status != 409 or "already in use" not in error.message:
                raise
            # One of an earlier agent, or of a try that failed: of this image or of another.
            await self._engine.call("DELETE", f"/containers/{name}", {"force": "1", "v": "1"})
            answer = await self._engine.call("POST", "/containers/create", {"name": name}, body)
        return str(answer["Id"])

    async def _export(self, holder: str, target: Path) -> None:
        reader, writer = await self._engine.endpoint.open("GET", f"/containers/{holder}/export")
        try:
            with TemporaryFile(dir=target.parent) as file:
                while piece := await reader.read(1 << 20):
                    await asyncio.to_thread(file.write, piece)
                await asyncio.to_thread(_unpack, file, target)
        finally:
            writer.close()

    async def forget_images(self, uid: str) -> None:
        filters = {"filters": json.dumps({"label": [f"{_HOLDS_FOR}={uid}", f"{PREFIX}node={self.node}"]})}
        try:
            for entry in await self._engine.call("GET", "/containers/json", {"all": "1", **filters}):
                await self._engine.call("DELETE", f"/containers/{entry['Id']}", {"force": "1", "v": "1"})
        except EngineError as error:
            raise RuntimeFailure(error.message) from error


def _unpack(file: BinaryIO, target: Path) -> None:
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        archive.extractall(target, numeric_owner=True)
    mounts.bind_read_only(target, target)
