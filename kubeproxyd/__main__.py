"""`python -m kubeproxyd`: Services by nftables and cluster DNS for the nodes of this machine. Needs root."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from apimachinery import componentconfig
from kubeclient.client import Client
from kubeclient.config import Config

from .config import ProxyConfig
from .nftables import CommandError
from .proxy import Proxy


async def _run(config: ProxyConfig) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    async with Client(Config.from_kubeconfig(config.kubeconfig)) as client:
        with contextlib.suppress(asyncio.CancelledError):
            await Proxy(client, config).run()


def main() -> None:
    config = componentconfig.load(
        ProxyConfig,
        sys.argv[1:],
        prog="kubeproxyd",
        description="Services by nftables, and cluster DNS, for the nodes of this machine. Needs root.",
        read=lambda path: Path(path).read_text(),
    )
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(_run(config))
    except* (OSError, CommandError) as group:
        sys.exit(f"kubeproxyd: {'; '.join(str(e) for e in group.exceptions)}")


if __name__ == "__main__":
    main()
