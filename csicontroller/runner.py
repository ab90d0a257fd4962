"""Starts the parts of the controller around one driver and keeps them running."""

from __future__ import annotations

import asyncio
import logging

from csicontroller.attaching import Attacher
from csicontroller.driver import Driver
from csicontroller.options import CsiControllerConfig
from csicontroller.provisioning import Deleter, Provisioner
from csicontroller.reconciler import Context, Reconciler
from csicontroller.resizing import Resizer
from kubeclient import Client, Config, EventRecorder

log = logging.getLogger(__name__)

CREATE = "CREATE_DELETE_VOLUME"


async def run(config: CsiControllerConfig) -> None:
    """Until cancelled. Raises ConfigError."""
    api = Config.from_kubeconfig(config.kubeconfig or None, config.context or None)
    driver = Driver(config.csi_address, config.timeout)
    try:
        features = await driver.features()
        log.info("driver %s: %s", features.name, ", ".join(sorted(features.capabilities)))
        async with Client(api, user_agent="csicontroller", limit=config.concurrency) as client:
            recorder = EventRecorder(client, features.name)
            await _run_parts(Context(client, recorder, driver, features, config))
    finally:
        await driver.close()


async def _run_parts(context: Context) -> None:
    kinds: list[type[Reconciler]] = [Attacher, Resizer]
    if CREATE in context.features.capabilities:
        kinds += [Provisioner, Deleter]
    parts = [kind(context) for kind in kinds]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(context.recorder.run())
        for informer in context.informers.values():
            tasks.create_task(informer.run())
        for part in parts:
            tasks.create_task(part.run(), name=part.name)
