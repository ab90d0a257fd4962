"""Where a node that shares its machine with others opens the ports of its pods.

A port without an address is every address's, and would be one node's alone: instead it is opened on the node's own, and
on the machine's loopback address by the first node that wants it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import replace

from kubeletd.runtime.specs import PortMapping

EVERYWHERE = ("", "0.0.0.0")
LOOPBACK = "127.0.0.1"
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def opened(
    ports: Iterable[PortMapping], own: str, free: Callable[[PortMapping], bool]
) -> tuple[PortMapping, ...]:
    """The ports with their addresses; `own` is the node's, `free` tells whether one can be had on loopback. Pure."""
    found: list[PortMapping] = []
    for port in ports:
        if port.host_ip not in EVERYWHERE:
            found.append(port)
            continue
        found.append(replace(port, host_ip=own))
        if free(port):
            found.append(replace(port, host_ip=LOOPBACK))
    return tuple(found)


def free_on_loopback(port: PortMapping) -> bool:
    """Whether nobody on the machine has it."""
    if port.protocol not in _KINDS:
        return True
    with socket.socket(socket.AF_INET, _KINDS[port.protocol]) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, port.protocol == "TCP")
        try:
            tried.bind((LOOPBACK, port.host_port))
        except OSError:
            return False
    return True
