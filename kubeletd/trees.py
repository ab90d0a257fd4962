"""All that is in a directory, whatever a pod has made of it: paths too long to name, links put in place of directories.

Nothing is reached by a path of more than one part, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WAY = 64
_MOVED = ".removed-"


def visit(root: Path) -> Iterator[tuple[int, str, os.stat_result]]:
    """(descriptor of its directory, name, status) of everything below `root`; what is just gone is passed over.

    Raises OSError.
    """
    pending: list[tuple[str, ...]] = [()]
    way = _Way(root)
    try:
        while pending:
            parts = pending.pop()
            try:
                descriptor = way.to(parts)
            except FileNotFoundError:
                continue
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        pending.append((*parts, entry.name))
                    yield descriptor, entry.name, status
    finally:
        way.close()


class _Way:
    """The directories from a root down to the one that is looked at, open; of a long way only its end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts: tuple[str, ...] = ()
        self._open: list[int] = []  # those of the last parts, the root's before the first

    def to(self, parts: tuple[str, ...]) -> int:
        """A descriptor, good until the next call. Raises OSError."""
        pairs = enumerate(zip(self._parts, parts, strict=False))
        common = next((i for i, (old, new) in pairs if old != new), min(len(self._parts), len(parts)))
        above = len(self._parts) - common
        while above and self._open:
            os.close(self._open.pop())
            above -= 1
        if not self._open:
            common = 0
            self._open = [os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._parts = parts[:common]
        for part in parts[common:]:
            self._open.append(os.open(part, _DIRECTORY, dir_fd=self._open[-1]))
            self._parts = (*self._parts, part)
            if len(self._open) > _WAY:
                os.close(self._open.pop(0))
        return self._open[-1]

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())


def remove(directory: Path) -> None:
    """Removes a directory with all in it; what is on another file system stops it. Raises OSError."""
    descriptor = os.open(directory, _DIRECTORY)
    try:
        _empty(descriptor, os.fstat(descriptor).st_dev, directory)
    finally:
        os.close(descriptor)
    os.rmdir(directory)


def _empty(root: int, device: int, shown: Path) -> None:
    pending = os.listdir(root)
    moved = [name.removeprefix(_MOVED) for name in pending if name.startswith(_MOVED)]
    number = max((int(name) for name in moved if name.isdecimal()), default=0)
    while pending:
        name = pending.pop()
        if not _is_directory(root, name, device, shown):
            os.unlink(name, dir_fd=root)
            continue
        descriptor = os.open(name, _DIRECTORY, dir_fd=root)
        try:
            for child in os.listdir(descriptor):
                if _is_directory(descriptor, child, device, shown):
                    # Its depth does not matter once it is at the top.
                    number += 1
                    os.rename(child, f"{_MOVED}{number}", src_dir_fd=descriptor, dst_dir_fd=root)
                    pending.append(f"{_MOVED}{number}")
                else:
                    os.unlink(child, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=root)


def _is_directory(parent: int, name: str, device: int, shown: Path) -> bool:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if status.st_dev != device:
        raise OSError(errno.EBUSY, f"something is mounted on {name} in {shown}")
    return stat.S_ISDIR(status.st_mode)
