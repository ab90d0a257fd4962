"""The ports of the pods' bridge: each must be able to send a pod's packets back to that pod.

A pod that reaches itself through its Service has its packet turned round on the bridge, to the port it came from, which
a bridge refuses unless the port is in hairpin mode. The kernel says by rtnetlink when a port comes; nothing polls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path

log = logging.getLogger(__name__)

_RTMGRP_LINK = 1
_BUFFER = 256 * 1024
_COALESCE = 0.05


def set_hairpin(bridge: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """Turns hairpin mode on for every port that is not `known` to have it; gives all ports that have."""
    ports = frozenset(os.listdir(f"/sys/class/net/{bridge}/brif"))
    missed = set()
    for port in ports - known:
        try:
            Path(f"/sys/class/net/{bridge}/brif/{port}/hairpin_mode").write_text("1")
        except OSError as error:
            # The port went with its pod meanwhile.
            log.debug("%s: %s", port, error)
            missed.add(port)
    return ports - missed


async def keep_hairpin(bridge: str) -> None:
    """Keeps every port of the bridge in hairpin mode until cancelled."""
    loop = asyncio.get_running_loop()
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    ) as links:
        links.bind((0, _RTMGRP_LINK))
        known: frozenset[str] = frozenset()
        while True:
            known = set_hairpin(bridge, known)
            try:
                await loop.sock_recv(links, _BUFFER)
                # A port comes with a dozen messages, and a rollout with dozens of ports: one look takes them together.
                await asyncio.sleep(_COALESCE)
                _drain(links)
            except OSError as error:
                # Messages were lost (ENOBUFS): the look that follows finds what they told of.
                log.debug("rtnetlink: %s", error)


def _drain(links: socket.socket) -> None:
    """Takes what has come meanwhile."""
    while True:
        try:
            links.recv(_BUFFER)
        except BlockingIOError:
            return
