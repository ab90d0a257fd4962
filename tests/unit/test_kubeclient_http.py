"""The HTTP/1.1 reader gives the same answer however the bytes are cut; the client repeats what is safe to repeat."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeclient.config import Config
from kubeclient.http import ConnectionLost, NotSent, Response, Stream, _Connection

PODS = resources.get("pods")


class FakeTransport:
    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return None

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.closed = True

    close = abort


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(c), c) for c in chunks if c)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\nTrailer: x\r\n\r\n"


def feed(pieces: list[bytes], close: bool = False) -> Response:
    async def run() -> Response:
        connection = _Connection(asyncio.get_running_loop())
        connection.connection_made(FakeTransport())  # type: ignore[arg-type]
        exchange = connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", streaming=False)
        waiter = exchange.waiter
        assert waiter is not None
        for piece in pieces:
            connection.data_received(piece)
        if close:
            connection.connection_lost(None)
        await waiter
        if exchange.error is not None:
            raise exchange.error
        return Response(exchange.status, exchange.headers, b"".join(exchange.pieces))

    return asyncio.run(run())


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=6),
    st.sets(st.integers(0, 400), max_size=30),
    st.booleans(),
)
def test_any_cut_gives_the_same_body(parts: list[bytes], cuts: set[int], with_length: bool) -> None:
    body = b"".join(parts)
    if with_length:
        wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
            len(body),
            body,
        )
    else:
        wire = chunked(*parts)
    edges = [0, *sorted(c for c in cuts if c < len(wire)), len(wire)]
    pieces = [wire[a:b] for a, b in itertools.pairwise(edges) if a < b]
    response = feed(pieces)
    assert response.status == 200
    assert response.body == body


def test_a_body_without_length_ends_with_the_connection() -> None:
    assert feed([b"HTTP/1.1 200 OK\r\n\r\nab", b"c"], close=True).body == b"abc"


def test_a_cut_off_body_is_an_error() -> None:
    with pytest.raises(ConnectionLost):
        feed([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"], close=True)


def test_garbage_is_an_error() -> None:
    with pytest.raises(ConnectionLost, match=r"not HTTP/1\.1"):
        feed([b"SSH-2.0\r\n\r\n"])


def test_no_content_ends_at_once() -> None:
    assert feed([b"HTTP/1.1 204 No Content\r\n\r\n"]).status == 204


async def test_a_stream_nobody_reads_is_paused() -> None:
    transport = FakeTransport()
    connection = _Connection(asyncio.get_running_loop())
    connection.connection_made(transport)  # type: ignore[arg-type]
    exchange = connection.send(b"", b"", streaming=True)
    connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    big = b"x" * (3 << 20)
    for _ in range(2):
        connection.data_received(b"%x\r\n%s\r\n" % (len(big), big))
    assert transport.paused
    async for _ in Stream(exchange, asyncio.get_running_loop()):
        if not transport.paused:
            break
    assert not transport.paused


class FakePool:
    """Answers from a script: a response, or an exception to raise."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.heads: list[str] = []

    async def request(self, head: bytes, body: bytes, timeout: float) -> Response:
        self.heads.append(head.decode())
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, Response)
        return step

    def close(self) -> None:
        self.script.clear()


def client(*script: Any) -> tuple[Client, FakePool]:
    result = Client(Config(server="http://127.0.0.1:1", token="secret"))
    pool = FakePool(*script)
    result._connections = pool  # type: ignore[assignment]
    return result, pool


def ok(body: Any) -> Response:
    return Response(200, {}, orjson.dumps(body))


def status(code: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": "no", "details": {"name": "x"}}
    return Response(code, headers or {}, orjson.dumps(body))


async def test_reads_and_named_creations_survive_a_restart_of_the_server() -> None:
    api, pool = client(NotSent("refused"), ConnectionLost("reset"), ok({"metadata": {"name": "a"}}))
    assert await api.get(PODS, "a", "ns") == {"metadata": {"name": "a"}}
    assert pool.heads[0].startswith("GET /api/v1/namespaces/ns/pods/a HTTP/1.1\r\n")
    assert "Authorization: Bearer secret\r\n" in pool.heads[0]
    api, pool = client(ConnectionLost("reset"), ok({}))
    await api.create(PODS, {"metadata": {"name": "a", "namespace": "ns"}})
    assert len(pool.heads) == 2


async def test_an_unnamed_creation_is_not_repeated_once_it_was_sent() -> None:
    api, pool = client(NotSent("refused"), ConnectionLost("reset"))
    with pytest.raises(ConnectionLost):
        await api.create(PODS, {"metadata": {"generateName": "a-", "namespace": "ns"}})
    assert len(pool.heads) == 2


async def test_patience_is_asked_for_by_retry_after_only() -> None:
    api, pool = client(status(429, "TooManyRequests", {"retry-after": "0"}), ok({}))
    await api.create(PODS, {"metadata": {"namespace": "ns"}})
    assert len(pool.heads) == 2
    api, _ = client(status(429, "TooManyRequests"))
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, {"metadata": {"namespace": "ns"}}, name="x", subresource="eviction")
    assert (caught.value.code, caught.value.reason, caught.value.details) == (
        429,
        "TooManyRequests",
        {"name": "x"},
    )


async def test_a_person_hears_of_a_refused_connection_at_once() -> None:
    api = Client(Config(server="http://127.0.0.1:1"), retry_for=0)
    api._connections = FakePool(NotSent("refused"))  # type: ignore[assignment]
    with pytest.raises(NotSent):
        await api.get(PODS, "a")


async def test_an_answer_that_is_no_status_keeps_its_text() -> None:
    api, _ = client(Response(500, {}, b"boom\n"))
    with pytest.raises(StatusError, match="boom"):
        await api.get(PODS, "a")


async def test_pages_are_joined_and_an_expired_page_starts_over() -> None:
    first = ok(
        {"metadata": {"resourceVersion": "5", "continue": "c"}, "items": [{"metadata": {"name": "a"}}]}
    )
    last = ok({"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "b"}}]})
    api, pool = client(first, last)
    items, version = await api.list(PODS, limit=1)
    assert [i["metadata"]["name"] for i in items] == ["a", "b"]
    assert (items[0]["kind"], version) == ("Pod", "5")
    assert "continue=c" in pool.heads[1]
    whole = ok({"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "z"}}]})
    api, pool = client(first, status(410, "Expired"), whole)
    items, version = await api.list(PODS, limit=1)
    assert [i["metadata"]["name"] for i in items] == ["z"]
    assert "limit" not in pool.heads[2]
