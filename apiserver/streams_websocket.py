"""Channels over a WebSocket: `v5`, `v4` and older `channel.k8s.io`, as binary or base64 text messages. (KEP-4006)

The first byte of a message is its channel (in base64 text the first character, a digit): 0 stdin, 1 stdout, 2 stderr,
3 error, 4 resize; from v5 on, 255 closes the channel that the second byte names.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from apimachinery import errors
from apiserver.streams_session import CHUNK, Resize, Stdin, parse_resize

COMMAND_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "base64.channel.k8s.io",
    "channel.k8s.io",
)
READING_PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io")
FORWARD_PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_BEARER = "base64url.bearer.authorization.k8s.io"
_CHANNELS = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}
_CLOSE = 255
_MAX_MESSAGE = 4 << 20
_CLOSE_SECONDS = 2.0
"""How long a client may take to answer our goodbye."""


def is_websocket(request: web.BaseRequest) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def asked_protocols(request: web.BaseRequest) -> list[str]:
    """The subprotocols a client offers, in its order; a token among them is no protocol."""
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [p for p in (part.strip() for part in offered.split(",")) if p and not p.startswith(_BEARER)]


def choose(asked: Sequence[str], known: Sequence[str]) -> str | None:
    """The client's first that we know; "" where it names none (as the oldest clients do); None for no agreement."""
    if not asked:
        return ""
    return next((protocol for protocol in asked if protocol in known), None)


async def accept(request: web.BaseRequest, protocol: str) -> web.WebSocketResponse:
    """Complete the handshake with an agreed subprotocol."""
    # No heartbeat: it would take a client whose input nobody reads for dead. TCP's own keep-alive finds those that are.
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (),
        compress=False,
        max_msg_size=_MAX_MESSAGE,
        timeout=_CLOSE_SECONDS,
    )
    await socket.prepare(request)
    return socket


def reading_protocol(request: web.BaseRequest) -> str | None:
    """How a client that may as well have asked for a plain answer wants it in messages; None: plain. Raises 400."""
    if not is_websocket(request):
        return None
    asked = asked_protocols(request)
    protocol = choose(asked, READING_PROTOCOLS)
    if protocol is None:
        text = (
            f"unable to negotiate protocol: client supports {asked}, server accepts {list(READING_PROTOCOLS)}"
        )
        raise errors.bad_request(text)
    return protocol


async def send_reading(
    request: web.BaseRequest, protocol: str, call: Any, chunk: Any
) -> web.WebSocketResponse:
    """What a node's call gives, a message for each piece (`chunk` is the first), until it ends or the client goes."""
    import grpc

    socket = await accept(request, protocol)

    async def until_closed() -> None:
        async for _ in socket:
            continue  # a reader has nothing to say
        call.cancel()

    watching = asyncio.create_task(until_closed())
    try:
        # Cut short by the node, closing is all that can still be said.
        with suppress(grpc.aio.AioRpcError, ConnectionError):
            while chunk is not grpc.aio.EOF:
                if protocol.startswith("base64"):
                    await socket.send_str(b64encode(chunk.data).decode())
                else:
                    await socket.send_bytes(chunk.data)
                chunk = await call.read()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    finally:
        call.cancel()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await socket.close()
    return socket


class _Messages:
    """Channel messages of one WebSocket, in binary or base64 form."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str) -> None:
        self.socket = socket
        self._base64 = "base64" in protocol
        self._sending = asyncio.Lock()

    async def receive(self) -> tuple[int, bytes] | None:
        """(channel, data); None when the client has closed or gone."""
        while True:
            message = await self.socket.receive()
            if message.type == WSMsgType.BINARY and message.data and not self._base64:
                return message.data[0], message.data[1:]
            if message.type == WSMsgType.TEXT and message.data:
                text: str = message.data
                if not text[0].isdigit():
                    continue
                try:
                    data = b64decode(text[1:], validate=False) if self._base64 else text[1:].encode()
                except (Base64Error, ValueError):
                    continue
                return int(text[0]), data
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return None

    async def send(self, channel: int, data: bytes) -> None:
        """Waits while the client does not read. Raises ConnectionError when it is gone."""
        async with self._sending:
            if self.socket.closed:
                raise ConnectionResetError("the client has closed the WebSocket")
            if self._base64:
                await self.socket.send_str(f"{channel}{b64encode(data).decode()}")
            else:
                await self.socket.send_bytes(bytes((channel,)) + data)


class WebSocketCommand:
    """Implements `RemoteCommandChannels`."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str) -> None:
        self._messages = _Messages(socket, protocol)
        self._closable = protocol.startswith("v5.")
        self.json_status = protocol.startswith(("v4.", "v5."))

    async def open(self, *, stdout: bool, stderr: bool) -> None:
        """An empty message on the lowest channel we write tells the client that the stream is there."""
        await self.send("stdout" if stdout else "stderr" if stderr else "error", b"")

    async def inputs(self) -> AsyncIterator[Stdin | Resize]:
        while (message := await self._messages.receive()) is not None:
            channel, data = message
            if channel == _CHANNELS["stdin"]:
                if data:
                    yield Stdin(data)
            elif channel == _CHANNELS["resize"]:
                size = parse_resize(data)
                if size is not None:
                    yield size
            elif channel == _CLOSE and self._closable and data[:1] == bytes((_CHANNELS["stdin"],)):
                yield Stdin(b"")

    async def send(self, channel: str, data: bytes) -> None:
        number = _CHANNELS[channel]
        for at in range(0, len(data), CHUNK) or (0,):
            await self._messages.send(number, data[at : at + CHUNK])

    async def finish(self) -> None:
        await self._messages.socket.close()


class WebSocketForward:
    """Port-forward by plain channels: port number i has data on channel 2i and errors on channel 2i + 1."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str, ports: Sequence[int]) -> None:
        self._messages = _Messages(socket, protocol)
        self._ports = tuple(ports)
        # One message a port waits at most: then the socket is read no further.
        self._queues = [asyncio.Queue[bytes](maxsize=1) for _ in ports]

    async def open(self) -> None:
        """Each channel begins with its port, little-endian."""
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._messages.send(channel, port.to_bytes(2, "little"))

    async def pump(self) -> None:
        """Hand incoming data to the ports' streams until the client is gone."""
        while (message := await self._messages.receive()) is not None:
            channel, data = message
            index, is_error = divmod(channel, 2)
            if not is_error and index < len(self._queues) and data:
                await self._queues[index].put(data)

    def stream(self, index: int) -> _ForwardStream:
        return _ForwardStream(self._messages, self._queues[index], 2 * index)

    async def fail(self, index: int, message: str) -> None:
        await self._messages.send(2 * index + 1, message.encode())

    async def close(self) -> None:
        await self._messages.socket.close()


class _ForwardStream:
    """Implements `ByteStream`."""

    def __init__(self, messages: _Messages, queue: asyncio.Queue[bytes], channel: int) -> None:
        self._messages = messages
        self._queue = queue
        self._channel = channel

    async def read(self) -> bytes:
        return await self._queue.get()

    async def write(self, data: bytes) -> None:
        await self._messages.send(self._channel, data)


class WebSocketTunnel:
    """A WebSocket that carries a byte stream in binary messages: SPDY inside it. Implements `spdy` `Transport`."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""
        while True:
            message: Any = await self._socket.receive()
            if message.type == WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type != WSMsgType.TEXT:
                return b""

    async def write(self, data: bytes) -> None:
        if self._socket.closed:
            raise ConnectionResetError("the client has closed the WebSocket")
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()
