"""SPDY/3.1: frames survive any cutting, and streams hold no more than they may."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.errors import StatusError
from apiserver import spdy
from apiserver.streams_session import Resize, Stdin
from apiserver.streams_spdy import SpdyCommand, SpdyConnection, SpdyForward, SpdyStream

SECONDS = 10


def test_the_dictionary_is_the_protocols() -> None:
    # The length and the checksum that every SPDY/3 implementation has.
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


_text = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="ABCDEFGHIJKLMNOPQRSTUVWXYZ")
)
_headers = st.dictionaries(_text, _text, max_size=4)
_stream = st.integers(1, 0x7FFFFFFF)
_frames = st.one_of(
    st.builds(spdy.SynStream, _stream, _headers, st.booleans()),
    st.builds(spdy.SynReply, _stream, _headers, st.booleans()),
    st.builds(spdy.Data, _stream, st.binary(max_size=300), st.booleans()),
    st.builds(spdy.Reset, _stream, st.integers(1, 11)),
    st.builds(spdy.Ping, st.integers(1, 2**32 - 1)),
    st.builds(spdy.GoAway, _stream, st.integers(0, 2)),
)


@settings(max_examples=200, deadline=None)
@given(frames=st.lists(_frames, max_size=8), cuts=st.lists(st.integers(1, 50), min_size=1))
def test_frames_survive_any_cutting(frames: list[spdy.Frame], cuts: list[int]) -> None:
    encoder, decoder = spdy.Encoder(), spdy.Decoder()
    wire = b"".join(encoder.encode(frame) for frame in frames)
    found: list[spdy.Frame] = []
    at = turn = 0
    while at < len(wire):
        step = cuts[turn % len(cuts)]
        found += decoder.feed(wire[at : at + step])
        at, turn = at + step, turn + 1
    assert found == frames


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_or_ignored(data: bytes) -> None:
    try:
        list(spdy.Decoder().feed(data))
    except spdy.SpdyError:
        return


def test_headers_that_unpack_to_too_much_are_refused() -> None:
    bomb = spdy.Encoder().encode(spdy.SynStream(1, {"a": "x" * 1_000_000}))
    assert len(bomb) < 10_000
    with pytest.raises(spdy.SpdyError, match="too long"):
        list(spdy.Decoder().feed(bomb))


class Pipe:
    """The client's end of a connection in memory; implements the server's `Transport`."""

    def __init__(self) -> None:
        self.encoder, self.decoder = spdy.Encoder(), spdy.Decoder()
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._frames: asyncio.Queue[spdy.Frame] = asyncio.Queue()
        self.closed = False

    async def read(self) -> bytes:
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionResetError
        for frame in self.decoder.feed(data):
            self._frames.put_nowait(frame)

    async def close(self) -> None:
        self.closed = True

    def send(self, *frames: spdy.Frame) -> None:
        for frame in frames:
            self._incoming.put_nowait(self.encoder.encode(frame))

    def hang_up(self) -> None:
        self._incoming.put_nowait(b"")

    @property
    def unread(self) -> int:
        return self._incoming.qsize()

    async def receive(self) -> spdy.Frame:
        async with asyncio.timeout(SECONDS):
            return await self._frames.get()

    async def until_idle(self) -> None:
        """Let the server take all that it will take."""
        before = -1
        while before != self.unread:
            before = self.unread
            for _ in range(10):
                await asyncio.sleep(0)


@asynccontextmanager
async def command(
    *kinds: str, protocol: str = "v4.channel.k8s.io"
) -> AsyncIterator[tuple[Pipe, SpdyCommand]]:
    pipe = Pipe()
    made = SpdyCommand(pipe, protocol, set(kinds))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.run())
        for number, kind in enumerate(kinds):
            pipe.send(spdy.SynStream(2 * number + 1, {"streamtype": kind}))
            assert isinstance(await pipe.receive(), spdy.SynReply)
        assert await made.opened()
        yield pipe, made
        running.cancel()


async def test_a_command_gets_input_and_sizes_and_sends_output() -> None:
    async with command("error", "stdin", "stdout", "resize") as (pipe, made):
        inputs = made.inputs()
        pipe.send(spdy.Data(3, b"abc"))
        assert await anext(inputs) == Stdin(b"abc")
        pipe.send(spdy.Data(7, b'{"Width":80,"Hei'))
        pipe.send(spdy.Data(7, b'ght":24}\n'))
        assert await anext(inputs) == Resize(80, 24)
        pipe.send(spdy.Data(3, b"", fin=True))
        assert await anext(inputs) == Stdin(b"")
        await made.send("stdout", b"out")
        assert await pipe.receive() == spdy.Data(5, b"out")
        await made.finish()
        assert [await pipe.receive() for _ in range(3)] == [
            spdy.Data(5, b"", True),
            spdy.Data(1, b"", True),
            spdy.GoAway(7),
        ]


async def test_input_nobody_takes_is_left_with_the_client() -> None:
    async with command("error", "stdin") as (pipe, made):
        pipe.send(*[spdy.Data(3, b"x" * 65536)] * 64)
        await pipe.until_idle()
        assert pipe.unread > 40
        taken = 0
        async for given_ in made.inputs():
            assert isinstance(given_, Stdin)
            taken += len(given_.data)
            if taken == 64 * 65536:
                break


async def test_a_client_that_hangs_up_ends_the_input() -> None:
    async with command("error", "stdin") as (pipe, made):
        pipe.hang_up()
        async with asyncio.timeout(SECONDS):
            assert [given_ async for given_ in made.inputs()] == [Stdin(b"")]
        with pytest.raises(ConnectionError):
            await made.send("error", b"x")


async def test_pings_are_answered_and_strange_streams_reset() -> None:
    async with command("error") as (pipe, _):
        pipe.send(spdy.Ping(1))
        assert await pipe.receive() == spdy.Ping(1)
        pipe.send(spdy.SynStream(9, {"streamtype": "stdin"}))
        assert isinstance(await pipe.receive(), spdy.SynReply)
        assert await pipe.receive() == spdy.Reset(9, spdy.CANCEL)


async def test_a_stream_cannot_be_opened_twice() -> None:
    pipe = Pipe()

    async def opened(stream: SpdyStream) -> None:
        return

    pipe.send(spdy.SynStream(1, {}), spdy.SynStream(1, {}))
    async with asyncio.timeout(SECONDS):
        await SpdyConnection(pipe, opened).serve()


async def test_forwarded_connections_are_pairs_and_errors_are_told() -> None:
    pipe = Pipe()

    async def echo(port: int, stream: SpdyStream) -> None:
        if port == 81:
            raise StatusError(500, "InternalError", "connection refused")
        while data := await stream.read():
            await stream.write(data.upper())

    async with asyncio.TaskGroup() as group:
        group.create_task(SpdyForward(pipe, echo).run())
        for number, (kind, port, request) in enumerate(
            [("error", "80", "0"), ("data", "80", "0"), ("error", "81", "1"), ("data", "81", "1")]
        ):
            headers = {"streamtype": kind, "port": port, "requestid": request}
            pipe.send(spdy.SynStream(2 * number + 1, headers))
        pipe.send(spdy.Data(3, b"hi", fin=True))
        found = [await pipe.receive() for _ in range(4 + 6)]
        pipe.hang_up()
    assert spdy.Data(3, b"HI") in found
    assert spdy.Data(5, b"connection refused") in found
    assert {frame.stream for frame in found if isinstance(frame, spdy.Data) and frame.fin} == {1, 3, 5, 7}


async def test_connections_end_with_the_client() -> None:
    pipe = Pipe()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(port: int, stream: SpdyStream) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    pipe.send(
        spdy.SynStream(1, {"streamtype": "error", "port": "80", "requestid": "0"}),
        spdy.SynStream(3, {"streamtype": "data", "port": "80", "requestid": "0"}),
    )
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        group.create_task(SpdyForward(pipe, hang).run())
        await begun.wait()
        pipe.hang_up()
    assert ended.is_set()
