"""Validation of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

from apimachinery import cronschedule, names
from apimachinery.errors import invalid_value, not_supported, required, too_many
from apimachinery.validation import pods, workloads
from apimachinery.validation.fields import Errors, checked, enum, immutable, label_selector, not_negative

Object = dict[str, Any]

_INDEXED_MAX = 100_000
_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_RULE_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def job(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    if spec.get("selector") is None:
        errs.append(required("spec.selector"))
    else:
        label_selector(errs, "spec.selector", spec["selector"])
    workloads.matches_template(errs, spec)
    _job_spec(errs, "spec", spec)


def _job_spec(errs: Errors, path: str, spec: Object) -> None:
    for field in _COUNTS:
        not_negative(errs, f"{path}.{field}", spec.get(field))
    if spec.get("managedBy") is not None:
        checked(errs, f"{path}.managedBy", spec["managedBy"], _managed_by)
    mode = spec.get("completionMode")
    indexed = mode == "Indexed"
    if mode is not None:
        enum(errs, f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if indexed:
        if spec.get("completions") is None:
            text = "when completion mode is Indexed"
            errs.append(required(f"{path}.completions", text))
        in_range_of_indexes(errs, f"{path}.parallelism", spec.get("parallelism"))
    elif spec.get("backoffLimitPerIndex") is not None:
        text = "requires indexed completion mode"
        errs.append(invalid_value(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], text))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        text = "when maxFailedIndexes is specified"
        errs.append(required(f"{path}.backoffLimitPerIndex", text))
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        _failure_policy(errs, f"{path}.podFailurePolicy", policy)
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        supported = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
        enum(errs, f"{path}.podReplacementPolicy", replacement, supported)
    if spec.get("successPolicy") is not None:
        _success_policy(errs, f"{path}.successPolicy", spec["successPolicy"], indexed)
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


def in_range_of_indexes(errs: Errors, path: str, value: int | None) -> None:
    if value is not None and value > _INDEXED_MAX:
        text = f"must be less than or equal to {_INDEXED_MAX} when completion mode is Indexed"
        errs.append(invalid_value(path, value, text))


def _managed_by(value: str) -> list[str]:
    domain, slash, rest = value.partition("/")
    if not slash or not rest:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    return names.dns1123_subdomain(domain)


def _failure_policy(errs: Errors, path: str, policy: Object) -> None:
    rules = policy.get("rules") or []
    if len(rules) > 20:
        errs.append(too_many(f"{path}.rules", len(rules), 20))
    for i, rule in enumerate(rules):
        here = f"{path}.rules[{i}]"
        if not rule.get("action"):
            errs.append(required(f"{here}.action", f"valid values: {list(_RULE_ACTIONS)}"))
        else:
            enum(errs, f"{here}.action", rule["action"], _RULE_ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None and conditions:
            text = "specifying both OnExitCodes and OnPodConditions is not supported"
            errs.append(invalid_value(here, rule, text))
        elif codes is None and not conditions:
            text = "specifying one of OnExitCodes and OnPodConditions is required"
            errs.append(invalid_value(here, rule, text))
        if codes is not None:
            enum(errs, f"{here}.onExitCodes.operator", codes.get("operator"), ("In", "NotIn"))
            if not codes.get("values"):
                text = "at least one value is required"
                errs.append(invalid_value(f"{here}.onExitCodes.values", codes.get("values"), text))
            elif codes.get("operator") == "In" and 0 in codes["values"]:
                index = codes["values"].index(0)
                text = "must not be 0 for the In operator"
                errs.append(invalid_value(f"{here}.onExitCodes.values[{index}]", 0, text))
        for j, pattern in enumerate(conditions or ()):
            place = f"{here}.onPodConditions[{j}]"
            checked(errs, f"{place}.type", pattern.get("type") or "", names.qualified_name)
            enum(errs, f"{place}.status", pattern.get("status"), ("False", "True", "Unknown"))


def _success_policy(errs: Errors, path: str, policy: Object, indexed: bool) -> None:
    if not indexed:
        errs.append(invalid_value(path, policy, "requires indexed completion mode"))
    rules = policy.get("rules") or []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        errs.append(required(f"{path}.rules", text))
    for i, rule in enumerate(rules):
        if rule.get("succeededCount") is None and rule.get("succeededIndexes") is None:
            text = "at least one of succeededCount or succeededIndexes must be specified"
            errs.append(required(f"{path}.rules[{i}]", text))


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
        elastic = after.get("completionMode") == "Indexed" and after.get("completions") == after.get(
            "parallelism"
        )
        if not elastic:
            immutable(errs, "spec.completions", after.get("completions"), before.get("completions"))
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
    enum(errs, "spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
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
