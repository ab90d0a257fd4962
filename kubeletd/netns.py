"""Connections made inside a pod's network namespace."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def socket_in(namespace: str, family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that belongs to `namespace`, a path. Raises OSError.

    setns moves one thread only, so a thread of its own makes it.
    """
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def make() -> None:
        try:
            descriptor = os.open(namespace, os.O_RDONLY)
            try:
                if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, f"enter {namespace}: {os.strerror(number)}")
                made.append(socket.socket(family, kind))
            finally:
                os.close(descriptor)
        except OSError as error:
            failed.append(error)

    # The thread ends here, so nothing else ever runs in the pod's namespace.
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


async def connect(namespace: str, port: int) -> socket.socket:
    """A non-blocking socket connected to `port` on localhost of a namespace ("" is the host's own). Raises OSError."""
    error: OSError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if namespace:
            sock = await asyncio.to_thread(socket_in, namespace, family)
        else:
            sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except OSError as refused:
            sock.close()
            error = error or refused
            continue
        return sock
    assert error is not None
    raise error
