"""A Job and its pods in a cluster in a dict, and hands that end the pods."""

from __future__ import annotations

from typing import Any

from clustermodel import ClusterModel

from apimachinery import resources
from controllermanager.plans import job as plans
from controllermanager.plans.job import JOBS
from controllermanager.plans.jobcount import index_of

PODS = resources.get("pods")


class Model(ClusterModel):
    def __init__(self, **spec: Any) -> None:
        super().__init__()
        labels = {"controller-uid": "u"}
        container = {"name": "c", "image": "x"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "restartPolicy": "Never"},
        }
        defaults = {"parallelism": 1, "completions": 1, "backoffLimit": 6}
        body = {"selector": {"matchLabels": labels}, "template": template, **defaults, **spec}
        self.add(JOBS, {"metadata": {"name": "work"}, "spec": body})

    def job(self) -> dict[str, Any]:
        return self.get(JOBS, "work")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.job().get("status") or {}
        return found

    def conditions(self) -> dict[str, str]:
        return {
            c["type"]: c["reason"] for c in self.status().get("conditions") or () if c["status"] == "True"
        }

    def sync(self) -> None:
        plan = plans.plan(plans.Snapshot(self.job(), self.pods(PODS)), self.now, self.suffixes())
        self.carry_out([*plan.claims, *plan.before])
        self.carry_out([*plan.creates, *plan.releases])
        for delete in plan.deletes:
            name = getattr(delete, "name")  # noqa: B009
            if (PODS, "ns", name) in self.objects:
                self.one(delete)
        requeue = self.requeue
        for action in plan.after:
            if (PODS, "ns", getattr(action, "name", "")) in self.objects or not hasattr(action, "patch"):
                self.one(action)
        self.requeue = self.requeue if self.requeue is not None else requeue

    def end(self, name: str, phase: str, code: int = 0, **conditions: str) -> None:
        """A node says how a pod ended."""
        found = [
            {"type": kind, "status": status, "lastTransitionTime": self.stamp()}
            for kind, status in {"Ready": "False", **conditions}.items()
        ]
        terminated = {"exitCode": code, "finishedAt": self.stamp()}
        states = [{"name": "c", "restartCount": 0, "state": {"terminated": terminated}}]
        status = {"phase": phase, "conditions": found, "containerStatuses": states}
        self.change(PODS, name, {"status": status})

    def by_index(self) -> dict[int, str]:
        """The names of the running pods."""
        found = self.pods(PODS)
        return {index: p.name for p in found if p.active and (index := index_of(p)) is not None}

    def running(self) -> list[str]:
        return sorted(p.name for p in self.pods(PODS) if p.active)
