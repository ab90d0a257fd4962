"""hostPath: a file or directory of the node, checked and for some types made; and the built-in provisioner's."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

from kubeletd import localvolumes
from kubeletd.interfaces import MountError
from kubeletd.volumetypes.interface import Asked, Node

_HOST_TYPES: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def host_path(path: str, kind: str) -> str:
    """Checks, and for the `OrCreate` types makes, a hostPath. Raises MountError in Kubernetes's words."""
    target = Path(path)
    if kind == "DirectoryOrCreate" and not target.exists():
        target.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not target.exists():
        try:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        except OSError as error:
            raise MountError(f"hostPath type check failed: {error}") from error
    if kind:
        check, noun = _HOST_TYPES[kind]
        try:
            matches = check(target.stat().st_mode)
        except FileNotFoundError:
            matches = False
        if not matches:
            raise MountError(f"hostPath type check failed: {path} is not {noun}")
    return path


class HostPath:
    def __init__(self, root: Path) -> None:
        self._root = root

    async def set_up(self, asked: Asked) -> str:
        source = asked.source
        default = ""
        if asked.persistent is not None:
            provisioned = await asyncio.to_thread(localvolumes.make, self._root, asked.persistent)
            if provisioned is not None:
                return provisioned
            # A volume made by hand need not exist yet, as with hostPath provisioners.
            default = "DirectoryOrCreate"
        return await asyncio.to_thread(host_path, source["path"], source.get("type") or default)

    async def tear_down(self, directory: Path) -> None:
        """What is on the node's disk outlives its pods."""


def create(node: Node) -> HostPath:
    return HostPath(node.root)
