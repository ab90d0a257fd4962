"""Reads a container's log where the engine keeps it: `<path>` and, rotated, `<path>.1` (newer), `<path>.2`, ...

The engine renames and creates while we read: files are known by their inodes, which stay while they are open here.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from kubeletd.runtime import jsonfile
from kubeletd.runtime.specs import LogOptions

_BLOCK = (
    120 * 1024
)  # bytes read and decoded at once: less than what malloc would map, and zero, each time anew
_AT_ONCE = 8  # blocks in one go: going to a thread and back costs as much as decoding one
_TAIL_BLOCK = 64 * 1024
_ATTEMPTS = 100  # to see the files between two renamings


@dataclass(slots=True)
class _File:
    descriptor: int
    inode: int
    position: int = 0
    end: int | None = None  # where to stop; None: where it ends


def _open(path: str) -> _File:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return _File(descriptor, os.fstat(descriptor).st_ino)


def _inode(path: str) -> int:
    """0: there is no such file at the moment."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def _seen(path: str) -> list[tuple[str, int]]:
    """The files there are, the newest first, and their inodes. Two alike, and nothing was renamed between."""
    directory, base = os.path.split(path)
    numbers = sorted(
        int(name[len(base) + 1 :])
        for name in os.listdir(directory)
        if name.startswith(base + ".") and name[len(base) + 1 :].isdigit()
    )
    return [(name, _inode(name)) for name in (path, *(f"{path}.{number}" for number in numbers))]


def _open_all(path: str) -> list[_File]:
    """All files of a log, the oldest first. Raises OSError."""
    left = _ATTEMPTS
    while True:
        left -= 1
        files: list[_File] = []
        try:
            seen = _seen(path)
            for name, _ in seen:
                files.append(_open(name))
            opened = [(name, file.inode) for (name, _), file in zip(seen, files, strict=True)]
            if not left or opened == seen == _seen(path):
                return files[::-1]
        except OSError as error:
            _close(files)
            if not left or not isinstance(error, FileNotFoundError):
                raise
        else:
            _close(files)


def _close(files: list[_File]) -> None:
    for file in files:
        os.close(file.descriptor)


def _tail_position(file: _File, wanted: int, seen: int) -> tuple[int, int, bool]:
    """Where in a file the `wanted` last lines begin, how many are found now, and whether that is all of them."""
    end = file.end if file.end is not None else os.fstat(file.descriptor).st_size
    held = b""
    while end:
        begin = max(0, end - _TAIL_BLOCK)
        held = os.pread(file.descriptor, end - begin, begin) + held
        end = begin
        # What comes before the first newline is whole only at the beginning of the file.
        cut = held.find(b"\n") + 1 if begin else 0
        last = held.rfind(b"\n") + 1
        if cut >= last:
            continue
        lines = held[cut : last - 1].split(b"\n")
        taken, seen = jsonfile.tail(lines, wanted, seen)
        if taken < len(lines):
            return begin + cut + sum(len(line) + 1 for line in lines[: len(lines) - taken]), seen, True
        held = held[:cut]
    return 0, seen, False


class LogReader:
    """A log from where `options` say. Methods block; a lock lets `close` wait for a `read` in another thread.

    Without `follow`, what is written after the start is not read. Raises OSError where the files cannot be read.
    """

    def __init__(self, path: str, options: LogOptions) -> None:
        self.path = path
        self._follow = options.follow
        self._decoder = jsonfile.Decoder(options)
        self._lock = threading.Lock()
        self._files = _open_all(path)  # the one being read first
        self._rotated = False  # nothing will be written any more to the one being read
        newest = self._files[-1]
        try:
            newest.end = os.fstat(newest.descriptor).st_size
            if options.tail >= 0:
                self._skip_to_tail(options.tail)
        except BaseException:
            self.close()
            raise
        if self._follow:
            newest.end = None

    def _skip_to_tail(self, wanted: int) -> None:
        seen = 0
        for index in range(len(self._files) - 1, -1, -1):
            file = self._files[index]
            if not wanted:
                file.position, found = file.end or 0, True
            else:
                file.position, seen, found = _tail_position(file, wanted, seen)
            if found:
                _close(self._files[:index])
                del self._files[:index]
                return

    def close(self) -> None:
        with self._lock:
            files, self._files = self._files, []
            _close(files)

    def read(self) -> list[bytes] | None:
        """The next pieces of text, possibly none; None where nothing more has been written yet."""
        with self._lock:
            pieces: list[bytes] = []
            for _ in range(_AT_ONCE):
                block = self._next()
                if not block:
                    return pieces or None
                if text := self._decoder.feed(block):
                    pieces.append(text)
            return pieces

    def _next(self) -> bytes:
        """The next block of whole entries, of whichever file; b"" where there is no more."""
        while self._files:
            block = self._block(self._files[0])
            if block or not self._advance():
                return block
        return b""

    def _block(self, file: _File) -> bytes:
        """The next whole entries of a file; nothing where there is no whole one."""
        size = _BLOCK
        while True:
            wanted = size if file.end is None else min(size, file.end - file.position)
            data = os.pread(file.descriptor, wanted, file.position) if wanted > 0 else b""
            whole = data.rfind(b"\n") + 1
            if whole:
                file.position += whole
                return data[:whole] if whole < len(data) else data
            if len(data) < size:
                return b""
            size *= 2  # one entry longer than that

    def _advance(self) -> bool:
        """At the end of a file: whether there is something more to read after all."""
        file = self._files[0]
        if len(self._files) > 1:
            os.close(self._files.pop(0).descriptor)
            return True
        if not self._follow:
            return False
        if os.fstat(file.descriptor).st_size < file.position:
            file.position = 0  # a log of one file begins again in it
            return True
        if not self._rotated:
            # What was written until the renaming is read before the next file.
            self._rotated = _inode(self.path) not in (0, file.inode)
            return self._rotated
        following = self._open_after(file.inode)
        if following is None:
            return False
        os.close(file.descriptor)
        self._files, self._rotated = [following], False
        return True

    def _open_after(self, inode: int) -> _File | None:
        """The file that came after one, or the oldest where that one is deleted. None in the midst of renamings."""
        for _ in range(_ATTEMPTS):
            seen = _seen(self.path)
            place = next((i for i, (_, found) in enumerate(seen) if found == inode), len(seen))
            if not place:
                return None
            try:
                following = _open(seen[place - 1][0])
            except FileNotFoundError:
                continue
            if seen == _seen(self.path):
                return following
            os.close(following.descriptor)
        return None
