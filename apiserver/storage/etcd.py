"""The etcd engine: etcd 3.4 and newer, with aetcd's generated messages over a gRPC channel of our own.

One channel a member, and one member used at a time: where it does not answer, the next one is asked. Reads are
simply repeated. A transaction that got no answer may have happened or not; it is repeated, and if its compares then
fail, what the keys hold decides whether that was our own doing.

Import this only where etcd is used: aetcd imports gRPC, which costs 25 MB.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aetcd import rpc

from apiserver.storage.etcdmessages import compare_of, event_of, op_of, range_request, txn_result, versions_of
from apiserver.storage.grpcchannel import Channel
from apiserver.storage.grpcconnection import CallError, Code
from apiserver.storage.interface import (
    CompactedError,
    Compare,
    Delete,
    Event,
    FutureRevisionError,
    KeyValue,
    Op,
    Put,
    RangeResult,
    StorageError,
    Target,
    TxnResult,
)

logger = logging.getLogger(__name__)

COMPACTION_KEY = "/registry/.pybernetes/compaction"

_ATTEMPT_SECONDS = 5.0
_FIRST_ATTEMPT_SECONDS = 2.0  # shorter, as the member in use may just have gone silent
_PATIENCE_SECONDS = 15.0
_FIRST_BACKOFF = 0.02
_LAST_BACKOFF = 0.5
_RETRIED = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.RESOURCE_EXHAUSTED})
_WATCH = "/etcdserverpb.Watch/Watch"
_KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
#: Paths of the calls with one answer, and how that is read.
_CALLS: dict[str, tuple[str, Any]] = {
    "Range": ("/etcdserverpb.KV/Range", rpc.RangeResponse),
    "Txn": ("/etcdserverpb.KV/Txn", rpc.TxnResponse),
    "Compact": ("/etcdserverpb.KV/Compact", rpc.CompactionResponse),
    "LeaseGrant": ("/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantResponse),
    "LeaseRevoke": ("/etcdserverpb.Lease/LeaseRevoke", rpc.LeaseRevokeResponse),
}


def _channel(endpoint: str, context: ssl.SSLContext | None) -> Channel:
    url = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    return Channel(url.hostname or "127.0.0.1", url.port or 2379, context)


class _Gone(Exception):
    """A watch stream ended; `why` says what the server said."""


class EtcdStore:
    """`endpoints`: `https://host:2379`, `http://…` or `host:port`. With `ca_file`, TLS; with the others, mutual TLS.

    One of the API servers on an etcd compacts its history, to between one and two times `retain_seconds`.
    """

    exclusive = False

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        retain_seconds: float = 300.0,
    ) -> None:
        if not endpoints:
            raise ValueError("no etcd endpoint given")
        self._endpoints = list(endpoints)
        self._files = (ca_file, cert_file, key_file)
        self._retain_seconds = retain_seconds
        self._members: list[Channel] = []
        self._used = 0
        self._compaction: asyncio.Task[None] | None = None

    async def start(self) -> None:
        context = None
        if any(self._files) or any(e.startswith("https:") for e in self._endpoints):
            context = self._tls()
        self._members = [_channel(endpoint, context) for endpoint in self._endpoints]
        await self.current_revision()
        self._compaction = asyncio.create_task(self._compact_regularly())

    def _tls(self) -> ssl.SSLContext:
        ca_file, cert_file, key_file = self._files
        try:
            for file in filter(None, self._files):
                Path(file).read_bytes()
            context = ssl.create_default_context(cafile=ca_file or None)
            if cert_file:
                context.load_cert_chain(cert_file, key_file or None)
        except ssl.SSLError as error:
            raise StorageError(f"cannot use the files for TLS to etcd: {error}") from error
        except OSError as error:
            raise StorageError(f"cannot read {error.filename}: {error.strerror}") from error
        context.set_alpn_protocols(["h2"])
        return context

    async def close(self) -> None:
        if self._compaction is not None:
            self._compaction.cancel()
            await asyncio.gather(self._compaction, return_exceptions=True)
        members, self._members = self._members, []
        for member in members:
            await member.close()

    # Calls.

    async def _call(self, method: str, request: Any) -> tuple[Any, bool]:
        """The answer, and whether an earlier attempt may have been carried out without our knowing."""
        loop = asyncio.get_running_loop()
        path, response = _CALLS[method]
        body = request.SerializeToString()
        give_up = loop.time() + _PATIENCE_SECONDS
        backoff = _FIRST_BACKOFF
        doubtful = False
        seconds = _FIRST_ATTEMPT_SECONDS
        while True:
            if not self._members:
                raise StorageError("the store is not open")
            used = self._used
            try:
                answer = await self._members[used].call(path, body, seconds)
                return response.FromString(answer), doubtful
            except CallError as error:
                if error.code not in _RETRIED or loop.time() >= give_up:
                    raise _error(error, self._endpoints[used]) from error
                doubtful = doubtful or error.sent
                self._next_member(used)
            seconds = _ATTEMPT_SECONDS
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LAST_BACKOFF)

    def _next_member(self, failed: int) -> None:
        """Go on with another member; once, however many calls failed on this one."""
        if self._used == failed:
            self._used = (failed + 1) % len(self._endpoints)

    # Reading.

    async def current_revision(self) -> int:
        answer, _ = await self._call("Range", range_request(COMPACTION_KEY, count_only=True))
        return int(answer.header.revision)

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        kvs, _ = await self._range(range_request(key, revision=revision))
        return kvs[0] if kvs else None

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0, count_only: bool = False
    ) -> RangeResult:
        request = range_request(
            prefix, whole_prefix=True, start=start, limit=limit, revision=revision, count_only=count_only
        )
        kvs, answer = await self._range(request)
        return RangeResult(kvs, revision or answer.header.revision, answer.count, answer.more)

    async def _range(self, request: Any) -> tuple[list[KeyValue], Any]:
        try:
            answer, _ = await self._call("Range", request)
        except CompactedError:
            # etcd says that it is gone but not what is left.
            raise CompactedError(await self._oldest_revision()) from None
        return versions_of(answer.kvs), answer

    async def _oldest_revision(self) -> int:
        """The compacted revision: a watch on the past is told it."""
        try:
            async for _ in self._watch_once(COMPACTION_KEY, 1):
                break
        except CompactedError as error:
            return error.compacted
        except (_Gone, CallError) as error:
            raise StorageError(f"etcd: {error}") from error
        return 1

    # Writing.

    async def txn(self, compares: Sequence[Compare], ops: Sequence[Op]) -> TxnResult:
        request = rpc.TxnRequest(
            compare=[compare_of(compare) for compare in compares],
            success=[op_of(op) for op in ops],
            failure=[rpc.RequestOp(request_range=range_request(compare.key)) for compare in compares],
        )
        answer, doubtful = await self._call("Txn", request)
        result = txn_result(answer, compares)
        if result.succeeded or not doubtful:
            return result
        return _settled(result, compares, ops)

    # Watching.

    async def watch(self, prefix: str, start_revision: int) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        """As the interface says; a lost connection is taken up again, at another member, without a gap.

        Progress without events is not told: before 3.4.25, etcd may tell it too early (etcd issue 15220).
        """
        following = start_revision
        backoff = _FIRST_BACKOFF
        while self._members:
            used = self._used
            try:
                async for revision, events in self._watch_once(prefix, following):
                    following = revision + 1
                    backoff = _FIRST_BACKOFF
                    yield revision, events
            except CallError as error:
                if error.code not in _RETRIED and error.code != Code.UNKNOWN:
                    raise _error(error, self._endpoints[used]) from error
                logger.info("storage: watch on %s ended: %s", self._endpoints[used], error.details)
            except _Gone as gone:
                logger.info("storage: watch on %s ended: %s", self._endpoints[used], gone)
            self._next_member(used)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LAST_BACKOFF)
        raise StorageError("the store is closed")

    async def _watch_once(
        self, prefix: str, start_revision: int
    ) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        create = rpc.WatchCreateRequest(
            key=prefix.encode(),
            range_end=range_request(prefix, whole_prefix=True).range_end,
            start_revision=start_revision,
            fragment=True,
        )
        opening = rpc.WatchRequest(create_request=create).SerializeToString()
        # A member cut off from its leader ends the watch instead of staying silent.
        answers = self._members[self._used].stream(_WATCH, opening, (("hasleader", "true"),))
        events: list[Event] = []
        async with aclosing(answers):  # type: ignore[type-var]
            async for message in answers:
                answer = rpc.WatchResponse.FromString(message)
                if answer.canceled:
                    if answer.compact_revision:
                        raise CompactedError(answer.compact_revision)
                    raise _Gone(answer.cancel_reason)
                events += [event_of(event) for event in answer.events]
                if events and not answer.fragment:
                    yield events[-1].kv.mod_revision, events
                    events = []

    # Compaction.

    async def compact(self, revision: int) -> None:
        try:
            await self._call("Compact", rpc.CompactionRequest(revision=revision))
        except CompactedError:
            raise CompactedError(await self._oldest_revision()) from None

    async def _compact_regularly(self) -> None:
        """Every `retain_seconds`, one API server notes the present revision and compacts to the one noted before."""
        version = 0
        while True:
            await asyncio.sleep(self._retain_seconds)
            try:
                noted = await self.get(COMPACTION_KEY)
                if noted is not None and noted.version != version:
                    version = noted.version  # another server has done it; take over if it stops
                    continue
                present = await self.current_revision()
                put = Put(COMPACTION_KEY, str(present).encode())
                if not (await self.txn([Compare(COMPACTION_KEY, Target.VERSION, version)], [put])).succeeded:
                    continue
                version += 1
                if noted is not None:
                    await self.compact(int(noted.value))
            except CompactedError:
                continue
            except StorageError as error:
                logger.warning("storage: compaction failed: %s", error)

    # Leases.

    async def grant_lease(self, ttl: int) -> int:
        answer, _ = await self._call("LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl))
        return int(answer.ID)

    async def revoke_lease(self, lease: int) -> None:
        await self._call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    async def keep_lease_alive(self, lease: int) -> None:
        used = self._used
        request = rpc.LeaseKeepAliveRequest(ID=lease).SerializeToString()
        answers = self._members[used].stream(_KEEP_ALIVE, request, seconds=_ATTEMPT_SECONDS)
        try:
            async with aclosing(answers):  # type: ignore[type-var]
                answer = rpc.LeaseKeepAliveResponse.FromString(await anext(answers))
        except CallError as error:
            self._next_member(used)
            raise _error(error, self._endpoints[used]) from error
        if answer.TTL <= 0:
            raise StorageError("requested lease not found")


def _error(error: CallError, endpoint: str) -> StorageError:
    details = error.details
    if "required revision has been compacted" in details:
        return CompactedError(0)
    if "future revision" in details:
        return FutureRevisionError(details)
    return StorageError(f"etcd {endpoint}: {details or f'status {error.code}'}")


def _settled(result: TxnResult, compares: Sequence[Compare], ops: Sequence[Op]) -> TxnResult:
    """The outcome of a transaction whose repetition failed its compares, after an attempt without an answer.

    If every operation's key is as our transaction would have left it, and no longer as compared, that was ours (or
    one that did the very same, which nobody can tell apart).
    """
    expected = {compare.key: compare for compare in compares}
    revision = 0
    for op in ops:
        if op.key not in expected:
            return result
        now = result.current.get(op.key)
        if isinstance(op, Delete):
            if now is not None or not expected[op.key].value:
                return result
            revision = max(revision, result.revision)
        else:
            if now is None or now.value != op.value:
                return result
            revision = max(revision, now.mod_revision)
    return TxnResult(True, revision, {}, exact=False) if ops else result
