"""`python -m scheduler`: places pods on nodes until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import yaml

from apimachinery import componentconfig
from kubeclient import Client, Config, ConfigError, LeaderElector, LeadershipLost
from scheduler.options import SchedulerConfig

DESCRIPTION = "Places pods on nodes: filters, scores, binds."


async def _run(config: SchedulerConfig) -> None:
    from scheduler.loop import Scheduler

    kubeconfig = Config.from_kubeconfig(config.kubeconfig or None, config.context or None)
    async with Client(kubeconfig, user_agent="scheduler", limit=config.concurrency + 8) as client:

        async def lead() -> None:
            await Scheduler(
                client,
                scheduler_name=config.scheduler_name,
                profile=config.profile,
                seed=config.seed,
                bind_concurrency=config.concurrency,
            ).run()

        if config.leader_elect:
            identity = f"{socket.gethostname()}_{os.getpid()}"
            await LeaderElector(client, "kube-scheduler", identity).run(lead)
        else:
            await lead()


async def _until_stopped(config: SchedulerConfig) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_run(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger("scheduler").info("stopped")


def _simulate(config: SchedulerConfig) -> str:
    """What would happen to the pods of the given files."""
    from scheduler import whatif
    from scheduler.profiles import PROFILES

    if all(path.endswith(".csv") for path in config.simulate):
        if len(config.simulate) != 2:
            raise ValueError("a trace is two CSV files: nodes, then pods")
        nodes, pods = (Path(path).read_text().splitlines() for path in config.simulate)
        documents = list(whatif.trace(nodes, pods))
    else:
        documents = [d for path in config.simulate for d in yaml.safe_load_all(Path(path).read_text()) if d]
    return whatif.report(whatif.simulate(documents, PROFILES[config.profile], config.seed))


def main(argv: list[str] | None = None) -> int:
    config = componentconfig.load(
        SchedulerConfig,
        sys.argv[1:] if argv is None else argv,
        prog="scheduler",
        description=DESCRIPTION,
        read=lambda path: Path(path).read_text(),
    )
    level = {0: logging.WARNING, 1: logging.INFO}.get(config.verbosity, logging.DEBUG)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    # numpy starts a thread per core for linear algebra, which is not done here. Said before numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if config.simulate:
        try:
            print(_simulate(config))
        except (OSError, ValueError, yaml.YAMLError) as error:
            print(f"scheduler: cannot simulate: {error}", file=sys.stderr)
            return 1
        except KeyError as error:
            print(f"scheduler: cannot simulate: an object lacks the field {error}", file=sys.stderr)
            return 1
        return 0
    import uvloop

    try:
        uvloop.run(_until_stopped(config))
    except (ConfigError, LeadershipLost) as error:
        print(f"scheduler: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
