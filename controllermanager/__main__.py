"""`python -m controllermanager`: runs the controllers until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

from apimachinery import componentconfig
from controllermanager.options import ControllerManagerConfig
from controllermanager.runner import UnknownController, run
from kubeclient import ConfigError, LeadershipLost

DESCRIPTION = "Control loops that bring a cluster's objects to what they should be."


async def _until_stopped(config: ControllerManagerConfig) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(run(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger("controllermanager").info("stopped")


def main(argv: list[str] | None = None) -> int:
    config = componentconfig.load(
        ControllerManagerConfig,
        sys.argv[1:] if argv is None else argv,
        prog="controllermanager",
        description=DESCRIPTION,
        read=lambda path: Path(path).read_text(),
    )
    level = {0: logging.WARNING, 1: logging.INFO}.get(config.verbosity, logging.DEBUG)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    import uvloop

    try:
        uvloop.run(_until_stopped(config))
    except (ConfigError, UnknownController, LeadershipLost) as error:
        print(f"controllermanager: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
