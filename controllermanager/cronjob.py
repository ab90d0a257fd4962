"""The CronJob controller, and the one that deletes finished Jobs after their time."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apimachinery import meta
from controllermanager.controller import Controller, Key
from controllermanager.plans import cronjob as plans
from controllermanager.plans.actions import Event
from controllermanager.plans.cronjob import CRON_JOBS
from controllermanager.plans.job import JOBS
from controllermanager.plans.views import object_by_controller


class CronJobController(Controller):
    name: ClassVar[str] = "cronjob-controller"

    def setup(self) -> None:
        self._owners = self.watch(CRON_JOBS, self.enqueue)
        self._jobs = self.watch(JOBS, self._job_changed)
        self._jobs.add_index("controller", object_by_controller)

    def _job_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        owner = meta.controller_of(obj)
        if owner is not None and owner["kind"] == "CronJob":
            self.queue.add((obj["metadata"]["namespace"], owner["name"]))

    async def sync(self, key: Key) -> float | None:
        owner = self._owners.store.get(key)
        if owner is None:
            return None
        zone: tzinfo = UTC
        name = owner["spec"].get("timeZone")
        if name:
            try:
                zone = ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError):
                involved = {**owner, "apiVersion": "batch/v1", "kind": "CronJob"}
                text = f"invalid timeZone: {name!r}"
                await self.executor.one(Event(involved, "Warning", "UnknownTimeZone", text))
                return None
        jobs = self._jobs.by_index("controller", owner["metadata"]["uid"])
        return await self.executor.run(plans.plan(plans.Snapshot(owner, jobs, zone), self.context.now()))


class TTLAfterFinishedController(Controller):
    name: ClassVar[str] = "ttl-after-finished-controller"

    def setup(self) -> None:
        self._jobs = self.watch(JOBS, self.enqueue)

    async def sync(self, key: Key) -> float | None:
        job = self._jobs.store.get(key)
        return None if job is None else await self.executor.run(plans.plan_expiry(job, self.context.now()))
