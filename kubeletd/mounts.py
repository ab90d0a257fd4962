"""Mounting by the kernel's own calls: no process is started for it. Needs root."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubeletd import trees

_libc = ctypes.CDLL(None, use_errno=True)
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND = 32, 4096
_MNT_DETACH = 2


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount_tmpfs(
    target: Path, *, size: int = 0, mode: int = 0o755, group: int = 0, executable: bool = True
) -> None:
    """A tmpfs of at most `size` bytes (0: the kernel's half of memory) on `target`. Raises OSError."""
    options = f"mode={mode:o},gid={group}" + (f",size={size}" if size else "")
    flags = _MS_NOSUID | _MS_NODEV | (0 if executable else _MS_NOEXEC)
    result = _libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", flags, options.encode())
    _check(result, f"mount tmpfs on {target}")


def mount_layers(layers: Sequence[str], target: Path) -> None:
    """Directories over each other, the first on top, read-only; nothing in them runs. Raises OSError."""
    if len(layers) == 1:
        bind_read_only(Path(layers[0]), target)
        return
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    options = f"lowerdir={':'.join(layers)}"
    result = _libc.mount(b"overlay", os.fsencode(target), b"overlay", flags, os.fsencode(options))
    _check(result, f"mount layers on {target}")


def bind_read_only(source: Path, target: Path) -> None:
    """A directory seen at another place (or its own), read-only; nothing in it runs there. Raises OSError."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)
    _check(result, f"bind {source} to {target}")
    flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    result = _libc.mount(None, os.fsencode(target), None, flags, None)
    _check(result, f"make {target} read-only")


def bind(source: Path, target: Path) -> None:
    """A directory or file seen at another place. Raises OSError."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)
    _check(result, f"bind {source} to {target}")


def unmount(target: Path) -> None:
    """Raises OSError. A mount still in use goes when its last user does."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def _points() -> Iterator[bytes]:
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = line.split(maxsplit=5)[4]
        yield point.decode("unicode_escape").encode("latin-1") if b"\\" in point else point


def below(root: Path) -> list[Path]:
    """Mount points under `root`, deepest first."""
    prefix = os.fsencode(root.resolve()) + b"/"
    found = [Path(os.fsdecode(point)) for point in _points() if point.startswith(prefix)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def count_at(place: Path) -> int:
    """How many mounts there are on `place`, one over the other; those of its own file system are seen too."""
    wanted = os.fsencode(place.parent.resolve() / place.name)
    return sum(point == wanted for point in _points())


def remove(directory: Path) -> None:
    """Unmounts all below `directory` and removes it with what is in it; gone already is fine.

    Something that is still (or again) mounted in it is never emptied: it stops the removal. Raises OSError.
    """
    if not directory.exists():
        return
    for point in below(directory):
        unmount(point)
    if left := below(directory):
        raise OSError(errno.EBUSY, f"something is mounted on {left[0]}")
    trees.remove(directory)
