"""The runner: informers feed the cache, plans are made of what is ready, and carried out by a bounded crew."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from apimachinery import resources
from apimachinery.meta import rfc3339
from kubeclient.client import Client
from kubeclient.events import EventRecorder
from kubeclient.informer import Informer
from scheduler.binder import Binder
from scheduler.cache import Cache
from scheduler.candidates import CandidateCache
from scheduler.columns import Columns
from scheduler.plan import Placement, Unplaced, plan
from scheduler.preemption import Preemption
from scheduler.profiles import PROFILES
from scheduler.queue import Queue
from scheduler.views import Budget, Claim, Node, Pod, StorageClass, Volume, VolumeLimits

log = logging.getLogger(__name__)

# Pods planned before others get their turn on the event loop: some tens of milliseconds.
_BATCH = 256
_LIVE = "status.phase!=Succeeded,status.phase!=Failed"

Job = Callable[[], Coroutine[Any, Any, None]]


class Scheduler:
    """Places the pods that name `scheduler_name`. Holds nothing that a restart would lose."""

    def __init__(
        self,
        client: Client,
        *,
        scheduler_name: str = "default-scheduler",
        profile: str = "binpack",
        seed: int = 0,
        bind_concurrency: int = 32,
    ) -> None:
        self._profile = PROFILES[profile]
        self._candidates = CandidateCache(self._profile)
        self._turn = asyncio.Event()
        self.columns = Columns(seed)
        self.queue = Queue()
        self.cache = Cache(self.columns, self.queue, scheduler_name, time.monotonic, self._on_change)
        self._recorder = EventRecorder(client, scheduler_name, limit=10_000)
        self._binder = Binder(client, self.cache, self._recorder, scheduler_name, _timestamp)
        self._concurrency = bind_concurrency
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(8 * bind_concurrency)
        self._informers = self._make_informers(client)

    def _make_informers(self, client: Client) -> list[Informer]:
        cache = self.cache
        # Nodes and volumes first: pods then find their places when they are handed over.
        watched: list[tuple[tuple[str, str], Callable[[Any], Any], Callable[[Any, Any], None], str]] = [
            (("nodes", ""), Node.of, cache.on_node, ""),
            (("namespaces", ""), _namespace, cache.on_namespace, ""),
            (("persistentvolumes", ""), Volume.of, cache.on_volume, ""),
            (("storageclasses", "storage.k8s.io"), StorageClass.of, cache.on_class, ""),
            (("csinodes", "storage.k8s.io"), VolumeLimits.of, cache.on_limits, ""),
            (("persistentvolumeclaims", ""), Claim.of, cache.on_claim, ""),
            (("poddisruptionbudgets", "policy"), Budget.of, cache.on_budget, ""),
            (("pods", ""), Pod.of, cache.on_pod, _LIVE),
        ]
        informers = []
        for (plural, group), view, handler, fields in watched:
            informer = Informer(client, resources.get(plural, group), field_selector=fields, view=view)
            informer.add_handler(handler)
            informers.append(informer)
        return informers

    def _on_change(self) -> None:
        self._turn.set()
        self._binder.claims_changed()

    async def run(self) -> None:
        """Schedules until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            for informer in self._informers:
                group.create_task(informer.run())
            for informer in self._informers:
                await informer.synced()
            log.info("scheduling with profile %s: %d nodes", self._profile.name, self.columns.node_count)
            for _ in range(self._concurrency):
                group.create_task(self._work())
            while True:
                await self._wait_for_turn()
                await self._cycle(group)

    async def _wait_for_turn(self) -> None:
        if self.queue.has_ready:
            await asyncio.sleep(0)
            return
        due = self.queue.next_due()
        try:
            async with asyncio.timeout(None if due is None else max(due - time.monotonic(), 0)):
                await self._turn.wait()
        except TimeoutError:
            return

    async def _cycle(self, group: asyncio.TaskGroup) -> None:
        self._turn.clear()
        pods = self.queue.take(_BATCH, time.monotonic())
        if not pods:
            return
        decided = plan(
            pods,
            self.columns,
            self._profile,
            cache=self._candidates,
            nominated=self.cache.nominated,
            budgets=list(self.cache.budgets.values()),
        )
        # All bookkeeping comes before the first await: nothing may see half of a plan.
        for placement in decided.placements:
            self.cache.assume(placement)
        jobs = [self._bind_job(placement) for placement in decided.placements if not placement.volumes]
        for unplaced in decided.unplaced:
            jobs += self._settle(unplaced)
        for placement in decided.placements:
            if placement.volumes:
                # May wait for minutes, so it gets a task instead of a place in the crew.
                group.create_task(self._binder.bind(placement))
        for job in jobs:
            await self._jobs.put(job)

    def _bind_job(self, placement: Placement) -> Job:
        return lambda: self._binder.bind(placement)

    def _settle(self, unplaced: Unplaced) -> list[Job]:
        """Puts an unplaced pod back to wait; returns what is to be told and whom to evict."""
        pod, outcome, message = unplaced.pod, unplaced.preemption, unplaced.message
        nominated: str | None = None
        jobs: list[Job] = []
        if isinstance(outcome, Preemption):
            nominated = outcome.node
            self.cache.nominate(pod, outcome.node, outcome.victims)
            for victim in outcome.victims:
                jobs.append(self._evict_job(victim, pod, outcome.node))
        elif pod.nominated and pod.nominated not in self.columns.rows:
            nominated = ""
            self.cache.drop_nomination(pod)
        self.queue.unschedulable(pod.key, unplaced.diagnosis.plugins, time.monotonic())
        return [lambda: self._binder.report_pending(pod, message, nominated), *jobs]

    def _evict_job(self, victim: Pod, preemptor: Pod, node: str) -> Job:
        return lambda: self._binder.evict(victim, preemptor, node)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            await job()


def _namespace(obj: dict[str, Any]) -> dict[str, Any]:
    return {"name": obj["metadata"]["name"], "labels": obj["metadata"].get("labels") or {}}


def _timestamp() -> str:
    return rfc3339(datetime.now(UTC))
