"""nfs: an export of a server, mounted by the node's own `mount` with its helper mount.nfs (Debian's nfs-common)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubeletd import mounts
from kubeletd.interfaces import MountError
from kubeletd.volumetypes.interface import Asked, Node

_OPTIONS_ANNOTATION = "volume.beta.kubernetes.io/mount-options"
# mount.nfs itself gives up after two minutes.
_TIMEOUT = 150.0


class Nfs:
    async def set_up(self, asked: Asked) -> str:
        directory = asked.directory
        if await asyncio.to_thread(mounts.count_at, directory):
            return str(directory)
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        try:
            await _mount(arguments(asked))
        except BaseException:
            with contextlib.suppress(OSError):
                mounts.remove(directory)
            raise
        return str(directory)

    async def tear_down(self, directory: Path) -> None:
        """It is unmounted, without waiting for a server that does not answer, and removed as every directory is."""


def create(node: Node) -> Nfs:
    return Nfs()


def arguments(asked: Asked) -> list[str]:
    """What `mount` is called with."""
    server, export = asked.source["server"], asked.source["path"]
    source = f"[{server}]:{export}" if ":" in server else f"{server}:{export}"
    options = _options(asked)
    return ["-t", "nfs", *(["-o", ",".join(options)] if options else []), source, str(asked.directory)]


def _options(asked: Asked) -> Sequence[str]:
    """The administrator's, each once and in order of the alphabet."""
    persistent: Mapping[str, Any] = asked.persistent or {}
    annotations = (persistent.get("metadata") or {}).get("annotations") or {}
    given = set(annotations.get(_OPTIONS_ANNOTATION, "").split(","))
    given |= set((persistent.get("spec") or {}).get("mountOptions") or ())
    if asked.read_only if asked.persistent else asked.source.get("readOnly"):
        given.add("ro")
    return sorted(given - {""})


async def _mount(arguments: Sequence[str]) -> None:
    """Raises MountError with all that the program said."""
    told = f"Mounting command: mount\nMounting arguments: {' '.join(arguments)}\nOutput: "
    try:
        process = await asyncio.create_subprocess_exec(
            "mount",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise MountError(f"mount failed: the node has no mount program\n{told}") from error
    try:
        async with asyncio.timeout(_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise MountError(f"mount failed: no answer within {_TIMEOUT:.0f} seconds\n{told}") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = output.decode(errors="replace")
        raise MountError(f"mount failed: exit status {process.returncode}\n{told}{said}")
