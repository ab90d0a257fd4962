"""Workloads: the selector and labels by which a Job knows its pods, DaemonSets' template generation. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
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


def prepare_daemon_set(new: Object) -> None:
    """Count its templates, which clients of old look at, from 1."""
    _set_template_generation(new, max(1, _template_generation(new)))


def update_daemon_set(new: Object, old: Object) -> None:
    """The template's generation goes up with each change of it; nobody else sets it."""
    same = (new.get("spec") or {}).get("template") == (old.get("spec") or {}).get("template")
    _set_template_generation(new, _template_generation(old) + (0 if same else 1))


def _template_generation(daemon_set: Object) -> int:
    text = (daemon_set["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isdigit() else 0


def _set_template_generation(daemon_set: Object, number: int) -> None:
    annotations = daemon_set["metadata"].get("annotations") or {}
    daemon_set["metadata"]["annotations"] = {**annotations, TEMPLATE_GENERATION: str(number)}


def prepare_stateful_set(new: Object) -> None:
    """maxUnavailable is behind a feature gate that is off: what nobody acts on is not kept."""
    strategy = (new.get("spec") or {}).get("updateStrategy") or {}
    (strategy.get("rollingUpdate") or {}).pop("maxUnavailable", None)


def update_stateful_set(new: Object, old: Object) -> None:
    """As on creation, but for an object that has the field already."""
    strategy = (old.get("spec") or {}).get("updateStrategy") or {}
    if "maxUnavailable" not in (strategy.get("rollingUpdate") or {}):
        prepare_stateful_set(new)


def prepare_cron_job(new: Object) -> None:
    """A CronJob starts with an empty status."""
    new["status"] = {}
