"""Mounting by the kernel's own calls: no process is started for it. Needs root."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount_tmpfs(target: Path, *, size: int = 0, mode: int = 0o755, executable: bool = True) -> None:
    """A tmpfs of at most `size` bytes (0: the kernel's half of memory) on `target`. Raises OSError."""
    options = f"mode={mode:o}" + (f",size={size}" if size else "")
    flags = _MS_NOSUID | _MS_NODEV | (0 if executable else _MS_NOEXEC)
    result = _libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", flags, options.encode())
    _check(result, f"mount tmpfs on {target}")


def unmount(target: Path) -> None:
    """Raises OSError. A mount still in use goes when its last user does."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def below(root: Path) -> list[Path]:
    """Mount points under `root`, deepest first."""
    prefix = os.fsencode(root.resolve()) + b"/"
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = line.split()[4].decode("unicode_escape").encode("latin-1")
        if point.startswith(prefix):
            found.append(Path(os.fsdecode(point)))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)
