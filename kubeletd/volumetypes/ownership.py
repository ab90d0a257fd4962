"""Whose a volume's files are: the pod's fsGroup, on everything in it (KEP-695)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    for place, status in _below(root):
        _give(place, status, group, read_only)
    _give(str(root), root.stat(), group, read_only)


def _is_given(status: os.stat_result, group: int, read_only: bool) -> bool:
    return status.st_gid == group and mode_for_group(status.st_mode, read_only) == stat.S_IMODE(
        status.st_mode
    )


def _below(directory: Any) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # whoever uses the volume too has removed it
            if stat.S_ISDIR(status.st_mode):
                yield from _below(entry.path)
            yield entry.path, status


def _give(place: str, status: os.stat_result, group: int, read_only: bool) -> None:
    wanted = mode_for_group(status.st_mode, read_only)
    try:
        if status.st_gid != group:
            os.lchown(place, -1, group)
        # A change of group takes set-id bits away, so the mode comes after it; links have none of their own.
        if not stat.S_ISLNK(status.st_mode) and (
            status.st_gid != group or wanted != stat.S_IMODE(status.st_mode)
        ):
            os.chmod(place, wanted)
    except FileNotFoundError:
        return
