"""Server-side printing: columns and cells as kubectl has always shown them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver import tables
from apiserver.tables_format import human_duration, label_selector

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
HOUR_AGO, FIVE_MINUTES_AGO = "2026-01-01T11:00:00Z", "2026-01-01T11:55:00Z"
Object = dict[str, Any]


def resource(plural: str, group: str = "") -> Resource:
    return resources.get(plural, group)


def cells(plural: str, obj: Object, group: str = "") -> dict[str, Any]:
    """The cells of one object by column name."""
    obj = {**obj, "metadata": {"name": "x", "creationTimestamp": HOUR_AGO, **obj.get("metadata", {})}}
    kind = resource(plural, group)
    row = tables.rows(kind, [obj], NOW)[0]
    names = [column["name"] for column in tables.columns(kind)]
    assert len(names) == len(row["cells"])
    return dict(zip(names, row["cells"], strict=True))


def waiting(reason: str, **more: Any) -> Object:
    return {"name": "c", "state": {"waiting": {"reason": reason}}, **more}


def terminated(code: int, reason: str = "", **more: Any) -> Object:
    return {"name": "c", "state": {"terminated": {"exitCode": code, "reason": reason}}, **more}


RUNNING: Object = {"name": "c", "ready": True, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        ({}, {"phase": "Pending"}, "Pending"),
        ({}, {"phase": "Running", "containerStatuses": [RUNNING]}, "Running"),
        ({}, {"phase": "Pending", "containerStatuses": [waiting("ContainerCreating")]}, "ContainerCreating"),
        ({}, {"phase": "Pending", "containerStatuses": [waiting("ImagePullBackOff")]}, "ImagePullBackOff"),
        ({}, {"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff")]}, "CrashLoopBackOff"),
        ({}, {"phase": "Succeeded", "containerStatuses": [terminated(0, "Completed")]}, "Completed"),
        ({}, {"phase": "Failed", "containerStatuses": [terminated(1, "Error")]}, "Error"),
        ({}, {"phase": "Failed", "containerStatuses": [terminated(3)]}, "ExitCode:3"),
        ({}, {"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ({}, {"phase": "Running", "containerStatuses": [terminated(0, "Completed"), RUNNING]}, "NotReady"),
        (
            {},
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [terminated(0, "Completed"), RUNNING],
            },
            "Running",
        ),
        (
            {"initContainers": [{"name": "a"}, {"name": "b"}]},
            {"phase": "Pending", "initContainerStatuses": [{"name": "a", "state": {"running": {}}}]},
            "Init:0/2",
        ),
        (
            {"initContainers": [{"name": "a"}, {"name": "b"}]},
            {
                "phase": "Pending",
                "initContainerStatuses": [terminated(0, "Completed"), waiting("PodInitializing")],
                "containerStatuses": [waiting("PodInitializing")],
            },
            "Init:1/2",
        ),
        (
            {"initContainers": [{"name": "a"}]},
            {"phase": "Pending", "initContainerStatuses": [waiting("CrashLoopBackOff")]},
            "Init:CrashLoopBackOff",
        ),
        (
            {"initContainers": [{"name": "a"}]},
            {"phase": "Pending", "initContainerStatuses": [terminated(1, "Error")]},
            "Init:Error",
        ),
        (
            {"initContainers": [{"name": "a"}]},
            {
                "phase": "Pending",
                "initContainerStatuses": [terminated(0, "Completed")],
                "containerStatuses": [waiting("PodInitializing")],
            },
            "PodInitializing",
        ),
        (
            {},
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            },
            "SchedulingGated",
        ),
    ],
)
def test_pod_status(spec: Object, status: Object, shown: str) -> None:
    assert cells("pods", {"spec": {"containers": [{}], **spec}, "status": status})["Status"] == shown


def test_a_deleted_pod_is_terminating_until_its_end() -> None:
    deleted = {"deletionTimestamp": HOUR_AGO}
    assert cells("pods", {"metadata": deleted, "status": {"phase": "Running"}})["Status"] == "Terminating"
    lost = {"phase": "Running", "reason": "NodeLost"}
    assert cells("pods", {"metadata": deleted, "status": lost})["Status"] == "Unknown"
    done = {"phase": "Succeeded", "containerStatuses": [terminated(0, "Completed")]}
    assert cells("pods", {"metadata": deleted, "status": done})["Status"] == "Completed"


def test_pod_restarts_and_sidecars_count() -> None:
    last = {"lastState": {"terminated": {"finishedAt": FIVE_MINUTES_AGO}}}
    pod = {
        "spec": {
            "containers": [{"name": "c"}, {"name": "d"}],
            "initContainers": [{"name": "s", "restartPolicy": "Always"}],
            "nodeName": "n1",
            "readinessGates": [{"conditionType": "g"}],
        },
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": "10.0.0.1"}],
            "initContainerStatuses": [
                {"name": "s", "started": True, "ready": True, "restartCount": 1, "state": {"running": {}}}
            ],
            "containerStatuses": [
                {**RUNNING, "restartCount": 2, **last},
                {**RUNNING, "ready": False, "name": "d"},
            ],
        },
    }
    assert cells("pods", pod) == {
        "Name": "x",
        "Ready": "2/3",
        "Status": "Running",
        "Restarts": "3 (5m ago)",
        "Age": "60m",
        "IP": "10.0.0.1",
        "Node": "n1",
        "Nominated Node": "<none>",
        "Readiness Gates": "0/1",
    }


def test_pod_columns_have_kubernetes_types_and_priorities() -> None:
    shown = [(c["name"], c["type"], c["format"], c["priority"]) for c in tables.columns(resource("pods"))]
    assert shown[:6] == [
        ("Name", "string", "name", 0),
        ("Ready", "string", "", 0),
        ("Status", "string", "", 0),
        ("Restarts", "string", "", 0),
        ("Age", "string", "", 0),
        ("IP", "string", "", 1),
    ]


def test_finished_pods_have_a_row_condition() -> None:
    done = {"metadata": {"name": "p"}, "status": {"phase": "Succeeded"}}
    row = tables.rows(resource("pods"), [done], NOW)[0]
    assert row["conditions"][0]["reason"] == "Succeeded"


def test_deployments_services_and_nodes() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}
    selector = {"matchLabels": {"b": "2", "a": "1"}}
    deployment = {
        "spec": {"replicas": 3, "selector": selector, "template": template},
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
    }
    assert list(cells("deployments", deployment, "apps").values()) == [
        "x", "2/3", 3, 2, "60m", "c,d", "i,j", "a=1,b=2",
    ]  # fmt: skip
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    service = {
        "spec": {"type": "NodePort", "clusterIPs": ["10.96.0.7"], "ports": ports, "selector": {"a": "1"}}
    }
    assert list(cells("services", service).values()) == [
        "x", "NodePort", "10.96.0.7", "<none>", "80:30080/TCP,53/UDP", "60m", "a=1",
    ]  # fmt: skip
    pending = {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.8"]}}
    assert cells("services", pending)["External-IP"] == "<pending>"
    headless = {"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}}
    assert cells("services", headless)["Cluster-IP"] == "None"
    assert cells("services", headless)["Port(s)"] == "<none>"
    node = {
        "metadata": {
            "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}
        },
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "Unknown"}],
            "addresses": [{"type": "InternalIP", "address": "10.244.1.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian"},
        },
    }
    shown = cells("nodes", node)
    assert shown["Status"] == "NotReady,SchedulingDisabled"
    assert shown["Roles"] == "control-plane,worker"
    assert (shown["Internal-IP"], shown["External-IP"], shown["Kernel-Version"]) == (
        "10.244.1.1",
        "<none>",
        "<unknown>",
    )


def test_jobs_and_cron_jobs() -> None:
    job = {
        "spec": {"completions": 3},
        "status": {"succeeded": 1, "startTime": FIVE_MINUTES_AGO},
    }
    shown = cells("jobs", job, "batch")
    assert (shown["Status"], shown["Completions"], shown["Duration"]) == ("Running", "1/3", "5m")
    cron = {
        "spec": {"schedule": "* * * * *", "suspend": False},
        "status": {"lastScheduleTime": FIVE_MINUTES_AGO},
    }
    shown = cells("cronjobs", cron, "batch")
    assert (shown["Timezone"], shown["Suspend"], shown["Active"], shown["Last Schedule"]) == (
        "<none>", "False", 0, "5m",
    )  # fmt: skip


def test_autoscaler_targets() -> None:
    target = {"type": "Utilization", "averageUtilization": 80}
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "web"},
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    shown = cells("horizontalpodautoscalers", {"spec": spec}, "autoscaling")
    assert (shown["Reference"], shown["Targets"], shown["MinPods"]) == (
        "Deployment/web",
        "cpu: <unknown>/80%",
        "<unset>",
    )
    metric = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 13}}}
    shown = cells(
        "horizontalpodautoscalers", {"spec": spec, "status": {"currentMetrics": [metric]}}, "autoscaling"
    )
    assert shown["Targets"] == "cpu: 13%/80%"


def test_events_of_both_groups_look_alike() -> None:
    about = {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}
    old = {
        "involvedObject": about, "reason": "Pulled", "type": "Normal", "message": " done\n", "count": 4,
        "firstTimestamp": HOUR_AGO, "lastTimestamp": FIVE_MINUTES_AGO, "source": {"component": "kubelet", "host": "n"},
    }  # fmt: skip
    new = {
        "regarding": about, "reason": "Pulled", "type": "Normal", "note": "done", "eventTime": HOUR_AGO,
        "series": {"count": 4, "lastObservedTime": FIVE_MINUTES_AGO}, "reportingController": "kubelet",
    }  # fmt: skip
    wanted = ["5m", "Normal", "Pulled", "pod/p", "spec.containers{c}", "kubelet, n", "done", "60m", 4, "x"]
    assert list(cells("events", old).values()) == wanted
    assert list(cells("events", new, "events.k8s.io").values()) == [*wanted[:5], "kubelet", *wanted[6:]]


def test_endpoints_are_shortened() -> None:
    subset = {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(5)], "ports": [{"port": 80}]}
    assert cells("endpoints", {"subsets": [subset]})["Endpoints"] == (
        "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."
    )
    assert cells("endpoints", {})["Endpoints"] == "<none>"


@pytest.mark.parametrize("kind", resources.BUILTIN, ids=lambda r: r.qualified)
def test_every_kind_prints_even_an_empty_object(kind: Resource) -> None:
    obj = {"metadata": {"name": "x"}}
    row = tables.rows(kind, [obj], NOW)[0]
    assert len(row["cells"]) == len(tables.columns(kind))
    assert all(isinstance(cell, (str, int)) for cell in row["cells"])


def test_what_rows_include_of_the_object() -> None:
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {}}
    kind = resource("pods")
    assert tables.rows(kind, [pod], NOW, "None")[0]["object"] is None
    assert tables.rows(kind, [pod], NOW, "Object")[0]["object"] == pod
    assert tables.rows(kind, [pod], NOW)[0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "p"},
    }
    made = tables.table(kind, [pod], revision="7", now=NOW)
    assert (made["kind"], made["apiVersion"], made["metadata"]) == (
        "Table",
        "meta.k8s.io/v1",
        {"resourceVersion": "7"},
    )


def test_custom_resources_have_name_and_age() -> None:
    widgets = Resource("example.com", "v1", "pods", "Pod", True, custom=True)
    assert [c["name"] for c in tables.columns(widgets)] == ["Name", "Age"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"),
        (600, "10m"), (10799, "179m"), (10800, "3h"), (11000, "3h3m"), (28800, "8h"), (172799, "47h"),
        (172800, "2d"), (180000, "2d2h"), (691200, "8d"), (86400 * 729, "729d"), (86400 * 730, "2y"),
        (86400 * 731, "2y1d"), (86400 * 365 * 8 + 86400, "8y"),
    ],
)  # fmt: skip
def test_durations_read_as_kubectl_writes_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_label_selectors_read_as_kubectl_takes_them() -> None:
    terms = [
        {"key": "e", "operator": "In", "values": ["z", "y"]},
        {"key": "d", "operator": "DoesNotExist"},
        {"key": "f", "operator": "Exists"},
    ]
    assert label_selector({"matchLabels": {"a": "1"}, "matchExpressions": terms}) == "a=1,!d,e in (y,z),f"
    assert label_selector({}) == "<none>"
