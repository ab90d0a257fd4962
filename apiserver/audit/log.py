"""The audit log: lines written to a file by a thread of its own, so that no request waits for the disk."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Condition, Thread
from typing import BinaryIO

logger = logging.getLogger(__name__)

#: What may wait to be written. What comes while so much waits is lost, and counted.
MOST_PENDING = 32 << 20
_STAMP = "%Y-%m-%dT%H-%M-%S"


class AuditLog:
    """`path` is "-" for standard output. Older files are `<name>-<time><suffix>` beside it.

    A file that would grow over `max_size` bytes is closed and another begun; older ones than `max_age` days, and all
    but the last `max_backups`, are removed. 0 is no limit.
    """

    def __init__(self, path: str, *, max_size: int = 0, max_age: int = 0, max_backups: int = 0) -> None:
        self._path = None if path == "-" else Path(path)
        self._max_size = max_size
        self._max_age = max_age
        self._max_backups = max_backups
        self._pending: deque[bytes] = deque()
        self._bytes = 0
        self._closing = False
        self._condition = Condition()
        self._file: BinaryIO | None = None
        self._size = 0
        self._rotated = datetime.min.replace(tzinfo=UTC)
        #: Lines that could not be written.
        self.lost = 0
        self._thread = Thread(target=self._run, name="audit-log", daemon=True)

    def start(self) -> None:
        """Open the file. Raises OSError."""
        self._open()
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Have a line written soon; never blocks for long."""
        with self._condition:
            if self._bytes + len(line) > MOST_PENDING:
                self.lost += 1
                return
            self._pending.append(line)
            self._bytes += len(line)
            self._condition.notify()

    def close(self) -> None:
        """Write all that waits, and close the file."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._pending and not self._closing:
                    self._condition.wait()
                lines = list(self._pending)
                self._pending.clear()
                self._bytes = 0
            if not lines:
                break
            try:
                self._write(lines)
            except OSError as error:
                self.lost += len(lines)
                logger.error("cannot write the audit log: %s", error)
        if self._file is not None and self._path is not None:
            self._file.close()

    def _write(self, lines: list[bytes]) -> None:
        part: list[bytes] = []
        size = self._size
        for line in lines:
            if self._max_size and self._path is not None and size and size + len(line) > self._max_size:
                self._flush(part)
                self._rotate()
                part, size = [], 0
            part.append(line)
            size += len(line)
        self._flush(part)

    def _flush(self, lines: list[bytes]) -> None:
        if not lines:
            return
        if self._file is None:
            self._open()
        assert self._file is not None
        self._size += self._file.write(b"".join(lines))
        self._file.flush()

    def _open(self) -> None:
        if self._path is None:
            self._file = sys.stdout.buffer
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
        self._size = self._path.stat().st_size

    def _rotate(self) -> None:
        assert self._path is not None
        if self._file is not None:
            self._file.close()
            self._file = None
        # Names sort by age, though two files be full in the same millisecond.
        now = max(datetime.now(UTC), self._rotated + timedelta(milliseconds=1))
        stem, suffix = self._path.stem, self._path.suffix
        target = self._backup(now)
        while target.exists():
            now += timedelta(milliseconds=1)
            target = self._backup(now)
        self._rotated = now
        self._path.rename(target)
        self._open()
        pattern = re.compile(re.escape(stem) + r"-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}" + re.escape(suffix))
        backups = sorted(
            (p for p in self._path.parent.iterdir() if pattern.fullmatch(p.name)), key=lambda p: p.name
        )
        gone = backups[: -self._max_backups] if self._max_backups else []
        if self._max_age:
            oldest = self._backup(now - timedelta(days=self._max_age)).name
            gone += [p for p in backups if p.name < oldest]
        for backup in gone:
            backup.unlink(missing_ok=True)

    def _backup(self, moment: datetime) -> Path:
        assert self._path is not None
        stamp = f"{moment:{_STAMP}}.{moment.microsecond // 1000:03d}"
        return self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
