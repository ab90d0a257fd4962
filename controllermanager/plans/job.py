"""Jobs: how many pods run, which completions count, and when the job is over.

Each of its pods carries a finalizer, so that it is counted exactly once: a pod that ended is first written down in
status.uncountedTerminatedPods, then loses its finalizer, and is then moved into the counters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery import meta, names, resources, selectors
from controllermanager.plans import indexes
from controllermanager.plans.actions import Action, Create, Delete, Event, Patch, RequeueAfter
from controllermanager.plans.ownership import claim
from controllermanager.plans.podtemplate import pod_from_template
from controllermanager.plans.views import PodView

Object = dict[str, Any]

JOBS = resources.get("jobs", "batch")
PODS = resources.get("pods")
FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
_BACKOFF, _LONGEST_BACKOFF = 10.0, 600.0  # seconds
BURST = 500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job and the pods of its namespace that it or nobody controls."""

    job: Object
    pods: Sequence[PodView]


@dataclass(slots=True)
class Plan:
    """`claims` and `before` in order, then `creates`, `releases` and `deletes` (in batches), then `after`.

    Pods in `releases` are deleted without counting as failed: they lose their finalizer first.
    """

    claims: list[Action] = field(default_factory=list)
    before: list[Action] = field(default_factory=list)
    creates: list[Action] = field(default_factory=list)
    releases: list[Action] = field(default_factory=list)
    deletes: list[Action] = field(default_factory=list)
    after: list[Action] = field(default_factory=list)


def finished(job: Object) -> bool:
    return any(
        c["type"] in ("Complete", "Failed") and c["status"] == "True"
        for c in (job.get("status") or {}).get("conditions") or ()
    )


def free(pod: PodView) -> Patch:
    """Takes the tracking finalizer off."""
    kept = [f for f in pod.finalizers if f != FINALIZER]
    metadata = {"uid": pod.uid, "resourceVersion": pod.revision, "finalizers": kept or None}
    return Patch(PODS, pod.namespace, pod.name, {"metadata": metadata}, missing_ok=True)


def plan(snapshot: Snapshot, now: datetime, suffixes: Iterator[str]) -> Plan:
    job = snapshot.job
    selector = selectors.from_label_selector(job["spec"].get("selector"))
    claimed, claims = claim(job, JOBS, PODS, snapshot.pods, selector)
    if job["metadata"].get("deletionTimestamp") or finished(job):
        return Plan(claims=claims, after=[free(p) for p in claimed if FINALIZER in p.finalizers])
    result = _Pass(job, claimed, now, suffixes).run()
    result.claims = claims
    return result


class _Pass:
    def __init__(self, job: Object, pods: list[PodView], now: datetime, suffixes: Iterator[str]) -> None:
        self.job = job
        self.spec = job["spec"]
        self.now = now
        self.suffixes = suffixes
        self.old: Object = job.get("status") or {}
        self.indexed = self.spec.get("completionMode") == "Indexed"
        self.pods = pods
        self.active = [p for p in pods if p.active]
        self.terminating = [p for p in pods if p.deleting and not p.finished]
        self.conditions: list[Object] = list(self.old.get("conditions") or ())
        self.events: list[Event] = []
        self._count()

    def _count(self) -> None:
        """Counts what ended: the counters, what is written down as uncounted, and what is new."""
        uncounted = self.old.get("uncountedTerminatedPods") or {}
        tracked = {p.uid for p in self.pods if FINALIZER in p.finalizers}
        self.counted = {
            "succeeded": int(self.old.get("succeeded") or 0),
            "failed": int(self.old.get("failed") or 0),
        }
        self.uncounted: dict[str, list[str]] = {"succeeded": [], "failed": []}
        written: set[str] = set()
        for kind in ("succeeded", "failed"):
            for uid in uncounted.get(kind) or ():
                written.add(uid)
                if uid in tracked:
                    self.uncounted[kind].append(uid)
                elif not (self.indexed and kind == "succeeded"):
                    self.counted[kind] += 1
        done = indexes.parse(self.old.get("completedIndexes") or "") if self.indexed else set()
        for pod in self.pods:
            if pod.uid in written or FINALIZER not in pod.finalizers:
                continue
            if pod.phase == "Succeeded":
                if self.indexed and index_of(pod) not in range(self._completions()):
                    continue
                self.uncounted["succeeded"].append(pod.uid)
            elif pod.phase == "Failed" or (pod.deleting and not self._keeps_terminating()):
                self.uncounted["failed"].append(pod.uid)
        if self.indexed:
            for pod in self.pods:
                if pod.phase == "Succeeded" and (index := index_of(pod)) in range(self._completions()):
                    assert index is not None
                    done.add(index)
            self.counted["succeeded"] = len(done)
        self.done = done

    def _completions(self) -> int:
        return int(self.spec.get("completions") or 0)

    def _keeps_terminating(self) -> bool:
        return bool(self.spec.get("podReplacementPolicy") == "Failed")

    @property
    def succeeded(self) -> int:
        return (
            len(self.done) if self.indexed else self.counted["succeeded"] + len(self.uncounted["succeeded"])
        )

    @property
    def failed(self) -> int:
        return self.counted["failed"] + len(self.uncounted["failed"])

    def run(self) -> Plan:
        plan = Plan()
        requeue: float | None = None
        verdict = self._verdict()
        suspended = bool(self.spec.get("suspend"))
        start = self.old.get("startTime")
        if start is None and not suspended:
            start = meta.rfc3339(self.now)
        if verdict is not None or suspended:
            if verdict is None or verdict[0] == "Complete":
                plan.releases = [free(p) for p in self.active if FINALIZER in p.finalizers]
            plan.deletes = [_delete(p) for p in self.active]
            start = start if verdict is not None else None
        else:
            requeue = self._manage(plan)
        self._suspension(suspended, verdict is not None)
        over = self._conclude(verdict)
        status = self._status(start, over)
        plan.before = self._write(status)
        known = {*self.uncounted["succeeded"], *self.uncounted["failed"]}
        for pod in self.pods:
            useless = pod.finished or (pod.deleting and not self._keeps_terminating())
            if FINALIZER in pod.finalizers and (pod.uid in known or useless):
                plan.after.append(free(pod))
        plan.after += self.events
        if requeue is not None:
            plan.after.append(RequeueAfter(requeue))
        deadline = self.spec.get("activeDeadlineSeconds")
        if deadline is not None and start and verdict is None:
            left = float(deadline) - (self.now - meta.parse_time(start)).total_seconds()
            plan.after.append(RequeueAfter(max(0.0, left) + 0.01))
        return plan

    def _manage(self, plan: Plan) -> float | None:
        """Creates what is missing, deletes what is too much. Returns the seconds until failures are forgiven."""
        parallelism = int(self.spec.get("parallelism", 1))
        completions = self.spec.get("completions")
        if completions is None:
            wanted = len(self.active) if self.succeeded else parallelism
        else:
            wanted = min(int(completions) - self.succeeded, parallelism)
        running = len(self.active) + (len(self.terminating) if self._keeps_terminating() else 0)
        surplus = len(self.active) - wanted
        if surplus > 0:
            ranked = sorted(
                self.active, key=lambda p: (bool(p.node), p.phase == "Running", p.ready, p.created)
            )
            plan.releases = [free(p) for p in ranked[:surplus] if FINALIZER in p.finalizers]
            plan.deletes = [_delete(p) for p in ranked[:surplus]]
            return None
        missing = min(wanted - running, BURST)
        if missing <= 0:
            return None
        wait = self._backoff()
        if wait > 0:
            return wait
        template = self.spec.get("template") or {}
        free_indexes = self._free_indexes(missing) if self.indexed else [None] * missing
        plan.creates = [Create(PODS, self._pod(template, index)) for index in free_indexes]
        return None

    def _free_indexes(self, count: int) -> list[int | None]:
        taken = self.done | {i for p in self.active if (i := index_of(p)) is not None}
        free_ones = (i for i in range(self._completions()) if i not in taken)
        return [i for _, i in zip(range(count), free_ones, strict=False)]

    def _pod(self, template: Object, index: int | None) -> Object:
        name = ""
        if index is not None:
            name = names.generated(f"{self.job['metadata']['name']}-{index}-", next(self.suffixes))
        pod = pod_from_template(template, self.job, JOBS, self.suffixes, name)
        metadata = pod["metadata"]
        metadata["finalizers"] = [*metadata.get("finalizers", ()), FINALIZER]
        if index is not None:
            metadata["generateName"] = f"{self.job['metadata']['name']}-{index}-"
            metadata["annotations"] = {**metadata.get("annotations", {}), INDEX: str(index)}
            metadata["labels"] = {**metadata.get("labels", {}), INDEX: str(index)}
            pod["spec"] = indexes.with_index(pod["spec"], f"{self.job['metadata']['name']}-{index}", INDEX)
        return pod

    def _backoff(self) -> float:
        """Seconds before a new pod may replace failed ones: 10, 20, 40… up to 600 after the last failure."""
        ended = [p for p in self.pods if p.phase == "Failed" and p.ready_since]
        if not self.failed or not ended:
            return 0.0
        delay: float = min(_BACKOFF * 2 ** min(self.failed - 1, 10), _LONGEST_BACKOFF)
        last = max(meta.parse_time(p.ready_since) for p in ended)
        return max(0.0, delay - (self.now - last).total_seconds())

    def _verdict(self) -> tuple[str, str, str] | None:
        """(Complete or Failed, reason, message) once it is decided."""
        target = next(
            (c for c in self.conditions if c["type"] == "FailureTarget" and c["status"] == "True"), None
        )
        if target is not None:
            return "Failed", target["reason"], target["message"]
        limit = int(self.spec.get("backoffLimit", 6))
        policy = ((self.spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
        restarts = sum(p.restarts for p in self.active)
        if self.failed > limit or (policy == "OnFailure" and restarts and restarts >= limit):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if self._is_late():
            return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        completions = self.spec.get("completions")
        reached = (
            self.succeeded > 0 and not self.active
            if completions is None
            else self.succeeded >= int(completions)
        )
        return (
            ("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
            if reached
            else None
        )

    def _is_late(self) -> bool:
        deadline, start = self.spec.get("activeDeadlineSeconds"), self.old.get("startTime")
        if deadline is None or not start or self.spec.get("suspend"):
            return False
        return (self.now - meta.parse_time(start)).total_seconds() >= float(deadline)

    def _condition(self, kind: str, value: str, reason: str, message: str) -> None:
        stamp = meta.rfc3339(self.now)
        new = {
            "type": kind,
            "status": value,
            "lastProbeTime": stamp,
            "lastTransitionTime": stamp,
            "reason": reason,
            "message": message,
        }
        current = next((c for c in self.conditions if c["type"] == kind), None)
        if current is None:
            self.conditions.append(new)
        elif current["status"] != value:
            self.conditions[self.conditions.index(current)] = new

    def _suspension(self, suspended: bool, decided: bool) -> None:
        current = next((c for c in self.conditions if c["type"] == "Suspended"), None)
        if suspended and not decided and (current is None or current["status"] != "True"):
            self._condition("Suspended", "True", "JobSuspended", "Job suspended")
            self.events.append(self._event("Normal", "Suspended", "Job suspended"))
        elif not suspended and current is not None and current["status"] == "True":
            self._condition("Suspended", "False", "JobResumed", "Job resumed")
            self.events.append(self._event("Normal", "Resumed", "Job resumed"))

    def _conclude(self, verdict: tuple[str, str, str] | None) -> bool:
        """Says what is decided, and that it is over once no pod is left to end or to be counted."""
        if verdict is None:
            return False
        kind, reason, message = verdict
        interim = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        self._condition(interim, "True", reason, message)
        if self.active or self.terminating or any(self.uncounted.values()):
            return False
        self._condition(kind, "True", reason, message)
        event = (
            ("Normal", "Completed", "Job completed") if kind == "Complete" else ("Warning", reason, message)
        )
        self.events.append(self._event(*event))
        return kind == "Complete"

    def _status(self, start: str | None, complete: bool) -> Object:
        status: Object = {"startTime": start, "ready": sum(1 for p in self.active if p.ready)}
        status["terminating"] = len(self.terminating)
        if complete:
            status["completionTime"] = meta.rfc3339(self.now)
        counts = {"active": len(self.active), **self.counted}
        status.update({key: value for key, value in counts.items() if value})
        status["uncountedTerminatedPods"] = {key: uids for key, uids in self.uncounted.items() if uids}
        if self.done:
            status["completedIndexes"] = indexes.render(self.done)
        if self.conditions:
            status["conditions"] = self.conditions
        return status

    def _write(self, status: Object) -> list[Action]:
        """Bound to the version it was counted from: counting twice from one copy would count pods twice."""
        current = self.old
        wanted = {key: value for key, value in status.items() if value is not None}
        changes: Object = {key: value for key, value in wanted.items() if current.get(key) != value}
        changes.update({key: None for key in current if key not in wanted})
        if not changes:
            return []
        if "uncountedTerminatedPods" in changes:
            lists = {key: self.uncounted[key] or None for key in ("succeeded", "failed")}
            changes["uncountedTerminatedPods"] = lists
        metadata = self.job["metadata"]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": changes}
        return [Patch(JOBS, metadata["namespace"], metadata["name"], patch, subresource="status")]

    def _event(self, type: str, reason: str, message: str) -> Event:
        return Event({**self.job, "apiVersion": "batch/v1", "kind": "Job"}, type, reason, message)


def index_of(pod: PodView) -> int | None:
    text = pod.annotations.get(INDEX, "")
    return int(text) if text.isdigit() else None


def _delete(pod: PodView) -> Delete:
    return Delete(PODS, pod.namespace, pod.name, pod.uid)
