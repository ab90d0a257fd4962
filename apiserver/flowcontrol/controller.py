"""Keeps flow control, the default objects and the status of flow schemas in step with what is stored."""

from __future__ import annotations

import asyncio
import logging

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver.flowcontrol import maintenance
from apiserver.flowcontrol.filter import FlowControl
from apiserver.flowcontrol.maintenance import Write
from apiserver.flowcontrol.schema import GROUP, FlowSchema
from apiserver.flowcontrol.sizes import LevelSpec
from apiserver.options import WriteOptions
from apiserver.registry.call import SYSTEM, Call
from apiserver.registry.registries import Registries
from apiserver.registry.registry import replacement
from apiserver.storage.interface import StorageError

logger = logging.getLogger(__name__)

LEVELS = resources.get("prioritylevelconfigurations", GROUP)
SCHEMAS = resources.get("flowschemas", GROUP)
RETRY_SECONDS = 1.0
_PRODUCER = "api-priority-and-fairness-config-producer-v1"
_CONSUMER = "api-priority-and-fairness-config-consumer-v1"


class FlowControlController:
    """Call `invalidate` whenever a FlowSchema or PriorityLevelConfiguration changes."""

    def __init__(self, registries: Registries, flow: FlowControl) -> None:
        self._registries = registries
        self._flow = flow
        self._changed = asyncio.Event()
        self._stale = False

    def invalidate(self) -> None:
        """Use what is stored now; what it asks to be written follows. Many changes at one time are one."""
        if not self._stale:
            self._stale = True
            asyncio.get_running_loop().call_soon(self._refresh)

    def _refresh(self) -> None:
        self._stale = False
        self.configure()
        self._changed.set()

    def configure(self) -> None:
        """Control the flow as the stored objects say."""
        listed = self._registries.list
        levels, schemas = maintenance.effective(listed(LEVELS), listed(SCHEMAS))
        self._flow.configure(map(LevelSpec.of, levels), map(FlowSchema.of, schemas))

    async def ensure(self, *, status: bool = True) -> bool:
        """Write what is to be written (`status` too). False where some of it must be tried again."""
        listed = self._registries.list
        now = self._registries.backend.identity.timestamp()
        writes = maintenance.plan(listed(LEVELS), listed(SCHEMAS), now)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._write(w)) for w in writes if status or not w.status]
        return all(task.result() for task in tasks)

    async def _write(self, write: Write) -> bool:
        obj = write.object
        resource = LEVELS if obj["kind"] == LEVELS.kind else SCHEMAS
        registry = self._registries.registry(resource.plural, resource.group)
        call = Call(SYSTEM, WriteOptions(field_manager=_CONSUMER if write.status else _PRODUCER))
        try:
            if write.create:
                await registry.create(call, "", obj)
            else:
                name, subresource = obj["metadata"]["name"], "status" if write.status else ""
                await registry.update(call, "", name, replacement(obj), subresource=subresource)
        except StatusError as error:
            # Somebody else wrote or deleted it meanwhile: that change comes by itself.
            if error.code in (404, 409):
                return True
            logger.warning("cannot keep %s %s: %s", obj["kind"], obj["metadata"]["name"], error)
            return False
        except StorageError as error:
            logger.warning("cannot keep %s %s: %s", obj["kind"], obj["metadata"]["name"], error)
            return False
        return True

    async def run(self) -> None:
        """Follow the changes, for as long as the server runs."""
        while True:
            self._changed.clear()
            if not await self.ensure():
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._changed.wait()
