"""Which pods of a Job count as succeeded and failed, each exactly once, and what became of its indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controllermanager.plans import indexes, jobpolicy
from controllermanager.plans.views import PodView

Object = dict[str, Any]

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"


class Count:
    """The count of `job` with `pods`. `counted` are the counters of its status, `uncounted` the lists in it that
    stand for pods that lose their finalizer next; `done` and `failed_indexes` are of indexed jobs.

    `delayed` has for indexes that are tried again the failed pod whose failures the next pod goes on counting:
    it is not let go before that one exists.
    """

    def __init__(self, job: Object, pods: Sequence[PodView]) -> None:
        self.spec: Object = job["spec"]
        self.pods = pods
        old: Object = job.get("status") or {}
        self.indexed = self.spec.get("completionMode") == "Indexed"
        limit = self.spec.get("backoffLimitPerIndex")
        self.per_index: int | None = int(limit) if limit is not None and self.indexed else None
        #: A pod is replaced once it has failed, not as soon as it is on its way out.
        self.waits_for_end = self.spec.get("podReplacementPolicy") == "Failed"
        self.range = range(int(self.spec.get("completions") or 0)) if self.indexed else range(0)
        self.counted = {kind: int(old.get(kind) or 0) for kind in ("succeeded", "failed")}
        self.uncounted: dict[str, list[str]] = {"succeeded": [], "failed": []}
        self._written = self._read(old.get("uncountedTerminatedPods") or {})
        self._fresh = [p for p in pods if FINALIZER in p.finalizers and p.uid not in self._written]
        self.done = self._done(old)
        self.failed_indexes = self._failed_indexes(old)
        self.failures = [p for p in self._fresh if self._is_valid(p) and self.counts(p)]
        self.delayed = self._delayed() if self.per_index is not None else {}

    def _read(self, lists: Object) -> set[str]:
        """Takes over what was written down: pods that have lost their finalizer since then go to the counters."""
        tracked = {p.uid for p in self.pods if FINALIZER in p.finalizers}
        written: set[str] = set()
        for kind in ("succeeded", "failed"):
            for uid in lists.get(kind) or ():
                written.add(uid)
                if uid in tracked:
                    self.uncounted[kind].append(uid)
                elif not (self.indexed and kind == "succeeded"):
                    self.counted[kind] += 1
        return written

    def _done(self, old: Object) -> set[int]:
        if not self.indexed:
            return set()
        done = {i for i in indexes.parse(old.get("completedIndexes") or "") if i in self.range}
        for pod in self.pods:
            if pod.phase == "Succeeded" and (index := index_of(pod)) is not None and index in self.range:
                done.add(index)
        self.counted["succeeded"] = len(done)
        return done

    def _failed_indexes(self, old: Object) -> set[int]:
        if self.per_index is None:
            return set()
        failed = {i for i in indexes.parse(old.get("failedIndexes") or "") if i in self.range}
        for pod in self.pods:
            index = index_of(pod)
            if index is None or index not in self.range or not self.has_failed(pod):
                continue
            match = self.match(pod)
            never = match is not None and match.action == "FailIndex"
            if never or (self.counts(pod) and _noted(pod, FAILURES) >= self.per_index):
                failed.add(index)
        return failed

    def _delayed(self) -> dict[int, PodView]:
        settled = self.done | self.failed_indexes
        settled |= {i for p in self.pods if p.active and (i := index_of(p)) is not None}
        latest: dict[int, PodView] = {}
        for pod in self._fresh:
            index = index_of(pod)
            if index is None or not self._is_valid(pod) or not self.has_failed(pod) or index in settled:
                continue
            if index not in latest or _order(pod) >= _order(latest[index]):
                latest[index] = pod
        return latest

    def _is_valid(self, pod: PodView) -> bool:
        return not self.indexed or index_of(pod) in self.range

    def has_failed(self, pod: PodView) -> bool:
        return pod.phase == "Failed" or (
            bool(pod.deleting) and pod.phase != "Succeeded" and not self.waits_for_end
        )

    def match(self, pod: PodView) -> jobpolicy.Match | None:
        """The rule of the pod failure policy that a failed pod matches."""
        return jobpolicy.failure(self.spec.get("podFailurePolicy"), pod, self.per_index is not None)

    def counts(self, pod: PodView) -> bool:
        """Whether it has failed and no rule says that this is to be ignored."""
        if not self.has_failed(pod):
            return False
        match = self.match(pod)
        return match is None or match.action != "Ignore"

    @property
    def succeeded(self) -> int:
        fresh = [p for p in self._fresh if p.phase == "Succeeded"]
        waiting = len(self.uncounted["succeeded"]) + len(fresh)
        return len(self.done) if self.indexed else self.counted["succeeded"] + waiting

    @property
    def failed(self) -> int:
        return self.counted["failed"] + len(self.uncounted["failed"]) + len(self.failures)

    def settle(self, verdict: str = "") -> tuple[Object, list[PodView]]:
        """(the lists of uncounted pods to write down, the pods to let go once they are written).

        With a verdict no index is tried again, and no pod is waited for: all that did not end well before a failure
        count as failed, and after a success as nothing.
        """
        kept = set() if verdict else {pod.uid for pod in self.delayed.values()}
        lists = {kind: list(uids) for kind, uids in self.uncounted.items()}
        valid = [p for p in self._fresh if self._is_valid(p)]
        lists["succeeded"] += [p.uid for p in valid if p.phase == "Succeeded"]
        failed = self.failures
        if verdict == "Failed":
            failed = [
                p for p in valid if p.phase != "Succeeded" and (self.counts(p) or not self.has_failed(p))
            ]
        lists["failed"] += [p.uid for p in failed if p.uid not in kept]
        known = {*lists["succeeded"], *lists["failed"]}
        # What is active is deleted first.
        free = [
            p
            for p in self.pods
            if FINALIZER in p.finalizers
            and not p.active
            and p.uid not in kept
            and (verdict or p.uid in known or p.finished or self.has_failed(p))
        ]
        return lists, free

    def annotations(self, index: int) -> dict[str, str]:
        """What the next pod of an index is told of its predecessors' failures."""
        if self.per_index is None:
            return {}
        last = self.delayed.get(index)
        if last is None:
            return {FAILURES: "0"}
        failures, ignored = _noted(last, FAILURES), _noted(last, IGNORED_FAILURES)
        if self.counts(last):
            failures += 1
        else:
            ignored += 1
        return {FAILURES: str(failures), **({IGNORED_FAILURES: str(ignored)} if ignored else {})}

    def failures_of(self, index: int) -> tuple[int, str]:
        """(how often an index failed, when it did last); (0, "") for one that never did."""
        last = self.delayed.get(index)
        if last is None:
            return 0, ""
        return _noted(last, FAILURES) + _noted(last, IGNORED_FAILURES) + 1, ended_at(last)

    def failures_since_success(self) -> tuple[int, str]:
        """(how many pods failed after the last that succeeded, when the last one failed)."""
        failed = [at for p in self.pods if self.has_failed(p) and (at := ended_at(p))]
        if not failed:
            return 0, ""
        succeeded = max((ended_at(p) for p in self.pods if p.phase == "Succeeded"), default="")
        # These times are all of one form, so that their texts have their order.
        after = [at for at in failed if at > succeeded]
        return len(after), max(after, default="")


def index_of(pod: PodView) -> int | None:
    text = pod.annotations.get(INDEX, "")
    return int(text) if text.isdigit() else None


def ended_at(pod: PodView) -> str:
    """When its last container ended, or what comes closest to that."""
    return pod.ended_at or pod.ready_since or pod.deleting


def _noted(pod: PodView, annotation: str) -> int:
    text = pod.annotations.get(annotation, "")
    return int(text) if text.isdigit() else 0


def _order(pod: PodView) -> tuple[int, str]:
    return _noted(pod, FAILURES) + _noted(pod, IGNORED_FAILURES), ended_at(pod)
