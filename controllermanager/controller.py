"""What controllers share: informers, the carrying out of actions, and the loop around a work queue."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from apimachinery import meta, resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from controllermanager.options import ControllerManagerConfig
from controllermanager.plans.actions import (
    Action,
    Create,
    Delete,
    Event,
    Guard,
    Object,
    Patch,
    RequeueAfter,
    Update,
)
from controllermanager.plans.views import pod_view
from kubeclient import Client, EventRecorder, Informer, WorkQueue

log = logging.getLogger(__name__)

PODS = resources.get("pods")
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
Key = tuple[str, str]


def random_suffix() -> str:
    return "".join(random.choices(_SUFFIX_ALPHABET, k=5))


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Context:
    """What every controller is given. `clock` and `suffix` are where time and chance come from."""

    client: Client
    recorder: EventRecorder
    config: ControllerManagerConfig
    clock: Callable[[], datetime] = utc_now
    suffix: Callable[[], str] = random_suffix
    informers: dict[Resource, Informer] = field(default_factory=dict)
    started: set[Resource] = field(default_factory=set)
    new_informer: asyncio.Event = field(default_factory=asyncio.Event)

    def informer(self, resource: Resource, view: Callable[[Object], Any] | None = None) -> Informer:
        """The one informer of that resource. Pods are kept as PodView; who asks first chooses others' view."""
        found = self.informers.get(resource)
        if found is None:
            if resource == PODS:
                view = pod_view
            found = self.informers[resource] = Informer(self.client, resource, view=view)
            self.new_informer.set()
        return found

    def suffixes(self) -> Iterable[str]:
        while True:
            yield self.suffix()

    def now(self) -> datetime:
        return self.clock()


class Gone(Exception):
    """The object an action was guarded by is gone or going."""


class NotYet(Exception):
    """Something has to happen first that no watch will tell of: look again, later each time."""


class Executor:
    """Carries actions out, and shows their outcome to the informers at once."""

    def __init__(self, context: Context, component: str) -> None:
        self._context = context
        self._component = component
        self._slots = asyncio.Semaphore(context.config.concurrency)

    async def run(self, actions: Iterable[Action]) -> float | None:
        """In order; raises what the first failing one raises. Returns the shortest RequeueAfter, if any."""
        requeue: float | None = None
        alive: set[Guard] = set()
        for action in actions:
            if isinstance(action, RequeueAfter):
                requeue = action.seconds if requeue is None else min(requeue, action.seconds)
                continue
            if isinstance(action, Patch) and action.guard is not None and action.guard not in alive:
                await self._check(action.guard)
                alive.add(action.guard)
            await self.one(action)
        return requeue

    async def batch(self, actions: Sequence[Action]) -> tuple[int, Exception | None]:
        """Alike actions, many at once: first one, then twice as many each time, up to the concurrency; stops
        after the first batch in which one failed. So a thousand pods that a quota forbids cost one request.
        Returns (how many were done, the first error)."""
        done, size = 0, 1
        while done < len(actions):
            part = actions[done : done + size]
            results = await asyncio.gather(*(self.one(action) for action in part), return_exceptions=True)
            failures = [result for result in results if isinstance(result, BaseException)]
            for failure in failures:
                if not isinstance(failure, Exception):
                    raise failure
            done += len(part) - len(failures)
            if failures:
                first = failures[0]
                assert isinstance(first, Exception)
                return done, first
            size *= 2
        return done, None

    async def one(self, action: Action) -> Object | None:
        if isinstance(action, Event):
            self._context.recorder.event(
                action.involved, action.type, action.reason, action.message, component=self._component
            )
            return None
        async with self._slots:
            if isinstance(action, Create):
                return await self._create(action)
            if isinstance(action, Update):
                return self._observe(
                    action.resource,
                    await self._context.client.update(action.resource, action.obj, action.subresource),
                )
            if isinstance(action, Patch):
                return await self._patch(action)
            if isinstance(action, Delete):
                return await self._delete(action)
        return None

    async def _create(self, action: Create) -> Object:
        client = self._context.client
        try:
            created = await client.create(action.resource, action.obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            # A creation whose answer was lost and that was sent again: ours, if our owner is its owner.
            metadata = action.obj["metadata"]
            wanted = meta.controller_of(action.obj)
            created = await client.get(action.resource, metadata["name"], metadata.get("namespace", ""))
            found = meta.controller_of(created)
            self._observe(action.resource, created)
            same_owner = wanted is not None and found is not None and found["uid"] == wanted["uid"]
            if not action.reusable or not same_owner:
                raise
        return self._observe(action.resource, created)

    async def _patch(self, action: Patch) -> Object | None:
        try:
            changed = await self._context.client.patch(
                action.resource,
                action.name,
                action.patch,
                action.namespace,
                kind=action.kind,
                subresource=action.subresource,
            )
        except StatusError as error:
            if error.code == 404 and action.missing_ok:
                return None
            raise
        return self._observe(action.resource, changed)

    async def _delete(self, action: Delete) -> Object | None:
        informer = self._context.informers.get(action.resource)
        try:
            answer = await self._context.client.delete(
                action.resource,
                action.name,
                action.namespace,
                uid=action.uid,
                resource_version=action.resource_version,
                grace_period_seconds=action.grace_period_seconds,
                propagation_policy=action.propagation_policy,
            )
        except StatusError as error:
            # A conflict on the uid means that a namesake has its place: the object itself is gone.
            if error.code != 404 and not (error.code == 409 and action.resource_version is None):
                raise
            return None
        metadata = answer.get("metadata") or {}
        if informer is not None:
            if metadata.get("deletionTimestamp") and (
                metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
            ):
                informer.observe(answer)
            else:
                informer.forget(action.namespace, action.name, action.uid)
        return answer

    def _observe(self, resource: Resource, obj: Object) -> Object:
        informer = self._context.informers.get(resource)
        if informer is not None and informer.has_synced:
            informer.observe(obj)
        return obj

    async def _check(self, guard: Guard) -> None:
        try:
            live = await self._context.client.get(guard.resource, guard.name, guard.namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            raise Gone(f"{guard.resource.qualified} {guard.namespace}/{guard.name} is gone") from error
        if live["metadata"]["uid"] != guard.uid or live["metadata"].get("deletionTimestamp"):
            raise Gone(f"{guard.resource.qualified} {guard.namespace}/{guard.name} is gone or being deleted")


class Controller(ABC):
    """One control loop. A subclass names its informers in `setup`, and in `sync` brings one key to what it
    should be: it reads the informers, asks its plan, and has the executor do what the plan says."""

    name: ClassVar[str]
    source: ClassVar[str] = ""  # the component its events name, where Kubernetes does not use the name
    workers: ClassVar[int] = 4
    backoff: ClassVar[tuple[float, float]] = (0.005, 60.0)  # seconds, of keys that fail: first and longest

    def __init__(self, context: Context) -> None:
        self.context = context
        self.queue: WorkQueue[Key] = WorkQueue(*self.backoff)
        self.executor = Executor(context, self.source or self.name)
        self._informers: list[Informer] = []
        self.setup()

    @abstractmethod
    def setup(self) -> None:
        """Names the informers it needs."""

    @abstractmethod
    async def sync(self, key: Key) -> float | None:
        """Brings `key` to what it should be. Returns the seconds after which to look again, if any."""

    def watch(
        self,
        resource: Resource,
        handler: Callable[[Any, Any], None] | None = None,
        view: Callable[[Object], Any] | None = None,
    ) -> Informer:
        """Uses the shared informer of `resource`; work starts when it has synced."""
        informer = self.context.informer(resource, view)
        if handler is not None:
            informer.add_handler(handler)
        self._informers.append(informer)
        return informer

    def enqueue(self, old: Any, new: Any) -> None:
        """A handler: the changed object itself is to be looked at."""
        obj = new if new is not None else old
        if isinstance(obj, dict):
            self.queue.add((obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        else:
            self.queue.add((obj.namespace, obj.name))

    async def run(self) -> None:
        for informer in self._informers:
            await informer.synced()
        await self.queue.run(self._work, self._failed, self.workers)

    async def _work(self, key: Key) -> None:
        delay = await self.sync(key)
        if delay is not None:
            self.queue.add_after(key, delay)

    def _failed(self, key: Key, error: Exception, delay: float) -> None:
        expected = isinstance(error, (Gone, NotYet, ConnectionError, TimeoutError)) or (
            isinstance(error, StatusError) and error.code in (403, 404, 409)
        )
        if expected:
            log.info("%s %s: %s; again in %.3f s", self.name, "/".join(key), error, delay)
        else:
            log.error("%s %s: again in %.3f s", self.name, "/".join(key), delay, exc_info=error)
