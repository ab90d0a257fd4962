"""Validation of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

from apimachinery import cronschedule, selectors
from apimachinery.errors import invalid_value, not_supported, required, too_long
from apimachinery.validation import jobpolicies, pods, workloads
from apimachinery.validation.fields import (
    Errors,
    domain_prefixed_path,
    enum,
    immutable,
    label_selector,
    not_negative,
    required_enum,
)

Object = dict[str, Any]

_INDEXED_MAX = 100_000
_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_MANY_INDEXES_MAX = 10_000
_MANAGED_BY_MAX = 63


def job(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    if spec.get("selector") is not None and not spec.get("manualSelector"):
        _generated(errs, obj, spec)
    _job_spec(errs, "spec", spec)
    if spec.get("selector") is None:
        errs.append(required("spec.selector"))
    else:
        label_selector(errs, "spec.selector", spec["selector"])
    workloads.matches_template(errs, spec)


def _generated(errs: Errors, obj: Object, spec: Object) -> None:
    """A Job's own labels must stand in its template, whatever the user wrote there, and its selector match them."""
    metadata = obj.get("metadata") or {}
    uid, name = metadata.get("uid") or "", metadata.get("name") or ""
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    prefix = "batch.kubernetes.io/"
    wanted = {
        f"{prefix}controller-uid": uid,
        f"{prefix}job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    for key, value in wanted.items():
        here = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errs.append(required(here, f"must be '{value}'"))
        elif labels[key] != value:
            errs.append(invalid_value(here, labels, f"must be '{value}'"))
    try:
        matches = selectors.from_label_selector(spec["selector"]).matches(wanted)
    except ValueError:
        return  # said of the selector itself
    if not matches:
        errs.append(invalid_value("spec.selector", spec["selector"], "`selector` not auto-generated"))


def _job_spec(errs: Errors, path: str, spec: Object) -> None:
    for field in _COUNTS:
        not_negative(errs, f"{path}.{field}", spec.get(field))
    if spec.get("managedBy") is not None:
        domain_prefixed_path(errs, f"{path}.managedBy", spec["managedBy"])
        if len(spec["managedBy"]) > _MANAGED_BY_MAX:
            errs.append(too_long(f"{path}.managedBy", _MANAGED_BY_MAX))
    mode = spec.get("completionMode")
    if mode is not None:
        enum(errs, f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed":
        _indexed(errs, path, spec)
    else:
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                text = "requires indexed completion mode"
                errs.append(invalid_value(f"{path}.{field}", spec[field], text))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        text = "when maxFailedIndexes is specified"
        errs.append(required(f"{path}.backoffLimitPerIndex", text))
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        jobpolicies.failure_policy(errs, f"{path}.podFailurePolicy", policy, spec)
    if spec.get("successPolicy") is not None:
        if mode == "Indexed":
            jobpolicies.success_policy(errs, f"{path}.successPolicy", spec["successPolicy"], spec)
        else:
            text = "requires indexed completion mode"
            errs.append(invalid_value(f"{path}.successPolicy", spec["successPolicy"], text))
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        supported = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
        enum(errs, f"{path}.podReplacementPolicy", replacement, supported)
    template = spec.get("template") or {}
    pods.template(errs, f"{path}.template", template)
    restart = (template.get("spec") or {}).get("restartPolicy")
    where = f"{path}.template.spec.restartPolicy"
    if restart in (None, "", "Always"):
        errs.append(required(where, 'valid values: "OnFailure", "Never"'))
    elif restart not in ("Never", "OnFailure"):
        errs.append(not_supported(where, restart, ("OnFailure", "Never")))
    elif policy is not None and restart != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        errs.append(invalid_value(where, restart, text))


def _indexed(errs: Errors, path: str, spec: Object) -> None:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed = spec.get("maxFailedIndexes")
    if completions is None:
        errs.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _INDEXED_MAX:
        text = f"must be less than or equal to {_INDEXED_MAX} when completion mode is Indexed"
        errs.append(invalid_value(f"{path}.parallelism", parallelism, text))
    if completions is not None and failed is not None and failed > completions:
        text = "must be less than or equal to completions"
        errs.append(invalid_value(f"{path}.maxFailedIndexes", failed, text))
    if failed is not None and failed > _INDEXED_MAX:
        text = f"must be less than or equal to {_INDEXED_MAX}"
        errs.append(invalid_value(f"{path}.maxFailedIndexes", failed, text))
    if (completions or 0) <= _INDEXED_MAX or spec.get("backoffLimitPerIndex") is None:
        return
    many = f"when completions are above {_INDEXED_MAX} and used with backoff limit per index"
    if failed is None:
        text = f"must be specified when completions is above {_INDEXED_MAX}"
        errs.append(required(f"{path}.maxFailedIndexes", text))
    for field, value in (("parallelism", parallelism), ("maxFailedIndexes", failed)):
        if value is not None and value > _MANY_INDEXES_MAX:
            text = f"must be less than or equal to {_MANY_INDEXES_MAX} {many}"
            errs.append(invalid_value(f"{path}.{field}", value, text))


_JOB_FIXED = (
    "selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy",
)  # fmt: skip
_DIRECTIVES = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def update_job(errs: Errors, new: Object, old: Object) -> None:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    _job_spec(errs, "spec", after)
    for field in _JOB_FIXED:
        immutable(errs, f"spec.{field}", after.get(field), before.get(field))
    if after.get("completions") != before.get("completions"):
        if before.get("completionMode") != "Indexed":
            immutable(errs, "spec.completions", after.get("completions"), before.get("completions"))
        elif after.get("completions") != after.get("parallelism"):
            text = "can only be modified in tandem with spec.parallelism"
            errs.append(invalid_value("spec.completions", after.get("completions"), text))
    template, was = after.get("template") or {}, before.get("template") or {}
    # Until a suspended Job has started, where its pods may run is open.
    if before.get("suspend") and not (old.get("status") or {}).get("startTime"):
        template, was = _undirected(template), _undirected(was)
    if template != was:
        errs.append(invalid_value("spec.template", after.get("template"), "field is immutable"))


def _undirected(template: Object) -> Object:
    spec = {k: v for k, v in (template.get("spec") or {}).items() if k not in _DIRECTIVES}
    metadata = {
        k: v for k, v in (template.get("metadata") or {}).items() if k not in ("labels", "annotations")
    }
    return {"metadata": metadata, "spec": spec}


def update_job_status(errs: Errors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        not_negative(errs, f"status.{field}", status.get(field))


def cron_job(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    schedule = spec.get("schedule") or ""
    if not schedule:
        errs.append(required("spec.schedule"))
    else:
        _schedule(errs, schedule)
    zone = spec.get("timeZone")
    if zone is not None:
        _time_zone(errs, zone)
    required_enum(
        errs, "spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace")
    )
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        not_negative(errs, f"spec.{field}", spec.get(field))
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    if job_spec.get("manualSelector"):
        supported = ("nil", "false")
        errs.append(not_supported("spec.jobTemplate.spec.manualSelector", True, supported))
    if job_spec.get("selector") is not None:
        text = "`selector` will be auto-generated"
        errs.append(invalid_value("spec.jobTemplate.spec.selector", job_spec["selector"], text))
    _job_spec(errs, "spec.jobTemplate.spec", job_spec)


def _schedule(errs: Errors, schedule: str) -> None:
    if "TZ" in schedule:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errs.append(invalid_value("spec.schedule", schedule, text))
        return
    try:
        cronschedule.parse(schedule)
    except ValueError as error:
        errs.append(invalid_value("spec.schedule", schedule, str(error)))


def _time_zone(errs: Errors, zone: str) -> None:
    path = "spec.timeZone"
    if not zone:
        errs.append(invalid_value(path, zone, "timeZone must be nil or non-empty string"))
    elif zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errs.append(invalid_value(path, zone, text))
    elif not cronschedule.is_time_zone(zone):
        errs.append(invalid_value(path, zone, f"unknown time zone {zone}"))


def update_cron_job(errs: Errors, new: Object, old: Object) -> None:
    cron_job(errs, new)
