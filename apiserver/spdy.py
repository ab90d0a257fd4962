"""SPDY/3.1 framing, as much of it as exec, attach and port-forward of older kubectl need. Pure: bytes in, frames out.

No push, no credentials, no flow-control windows: Kubernetes's clients neither send nor expect WINDOW_UPDATE; TCP holds
a fast sender back. Header blocks are zlib streams over a connection's life, primed with the protocol's dictionary
(SPDY protocol draft 3.1, section 2.6.10.1), so frames must be encoded in the order in which they are sent.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

VERSION = 3
FLAG_FIN = 0x01
MAX_FRAME = 1 << 20
"""The longest frame read; clients send at most 64 kB or so."""
_MAX_HEADERS = 64 * 1024

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9

PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
    "allow authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split())
    + _TAIL.encode()
)


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1, or sent more than we take."""


@dataclass(frozen=True, slots=True)
class SynStream:
    stream: int
    headers: dict[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    stream: int
    headers: dict[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    status: int = 0


Frame = SynStream | SynReply | Data | Reset | Ping | GoAway


def _header_block(headers: Mapping[str, str]) -> bytes:
    parts = [struct.pack(">I", len(headers))]
    for name, value in headers.items():
        for text in (name.lower(), value):
            encoded = text.encode("latin-1", "replace")
            parts += [struct.pack(">I", len(encoded)), encoded]
    return b"".join(parts)


def _parse_header_block(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    try:
        (count,) = struct.unpack_from(">I", block)
        at = 4
        for _ in range(count):
            texts = []
            for _ in range(2):
                (length,) = struct.unpack_from(">I", block, at)
                at += 4
                if at + length > len(block):
                    raise SpdyError("header block is cut short")
                texts.append(block[at : at + length].decode("latin-1"))
                at += length
            headers[texts[0]] = texts[1]
    except struct.error as err:
        raise SpdyError("header block is cut short") from err
    return headers


class Encoder:
    """Frames to bytes."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(level=6, zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data():
                head = struct.pack(">II", frame.stream, (frame.fin << 24) | len(frame.data))
                return head + frame.data
            case SynStream():
                body = struct.pack(">IIH", frame.stream, 0, 0) + self._compress(frame.headers)
                return _control(SYN_STREAM, FLAG_FIN if frame.fin else 0, body)
            case SynReply():
                body = struct.pack(">I", frame.stream) + self._compress(frame.headers)
                return _control(SYN_REPLY, FLAG_FIN if frame.fin else 0, body)
            case Reset():
                return _control(RST_STREAM, 0, struct.pack(">II", frame.stream, frame.status))
            case Ping():
                return _control(PING, 0, struct.pack(">I", frame.id))
            case GoAway():
                return _control(GOAWAY, 0, struct.pack(">II", frame.last_stream, frame.status))

    def _compress(self, headers: Mapping[str, str]) -> bytes:
        return self._zlib.compress(_header_block(headers)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, (flags << 24) | len(body)) + body


class Decoder:
    """Bytes to frames; bytes come in any pieces. Frames we have no use for are skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames completed by `data`. Raises SpdyError."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 8:
            first, second = struct.unpack_from(">II", buffer)
            length = second & 0xFFFFFF
            if length > MAX_FRAME:
                raise SpdyError(f"frame of {length} bytes")
            if len(buffer) < 8 + length:
                return
            body = bytes(buffer[8 : 8 + length])
            del buffer[: 8 + length]
            frame = self._frame(first, second >> 24, body)
            if frame is not None:
                yield frame

    def _frame(self, first: int, flags: int, body: bytes) -> Frame | None:
        fin = bool(flags & FLAG_FIN)
        if not first & 0x80000000:
            return Data(first, body, fin)
        if (first >> 16) & 0x7FFF != VERSION:
            raise SpdyError(f"SPDY version {(first >> 16) & 0x7FFF}")
        try:
            match first & 0xFFFF:
                case 1:
                    return SynStream(
                        struct.unpack_from(">I", body)[0] & 0x7FFFFFFF, self._headers(body[10:]), fin
                    )
                case 2:
                    return SynReply(
                        struct.unpack_from(">I", body)[0] & 0x7FFFFFFF, self._headers(body[4:]), fin
                    )
                case 3:
                    stream, status = struct.unpack_from(">II", body)
                    return Reset(stream & 0x7FFFFFFF, status)
                case 6:
                    return Ping(struct.unpack_from(">I", body)[0])
                case 7:
                    last, status = struct.unpack_from(">II", body)
                    return GoAway(last & 0x7FFFFFFF, status)
                case 8:
                    self._headers(body[4:])  # keeps the decompressor in step
        except struct.error as err:
            raise SpdyError("control frame is cut short") from err
        return None

    def _headers(self, compressed: bytes) -> dict[str, str]:
        try:
            block = self._zlib.decompress(compressed, _MAX_HEADERS)
        except zlib.error as err:
            raise SpdyError("headers cannot be decompressed") from err
        if self._zlib.unconsumed_tail:
            raise SpdyError("headers are too long")
        return _parse_header_block(block)
