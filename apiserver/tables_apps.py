"""Tables of workloads: apps, batch, autoscaling, policy."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apiserver.tables_format import (
    NONE,
    UNKNOWN,
    UNSET,
    Printer,
    age,
    boolean,
    condition,
    created,
    human_duration,
    is_true,
    label_selector,
    labels,
    moment,
    name,
    printer,
    shortened,
    template,
)

Object = dict[str, Any]


def _parts(obj: Object) -> tuple[Object, Object]:
    return obj.get("spec") or {}, obj.get("status") or {}


def _deployment(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        created(obj, now),
        *template(obj),
        label_selector(spec.get("selector")),
    ]


def _replica_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        created(obj, now),
        *template(obj),
        label_selector(spec.get("selector")),
    ]


def _stateful_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [name(obj), ready, created(obj, now), *template(obj)]


def _daemon_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    pod = (spec.get("template") or {}).get("spec") or {}
    return [
        name(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        labels(pod.get("nodeSelector")),
        created(obj, now),
        *template(obj),
        label_selector(spec.get("selector")),
    ]


def _controller_revision(obj: Object, now: datetime) -> list[Any]:
    owner = next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)
    controller = NONE
    if owner is not None:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        kind = owner.get("kind", "").lower()
        controller = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return [name(obj), controller, obj.get("revision", 0), created(obj, now)]


def _job(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    done = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    elif spec.get("parallelism", 0) > 1:
        completions = f"{done}/1 of {spec['parallelism']}"
    else:
        completions = f"{done}/1"
    started, ended = moment(status.get("startTime")), moment(status.get("completionTime"))
    duration = "" if started is None else human_duration(((ended or now) - started).total_seconds())
    return [
        name(obj),
        _job_status(obj),
        completions,
        duration,
        created(obj, now),
        *template(obj),
        label_selector(spec.get("selector")),
    ]


def _job_status(obj: Object) -> str:
    if is_true(condition(obj, "Complete")):
        return "Complete"
    if is_true(condition(obj, "Failed")):
        return "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if is_true(condition(obj, kind)):
            return kind
    return "Running"


def _cron_job(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    job = spec.get("jobTemplate") or {}
    last = status.get("lastScheduleTime")
    return [
        name(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        boolean(spec.get("suspend")),
        len(status.get("active") or ()),
        age(last, now) if last else NONE,
        created(obj, now),
        *template(job),
        label_selector((job.get("spec") or {}).get("selector")),
    ]


def _autoscaler(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec, status),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else UNSET,
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        created(obj, now),
    ]


def _metrics(spec: Object, status: Object) -> str:
    """Current and wanted value of each metric; autoscaling/v1 has CPU utilization only."""
    if "targetCPUUtilizationPercentage" in spec:
        current = status.get("currentCPUUtilizationPercentage")
        shown = UNKNOWN if current is None else f"{current}%"
        return f"cpu: {shown}/{spec['targetCPUUtilizationPercentage']}%"
    wanted = spec.get("metrics") or ()
    now_at = status.get("currentMetrics") or ()
    texts = [_metric(metric, now_at[i] if i < len(now_at) else {}) for i, metric in enumerate(wanted)]
    return shortened(texts, 2, separator=", ")


_METRIC_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _metric(metric: Object, status: Object) -> str:
    kind = metric.get("type", "")
    field = _METRIC_SOURCES.get(kind)
    if field is None:
        return "<unknown type>"
    source = metric.get(field) or {}
    target = source.get("target") or {}
    current = (status.get(field) or {}).get("current") or {}
    suffix = ""
    if target.get("averageUtilization") is not None:
        key, unit = "averageUtilization", "%"
    elif target.get("averageValue") is not None:
        key, unit = "averageValue", ""
        suffix = " (avg)" if kind in ("Object", "External") else ""
    else:
        key, unit = "value", ""
    now_at = f"{current[key]}{unit}" if current.get(key) is not None else UNKNOWN
    text = f"{now_at}/{target.get(key, '<auto>')}{unit}{suffix}"
    return f"{source.get('name')}: {text}" if kind in ("Resource", "ContainerResource") else text


def _disruption_budget(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        name(obj),
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        status.get("disruptionsAllowed", 0),
        created(obj, now),
    ]


_WIDE = "|+Containers|+Images|+Selector"
PRINTERS: dict[tuple[str, str], Printer] = {
    ("apps", "deployments"): printer("Name|Ready|Up-to-date#|Available#|Age" + _WIDE, _deployment),
    ("apps", "replicasets"): printer("Name|Desired#|Current#|Ready#|Age" + _WIDE, _replica_set),
    ("apps", "statefulsets"): printer("Name|Ready|Age|+Containers|+Images", _stateful_set),
    ("apps", "daemonsets"): printer(
        "Name|Desired#|Current#|Ready#|Up-to-date#|Available#|Node Selector|Age" + _WIDE, _daemon_set
    ),
    ("apps", "controllerrevisions"): printer("Name|Controller|Revision#|Age", _controller_revision),
    ("batch", "jobs"): printer("Name|Status|Completions|Duration|Age" + _WIDE, _job),
    ("batch", "cronjobs"): printer(
        "Name|Schedule|Timezone|Suspend?|Active#|Last Schedule|Age" + _WIDE, _cron_job
    ),
    ("autoscaling", "horizontalpodautoscalers"): printer(
        "Name|Reference|Targets|MinPods|MaxPods|Replicas#|Age", _autoscaler
    ),
    ("policy", "poddisruptionbudgets"): printer(
        "Name|Min Available|Max Unavailable|Allowed Disruptions#|Age", _disruption_budget
    ),
}
