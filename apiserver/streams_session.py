"""Exec, attach and port-forward as such: between a client's channels and a node's gRPC stream, whatever carries them.

Nothing is buffered here but the message in hand: a reader that is slow makes the writer at the other end wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from apimachinery.errors import StatusError
from apiserver import streams_target as target
from apiserver.request import Object

CHUNK = 96 * 1024
"""The most that goes in one message, frame or write: larger pieces of memory are mapped, and filled with zeros by the
kernel, each time anew (pybctl has malloc do so from 128 kB on)."""
DRAIN_SECONDS = 10.0
"""How long a command's output may keep a client that does not read."""


@dataclass(frozen=True, slots=True)
class Stdin:
    """Input for the process; empty data means that no more will come."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """The client's terminal has a new size."""

    width: int
    height: int


class RemoteCommandChannels(Protocol):
    """The client's side of an exec or attach. Channel names: stdout, stderr, error."""

    json_status: bool
    """Whether the error channel takes a Status as JSON (v4 and later), or plain text."""

    def inputs(self) -> AsyncIterator[Stdin | Resize]:
        """What the client sends; ends when the client is gone."""

    async def send(self, channel: str, data: bytes) -> None:
        """Send on a channel; waits while the client does not read. Raises ConnectionError when it is gone."""

    async def finish(self) -> None:
        """Close the channels and say goodbye."""


class ByteStream(Protocol):
    """One forwarded connection, the client's side."""

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""

    async def write(self, data: bytes) -> None: ...


def parse_resize(data: bytes) -> Resize | None:
    """`{"Width":80,"Height":24}`; None where it is not that."""
    try:
        size = orjson.loads(data)
        width, height = int(size["Width"]), int(size["Height"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return Resize(width, height) if 0 <= width <= 0xFFFF and 0 <= height <= 0xFFFF else None


def encode_status(status: Object, json_status: bool) -> bytes:
    """A Status as the error channel takes it; nothing for a success in plain text."""
    if json_status:
        return orjson.dumps(status)
    return b"" if status["status"] == "Success" else str(status.get("message", "")).encode()


async def run_command(call: Any, start: Any, channels: RemoteCommandChannels, *, attach: bool) -> None:
    """Run an exec or attach to its end. `call` is the gRPC stream, `start` its StreamStart message."""
    from apiserver import nodeagent_pb2 as pb

    await call.write(pb.StreamInput(start=start))
    async with asyncio.TaskGroup() as group:
        feeding = group.create_task(_feed(call, channels, start))
        status: Object | None = None
        try:
            status = await _deliver(call, channels, attach=attach)
        except ConnectionError:
            call.cancel()
        except StatusError as err:
            status = err.to_status()
        feeding.cancel()
    call.cancel()
    if status is not None:
        await _goodbye(channels, status)


async def _goodbye(channels: RemoteCommandChannels, status: Object) -> None:
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await channels.send("error", encode_status(status, channels.json_status))
            await channels.finish()
    except (ConnectionError, TimeoutError):
        return


async def _feed(call: Any, channels: RemoteCommandChannels, start: Any) -> None:
    """The client's input to the node. When the client is gone the call is ended: nobody is there to hear it."""
    import grpc

    from apiserver import nodeagent_pb2 as pb

    try:
        async for given in channels.inputs():
            if isinstance(given, Resize):
                size = pb.TerminalSize(width=given.width, height=given.height)
                await call.write(pb.StreamInput(resize=size))
            elif not start.stdin:
                continue
            elif not given.data:
                await call.write(pb.StreamInput(stdin_closed=True))
            else:
                for at in range(0, len(given.data), CHUNK):
                    await call.write(pb.StreamInput(stdin=given.data[at : at + CHUNK]))
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return  # the call has ended: its outcome is read at the other side
    except ConnectionError:
        call.cancel()
        return
    call.cancel()


async def _deliver(call: Any, channels: RemoteCommandChannels, *, attach: bool) -> Object | None:
    """The node's output to the client. Returns the final Status; None when the client is gone."""
    import grpc

    from apiserver.streams_nodes import from_grpc

    code, error = 0, ""
    try:
        async for output in call:
            match output.WhichOneof("output"):
                case "stdout":
                    await channels.send("stdout", output.stdout)
                case "stderr":
                    await channels.send("stderr", output.stderr)
                case "exit":
                    code, error = output.exit.code, output.exit.error
    except grpc.aio.AioRpcError as err:
        if err.code() == grpc.StatusCode.CANCELLED:
            return None
        raise from_grpc(err) from err
    except asyncio.CancelledError:
        # grpc raises this too when the call was cancelled from our side: only a cancelled task must go on raising.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None
    return target.exit_status(0 if attach and not error else code, error)


async def forward(call: Any, destination: Any, stream: ByteStream) -> None:
    """Carry one connection into a pod until both directions have ended. Raises StatusError when the node refuses."""
    import grpc

    from apiserver import nodeagent_pb2 as pb
    from apiserver.streams_nodes import from_grpc

    async def outwards() -> None:
        try:
            while data := await stream.read():
                for at in range(0, len(data), CHUNK):
                    await call.write(pb.PortForwardInput(data=data[at : at + CHUNK]))
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the call has ended: its outcome is read below
        except ConnectionError:
            call.cancel()

    async with asyncio.TaskGroup() as group:
        sending: asyncio.Task[None] | None = None
        problem: StatusError | None = None
        try:
            await call.write(pb.PortForwardInput(target=destination))
            # The node answers with its metadata once it is connected. To write before it has refused would hide why:
            # gRPC replaces the status of a call whose write fails.
            await call.initial_metadata()
            sending = group.create_task(outwards())
            async for chunk in call:
                await stream.write(chunk.data)
        except grpc.aio.AioRpcError as err:
            if err.code() != grpc.StatusCode.CANCELLED:
                problem = from_grpc(err)
        except ConnectionError:
            call.cancel()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                call.cancel()
                raise
        if sending is not None:
            sending.cancel()
    if problem is not None:
        raise problem
