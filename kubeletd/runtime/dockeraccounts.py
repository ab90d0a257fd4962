"""An image's /etc/passwd and /etc/group: read from its layers, asked for where the engine has none as directories."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from kubeletd.accounts import Accounts
from kubeletd.runtime.dockerengine import Engine
from kubeletd.runtime.dockerspec import NO_HEALTHCHECK, PREFIX
from kubeletd.runtime.dockerstream import EngineError

_LIMIT = 1 << 20  # bytes of either file
FILES = ("passwd", "group")


def directories(image: Mapping[str, Any]) -> list[str]:
    """Where an inspected image's layers are, topmost first; none where they are no directories here."""
    driver = image.get("GraphDriver") or {}
    data = driver.get("Data") or {}
    if driver.get("Name") != "overlay2" or not data.get("UpperDir"):
        return []
    found = [data["UpperDir"], *filter(None, (data.get("LowerDir") or "").split(":"))]
    return found if all(map(os.path.isdir, found)) else []


def from_layers(layers: Sequence[str]) -> Accounts | None:
    """None if a link is in the way, which would have to be followed inside of the image."""
    try:
        return Accounts(*(_topmost(layers, file) for file in FILES))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return None
        raise


def _topmost(layers: Sequence[str], file: str) -> str:
    for layer in layers:
        try:
            etc = os.open(f"{layer}/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            found = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=etc)
        except FileNotFoundError:
            if _opaque(etc):
                return ""
            continue
        except OSError as error:
            if error.errno == errno.ENXIO:  # what overlayfs notes a removal with: a device that is none
                return ""
            raise
        finally:
            os.close(etc)
        with open(found, "rb") as content:
            regular = stat.S_ISREG(os.fstat(found).st_mode)
            return content.read(_LIMIT).decode(errors="replace") if regular else ""
    return ""


def _opaque(directory: int) -> bool:
    """Whether the layer's directory hides those below it."""
    try:
        return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


async def from_engine(engine: Engine, image_id: str, cluster: str) -> Accounts:
    """By a container that never starts. Raises EngineError, EngineUnavailable."""
    body = {"Image": image_id, "Cmd": ["none"], "Labels": {PREFIX + "cluster": cluster},
            "Healthcheck": NO_HEALTHCHECK, "NetworkDisabled": True}  # fmt: skip
    made = (await engine.call("POST", "/containers/create", body=body))["Id"]
    try:
        return Accounts(*[await _archived(engine, made, f"/etc/{file}") for file in FILES])
    finally:
        await engine.call("DELETE", f"/containers/{made}", {"force": "1", "v": "1"})


async def _archived(engine: Engine, container_id: str, path: str) -> str:
    try:
        reader, writer = await engine.endpoint.open(
            "GET", f"/containers/{container_id}/archive", {"path": path}
        )
    except EngineError as error:
        if error.status == 404:
            return ""
        raise
    try:
        return _single(await reader.read(-1))
    finally:
        writer.close()


def _single(archive: bytes) -> str:
    """The content of an archive of one file; "" if it is something else."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None:
                return file.read(_LIMIT).decode(errors="replace")
    return ""
