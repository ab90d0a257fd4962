"""Which way a container's log is read, how it is followed to the container's end, and the engine's frames."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeletd.inotify import DirectoryWatch
from kubeletd.runtime.dockerengine import Engine
from kubeletd.runtime.dockerlogs import DockerLogs
from kubeletd.runtime.dockerstream import Demultiplexer
from kubeletd.runtime.interface import LogOptions

SECONDS = 20


def frame(number: int, data: bytes) -> bytes:
    return bytes((number, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=9))), st.lists(st.integers(1, 12)))
def test_frames_in_whatever_pieces(said: list[tuple[int, bytes]], sizes: list[int]) -> None:
    data = b"".join(frame(number, payload) for number, payload in said)
    demultiplexer = Demultiplexer()
    found = []
    while data:
        size = sizes.pop() if sizes else len(data)
        found += demultiplexer.feed(data[:size])
        data = data[size:]
    for number, stream in ((1, "stdout"), (2, "stderr")):
        whole = b"".join(payload for kind, payload in said if kind == number)
        assert b"".join(payload for kind, payload in found if kind == stream) == whole
    in_order = [number for number, payload in said if payload for _ in payload]
    assert [1 if kind == "stdout" else 2 for kind, payload in found for _ in payload] == in_order


def test_frames_of_one_stream_come_as_one_piece() -> None:
    data = frame(1, b"a") + frame(1, b"b") + frame(2, b"c") + frame(1, b"d")
    assert Demultiplexer().feed(data) == [("stdout", b"ab"), ("stderr", b"c"), ("stdout", b"d")]


class Writer:
    closed = False

    def close(self) -> None:
        self.closed = True


class Endpoint:
    """Answers `wait` when `ended` is told, and `logs` with one frame."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ended = asyncio.StreamReader()
        self.asked: list[str] = []
        self.writers: list[Writer] = []

    async def open(self, method: str, path: str, query: Any = None) -> tuple[asyncio.StreamReader, Writer]:
        self.asked.append(path.rpartition("/")[2])
        self.writers.append(Writer())
        if path.endswith("/wait"):
            return self.ended, self.writers[-1]
        reader = asyncio.StreamReader()
        reader.feed_data(frame(1, b"of the engine\n"))
        reader.feed_eof()
        return reader, self.writers[-1]


class Logs(DockerLogs):
    def __init__(
        self, path: Path, *, url: str = "unix:///engine", running: bool = True, **config: str
    ) -> None:
        self.endpoint = Endpoint(url)
        self._engine = cast(Engine, self)

        async def inspect(container_id: str) -> dict[str, Any]:
            driver = {"Type": config.pop("driver", "json-file"), "Config": config}
            return {
                "LogPath": str(path),
                "HostConfig": {"LogConfig": driver},
                "State": {"Running": running},
                "Config": {"Tty": False},
            }

        self._inspect = inspect


def line(text: str) -> str:
    return f'{{"log":"{text}\\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}}\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "x-json.log"
    path.write_text(line("one"))
    return path


async def whole(logs: DockerLogs, options: LogOptions) -> bytes:
    async with asyncio.timeout(SECONDS):
        return b"".join([piece async for piece in logs.logs("x", options)])


async def test_a_log_is_read_from_its_file(log: Path) -> None:
    logs = Logs(log)
    assert await whole(logs, LogOptions()) == b"one\n"
    assert logs.endpoint.asked == []


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "tcp://elsewhere:2376"},
        {"driver": "journald"},
        {"compress": "true"},
        {"missing": True},
    ],
    ids=["another machine", "another driver", "compressed", "no such file"],
)
async def test_else_the_engine_is_asked(log: Path, settings: dict[str, Any]) -> None:
    path = log.parent / "none" if settings.pop("missing", False) else log
    logs = Logs(path, **settings)
    assert await whole(logs, LogOptions(follow=True)) == b"of the engine\n"
    assert logs.endpoint.asked == ["logs"]
    assert logs.endpoint.writers[0].closed


async def read_until(pieces: Any, expected: Sequence[str]) -> None:
    found = b""
    async with asyncio.timeout(SECONDS):
        while found != "".join(f"{text}\n" for text in expected).encode():
            found += await anext(pieces)


async def test_a_log_is_followed_over_rotations_to_the_containers_end(log: Path) -> None:
    logs = Logs(log)
    async with aclosing(logs.logs("x", LogOptions(follow=True))) as pieces:
        await read_until(pieces, ["one"])
        with log.open("a") as file:
            file.write(line("two"))
        await read_until(pieces, ["two"])
        log.rename(f"{log}.1")
        log.write_text(line("three"))
        await read_until(pieces, ["three"])
        with log.open("a") as file:
            file.write(line("last words"))
        logs.endpoint.ended.feed_eof()
        await read_until(pieces, ["last words"])
        assert await anext(pieces, None) is None
    assert logs.endpoint.asked == ["wait"]
    assert logs.endpoint.writers[0].closed


async def test_who_stops_following_leaves_nothing_open(log: Path) -> None:
    logs = Logs(log)
    before = set(asyncio.all_tasks())
    async with aclosing(logs.logs("x", LogOptions(follow=True))) as pieces:
        await read_until(pieces, ["one"])
        waiting = asyncio.create_task(anext(pieces))
        await asyncio.sleep(0)  # it begins to wait
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert logs.endpoint.writers[0].closed
    assert set(asyncio.all_tasks()) == before


async def test_the_log_of_a_container_that_has_ended_ends(log: Path) -> None:
    logs = Logs(log, running=False)
    assert await whole(logs, LogOptions(follow=True)) == b"one\n"
    assert logs.endpoint.asked == []


async def test_a_log_that_cannot_be_watched_is_followed_by_the_engine(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(watch: DirectoryWatch) -> DirectoryWatch:
        raise OSError(errno.EMFILE, "too many of them")

    monkeypatch.setattr(DirectoryWatch, "__enter__", none_left)
    logs = Logs(log)
    assert await whole(logs, LogOptions(follow=True)) == b"of the engine\n"
    assert logs.endpoint.asked == ["logs"]
