"""Logs as the engine keeps them in json-file files: what is read is what was written, whichever way it was cut."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeletd.runtime import jsonfile, logfiles
from kubeletd.runtime.logfiles import LogReader
from kubeletd.runtime.specs import LogOptions

BEGAN = 1_700_000_000


def time_of(seconds: int, nanoseconds: int) -> str:
    """As the engine writes it: without zeros at the end."""
    whole = datetime.fromtimestamp(BEGAN + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return f"{whole}{fraction}Z"


def entry(text: str, seconds: int = 0, stream: str = "stdout", nanoseconds: int = 5) -> bytes:
    fields = {"log": text, "stream": stream, "time": time_of(seconds, nanoseconds)}
    raw = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return raw.replace("<", "\\u003c").encode() + b"\n"


def write(directory: str, *files: list[bytes]) -> str:
    """The files of a log, the oldest first. Gives the path of the newest."""
    path = os.path.join(directory, "x-json.log")
    for number, entries in enumerate(reversed(files)):
        Path(f"{path}.{number}" if number else path).write_bytes(b"".join(entries))
    return path


def text(reader: LogReader) -> bytes:
    found = []
    while (pieces := reader.read()) is not None:
        found += pieces
    return b"".join(found)


def read(path: str, options: LogOptions) -> bytes:
    with closing(LogReader(path, options)) as reader:
        return text(reader)


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    """Small blocks, to have many borders."""
    kept = logfiles._BLOCK, logfiles._TAIL_BLOCK
    logfiles._BLOCK = logfiles._TAIL_BLOCK = size
    try:
        yield
    finally:
        logfiles._BLOCK, logfiles._TAIL_BLOCK = kept


PIECE = st.text(
    st.one_of(st.sampled_from('ab"\\<{}n,\t\x1b\u2028é'), st.characters(exclude_categories=["Cs"])),
    max_size=12,
).map(lambda piece: piece.replace("\n", ""))
ENTRY = st.tuples(
    st.one_of(PIECE, st.sampled_from(["\\n", '","stream":"stdout","time":"x"}', '{"log":"'])),
    st.booleans(),  # ends its line
    st.sampled_from(["stdout", "stderr"]),
    st.integers(0, 2),  # seconds after the one before
    st.sampled_from([0, 5, 120_000_000, 123_456_789]),
)
FILES = st.lists(st.lists(ENTRY, max_size=8), min_size=1, max_size=4)
OPTIONS = st.builds(
    LogOptions,
    timestamps=st.booleans(),
    since=st.sampled_from([0.0, BEGAN + 1.0, BEGAN + 3.5, BEGAN + 900.0]),
    tail=st.integers(-1, 9),
    stdout=st.booleans(),
    stderr=st.booleans(),
)


@given(FILES, OPTIONS, st.integers(20, 400))
@settings(max_examples=300, deadline=None)
def test_what_is_read_is_what_was_asked_for(
    files: list[list[tuple[str, bool, str, int, int]]], options: LogOptions, block: int
) -> None:
    seconds, entries = 0, []
    written: list[list[bytes]] = []
    for file in files:
        written.append([])
        for piece, ends, stream, later, nanoseconds in file:
            seconds += later
            said = piece + "\n" * ends or "-"
            entries.append((said, stream, seconds, nanoseconds))
            written[-1].append(entry(said, seconds, stream, nanoseconds))
    first = len(entries)
    lines = 0
    while first and options.tail >= 0:
        if lines == 0 or entries[first - 1][0].endswith("\n"):
            if lines == options.tail:
                break
            lines += 1
        first -= 1
    expected, at_start = "", True
    for said, stream, second, nanoseconds in entries[first if options.tail >= 0 else 0 :]:
        late = BEGAN + second + nanoseconds / 1e9 >= options.since
        if not late or not (options.stdout if stream == "stdout" else options.stderr):
            continue
        if options.timestamps and at_start:
            expected += f"{time_of(second, 0)[:-1]}.{nanoseconds:09}Z "
        expected += said
        at_start = said.endswith("\n")
    with TemporaryDirectory() as directory, blocks_of(block):
        path = write(directory, *written)
        assert read(path, options) == expected.encode()
        # Followed, it begins with the same.
        assert read(path, replace(options, follow=True)) == expected.encode()


@given(st.lists(st.tuples(PIECE, st.booleans()), min_size=1))
def test_ways_to_decode_agree(said: list[tuple[str, bool]]) -> None:
    texts = [piece + "\n" * ends or "-" for piece, ends in said]
    block = b"".join(map(entry, texts))
    whole = "".join(texts).encode()
    assert "".join(found["log"] for found in jsonfile.decode(block)).encode() == whole
    assert jsonfile.escaped_text(block) == whole
    assert jsonfile.plain_lines(block) in (whole, None)


def test_lines_without_escapes_are_decoded_in_one_step() -> None:
    assert jsonfile.plain_lines(entry("one\n") + entry("two\n", stream="stderr")) == b"one\ntwo\n"
    assert jsonfile.plain_lines(entry("one\n") + entry("tw") + entry("o\n")) is None


def test_entries_with_more_fields_and_what_is_no_entry(tmp_path: Path) -> None:
    labelled = b'{"log":"b\\n","attrs":{"tag":"\\"t\\""},"stream":"stdout","time":"2023-11-14T22:13:20Z"}\n'
    without = b'{"stream":"stdout","time":"2023-11-14T22:13:20Z"}\n'
    broken = b"\0\0\0\0\n"
    path = write(str(tmp_path), [entry("a\n"), labelled, without, broken, entry("c\n")])
    assert read(path, LogOptions()) == b"a\nb\nc\n"
    assert read(path, LogOptions(tail=1)) == b"c\n"
    assert read(path, LogOptions(timestamps=True, tail=1)) == b"2023-11-14T22:13:20.000000005Z c\n"


def test_a_line_longer_than_any_block(tmp_path: Path) -> None:
    long = "\x01" * 16384  # six bytes each, as the engine writes them
    path = write(str(tmp_path), [entry("a\n"), entry(long), entry(long + "\n"), entry("b\n")])
    with blocks_of(1000):
        assert read(path, LogOptions()) == f"a\n{long}{long}\nb\n".encode()
        assert read(path, LogOptions(tail=2)) == f"{long}{long}\nb\n".encode()


def test_what_is_written_while_it_is_read_is_left_to_who_follows(tmp_path: Path) -> None:
    path = write(str(tmp_path), [entry("a\n")])
    with (
        closing(LogReader(path, LogOptions())) as once,
        closing(LogReader(path, LogOptions(follow=True))) as following,
    ):
        with open(path, "ab") as log:
            log.write(entry("b\n"))
        assert (text(once), text(following)) == (b"a\n", b"a\nb\n")


def test_half_an_entry_waits_for_the_other_half(tmp_path: Path) -> None:
    path = write(str(tmp_path), [entry("a\n")])
    raw = entry("b\n")
    with closing(LogReader(path, LogOptions(follow=True, tail=0))) as reader, open(path, "ab", 0) as log:
        log.write(raw[:10])
        assert text(reader) == b""
        log.write(raw[10:])
        assert text(reader) == b"b\n"


def rotate(path: str, keep: int) -> None:
    """As the engine does it: renames, then creates."""
    for number in range(keep - 1, 0, -1):
        older = f"{path}.{number - 1}" if number > 1 else path
        if os.path.exists(older):
            os.replace(older, f"{path}.{number}")
    Path(path).touch()


@pytest.mark.parametrize("between_reads", [1, 2, 3])
def test_rotations_are_followed(tmp_path: Path, between_reads: int) -> None:
    path = write(str(tmp_path), [entry("start\n")])
    expected, found = "start\n", b""
    with closing(LogReader(path, LogOptions(follow=True))) as reader:
        for number in range(12):
            with open(path, "ab") as log:
                log.write(entry(f"{number}\n"))
            expected += f"{number}\n"
            if number % between_reads == 0:
                found += text(reader)
            with open(path, "ab") as log:
                log.write(entry(f"{number} again\n"))
            expected += f"{number} again\n"
            rotate(path, 5)
        found += text(reader)
    assert found.decode() == expected


def test_a_follower_that_was_too_slow_goes_on_with_the_oldest(tmp_path: Path) -> None:
    path = write(str(tmp_path), [entry("start\n")])
    with closing(LogReader(path, LogOptions(follow=True))) as reader:
        assert text(reader) == b"start\n"
        for number in range(5):
            with open(path, "ab") as log:
                log.write(entry(f"{number}\n"))
            rotate(path, 3)
        assert text(reader) == b"0\n3\n4\n"  # of the file that it held open, and of those there are


def test_in_the_midst_of_a_rotation_nothing_is_lost(tmp_path: Path) -> None:
    path = write(str(tmp_path), [entry("a\n")], [entry("b\n")])
    with closing(LogReader(path, LogOptions(follow=True))) as reader:
        assert text(reader) == b"a\nb\n"
        os.replace(path, f"{path}.1")
        assert text(reader) == b""
        Path(path).write_bytes(entry("c\n"))
        assert text(reader) == b"c\n"


def test_a_log_of_one_file_begins_again_in_it(tmp_path: Path) -> None:
    path = write(str(tmp_path), [entry("a\n"), entry("b\n")])
    with closing(LogReader(path, LogOptions(follow=True))) as reader:
        assert text(reader) == b"a\nb\n"
        Path(path).write_bytes(entry("c\n"))
        assert text(reader) == b"c\n"


def test_a_tail_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(str(tmp_path), *([entry(f"{number}\n") for number in range(20_000)] for _ in range(3)))
    taken = 0
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal taken
        data = pread(descriptor, size, offset)
        taken += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    assert read(path, LogOptions(tail=2)) == b"19998\n19999\n"
    assert taken < 200_000


def test_a_closed_reader_has_nothing_more(tmp_path: Path) -> None:
    reader = LogReader(write(str(tmp_path), [entry("a\n")]), LogOptions(follow=True))
    reader.close()
    assert reader.read() is None
    with pytest.raises(FileNotFoundError):
        LogReader(str(tmp_path / "none"), LogOptions())


def test_files_renamed_while_they_are_looked_at_are_not_mistaken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the directory meets the next step of a rotation."""
    path = write(str(tmp_path), [entry("a\n")], [entry("b\n")], [entry("c\n")], [entry("d\n")])
    listdir = os.listdir
    steps = [
        lambda: os.replace(f"{path}.3", f"{path}.4"),
        lambda: os.replace(f"{path}.2", f"{path}.3"),
        lambda: os.replace(f"{path}.1", f"{path}.2"),
        lambda: os.replace(path, f"{path}.1"),
        lambda: Path(path).write_bytes(entry("e\n")),
    ]

    def listed(directory: str) -> list[str]:
        found = listdir(directory)
        if steps:
            steps.pop(0)()
        return found

    monkeypatch.setattr(os, "listdir", listed)
    assert read(path, LogOptions()) == b"a\nb\nc\nd\ne\n"


@pytest.mark.parametrize("behind", [1, 2, 3])
def test_a_follower_in_the_midst_of_renamings_takes_the_right_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    path = write(str(tmp_path), [entry("start\n")])
    with closing(LogReader(path, LogOptions(follow=True))) as reader:
        assert text(reader) == b"start\n"
        for number in range(behind):
            rotate(path, 9)
            Path(path).write_bytes(entry(f"{number}\n"))
        # The next rotation happens while the follower looks for what comes after its file, a step a look.
        steps = [(f"{path}.{number}", f"{path}.{number + 1}") for number in range(behind, 0, -1)]
        steps.append((path, f"{path}.1"))
        stat = os.stat

        def looked(name: str) -> os.stat_result:
            if steps:
                os.replace(*steps.pop(0))
            return stat(name)

        monkeypatch.setattr(os, "stat", looked)
        found = text(reader)
        monkeypatch.undo()
        Path(path).write_bytes(entry("end\n"))
        found += text(reader)
    assert found.decode().split() == [*map(str, range(behind)), "end"]
