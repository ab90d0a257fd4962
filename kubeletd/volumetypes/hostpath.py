"""hostPath: a file or directory of the node, checked and for some types made; and the built-in provisioner's."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

from apimachinery import quantity
from kubeletd import localvolumes
from kubeletd.csi.requests import our_path
from kubeletd.interfaces import MountError
from kubeletd.sources import ApiSources
from kubeletd.volumetypes.interface import Asked, Node
from kubeletd.volumetypes.ownership import give_to_group

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
    """Checks, and for the `OrCreate` types makes, a hostPath. Raises MountError in Kubernetes's words.

    One without a type is made a directory if there is nothing, as container runtimes do.
    """
    target = Path(path)
    try:
        mode = target.stat().st_mode
    except OSError:
        mode = 0
    if not mode and kind in ("", "DirectoryOrCreate"):
        _make_directories(target)
    elif not mode and kind == "FileOrCreate":
        _make_file(target)
    elif kind:
        check, noun = _HOST_TYPES[kind]
        if not check(mode):
            raise MountError(f"hostPath type check failed: {path} is not {noun}")
    return path


def _make_directories(target: Path) -> None:
    missing = [place for place in (target, *target.parents) if not os.path.lexists(place)]
    try:
        for place in reversed(missing):
            place.mkdir(exist_ok=True)
            os.chmod(place, 0o755)  # whatever the agent's umask is
        if not missing:
            target.mkdir()  # a link that leads nowhere, or the like
    except OSError as error:
        raise MountError(f"mkdir {error.filename}: {_words(error)}") from error


def _make_file(target: Path) -> None:
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_RDONLY, 0o644)
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)
    except OSError as error:
        raise MountError(f"open {target}: {_words(error)}") from error


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _give_once(asked: Asked, provisioned: Path) -> None:
    """Gives the claim's directory, which unlike others of the node is its alone, to the group of a pod that begins.

    That it was done is what the pod's own directory for the volume tells an agent that was started anew.
    """
    if not asked.directory.exists():
        give_to_group(asked.pod, provisioned, read_only=asked.read_only, may_skip=True)
        asked.directory.mkdir(parents=True, exist_ok=True)


class HostPath:
    def __init__(self, root: Path, sources: ApiSources) -> None:
        self._root = root
        self._sources = sources

    async def set_up(self, asked: Asked) -> str:
        source = asked.source
        if asked.persistent is not None:
            provisioned = await asyncio.to_thread(localvolumes.make, self._root, asked.persistent)
            if provisioned is not None:
                await asyncio.to_thread(_give_once, asked, Path(provisioned))
                await self._tell_size(asked)
                return provisioned
        # Manifests of drivers and agents say where a node usually keeps its files.
        path, _ = our_path(str(self._root), source["path"])
        return await asyncio.to_thread(host_path, path, source.get("type") or "")

    async def _tell_size(self, asked: Asked) -> None:
        """The volume holds now what its PersistentVolume says: its claim learns it, if it waited for that."""
        from kubeletd.csi.model import grown_claim

        volume, claim = asked.persistent, asked.claim
        if volume is None or claim is None or not localvolumes.is_confined(volume):
            return
        known = ((claim.get("status") or {}).get("capacity") or {}).get("storage", "0")
        if quantity.to_int(known) < quantity.to_int(volume["spec"]["capacity"]["storage"]):
            await self._sources.patch_claim_status(claim, grown_claim(claim, volume))

    async def tear_down(self, directory: Path) -> None:
        """What is on the node's disk outlives its pods."""


def create(node: Node) -> HostPath:
    return HostPath(node.root, node.sources)
