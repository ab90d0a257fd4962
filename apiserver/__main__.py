"""`python -P -m apiserver`: run the API server until it is told to stop (SIGTERM, SIGINT)."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import uvloop

from apimachinery import componentconfig
from apiserver.config import ServerConfig, SettingError
from apiserver.pki_files import PKIError
from apiserver.server import ApiServer
from apiserver.storage.interface import StorageError

#: Requests make few reference cycles and the cache none: look for them more rarely than Python does by itself.
GC_THRESHOLD = (20_000, 20, 50)


async def _run(config: ServerConfig) -> None:
    """Serves until it is told to stop; told so before it serves, it gives up starting."""
    server = ApiServer(config)
    starting = asyncio.create_task(server.start())
    told = asyncio.Event()

    def stop() -> None:
        told.set()
        starting.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await starting
        logging.getLogger("apiserver").info("serving on %s", server.url)
        # What was made while starting stays: leave it out of later collections.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        await told.wait()
    except asyncio.CancelledError:
        if not told.is_set():
            raise
    finally:
        await server.stop()


def main(argv: list[str]) -> int:
    config = componentconfig.load(
        ServerConfig, argv, prog="apiserver", description="The Kubernetes API on etcd or SQLite.",
        read=lambda path: Path(path).read_text(),
    )  # fmt: skip
    logging.basicConfig(
        level=config.log_level, format="%(asctime)s %(levelname).1s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        uvloop.run(_run(config))
    except (StorageError, PKIError, OSError, SettingError) as error:
        logging.getLogger("apiserver").error("cannot serve: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
