"""`pybctl logs` and `pybctl exec`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeclient.config import Config

from . import target
from .target import UsageError
from .terminal import coloured

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser("logs", help="what a pod's containers print")
    parser.add_argument("words", nargs="*", metavar="POD | TYPE/NAME")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-p", "--previous", action="store_true", help="of the run before the last restart")
    parser.add_argument("-l", "--selector", default="", help="of every pod with these labels")
    parser.add_argument("--tail", type=int, default=-1, metavar="LINES")
    parser.add_argument("--since", default="", metavar="5s|2m|3h")
    parser.add_argument("--timestamps", action="store_true")
    target.add_flags(parser)
    parser.set_defaults(run=lambda a: asyncio.run(_logs(a)))
    parser = commands.add_parser(
        "exec",
        help="run a command in a container",
        usage="pybctl exec [-c CONTAINER] [-i] [-t] [-n NAMESPACE] POD | TYPE/NAME -- COMMAND [ARGUMENT...]",
    )
    parser.add_argument("words", nargs=1, metavar="POD | TYPE/NAME")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-i", "--stdin", action="store_true")
    parser.add_argument("-t", "--tty", action="store_true")
    target.add_flags(parser)
    parser.set_defaults(run=lambda a: asyncio.run(_exec(a)))


def seconds(text: str) -> int:
    """`90s`, `5m`, `2h`, `1h30m` in seconds. Raises UsageError."""
    total, number = 0, ""
    for character in text:
        if character.isdigit():
            number += character
        elif character in "smh" and number:
            total += int(number) * {"s": 1, "m": 60, "h": 3600}[character]
            number = ""
        else:
            raise UsageError(f"--since {text}: expected a duration such as 5s, 2m or 3h")
    if number or not text:
        raise UsageError(f"--since {text}: expected a duration such as 5s, 2m or 3h")
    return total


async def _pods(client: Client, arguments: argparse.Namespace, namespace: str) -> list[str]:
    """The pods that the arguments name; of a workload, its pods."""
    selector = arguments.selector if hasattr(arguments, "selector") else ""
    if not selector:
        resource, name = await target.one(client, arguments.words, "pods")
        if resource.plural == "pods":
            return [name]
        obj = await client.get(resource, name, namespace)
        chosen = (obj.get("spec") or {}).get("selector") or {}
        labels = chosen.get("matchLabels", chosen)
        if not labels:
            raise UsageError(f"{resource.plural} have no pods of their own")
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
    found, _ = await client.list(resources.get("pods"), namespace, label_selector=selector)
    if not found:
        raise UsageError(f"no pods match {selector}")
    return sorted(pod["metadata"]["name"] for pod in found)


async def _logs(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    params: dict[str, str] = {}
    for flag, name in (("follow", "follow"), ("previous", "previous"), ("timestamps", "timestamps")):
        if getattr(arguments, flag):
            params[name] = "true"
    if arguments.container:
        params["container"] = arguments.container
    if arguments.tail >= 0:
        params["tailLines"] = str(arguments.tail)
    if arguments.since:
        params["sinceSeconds"] = str(seconds(arguments.since))
    async with Client(config) as client:
        pods = await _pods(client, arguments, config.namespace)
        if len(pods) == 1:
            await _log(client, config.namespace, pods[0], params, "")
        else:
            async with asyncio.TaskGroup() as tasks:
                for pod in pods:
                    tasks.create_task(_log(client, config.namespace, pod, params, f"[{pod}] "))
    return 0


async def _log(client: Client, namespace: str, pod: str, params: dict[str, str], prefix: str) -> None:
    path = resources.get("pods").path(namespace, pod, "log")
    stream = await client.stream(path, params=params)
    out = sys.stdout.buffer
    shown = coloured(prefix, "cyan").encode()
    pending = b""
    async with stream:
        async for piece in stream:
            if not prefix:
                out.write(piece)
            else:
                *lines, pending = (pending + piece).split(b"\n")
                out.writelines(shown + line + b"\n" for line in lines)
            out.flush()
    if pending:
        out.write(shown + pending + b"\n")


@contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """The terminal hands every key on as it is pressed; it is put back afterwards."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def exit_code(status: dict[str, Any]) -> int:
    """The exit code in the Status that ends a session."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    return 1


def _tls(config: Config) -> ssl.SSLContext | None:
    return config.ssl_context() if config.server.startswith("https:") else None


async def _exec(arguments: argparse.Namespace) -> int:
    import aiohttp  # heavy: only this command needs WebSockets

    command = arguments.rest
    if not command:
        raise UsageError("you must specify at least one command for the container, after --")
    config = target.config(arguments)
    async with Client(config) as client:
        pod = (await _pods(client, arguments, config.namespace))[0]
        authorization = client.authorization()
    query = [("command", word) for word in command] + [("stdout", "true")]
    if arguments.container:
        query.append(("container", arguments.container))
    query.append(("tty", "true") if arguments.tty else ("stderr", "true"))
    if arguments.stdin:
        query.append(("stdin", "true"))
    url = f"{config.server}{resources.get('pods').path(config.namespace, pod, 'exec')}?{urlencode(query)}"
    headers = {"Authorization": authorization} if authorization else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        try:
            socket = await session.ws_connect(
                url, protocols=_PROTOCOLS, ssl=_tls(config) or True, max_msg_size=0, autoclose=True
            )
        except aiohttp.WSServerHandshakeError as error:
            raise StatusError(error.status, "", f"unable to upgrade connection: {error.message}") from error
        async with socket:
            with _raw_terminal(arguments.tty and arguments.stdin):
                return await _session(socket, stdin=arguments.stdin, terminal=arguments.tty)


async def _session(socket: Any, *, stdin: bool, terminal: bool) -> int:
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    if stdin:
        tasks.append(asyncio.create_task(_send_input(socket)))
    if terminal and sys.stdin.isatty():
        resized = asyncio.Event()
        resized.set()
        loop.add_signal_handler(signal.SIGWINCH, resized.set)
        tasks.append(asyncio.create_task(_send_sizes(socket, resized)))
    result = 1
    try:
        async for message in socket:
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            if not data:
                continue
            channel, payload = data[0], data[1:]
            if channel == _STDOUT:
                sys.stdout.buffer.write(payload)
                sys.stdout.buffer.flush()
            elif channel == _STDERR:
                sys.stderr.buffer.write(payload)
                sys.stderr.buffer.flush()
            elif channel == _ERROR:
                status = json.loads(payload)
                result = exit_code(status)
                if status.get("reason") not in (None, "NonZeroExitCode") and result:
                    print(f"error: {status.get('message', '')}", file=sys.stderr)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return result


async def _send_input(socket: Any) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb", 0))
    while data := await reader.read(32 * 1024):
        await socket.send_bytes(bytes([_STDIN]) + data)
    if socket.protocol == _PROTOCOLS[0]:
        await socket.send_bytes(bytes([_CLOSE, _STDIN]))


async def _send_sizes(socket: Any, resized: asyncio.Event) -> None:
    while True:
        await resized.wait()
        resized.clear()
        size = os.get_terminal_size(sys.stdin.fileno())
        text = json.dumps({"Width": size.columns, "Height": size.lines})
        await socket.send_bytes(bytes([_RESIZE]) + text.encode())
