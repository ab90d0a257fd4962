"""The table of strategies, by storage location. Kinds not listed are stored as they come."""

from __future__ import annotations

from typing import Any

from apimachinery import validation
from apimachinery.errors import FieldError
from apiserver.aggregation import availability
from apiserver.customresources import definitions
from apiserver.registry import (
    certificates,
    flowcontrol,
    namespaces,
    pods,
    secrets,
    services,
    workloads,
)
from apiserver.registry.strategy import Strategy

Object = dict[str, Any]

_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_DRA = "resource.k8s.io"


def _whole(*fields: str) -> Any:
    """What generation counts in kinds without a spec."""
    return lambda obj: [obj.get(field) for field in fields]


def _with_annotations(obj: Object) -> Any:
    return obj.get("spec"), obj["metadata"].get("annotations") or {}


def _slice_intent(obj: Object) -> Any:
    return obj.get("endpoints"), obj.get("ports"), obj["metadata"].get("labels") or {}


def _unchecked(new: Object, old: Object) -> list[FieldError]:
    """Nothing to check beyond what the part itself restricts."""
    return []


def _ephemeral_containers(new: Object, old: Object) -> list[FieldError]:
    problems: list[FieldError] = []
    validation.ephemeral_containers_update(problems, new, old)
    return problems


def _resize(new: Object, old: Object) -> list[FieldError]:
    problems: list[FieldError] = []
    validation.resize_update(problems, new, old)
    return problems


def _approval(new: Object, old: Object) -> list[FieldError]:
    problems: list[FieldError] = []
    validation.approval_update(problems, new, old)
    return problems


TABLE: dict[tuple[str, str], Strategy] = {
    ("", "endpoints"): Strategy(create_on_update=True),
    ("", "events"): Strategy(create_on_update=True, garbage_collected=False, lease=3600),
    ("", "limitranges"): Strategy(create_on_update=True),
    ("", "namespaces"): Strategy(
        has_status=True,
        initial_status={"phase": "Active"},
        prepare_create=namespaces.prepare_create,
        prepare_update=namespaces.prepare_update,
        parts={"finalize": namespaces.finalized},
        part_checks={"finalize": _unchecked},
    ),
    ("", "nodes"): Strategy(has_status=True, created_status=True),
    ("", "persistentvolumeclaims"): Strategy(
        has_status=True, initial_status={"phase": "Pending"}, returns_deleted=True
    ),
    ("", "persistentvolumes"): Strategy(has_status=True, initial_status={"phase": "Pending"}, returns_deleted=True),
    ("", "pods"): Strategy(
        has_status=True,
        initial_status={"phase": "Pending"},
        generation=True,
        prepare_create=pods.prepare_create,
        prepare_status=pods.prepare_status,
        returns_deleted=True,
        grace=pods.grace,
        parts={"ephemeralcontainers": pods.only_ephemeral_containers, "resize": pods.only_resources},
        part_checks={"ephemeralcontainers": _ephemeral_containers, "resize": _resize},
    ),
    ("", "podtemplates"): Strategy(generation=True, intent=_whole("template"), returns_deleted=True),
    ("", "replicationcontrollers"): Strategy(
        has_status=True, initial_status={"replicas": 0}, generation=True, orphans=True
    ),
    ("", "resourcequotas"): Strategy(has_status=True, initial_status={}, returns_deleted=True),
    ("", "secrets"): Strategy(prepare_create=secrets.prepare_create, prepare_update=secrets.prepare_update),
    ("", "serviceaccounts"): Strategy(returns_deleted=True),
    ("", "services"): Strategy(
        has_status=True,
        initial_status={"loadBalancer": {}},
        create_on_update=True,
        returns_deleted=True,
        prepare_create=services.prepare_create,
        prepare_update=services.prepare_update,
    ),
    (_ADMISSION, "mutatingadmissionpolicies"): Strategy(generation=True, unconditional_update=False),
    (_ADMISSION, "mutatingadmissionpolicybindings"): Strategy(generation=True, unconditional_update=False),
    (_ADMISSION, "mutatingwebhookconfigurations"): Strategy(
        generation=True, intent=_whole("webhooks"), unconditional_update=False
    ),
    (_ADMISSION, "validatingadmissionpolicies"): Strategy(
        has_status=True, generation=True, unconditional_update=False
    ),
    (_ADMISSION, "validatingadmissionpolicybindings"): Strategy(generation=True, unconditional_update=False),
    (_ADMISSION, "validatingwebhookconfigurations"): Strategy(
        generation=True, intent=_whole("webhooks"), unconditional_update=False
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"): Strategy(
        has_status=True,
        prepare_create=definitions.prepare_create,
        prepare_update=definitions.prepare_update,
        generation=True,
        unconditional_update=False,
    ),
    ("apiregistration.k8s.io", "apiservices"): Strategy(
        has_status=True, initial_status={}, unconditional_update=False, prepare_create=availability.local
    ),
    ("apps", "controllerrevisions"): Strategy(),
    ("apps", "daemonsets"): Strategy(
        has_status=True,
        initial_status={
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        },
        generation=True, prepare_create=workloads.prepare_daemon_set, prepare_update=workloads.update_daemon_set,
    ),
    ("apps", "deployments"): Strategy(
        has_status=True, initial_status={}, generation=True, intent=_with_annotations, labels_by_status=False
    ),
    ("apps", "replicasets"): Strategy(has_status=True, initial_status={"replicas": 0}, generation=True),
    ("apps", "statefulsets"): Strategy(
        has_status=True, initial_status={"replicas": 0, "availableReplicas": 0}, generation=True,
        prepare_create=workloads.prepare_stateful_set, prepare_update=workloads.update_stateful_set,
    ),
    ("autoscaling", "horizontalpodautoscalers"): Strategy(
        has_status=True, initial_status={"desiredReplicas": 0, "currentMetrics": None}
    ),
    ("batch", "cronjobs"): Strategy(
        has_status=True, initial_status={}, generation=True, prepare_create=workloads.prepare_cron_job
    ),
    ("batch", "jobs"): Strategy(
        has_status=True, initial_status={}, generation=True, prepare_create=workloads.prepare_job, orphans=True,
        orphan_warning=workloads.PODS_STAY,
    ),
    ("certificates.k8s.io", "certificatesigningrequests"): Strategy(
        has_status=True, initial_status={}, prepare_update=certificates.prepare_update,
        prepare_status=certificates.prepare_status, parts={"approval": certificates.approved},
        part_checks={"approval": _approval},
    ),
    ("coordination.k8s.io", "leases"): Strategy(create_on_update=True, unconditional_update=False),
    ("discovery.k8s.io", "endpointslices"): Strategy(generation=True, intent=_slice_intent),
    (_FLOW, "flowschemas"): Strategy(
        has_status=True, initial_status={}, generation=True, unconditional_update=False,
        prepare_update=flowcontrol.prepare_update,
    ),
    (_FLOW, "prioritylevelconfigurations"): Strategy(
        has_status=True, initial_status={}, generation=True, unconditional_update=False,
        prepare_update=flowcontrol.prepare_update,
    ),
    ("networking.k8s.io", "ingressclasses"): Strategy(generation=True),
    ("networking.k8s.io", "ingresses"): Strategy(
        has_status=True, initial_status={"loadBalancer": {}}, generation=True
    ),
    ("networking.k8s.io", "ipaddresses"): Strategy(),
    ("networking.k8s.io", "networkpolicies"): Strategy(generation=True),
    ("networking.k8s.io", "servicecidrs"): Strategy(has_status=True, initial_status={}),
    ("policy", "poddisruptionbudgets"): Strategy(
        has_status=True,
        initial_status={"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        generation=True,
        unconditional_update=False,
    ),
    (_RBAC, "clusterrolebindings"): Strategy(create_on_update=True),
    (_RBAC, "clusterroles"): Strategy(create_on_update=True),
    (_RBAC, "rolebindings"): Strategy(create_on_update=True),
    (_RBAC, "roles"): Strategy(create_on_update=True),
    (_DRA, "deviceclasses"): Strategy(generation=True),
    (_DRA, "resourceclaims"): Strategy(has_status=True, initial_status={}),
    (_DRA, "resourceclaimtemplates"): Strategy(),
    (_DRA, "resourceslices"): Strategy(generation=True),
    ("scheduling.k8s.io", "priorityclasses"): Strategy(generation=True, intent=lambda obj: None),
    ("node.k8s.io", "runtimeclasses"): Strategy(create_on_update=True, unconditional_update=False),
    ("storage.k8s.io", "csidrivers"): Strategy(generation=True, unconditional_update=False),
    ("storage.k8s.io", "csinodes"): Strategy(unconditional_update=False),
    ("storage.k8s.io", "csistoragecapacities"): Strategy(unconditional_update=False),
    ("storage.k8s.io", "volumeattachments"): Strategy(
        has_status=True, initial_status={"attached": False}, unconditional_update=False
    ),
}  # fmt: skip
