"""The Job controller."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import selectors
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import job as plans
from controllermanager.plans.actions import Create, Delete, Event
from controllermanager.plans.job import JOBS
from controllermanager.plans.jobcount import FINALIZER
from controllermanager.plans.views import PodView, by_controller, object_by_namespace


class JobController(Controller):
    """Keys are a Job's; a pod whose job is gone is freed under the key of that job."""

    name: ClassVar[str] = "job-controller"

    def setup(self) -> None:
        self._jobs = self.watch(JOBS, self.enqueue)
        self._jobs.add_index("namespace", object_by_namespace)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("controller", by_controller)
        self._pods.add_index("job", _job_key)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        for pod in (old, new):
            owner = pod.controller if pod is not None else None
            if pod is not None and owner is not None and owner.kind == "Job":
                self.queue.add((pod.namespace, owner.name))
        if new is None or new.controller is not None:
            return
        if FINALIZER in new.finalizers and old is not None:
            before = old.controller
            self.queue.add((new.namespace, before.name if before is not None else ""))
        for job in self._jobs.by_index("namespace", new.namespace):
            selector = selectors.from_label_selector(job["spec"].get("selector"))
            if not selector.empty and selector.matches(new.labels):
                self.enqueue(None, job)

    async def sync(self, key: Key) -> float | None:
        namespace, name = key
        job = self._jobs.store.get(key)
        await self.executor.run(plans.free(pod) for pod in self._abandoned(namespace, name, job))
        if job is None or not plans.managed(job):
            return None
        mine = self._pods.by_index("controller", job["metadata"]["uid"])
        orphans = self._pods.by_index("controller", ("", namespace))
        context = self.context
        snapshot = plans.Snapshot(job, [*mine, *orphans])
        plan = plans.plan(snapshot, context.now(), iter(context.suffixes()))
        await self.executor.run(plan.claims)
        await self.executor.run(plan.before)
        failure: Exception | None = None
        involved = {**job, "apiVersion": "batch/v1", "kind": "Job"}
        for actions in (plan.creates, plan.releases, plan.deletes):
            done, error = await self.executor.batch(actions)
            failure = failure or error
            for action in actions[:done]:
                if isinstance(action, Create):
                    text = f"Created pod: {action.obj['metadata']['name']}"
                    await self.executor.one(Event(involved, "Normal", "SuccessfulCreate", text))
                elif isinstance(action, Delete):
                    text = f"Deleted pod: {action.name}"
                    await self.executor.one(Event(involved, "Normal", "SuccessfulDelete", text))
        if failure is not None and plan.creates:
            await self.executor.one(Event(involved, "Warning", "FailedCreate", f"Error creating: {failure}"))
        delay = await self.executor.run(plan.after)
        if failure is not None:
            raise failure
        return delay

    def _abandoned(self, namespace: str, name: str, job: Any) -> list[PodView]:
        """Pods with our finalizer whose job does not exist (any more)."""
        uid = job["metadata"]["uid"] if job is not None else ""
        found = self._pods.by_index("job", (namespace, name)) + self._pods.by_index("job", (namespace, ""))
        lost = []
        for pod in found:
            owner = pod.controller
            if FINALIZER in pod.finalizers and (owner is None or (owner.name == name and owner.uid != uid)):
                lost.append(pod)
        return lost


def _job_key(pod: PodView) -> list[tuple[str, str]]:
    """Pods that have the tracking finalizer, by the name of the job that controls them (empty: nobody)."""
    if FINALIZER not in pod.finalizers:
        return []
    owner = pod.controller
    return [(pod.namespace, owner.name if owner is not None and owner.kind == "Job" else "")]
