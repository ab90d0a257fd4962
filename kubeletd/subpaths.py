"""The places within volumes that containers mount in place of the whole (subPath, subPathExpr).

A volume is written by whoever has it: a link made at the right moment must not show a container the node's files. So a
place is opened one directory after the other, following no link, and what was opened is what is mounted.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubeletd import mounts
from kubeletd.environment import expand
from kubeletd.interfaces import PodConfigError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


def wanted(mount: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """The subPath of a volumeMount, "" for the whole volume. Raises PodConfigError."""
    expression = mount.get("subPathExpr") or ""
    missing = {name for name in _REFERENCE.findall(expression) if name and not env.get(name)}
    if missing:
        raise PodConfigError(f"missing value for {', '.join(sorted(missing))}")
    sub_path: str = expand(expression, env) if expression else mount.get("subPath") or ""
    if sub_path.startswith("/"):
        raise PodConfigError(f"error SubPath `{sub_path}` must not be an absolute path")
    if ".." in sub_path.split("/"):
        raise PodConfigError(f"unable to provision SubPath `{sub_path}`: must not contain '..'")
    return sub_path


def of_image(volume: str, sub_path: str, name: str) -> str:
    """The host path within an image's files, which must be there. Raises PodConfigError."""
    root = os.path.realpath(volume)
    target = os.path.realpath(os.path.join(root, sub_path))
    if not target.startswith(root + os.sep) or not os.path.exists(target):
        text = f'failed to mount image volume "{name}": image volume subpath {sub_path!r}: no such directory'
        raise PodConfigError(text, "CreateContainerError")
    return target


def of_shown(volume: str, sub_path: str, name: str, container: str) -> str:
    """The host path within a volume that only the agent writes. Raises PodConfigError."""
    root = os.path.realpath(volume)
    target = os.path.realpath(os.path.join(root, sub_path))
    if target != root and not target.startswith(root + os.sep):
        raise _not_prepared(name, container)
    if not os.path.exists(target):
        _make(root, sub_path, name, container)
    return target


def of_volume(volume: str, sub_path: str, place: Path, name: str, container: str) -> str:
    """`place`, where a subPath is mounted, made if it is missing. It may not lead out of the volume, links included.

    `place` is the container's own for this mount; what an earlier run of it had there is replaced.
    """
    root = os.path.realpath(volume)
    if not os.path.exists(os.path.join(root, sub_path)):
        _make(root, sub_path, name, container)
    try:
        descriptor = open_within(root, os.path.realpath(os.path.join(root, sub_path)))
    except OSError as error:
        raise _not_prepared(name, container) from error
    try:
        for _ in range(mounts.count_at(place)):
            mounts.unmount(place)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            if place.is_file():
                place.unlink()
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                place.rmdir()
            place.touch()
        mounts.bind(Path(f"/proc/self/fd/{descriptor}"), place)
    except OSError as error:
        raise _not_prepared(name, container) from error
    finally:
        os.close(descriptor)
    return str(place)


def open_within(root: str, target: str) -> int:
    """A descriptor (O_PATH) of `target`, which has no links in it and lies within `root`. Raises OSError."""
    if target != root and not target.startswith(root.rstrip("/") + "/"):
        raise OSError(f"{target} is not within {root}")
    descriptor = os.open(root, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for part in Path(target).relative_to(root).parts:
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            if stat.S_ISLNK(os.fstat(descriptor).st_mode):
                raise OSError(f"{part} of {target} has become a link")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _make(root: str, sub_path: str, name: str, container: str) -> None:
    """Makes the directories of a subPath that are missing, with the volume's own mode. Raises PodConfigError."""
    mode = stat.S_IMODE(os.stat(root).st_mode)
    parts = Path(sub_path).parts
    there = 0
    while there < len(parts) and os.path.lexists(os.path.join(root, *parts[: there + 1])):
        there += 1
    try:
        descriptor = open_within(root, os.path.realpath(os.path.join(root, *parts[:there])))
        try:
            for part in parts[there:]:
                os.mkdir(part, dir_fd=descriptor)
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.fchmod(inner, mode)
                os.close(descriptor)
                descriptor = inner
        finally:
            os.close(descriptor)
    except OSError as error:
        text = f'failed to create subPath directory for volumeMount "{name}" of container "{container}"'
        raise PodConfigError(text) from error


def _not_prepared(name: str, container: str) -> PodConfigError:
    # Why is not said: it would tell about the node's files.
    return PodConfigError(f'failed to prepare subPath for volumeMount "{name}" of container "{container}"')
