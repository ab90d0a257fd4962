"""The channel to etcd: TLS, messages larger than its windows, members that refuse, are silent or go away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from etcd_server import EtcdServers, Tls, etcd_servers, free_ports
from storage_engines import new_prefix

from apiserver import pki
from apiserver.storage import grpcconnection, http2
from apiserver.storage.etcd import EtcdStore
from apiserver.storage.grpcchannel import Channel
from apiserver.storage.grpcconnection import CallError, Code
from apiserver.storage.interface import Put, StorageError


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    directory = tmp_path_factory.mktemp("tls")
    authority = pki.create_ca("etcd")
    serving = pki.issue_node(authority, "etcd", ("127.0.0.1",))
    files = Tls(directory / "ca.crt", directory / "etcd.crt", directory / "etcd.key")
    files.ca.write_bytes(authority.pem)
    files.certificate.write_bytes(serving.certificate)
    files.key.write_bytes(serving.key)
    return files


@pytest.fixture(scope="module")
def secured(tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServers]:
    with etcd_servers(tmp_path_factory.mktemp("etcd"), tls=tls) as servers:
        yield servers


async def _write_read_and_watch_large_values(store: EtcdStore) -> None:
    prefix = new_prefix()
    values = {f"{prefix}{n}": bytes([n]) * 1_000_000 for n in range(20)}
    start = (await store.current_revision()) + 1
    await asyncio.gather(*(store.txn([], [Put(key, value)]) for key, value in values.items()))
    found = await store.range(prefix)
    assert {kv.key: kv.value for kv in found.kvs} == values
    seen: dict[str, bytes] = {}
    async with asyncio.timeout(20), aclosing(store.watch(prefix, start)) as watch:  # type: ignore[type-var]
        async for _, events in watch:
            seen |= {event.kv.key: event.kv.value for event in events}
            if len(seen) == len(values):
                break
    assert seen == values


async def test_values_larger_than_the_windows(etcd: EtcdServers) -> None:
    store = EtcdStore(etcd.endpoints)
    await store.start()
    try:
        await _write_read_and_watch_large_values(store)
    finally:
        await store.close()


async def test_values_larger_than_the_windows_over_tls(secured: EtcdServers, tls: Tls) -> None:
    store = EtcdStore(
        secured.endpoints, ca_file=str(tls.ca), cert_file=str(tls.certificate), key_file=str(tls.key)
    )
    await store.start()
    try:
        await _write_read_and_watch_large_values(store)
        lease = await store.grant_lease(30)
        await store.keep_lease_alive(lease)
        await store.revoke_lease(lease)
    finally:
        await store.close()


async def test_files_for_tls_that_are_missing_are_named(tmp_path: Path) -> None:
    store = EtcdStore(["https://127.0.0.1:1"], ca_file=str(tmp_path / "none.crt"))
    with pytest.raises(StorageError, match=r"cannot read .*none\.crt"):
        await store.start()


async def test_a_refused_connection_was_not_sent_anything() -> None:
    channel = Channel("127.0.0.1", free_ports(1)[0], None)
    with pytest.raises(CallError) as refused:
        await channel.call("/x/Y", b"", 5.0)
    assert refused.value.code == Code.UNAVAILABLE
    assert not refused.value.sent
    await channel.close()


class Peer:
    """Accepts connections; what it does with a request is `answer(writer, stream)`."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.writers: list[asyncio.StreamWriter] = []
        self.connected = asyncio.Event()

    async def __aenter__(self) -> Channel:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return Channel("127.0.0.1", self._server.sockets[0].getsockname()[1], None)

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in self.writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connected.set()
        await reader.readexactly(len(http2.PREFACE))
        writer.write(http2.settings({http2.MAX_FRAME_SIZE: 16_384}))
        while True:
            try:
                size, kind, _, _ = http2.head(await reader.readexactly(http2.HEAD_SIZE), 0)
                await reader.readexactly(size)
            except asyncio.IncompleteReadError:
                return
            if kind == http2.HEADERS and self._answer is not None:
                writer.write(self._answer)


ENDINGS = {
    "going away": (http2.frame(http2.GOAWAY, 0, 0, b"\0" * 8), Code.UNAVAILABLE, False),
    "refused": (http2.reset(1, http2.REFUSED_STREAM), Code.UNAVAILABLE, False),
    "cancelled": (http2.reset(1, http2.CANCEL), Code.CANCELLED, True),
    "calm down": (http2.reset(1, http2.ENHANCE_YOUR_CALM), Code.RESOURCE_EXHAUSTED, True),
    "not HTTP/2": (b"HTTP/1.1 400 Bad Request\r\n\r\n", Code.UNAVAILABLE, True),
    "not gRPC": (http2.frame(http2.HEADERS, http2.END_HEADERS | 1, 1, b"\x8d"), Code.UNAVAILABLE, True),
    "no message": (
        http2.frame(
            http2.HEADERS, http2.END_HEADERS | 1, 1, b"\x88\x00\x0bgrpc-status\x010"
        ),
        Code.INTERNAL,
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ENDINGS)
async def test_how_calls_end_without_an_answer(how: str) -> None:
    answer, code, sent = ENDINGS[how]
    async with Peer(answer) as channel, asyncio.timeout(10):
        with pytest.raises(CallError) as failed:
            await channel.call("/x/Y", b"body", 5.0)
        assert (failed.value.code, failed.value.sent) == (code, sent)
        await channel.close()


async def test_a_call_without_an_answer_ends_in_time() -> None:
    async with Peer(None) as channel, asyncio.timeout(10):
        with pytest.raises(CallError) as failed:
            await channel.call("/x/Y", b"", 0.1)
        assert failed.value.code == Code.DEADLINE_EXCEEDED
        await channel.close()


async def test_a_silent_peer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpcconnection, "_QUIET_SECONDS", 0.1)
    monkeypatch.setattr(grpcconnection, "_PING_SECONDS", 0.1)
    async with Peer(None) as channel, asyncio.timeout(10):
        with pytest.raises(CallError) as failed:
            await channel.call("/x/Y", b"", 60.0)
        assert failed.value.code == Code.UNAVAILABLE
        await channel.close()


async def test_a_lost_connection_ends_its_calls_and_is_made_again() -> None:
    peer = Peer(None)
    async with peer as channel, asyncio.timeout(10):
        calls = [asyncio.create_task(channel.call("/x/Y", b"", 60.0)) for _ in range(3)]
        await peer.connected.wait()
        peer.writers[0].transport.abort()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, CallError) and error.sent for error in ended)
        with pytest.raises(CallError):
            await channel.call("/x/Y", b"", 0.1)
        assert len(peer.writers) == 2
        await channel.close()
