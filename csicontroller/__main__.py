"""`python -m csicontroller --csi-address unix:///path`: runs until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

from apimachinery import componentconfig
from csicontroller.options import CsiControllerConfig
from csicontroller.runner import run
from kubeclient import ConfigError

DESCRIPTION = "Provisions, attaches, expands and deletes the volumes of one CSI driver."


async def _until_stopped(config: CsiControllerConfig) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(run(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger("csicontroller").info("stopped")


def main(argv: list[str] | None = None) -> int:
    config = componentconfig.load(
        CsiControllerConfig,
        sys.argv[1:] if argv is None else argv,
        prog="csicontroller",
        description=DESCRIPTION,
        read=lambda path: Path(path).read_text(),
    )
    level = {0: logging.WARNING, 1: logging.INFO}.get(config.verbosity, logging.DEBUG)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    try:
        asyncio.run(_until_stopped(config))
    except ConfigError as error:
        print(f"csicontroller: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
