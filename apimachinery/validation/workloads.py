"""Validation of the apps kinds and ReplicationController."""

from __future__ import annotations

from typing import Any

from apimachinery import names, selectors
from apimachinery.errors import forbidden_field, invalid_value, not_supported, required
from apimachinery.validation import claims, pods
from apimachinery.validation.fields import (
    Errors,
    at_most_all,
    checked,
    enum,
    immutable,
    int_or_percent,
    label_selector,
    not_negative,
)

Object = dict[str, Any]

_MISMATCH = "`selector` does not match template `labels`"


def selector(errs: Errors, spec: Object, word: str) -> None:
    """The required, non-empty selector of a controller's spec."""
    value = spec.get("selector")
    if value is None:
        errs.append(required("spec.selector"))
        return
    label_selector(errs, "spec.selector", value)
    if not value.get("matchLabels") and not value.get("matchExpressions"):
        errs.append(invalid_value("spec.selector", value, f"empty selector is invalid for {word}"))


def template(errs: Errors, spec: Object, kind: str) -> None:
    """A template whose pods the selector finds and that are restarted always."""
    obj = spec.get("template") or {}
    matches_template(errs, spec)
    pods.template(errs, "spec.template", obj)
    pod = obj.get("spec") or {}
    policy = pod.get("restartPolicy")
    if policy and policy != "Always":
        errs.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errs.append(forbidden_field("spec.template.spec.activeDeadlineSeconds", text))


def matches_template(errs: Errors, spec: Object) -> None:
    value = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    try:
        # No selector selects nothing; an empty one is complained of by itself.
        matches = selectors.from_label_selector(value).matches(labels or {})
    except ValueError:
        return  # said of the selector itself already
    if not matches:
        errs.append(invalid_value("spec.template.metadata.labels", labels, _MISMATCH))


def replica_set(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    not_negative(errs, "spec.replicas", spec.get("replicas"))
    not_negative(errs, "spec.minReadySeconds", spec.get("minReadySeconds"))
    selector(errs, spec, "deployment")
    template(errs, spec, "ReplicaSet")


def _selector_kept(errs: Errors, new: Object, old: Object) -> None:
    immutable(
        errs,
        "spec.selector",
        (new.get("spec") or {}).get("selector"),
        (old.get("spec") or {}).get("selector"),
    )


def update_replica_set(errs: Errors, new: Object, old: Object) -> None:
    replica_set(errs, new)
    _selector_kept(errs, new, old)


def deployment(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    not_negative(errs, "spec.replicas", spec.get("replicas"))
    selector(errs, spec, "deployment")
    template(errs, spec, "ReplicaSet")
    _strategy(errs, spec.get("strategy") or {})
    ready = spec.get("minReadySeconds")
    not_negative(errs, "spec.minReadySeconds", ready)
    not_negative(errs, "spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    not_negative(errs, "spec.progressDeadlineSeconds", deadline)
    if deadline is not None and deadline <= (ready or 0):
        text = "must be greater than minReadySeconds"
        errs.append(invalid_value("spec.progressDeadlineSeconds", deadline, text))


def _strategy(errs: Errors, strategy: Object) -> None:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            errs.append(forbidden_field("spec.strategy.rollingUpdate", text))
    elif kind == "RollingUpdate":
        if rolling is None:
            text = "this should be defaulted and never be nil"
            errs.append(required("spec.strategy.rollingUpdate", text))
        else:
            rolling_update(errs, "spec.strategy.rollingUpdate", rolling)
    else:
        enum(errs, "spec.strategy", strategy.get("type"), ("Recreate", "RollingUpdate"))


def _is_zero(value: int | str | None) -> bool:
    return value is None or value == 0 or value in ("0", "0%")


def rolling_update(errs: Errors, path: str, rolling: Object) -> None:
    """maxUnavailable and maxSurge of a Deployment."""
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    int_or_percent(errs, f"{path}.maxUnavailable", unavailable)
    int_or_percent(errs, f"{path}.maxSurge", surge)
    if _is_zero(unavailable) and _is_zero(surge):
        text = "may not be 0 when `maxSurge` is 0"
        errs.append(invalid_value(f"{path}.maxUnavailable", unavailable, text))
    at_most_all(errs, f"{path}.maxUnavailable", unavailable)


def update_deployment(errs: Errors, new: Object, old: Object) -> None:
    deployment(errs, new)
    _selector_kept(errs, new, old)


def _status_counts(*fields: str) -> Any:
    def check(errs: Errors, new: Object, old: Object) -> None:
        status = new.get("status") or {}
        for field in fields:
            not_negative(errs, f"status.{field}", status.get(field))
        _not_fewer_collisions(errs, status, old.get("status") or {})
        replicas = status.get("replicas") or 0
        for field in (
            "updatedReplicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas", "currentReplicas",
        ):  # fmt: skip
            if (status.get(field) or 0) > replicas:
                text = "cannot be greater than status.replicas"
                errs.append(invalid_value(f"status.{field}", status.get(field) or 0, text))
        if "readyReplicas" in fields and (status.get("availableReplicas") or 0) > (
            status.get("readyReplicas") or 0
        ):
            text = "cannot be greater than readyReplicas"
            errs.append(invalid_value("status.availableReplicas", status.get("availableReplicas") or 0, text))

    return check


def _not_fewer_collisions(errs: Errors, status: Object, before: Object) -> None:
    count, was = status.get("collisionCount"), before.get("collisionCount")
    not_negative(errs, "status.collisionCount", count)
    if was is not None and (count is None or count < was):
        errs.append(invalid_value("status.collisionCount", count or 0, "cannot be decremented"))


update_deployment_status = _status_counts(
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
)
update_replica_set_status = _status_counts(
    "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"
)
update_stateful_set_status = _status_counts(
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
)
update_daemon_set_status = _status_counts(
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
)  # fmt: skip


def daemon_set(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    selector(errs, spec, "daemonset")
    template(errs, spec, "DaemonSet")
    not_negative(errs, "spec.minReadySeconds", spec.get("minReadySeconds"))
    not_negative(errs, "spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    strategy = spec.get("updateStrategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "RollingUpdate":
        path = "spec.updateStrategy.rollingUpdate"
        if rolling is None:
            errs.append(required(path))
            return
        unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        int_or_percent(errs, f"{path}.maxUnavailable", unavailable)
        at_most_all(errs, f"{path}.maxUnavailable", unavailable)
        int_or_percent(errs, f"{path}.maxSurge", surge)
        at_most_all(errs, f"{path}.maxSurge", surge)
        if not _is_zero(surge) and not _is_zero(unavailable):
            text = "may not be set when maxUnavailable is non-zero"
            errs.append(invalid_value(f"{path}.maxSurge", surge, text))
        elif _is_zero(surge) and _is_zero(unavailable):
            text = "cannot be 0 when maxSurge is 0"
            errs.append(required(f"{path}.maxUnavailable", text))
    elif kind != "OnDelete":
        enum(errs, "spec.updateStrategy", kind, ("OnDelete", "RollingUpdate"))


def update_daemon_set(errs: Errors, new: Object, old: Object) -> None:
    daemon_set(errs, new)
    _selector_kept(errs, new, old)


def stateful_set(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    enum_or_required(
        errs, "spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel")
    )
    strategy = spec.get("updateStrategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    here = "spec.updateStrategy.rollingUpdate"
    if not kind:
        errs.append(required("spec.updateStrategy"))
    elif kind == "OnDelete":
        if rolling is not None:
            text = 'only allowed for updateStrategy "RollingUpdate"'
            errs.append(invalid_value(here, rolling, text))
    elif kind == "RollingUpdate":
        if rolling is not None:
            not_negative(errs, f"{here}.partition", rolling.get("partition"))
            unavailable = rolling.get("maxUnavailable")
            if unavailable is not None:
                int_or_percent(errs, f"{here}.maxUnavailable", unavailable)
                at_most_all(errs, f"{here}.maxUnavailable", unavailable)
                if _is_zero(unavailable):
                    errs.append(invalid_value(f"{here}.maxUnavailable", unavailable, "cannot be 0"))
    else:
        errs.append(invalid_value("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
        enum(errs, path, retention.get(field), ("Delete", "Retain"))
    for field in ("replicas", "minReadySeconds", "revisionHistoryLimit"):
        not_negative(errs, f"spec.{field}", spec.get(field))
    not_negative(errs, "spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    if spec.get("serviceName"):
        checked(errs, "spec.serviceName", spec["serviceName"], names.dns1123_subdomain)
    selector(errs, spec, "statefulset")
    for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        claims.spec(errs, f"spec.volumeClaimTemplates[{i}].spec", claim.get("spec") or {})
    # Claims become volumes of the pods, so mounts may name them.
    obj_template = spec.get("template") or {}
    pod = obj_template.get("spec") or {}
    provided = [
        {"name": (claim.get("metadata") or {}).get("name"), "persistentVolumeClaim": {"claimName": "claim"}}
        for claim in spec.get("volumeClaimTemplates") or ()
    ]
    taken = {volume["name"] for volume in provided}
    own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in taken]
    filled = {**obj_template, "spec": {**pod, "volumes": [*own, *provided]}} if provided else obj_template
    template(errs, {**spec, "template": filled}, "StatefulSet")


def enum_or_required(errs: Errors, path: str, value: str | None, supported: tuple[str, ...]) -> None:
    if not value:
        errs.append(required(path))
    elif value not in supported:
        errs.append(invalid_value(path, value, f"must be '{supported[0]}' or '{supported[1]}'"))


_STATEFUL_SET_FREE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def update_stateful_set(errs: Errors, new: Object, old: Object) -> None:
    stateful_set(errs, new)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    fixed = {*after, *before} - set(_STATEFUL_SET_FREE)
    if any((after.get(field) or None) != (before.get(field) or None) for field in fixed):
        listed = ", ".join(f"'{field}'" for field in _STATEFUL_SET_FREE[:-1])
        text = (
            f"updates to statefulset spec for fields other than {listed} and 'minReadySeconds' are forbidden"
        )
        errs.append(forbidden_field("spec", text))


def replication_controller(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    not_negative(errs, "spec.minReadySeconds", spec.get("minReadySeconds"))
    not_negative(errs, "spec.replicas", spec.get("replicas"))
    wanted = spec.get("selector")
    if not wanted:
        errs.append(required("spec.selector"))
    obj_template = spec.get("template")
    if obj_template is None:
        errs.append(required("spec.template"))
        return
    found = {"matchLabels": wanted or {}}
    template(errs, {"selector": found, "template": obj_template}, "ReplicationController")


def update_replication_controller(errs: Errors, new: Object, old: Object) -> None:
    replication_controller(errs, new)


def controller_revision(errs: Errors, obj: Object) -> None:
    if (obj.get("revision") or 0) < 0:
        not_negative(errs, "revision", obj["revision"])
    if obj.get("data") is None:
        errs.append(required("data", "data is mandatory"))


def update_controller_revision(errs: Errors, new: Object, old: Object) -> None:
    controller_revision(errs, new)
    immutable(errs, "data", new.get("data"), old.get("data"))
