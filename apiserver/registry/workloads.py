"""Jobs and CronJobs: the selector and labels by which a Job knows its pods. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)
_LEGACY = {CONTROLLER_UID: "controller-uid", JOB_NAME: "job-name"}


def prepare_job(new: Object) -> None:
    """Give a Job without manualSelector its own selector, and its pods the labels to match."""
    spec = new.get("spec") or {}
    if spec.get("manualSelector"):
        return
    values = {CONTROLLER_UID: new["metadata"]["uid"], JOB_NAME: new["metadata"].get("name", "")}
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    labels = metadata["labels"] = dict(metadata.get("labels") or {})
    for label, value in values.items():
        labels.setdefault(label, value)
        labels.setdefault(_LEGACY[label], value)
    selector = spec["selector"] = dict(spec.get("selector") or {})
    matched = selector["matchLabels"] = dict(selector.get("matchLabels") or {})
    matched.setdefault(CONTROLLER_UID, values[CONTROLLER_UID])


def prepare_cron_job(new: Object) -> None:
    """A CronJob starts with an empty status."""
    new["status"] = {}
