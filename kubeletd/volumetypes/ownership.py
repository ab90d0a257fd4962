"""Whose a volume's files are: the pod's fsGroup, on everything in it (KEP-695)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kubeletd import trees
from kubeletd.interfaces import Pod
from kubeletd.projection import fs_group

_WRITABLE, _READABLE, _SEARCHABLE = 0o660, 0o440, 0o110


def mode_for_group(mode: int, read_only: bool) -> int:
    """The permission bits that a file or directory of that mode (`st_mode`) is to have for its group."""
    wanted = stat.S_IMODE(mode) | (_READABLE if read_only else _WRITABLE)
    return wanted | stat.S_ISGID | _SEARCHABLE if stat.S_ISDIR(mode) else wanted


def give_to_group(pod: Pod, root: Path, *, read_only: bool = False, may_skip: bool = False) -> None:
    """Gives a volume to the group of its pod, if it has one. Raises OSError.

    `may_skip`: the pod's fsGroupChangePolicy counts, so that a root that is as it should be stands for all below.
    """
    group = fs_group(pod)
    if group is None:
        return
    policy = (pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
    if may_skip and policy == "OnRootMismatch" and _is_given(root.stat(), group, read_only):
        return
    # The root comes last: it says that all below is done.
    for folder, name, status in trees.visit(root):
        _give(folder, name, status, group, read_only)
    folder = os.open(root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _give(folder, root.name, root.stat(), group, read_only)
    finally:
        os.close(folder)


def _is_given(status: os.stat_result, group: int, read_only: bool) -> bool:
    return status.st_gid == group and mode_for_group(status.st_mode, read_only) == stat.S_IMODE(
        status.st_mode
    )


def _give(folder: int, name: str, status: os.stat_result, group: int, read_only: bool) -> None:
    """What `name` in the directory was when `status` was taken; links are given, but not what they lead to."""
    wanted = mode_for_group(status.st_mode, read_only)
    try:
        if status.st_gid != group:
            os.chown(name, -1, group, dir_fd=folder, follow_symlinks=False)
        # A change of group takes set-id bits away, so the mode comes after it; links have none of their own.
        if stat.S_ISLNK(status.st_mode) or (
            status.st_gid == group and wanted == stat.S_IMODE(status.st_mode)
        ):
            return
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return  # whoever uses the volume too has removed it
    try:
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            os.chmod(f"/proc/self/fd/{descriptor}", wanted)
    finally:
        os.close(descriptor)
