"""As much of HTTP/2 (RFC 9113) as a gRPC client needs: frames, and the header blocks of its requests. Pure.

The header table is given up (size 0), so that a block of headers says the same wherever it stands: those of
requests are constants, and those of answers are decoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20

#: Settings, by their numbers.
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 4, 5

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535
HEAD_SIZE = 9
#: Reason codes of RST_STREAM and GOAWAY.
NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0x0, 0x7, 0x8, 0xB

_HEAD = Struct(">HBBBL")
_SETTING = Struct(">HL")
_WORD = Struct(">L")
_MESSAGE = Struct(">BL")
#: What precedes each message of gRPC: not compressed, and its length.
MESSAGE_HEAD = _MESSAGE.size


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def head(data: bytes | bytearray, at: int) -> tuple[int, int, int, int]:
    """(payload's size, kind, flags, stream) of the frame at `at`."""
    high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
    return high << 8 | low, kind, flags, stream & 0x7FFF_FFFF


def settings(values: Mapping[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def read_settings(payload: bytes) -> dict[int, int]:
    return dict(_SETTING.iter_unpack(payload))


def window_update(stream: int, by: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(by))


def reset(stream: int, reason: int) -> bytes:
    return frame(RST_STREAM, 0, stream, _WORD.pack(reason))


def word(payload: bytes, at: int = 0) -> int:
    """A number of 32 bits: a window's growth, a reason, a stream."""
    return int(_WORD.unpack_from(payload, at)[0])


def message(body: bytes) -> bytes:
    """A message as gRPC sends it."""
    return _MESSAGE.pack(0, len(body)) + body


def message_size(data: bytes | bytearray) -> int:
    """The length of the message `data` begins with. Raises ValueError where it is compressed."""
    compressed, size = _MESSAGE.unpack_from(data)
    if compressed:
        raise ValueError("a compressed message, which nobody asked for")
    return int(size)


def body_of(payload: bytes, flags: int) -> bytes:
    """The payload of DATA or HEADERS without padding and priority."""
    if flags & PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & PRIORITY else payload


# Headers (HPACK, RFC 7541).


def _text(value: str) -> bytes:
    raw = value.encode()
    if len(raw) < 0x7F:
        return bytes([len(raw)]) + raw
    rest = len(raw) - 0x7F
    size = bytearray([0x7F])
    while rest >= 0x80:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    size.append(rest)
    return bytes(size) + raw


def request_block(path: str, authority: str, *, tls: bool, metadata: Iterable[tuple[str, str]] = ()) -> bytes:
    """The headers of a gRPC request, none of them entered in a table."""
    block = b"\x83" + (b"\x87" if tls else b"\x86")  # :method POST, :scheme
    block += b"\x04" + _text(path) + b"\x01" + _text(authority)
    block += b"\x0f\x10" + _text("application/grpc")  # content-type
    for name, value in (("te", "trailers"), *metadata):
        block += b"\x00" + _text(name) + _text(value)
    return block


@lru_cache(maxsize=256)
def headers_of(block: bytes) -> dict[str, str]:
    """The headers of an answer; not to be changed. Raises ValueError."""
    import hpack

    decoder = hpack.Decoder()
    try:
        return {str(name): str(value) for name, value in decoder.decode(block)}
    except hpack.HPACKError as error:
        raise ValueError(f"headers that cannot be read: {error}") from error
