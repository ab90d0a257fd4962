"""What happens in a directory, told by the kernel: nobody has to look again and again."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_IN_MODIFY, _IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
_IN_Q_OVERFLOW, _IN_IGNORED = 0x4000, 0x8000
_IN_ONLYDIR = 0x01000000
_HEADER = struct.Struct("iIII")
_BUFFER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the directory came (`here`) or went. With no name, changes were lost: look at all of it."""

    name: str
    here: bool


def parse(data: bytes) -> list[Change]:
    """The changes that one read of the kernel's queue gave. Raises NotADirectoryError if the directory is gone."""
    found = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        _, mask, _, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length
        if mask & _IN_IGNORED:
            raise NotADirectoryError("the directory that was watched is gone")
        if mask & _IN_Q_OVERFLOW:
            found.append(Change("", here=True))
        elif name:
            found.append(Change(name, bool(mask & (_IN_CREATE | _IN_MOVED_TO))))
    return found


class DirectoryWatch:
    """Use as a context manager, then iterate: what changes from then on is not missed. Raises OSError.

    With `contents`, writing to a file of the directory is something that happens too: see `stirred`.
    """

    def __init__(self, directory: Path, *, contents: bool = False) -> None:
        self._directory = directory
        self._mask = _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_ONLYDIR
        self._mask |= _IN_MODIFY if contents else 0
        self._descriptor = -1
        self._readable = asyncio.Event()

    def __enter__(self) -> DirectoryWatch:
        descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), f"watch {self._directory}: {os.strerror(ctypes.get_errno())}")
        if _libc.inotify_add_watch(descriptor, os.fsencode(self._directory), self._mask) < 0:
            number = ctypes.get_errno()
            os.close(descriptor)
            raise OSError(number, f"watch {self._directory}: {os.strerror(number)}")
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._readable.set)
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    async def __aiter__(self) -> AsyncIterator[Change]:
        while True:
            await self._readable.wait()
            self._readable.clear()
            try:
                data = os.read(self._descriptor, _BUFFER)
            except BlockingIOError:
                continue
            for change in parse(data):
                yield change

    async def stirred(self) -> None:
        """Waits until anything has happened since this was last asked. An alternative to iterating."""
        await self._readable.wait()
        self._readable.clear()
        with suppress(BlockingIOError):
            while len(os.read(self._descriptor, _BUFFER)) > _BUFFER // 2:
                continue
