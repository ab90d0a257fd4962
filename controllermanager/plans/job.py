"""Jobs: how many pods run, which completions count, and when the job is over.

Each of its pods carries a finalizer, so that it is counted exactly once: a pod that ended is first written down in
status.uncountedTerminatedPods, then loses its finalizer, and is then moved into the counters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

from apimachinery import meta, names, resources, selectors
from controllermanager.plans import indexes, jobpolicy
from controllermanager.plans.actions import Action, Create, Delete, Event, Patch, RequeueAfter
from controllermanager.plans.jobcount import FINALIZER, INDEX, Count, index_of
from controllermanager.plans.ownership import claim
from controllermanager.plans.podtemplate import pod_from_template
from controllermanager.plans.views import PodView

Object = dict[str, Any]

JOBS = resources.get("jobs", "batch")
PODS = resources.get("pods")
#: The value of managedBy that means this controller, as does none at all.
CONTROLLER = "kubernetes.io/job-controller"
#: What a verdict is called while pods are still to end.
_INTERIM = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
#: (Complete or Failed, reason, message)
Verdict = tuple[str, str, str]
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


def _tracked(action: Action) -> Action:
    """A pod that is adopted gets our finalizer with its owner: else it would never be counted."""
    if not isinstance(action, Patch) or action.guard is None:
        return action
    metadata = {**action.patch["metadata"], "finalizers": [FINALIZER]}
    return replace(action, patch={**action.patch, "metadata": metadata})


def managed(job: Object) -> bool:
    """Whether it is this controller's, and not left to another one (KEP-4368)."""
    return job["spec"].get("managedBy") in (None, CONTROLLER)


def free(pod: PodView) -> Patch:
    """Takes the tracking finalizer off."""
    kept = [f for f in pod.finalizers if f != FINALIZER]
    metadata = {"uid": pod.uid, "resourceVersion": pod.revision, "finalizers": kept or None}
    return Patch(PODS, pod.namespace, pod.name, {"metadata": metadata}, missing_ok=True)


def plan(snapshot: Snapshot, now: datetime, suffixes: Iterator[str]) -> Plan:
    job = snapshot.job
    selector = selectors.from_label_selector(job["spec"].get("selector"))
    claimed, claims = claim(job, JOBS, PODS, snapshot.pods, selector)
    claims = [_tracked(action) for action in claims]
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
        self.count = Count(job, pods)
        self.indexed = self.count.indexed
        self.active = [p for p in pods if p.active]
        self.terminating = [p for p in pods if p.deleting and not p.finished]
        self.conditions: list[Object] = list(self.old.get("conditions") or ())
        self.events: list[Event] = []

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
        uncounted, freed = self.count.settle(verdict[0] if verdict is not None else "")
        over = self._conclude(verdict, uncounted)
        plan.before = self._write(self._status(start, over, uncounted), uncounted)
        plan.after += [free(pod) for pod in freed]
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
            wanted = len(self.active) if self.count.succeeded else parallelism
        else:
            wanted = max(0, min(int(completions) - self.count.succeeded, parallelism))
        surplus = self._surplus(len(self.active) - wanted)
        if surplus:
            plan.releases = [free(p) for p in surplus if FINALIZER in p.finalizers]
            plan.deletes = [_delete(p) for p in surplus]
            return None
        running = len(self.active) + (len(self.terminating) if self.count.waits_for_end else 0)
        missing = min(wanted - running, BURST)
        if missing <= 0:
            return None
        template = self.spec.get("template") or {}
        if not self.indexed:
            if wait := self._backoff(*self.count.failures_since_success()):
                return wait
            plan.creates = [Create(PODS, self._pod(template, None)) for _ in range(missing)]
            return None
        waits = dict.fromkeys(self._free_indexes(missing), 0.0)
        if self.count.per_index is not None:
            waits = {index: self._backoff(*self.count.failures_of(index)) for index in waits}
        elif wait := self._backoff(*self.count.failures_since_success()):
            return wait
        plan.creates = [Create(PODS, self._pod(template, index)) for index, wait in waits.items() if not wait]
        return min((wait for wait in waits.values() if wait), default=None)

    def _surplus(self, number: int) -> list[PodView]:
        """The pods that are too many: those of no or of another's index, and the least useful ones."""
        ranked = sorted(self.active, key=lambda p: (bool(p.node), p.phase == "Running", p.ready, p.created))
        if not self.indexed:
            return ranked[: max(0, number)]
        best = {index_of(pod): pod for pod in ranked}
        wrong = [p for p in ranked if (i := index_of(p)) not in self.count.range or best[i] is not p]
        more = [p for p in ranked if p not in wrong]
        return wrong + more[: max(0, number - len(wrong))]

    def _free_indexes(self, number: int) -> list[int]:
        taken = self.count.done | self.count.failed_indexes
        others = [*self.active, *(self.terminating if self.count.waits_for_end else ())]
        taken |= {i for p in others if (i := index_of(p)) is not None}
        return list(islice((i for i in self.count.range if i not in taken), number))

    def _pod(self, template: Object, index: int | None) -> Object:
        name = ""
        if index is not None:
            name = names.generated(f"{self.job['metadata']['name']}-{index}-", next(self.suffixes))
        pod = pod_from_template(template, self.job, JOBS, self.suffixes, name)
        metadata = pod["metadata"]
        metadata["finalizers"] = [*metadata.get("finalizers", ()), FINALIZER]
        if index is not None:
            notes = {INDEX: str(index), **self.count.annotations(index)}
            metadata["generateName"] = f"{self.job['metadata']['name']}-{index}-"
            metadata["annotations"] = {**metadata.get("annotations", {}), **notes}
            metadata["labels"] = {**metadata.get("labels", {}), INDEX: str(index)}
            pod["spec"] = indexes.with_index(pod["spec"], f"{self.job['metadata']['name']}-{index}", INDEX)
        return pod

    def _backoff(self, failures: int, last: str) -> float:
        """Seconds before a new pod may replace failed ones: 10, 20, 40… up to 600 after the last failure."""
        if not failures or not last:
            return 0.0
        delay: float = min(_BACKOFF * 2 ** min(failures - 1, 10), _LONGEST_BACKOFF)
        return max(0.0, delay - (self.now - meta.parse_time(last)).total_seconds())

    def _verdict(self) -> Verdict | None:
        """What is decided: it stays so once it was said."""
        for kind, interim in _INTERIM.items():
            said = next((c for c in self.conditions if c["type"] == interim), None)
            if said is not None and said["status"] == "True":
                return kind, said["reason"], said["message"]
        return self._failure() or self._success()

    def _failure(self) -> Verdict | None:
        count = self.count
        for pod in count.pods:
            match = count.match(pod) if count.has_failed(pod) else None
            if match is not None and match.action == "FailJob":
                return "Failed", "PodFailurePolicy", match.message
        limit = int(self.spec.get("backoffLimit", 6))
        policy = ((self.spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
        restarts = sum(p.restarts for p in self.active)
        if count.failed > limit or (policy == "OnFailure" and restarts and restarts >= limit):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if self._is_late():
            return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        failed, most = len(count.failed_indexes), self.spec.get("maxFailedIndexes")
        if most is not None and failed > int(most):
            text = "Job has exceeded the specified maximal number of failed indexes"
            return "Failed", "MaxFailedIndexesExceeded", text
        if failed and failed + count.succeeded >= len(count.range):
            return "Failed", "FailedIndexes", "Job has failed indexes"
        return None

    def _success(self) -> Verdict | None:
        completions, succeeded = self.spec.get("completions"), self.count.succeeded
        if self.indexed:
            policy = self.spec.get("successPolicy")
            if text := jobpolicy.success(policy, len(self.count.range), self.count.done):
                return "Complete", "SuccessPolicy", text
        if completions is None:
            reached = succeeded > 0 and not self.active
        else:
            reached = succeeded >= int(completions)
        text = "Reached expected number of succeeded pods"
        return ("Complete", "CompletionsReached", text) if reached else None

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

    def _conclude(self, verdict: Verdict | None, uncounted: Object) -> bool:
        """Says what is decided, and that it is over once no pod is left to end or to be counted."""
        if verdict is None:
            return False
        kind, reason, message = verdict
        self._condition(_INTERIM[kind], "True", reason, message)
        if self.active or self.terminating or any(uncounted.values()):
            return False
        self._condition(kind, "True", reason, message)
        event = (
            ("Normal", "Completed", "Job completed") if kind == "Complete" else ("Warning", reason, message)
        )
        self.events.append(self._event(*event))
        return kind == "Complete"

    def _status(self, start: str | None, complete: bool, uncounted: Object) -> Object:
        count = self.count
        status: Object = {"startTime": start, "ready": sum(1 for p in self.active if p.ready)}
        status["terminating"] = len(self.terminating)
        if complete:
            status["completionTime"] = meta.rfc3339(self.now)
        counts = {"active": len(self.active), **count.counted}
        status.update({key: value for key, value in counts.items() if value})
        status["uncountedTerminatedPods"] = {key: uids for key, uids in uncounted.items() if uids}
        if count.done:
            status["completedIndexes"] = indexes.render(count.done)
        if count.per_index is not None:
            status["failedIndexes"] = indexes.render(count.failed_indexes)
        if self.conditions:
            status["conditions"] = self.conditions
        return status

    def _write(self, status: Object, uncounted: Object) -> list[Action]:
        """Bound to the version it was counted from: counting twice from one copy would count pods twice."""
        current = self.old
        wanted = {key: value for key, value in status.items() if value is not None}
        changes: Object = {key: value for key, value in wanted.items() if current.get(key) != value}
        changes.update({key: None for key in current if key not in wanted})
        if not changes:
            return []
        if "uncountedTerminatedPods" in changes:
            lists = {key: uncounted[key] or None for key in ("succeeded", "failed")}
            changes["uncountedTerminatedPods"] = lists
        metadata = self.job["metadata"]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": changes}
        return [Patch(JOBS, metadata["namespace"], metadata["name"], patch, subresource="status")]

    def _event(self, type: str, reason: str, message: str) -> Event:
        return Event({**self.job, "apiVersion": "batch/v1", "kind": "Job"}, type, reason, message)


def _delete(pod: PodView) -> Delete:
    return Delete(PODS, pod.namespace, pod.name, pod.uid)
