"""Project quotas: how much a directory with all below it may hold, where the file system keeps count of it.

ext4, XFS and F2FS can, if they are mounted with `prjquota`. A project is a number on each file, which new files take
from their directory. Needs root.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import zlib
from pathlib import Path

_FILE_SYSTEMS = frozenset((b"ext4", b"xfs", b"f2fs"))
_ENFORCED = frozenset((b"prjquota", b"pquota"))
_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x801C581F, 0x401C5820  # FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR
_ATTRIBUTES = struct.Struct("=IIIII8s")  # flags, extent size, extents, project, copy-on-write extent size
_INHERITED = 0x200  # FS_XFLAG_PROJINHERIT
_PROJECT_QUOTA = 2
_GET_QUOTA, _SET_QUOTA = (command << 8 | _PROJECT_QUOTA for command in (0x800007, 0x800008))
_BLOCK_LIMITS = 1  # QIF_BLIMITS
_FIRST, _LAST = 1 << 20, (1 << 31) - 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Quota(ctypes.Structure):
    """struct if_dqblk: limits in KiB, what is used in bytes."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("hard", "soft", "used", "hard_files", "soft_files", "files")),
        *((name, ctypes.c_uint64) for name in ("time", "time_files")),
        ("valid", ctypes.c_uint32),
    )


def device_of(directory: Path, mountinfo: bytes | None = None) -> str:
    """The device of a file system that enforces project quotas; "" where the directory's does not."""
    number = os.stat(directory).st_dev
    wanted = b"%d:%d" % (os.major(number), os.minor(number))
    lines = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_bytes()
    for line in lines.splitlines():
        place, _, rest = line.partition(b" - ")
        kind, source, options = rest.split(b" ", 2)
        if place.split(b" ")[2] == wanted and kind in _FILE_SYSTEMS:
            return os.fsdecode(source) if not _ENFORCED.isdisjoint(options.split(b",")) else ""
    return ""


def project_of(directory: Path) -> int:
    """The directory's project; 0 is none. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return int(_ATTRIBUTES.unpack(fcntl.ioctl(descriptor, _GET_ATTRIBUTES, bytes(_ATTRIBUTES.size)))[3])
    finally:
        os.close(descriptor)


def set_project(directory: Path, project: int) -> None:
    """What is made in the directory from now on is of the project. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        given = fcntl.ioctl(descriptor, _GET_ATTRIBUTES, bytes(_ATTRIBUTES.size))
        flags, size, extents, _, copied, rest = _ATTRIBUTES.unpack(given)
        wanted = _ATTRIBUTES.pack(flags | _INHERITED, size, extents, project, copied, rest)
        fcntl.ioctl(descriptor, _SET_ATTRIBUTES, wanted)
    finally:
        os.close(descriptor)


def _call(command: int, device: str, project: int, quota: _Quota) -> None:
    if _libc.quotactl(command, os.fsencode(device), project, ctypes.byref(quota)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"project quota on {device}: {os.strerror(number)}")


def limit_of(device: str, project: int) -> int:
    """Bytes that a project may hold; 0: as many as there are. Raises OSError."""
    quota = _Quota()
    try:
        _call(_GET_QUOTA, device, project, quota)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return 0
        raise
    return int(quota.hard) * 1024


def set_limit(device: str, project: int, size: int) -> None:
    """`size` bytes, rounded up to 1 KiB; 0 takes the limit away. Raises OSError."""
    blocks = -(-size // 1024)
    _call(_SET_QUOTA, device, project, _Quota(hard=blocks, soft=blocks, valid=_BLOCK_LIMITS))


def confine(device: str, directory: Path, name: str, size: int) -> None:
    """Gives an empty directory a project of its own, which may hold `size` bytes. Raises OSError."""
    project = _FIRST + zlib.crc32(name.encode()) % (_LAST - _FIRST)
    # Agents share file systems without knowing of each other: a number that has a limit is somebody's.
    while limit_of(device, project):
        project = project + 1 if project < _LAST else _FIRST
    set_limit(device, project, size)
    set_project(directory, project)


def resize(device: str, directory: Path, size: int) -> None:
    """Makes the limit of a confined directory `size` bytes; others are left alone. Raises OSError."""
    project = project_of(directory)
    if project and limit_of(device, project) != -(-size // 1024) * 1024:
        set_limit(device, project, size)


def release(device: str, directory: Path) -> None:
    """Takes the limit away that a directory has which is about to go. Raises OSError."""
    project = project_of(directory)
    if project:
        set_limit(device, project, 0)
