"""The cluster DNS server: UDP and TCP on the cluster DNS address; what is not the cluster's goes upstream."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Sequence
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from .zone import TTL, Answer, Record, Snapshot, answer

log = logging.getLogger(__name__)

_UPSTREAM_TIMEOUT = 2.0
_MAX_IN_FLIGHT = 1000
_MAX_CHASE = 8


def upstreams(resolv_conf: str) -> list[str]:
    """The nameservers of a resolv.conf text."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.append(words[1])
    return found


def _rrsets(records: Sequence[Record]) -> list[dns.rrset.RRset]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for record in records:
        data = record.data
        if record.type == "SRV":
            port, target = data.split(" ", 1)
            data = f"0 100 {port} {target}."
        elif record.type in ("CNAME", "PTR"):
            data += "."
        elif record.type == "TXT":
            data = f'"{data}"'
        grouped.setdefault((record.name, record.type), []).append(data)
    return [
        dns.rrset.from_text_list(name + ".", TTL, "IN", kind, data) for (name, kind), data in grouped.items()
    ]


class _Exchange(asyncio.DatagramProtocol):
    """One query to one upstream."""

    def __init__(self, query: bytes, reply: asyncio.Future[bytes]) -> None:
        self._query = query
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._query)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._query[:2] and not self._reply.done():
            self._reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(exc)


class Resolver:
    """Answers wire-format queries (RFC 1035) from `snapshot`, or asks `upstream` servers in order."""

    def __init__(self, snapshot: Snapshot, domain: str, upstream: Sequence[str]) -> None:
        self._snapshot = snapshot
        self._domain = domain
        self._upstream = list(upstream)
        self._slots = asyncio.Semaphore(_MAX_IN_FLIGHT)

    async def resolve(self, wire: bytes, limit: int = 65535) -> bytes | None:
        """The reply, truncated to `limit` bytes where it is longer; None for what is no query at all."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        found = answer(self._snapshot, self._domain, name, dns.rdatatype.to_text(question.rdtype))
        if found is None:
            return await self._forward(query, wire)
        response = await self._respond(query, name, found)
        size = max(512, query.payload) if query.edns >= 0 else 512
        return response.to_wire(max_size=min(limit, size) if limit < 65535 else limit, prefer_truncation=True)

    async def _respond(self, query: dns.message.Message, name: str, found: Answer) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        records = list(found.records)
        chase, seen = found.chase, 0
        while chase and kind != "CNAME" and seen < _MAX_CHASE:
            seen += 1
            further = answer(self._snapshot, self._domain, chase, kind)
            if further is None:
                response.answer = _rrsets(records) + await self._ask_for(chase, kind)
                return response
            records += further.records
            chase = further.chase
        if not found.exists:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not records:
            soa = f"ns.dns.{self._domain}. hostmaster.{self._domain}. 1 7200 1800 86400 {TTL}"
            response.authority.append(dns.rrset.from_text(self._domain + ".", TTL, "IN", "SOA", soa))
        response.answer = _rrsets(records)
        response.additional += _rrsets(found.additional)
        return response

    async def _ask_for(self, name: str, kind: str) -> list[dns.rrset.RRset]:
        """Upstream's records for an alias's target; none where upstream does not answer."""
        query = dns.message.make_query(name + ".", kind)
        reply = await self._exchange(query.to_wire())
        if reply is None:
            return []
        try:
            return list(dns.message.from_wire(reply).answer)
        except dns.exception.DNSException:
            return []

    async def _forward(self, query: dns.message.Message, wire: bytes) -> bytes:
        reply = await self._exchange(wire)
        if reply is not None:
            return reply
        failure = dns.message.make_response(query, recursion_available=True)
        failure.set_rcode(dns.rcode.SERVFAIL)
        return failure.to_wire()

    async def _exchange(self, wire: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        async with self._slots:
            for server in self._upstream:
                reply: asyncio.Future[bytes] = loop.create_future()
                try:
                    transport, _ = await loop.create_datagram_endpoint(
                        lambda reply=reply: _Exchange(wire, reply),  # type: ignore[misc]
                        remote_addr=(server, 53),
                    )
                except OSError as error:
                    log.debug("upstream %s: %s", server, error)
                    continue
                try:
                    return await asyncio.wait_for(reply, _UPSTREAM_TIMEOUT)
                except (TimeoutError, OSError) as error:
                    log.debug("upstream %s: %r", server, error)
                finally:
                    transport.close()
        return None


class _Server(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver, tasks: asyncio.TaskGroup) -> None:
        self._resolver = resolver
        self._tasks = tasks
        self._in_flight = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every event loop's transports are subclasses of the abstract one.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        # A flood is dropped, as UDP drops: resolvers ask again.
        if self._in_flight < _MAX_IN_FLIGHT:
            self._in_flight += 1
            self._tasks.create_task(self._reply(data, addr))

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            reply = await self._resolver.resolve(data, limit=4096)
            if reply is not None and self._transport is not None:
                self._transport.sendto(reply, addr)
        finally:
            self._in_flight -= 1


async def serve(resolver: Resolver, address: str, port: int = 53) -> None:
    """Serves until cancelled. Raises OSError where the address cannot be bound."""

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), 10))
                reply = await resolver.resolve(await asyncio.wait_for(reader.readexactly(length), 10))
                if reply is None:
                    break
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError) as error:
            log.debug("DNS over TCP: %r", error)
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Server(resolver, tasks), local_addr=(address, port)
        )
        try:
            server = await asyncio.start_server(stream, address, port)
            async with server:
                await server.serve_forever()
        finally:
            transport.close()
