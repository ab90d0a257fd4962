"""The ports of the pods' bridge: each must be able to send a pod's packets back to that pod.

A pod that reaches itself through its Service has its packet turned round on the bridge, to the port it came from, which
a bridge refuses unless the port is in hairpin mode. The kernel says by rtnetlink when a port comes; nothing polls.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

log = logging.getLogger(__name__)

_RTMGRP_LINK = 1
_BUFFER = 256 * 1024


def set_hairpin(bridge: str) -> int:
    """Turns hairpin mode on for every port that has it off; how many there were."""
    changed = 0
    for setting in Path(f"/sys/class/net/{bridge}/brif").glob("*/hairpin_mode"):
        try:
            if setting.read_text().strip() == "0":
                setting.write_text("1")
                changed += 1
        except OSError as error:
            # The port went with its pod meanwhile.
            log.debug("%s: %s", setting, error)
    return changed


async def keep_hairpin(bridge: str) -> None:
    """Keeps every port of the bridge in hairpin mode until cancelled."""
    loop = asyncio.get_running_loop()
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    ) as links:
        links.bind((0, _RTMGRP_LINK))
        while True:
            set_hairpin(bridge)
            try:
                await loop.sock_recv(links, _BUFFER)
            except OSError as error:
                # Messages were lost (ENOBUFS): the sweep that follows finds what they told of.
                log.debug("rtnetlink: %s", error)
