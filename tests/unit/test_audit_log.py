"""The audit log's files: everything written in order, whole lines in each, old files put away and removed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from apiserver.audit import log
from apiserver.audit.log import AuditLog


def written(path: Path, lines: list[bytes], **options: int) -> AuditLog:
    audit = AuditLog(str(path), **options)
    audit.start()
    for line in lines:
        audit.write(line)
    audit.close()
    return audit


def backups(path: Path) -> list[Path]:
    return sorted(p for p in path.parent.iterdir() if p != path)


def test_all_lines_are_there_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "made" / "audit.log"
    lines = [b"line %d\n" % i for i in range(5000)]
    assert written(path, lines).lost == 0
    assert path.read_bytes() == b"".join(lines)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_start_adds_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    written(path, [b"one\n"])
    written(path, [b"two\n"])
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_full_file_is_put_away_and_another_begun(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    lines = [b"%09d\n" % i for i in range(35)]
    written(path, lines, max_size=100)
    old = backups(path)
    assert [len(p.read_bytes()) for p in [*old, path]] == [100, 100, 100, 50]
    assert b"".join(p.read_bytes() for p in [*old, path]) == b"".join(lines)
    assert all(re.fullmatch(r"audit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log", p.name) for p in old)


def test_no_more_old_files_than_asked_for_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    other = tmp_path / "audit-notes.log"
    other.write_text("not ours")
    lines = [b"%09d\n" % i for i in range(55)]
    written(path, lines, max_size=100, max_backups=2)
    old = [p for p in backups(path) if p != other]
    assert len(old) == 2 and other.exists()
    assert b"".join(p.read_bytes() for p in [*old, path]) == b"".join(lines[30:])


def test_files_of_long_ago_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    ancient = tmp_path / "audit-2001-02-03T04-05-06.789.log"
    ancient.write_text("long ago")
    written(path, [b"%09d\n" % i for i in range(15)], max_size=100, max_age=30)
    assert not ancient.exists()
    assert len(backups(path)) == 1


def test_what_cannot_be_written_is_counted_and_the_next_is_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = AuditLog(str(path))
    big = b"x" * log.MOST_PENDING
    audit.write(big)
    audit.write(b"too much\n")
    assert audit.lost == 1
    audit.start()
    audit.close()
    assert path.stat().st_size == len(big)
    os.truncate(path, 0)
