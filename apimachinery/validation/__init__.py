"""Validation of built-in kinds: what is wrong with an object, field by field, in Kubernetes's words.

Objects have been decoded (types are right) and defaulted. One table: kind → functions, one file an area. All
functions are pure, and add to a list of FieldError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from apimachinery.errors import FieldError
from apimachinery.resources import Resource
from apimachinery.validation import (
    admission,
    autoscaling,
    batch,
    claims,
    cluster,
    config,
    devices,
    endpoints,
    extensions,
    flowcontrol,
    limits,
    networking,
    objectmeta,
    pods,
    podstatus,
    podupdates,
    rbac,
    services,
    storage,
    trustbundles,
    workloads,
)

Object = dict[str, Any]
Check = Callable[[list[FieldError], Object], None]
Comparison = Callable[[list[FieldError], Object, Object], None]


class Checks(NamedTuple):
    """A kind's checks beside metadata's. Without `update`, an update is checked as a create is."""

    create: Check | None = None
    update: Comparison | None = None
    status: Comparison | None = None


_ADMISSION = "admissionregistration.k8s.io"
_RBAC = rbac.GROUP
_STORAGE = "storage.k8s.io"
_NETWORKING = "networking.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_DRA = "resource.k8s.io"

_TABLE: dict[tuple[str, str], Checks] = {
    ("", "Pod"): Checks(pods.create, podupdates.update, podstatus.update),
    ("", "PodTemplate"): Checks(pods.create_template),
    ("", "ReplicationController"): Checks(
        workloads.replication_controller,
        workloads.update_replication_controller,
        workloads.update_replica_set_status,
    ),
    ("apps", "ReplicaSet"): Checks(
        workloads.replica_set, workloads.update_replica_set, workloads.update_replica_set_status
    ),
    ("apps", "Deployment"): Checks(
        workloads.deployment, workloads.update_deployment, workloads.update_deployment_status
    ),
    ("apps", "DaemonSet"): Checks(
        workloads.daemon_set, workloads.update_daemon_set, workloads.update_daemon_set_status
    ),
    ("apps", "StatefulSet"): Checks(
        workloads.stateful_set, workloads.update_stateful_set, workloads.update_stateful_set_status
    ),
    ("apps", "ControllerRevision"): Checks(
        workloads.controller_revision, workloads.update_controller_revision
    ),
    ("batch", "Job"): Checks(batch.job, batch.update_job, batch.update_job_status),
    ("batch", "CronJob"): Checks(batch.cron_job, batch.update_cron_job),
    ("autoscaling", "HorizontalPodAutoscaler"): Checks(
        autoscaling.autoscaler, autoscaling.update_autoscaler, autoscaling.update_autoscaler_status
    ),
    ("", "Service"): Checks(services.service, services.update_service, services.update_service_status),
    ("", "Endpoints"): Checks(endpoints.endpoints, endpoints.update_endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Checks(endpoints.endpoint_slice, endpoints.update_endpoint_slice),
    (_NETWORKING, "IPAddress"): Checks(endpoints.ip_address, endpoints.update_ip_address),
    (_NETWORKING, "ServiceCIDR"): Checks(endpoints.service_cidr, endpoints.update_service_cidr),
    (_NETWORKING, "Ingress"): Checks(
        networking.create_ingress, networking.update_ingress, networking.update_ingress_status
    ),
    (_NETWORKING, "IngressClass"): Checks(networking.ingress_class, networking.update_ingress_class),
    (_NETWORKING, "NetworkPolicy"): Checks(networking.network_policy, networking.update_network_policy),
    ("", "ConfigMap"): Checks(config.config_map, config.update_config_map),
    ("", "Secret"): Checks(config.secret, config.update_secret),
    ("", "Namespace"): Checks(config.namespace, None, config.update_namespace_status),
    ("", "LimitRange"): Checks(limits.limit_range),
    ("", "ResourceQuota"): Checks(
        limits.resource_quota, limits.update_resource_quota, limits.update_resource_quota_status
    ),
    ("", "Event"): Checks(config.event, config.update_event),
    ("events.k8s.io", "Event"): Checks(config.event, config.update_event),
    ("", "Node"): Checks(cluster.node, cluster.update_node, cluster.update_node_status),
    ("", "PersistentVolume"): Checks(storage.create_volume, storage.update_volume),
    ("", "PersistentVolumeClaim"): Checks(
        claims.create_claim, claims.update_claim, claims.update_claim_status
    ),
    (_STORAGE, "StorageClass"): Checks(storage.create_class, storage.update_class),
    (_STORAGE, "CSIDriver"): Checks(storage.create_driver),
    (_STORAGE, "CSINode"): Checks(storage.create_csi_node, storage.update_csi_node),
    (_STORAGE, "CSIStorageCapacity"): Checks(storage.create_capacity, storage.update_capacity),
    (_STORAGE, "VolumeAttachment"): Checks(storage.create_attachment, storage.update_attachment),
    (_STORAGE, "VolumeAttributesClass"): Checks(
        storage.create_attributes_class, storage.update_attributes_class
    ),
    ("coordination.k8s.io", "Lease"): Checks(cluster.lease, cluster.update_lease),
    ("scheduling.k8s.io", "PriorityClass"): Checks(cluster.priority_class, cluster.update_priority_class),
    ("policy", "PodDisruptionBudget"): Checks(
        cluster.disruption_budget, cluster.update_disruption_budget, cluster.update_disruption_budget_status
    ),
    ("node.k8s.io", "RuntimeClass"): Checks(cluster.runtime_class, cluster.update_runtime_class),
    ("certificates.k8s.io", "CertificateSigningRequest"): Checks(
        cluster.certificate_request, cluster.update_certificate_request, cluster.update_certificate_status
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): Checks(trustbundles.create, trustbundles.update),
    (_RBAC, "Role"): Checks(rbac.role, rbac.update_role),
    (_RBAC, "ClusterRole"): Checks(rbac.cluster_role, rbac.update_cluster_role),
    (_RBAC, "RoleBinding"): Checks(rbac.role_binding, rbac.update_role_binding),
    (_RBAC, "ClusterRoleBinding"): Checks(rbac.cluster_role_binding, rbac.update_cluster_role_binding),
    (_ADMISSION, "MutatingWebhookConfiguration"): Checks(admission.webhooks, admission.update_webhooks),
    (_ADMISSION, "ValidatingWebhookConfiguration"): Checks(admission.webhooks, admission.update_webhooks),
    (_ADMISSION, "ValidatingAdmissionPolicy"): Checks(
        admission.validating_policy, admission.update_validating_policy
    ),
    (_ADMISSION, "MutatingAdmissionPolicy"): Checks(
        admission.mutating_policy, admission.update_mutating_policy
    ),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): Checks(
        admission.policy_binding, admission.update_policy_binding
    ),
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): Checks(
        admission.policy_binding, admission.update_policy_binding
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Checks(
        extensions.custom_resource_definition, extensions.update_custom_resource_definition
    ),
    ("apiregistration.k8s.io", "APIService"): Checks(extensions.api_service, extensions.update_api_service),
    (_FLOW, "FlowSchema"): Checks(flowcontrol.flow_schema),
    (_FLOW, "PriorityLevelConfiguration"): Checks(flowcontrol.priority_level),
    (_DRA, "ResourceClaim"): Checks(devices.resource_claim, devices.update_resource_claim),
    (_DRA, "ResourceClaimTemplate"): Checks(devices.resource_claim_template, devices.update_resource_claim),
    (_DRA, "ResourceSlice"): Checks(devices.resource_slice),
}
_NONE = Checks()


def _checks(resource: Resource) -> Checks:
    return _NONE if resource.custom else _TABLE.get((resource.group, resource.kind), _NONE)


def create(resource: Resource, obj: Object) -> list[FieldError]:
    """What is wrong with a new object. Empty: nothing."""
    check = objectmeta.name_check(resource.group, resource.kind)
    errs = objectmeta.validate(obj, check, namespaced=resource.namespaced, custom=resource.custom)
    function = _checks(resource).create
    if function is not None:
        function(errs, obj)
    return errs


def update(resource: Resource, new: Object, old: Object) -> list[FieldError]:
    """What is wrong with replacing `old` by `new`; each error is said once."""
    errs = objectmeta.validate_update(new, old, custom=resource.custom)
    checks = _checks(resource)
    if checks.update is not None:
        checks.update(errs, new, old)
    elif checks.create is not None:
        checks.create(errs, new)
    return list(dict.fromkeys(errs)) if len(errs) > 1 else errs


def status_update(resource: Resource, new: Object, old: Object) -> list[FieldError]:
    """What is wrong with a new status; the spec is the old one's by then."""
    errs = objectmeta.validate_update(new, old, custom=resource.custom)
    function = _checks(resource).status
    if function is not None:
        function(errs, new, old)
    return errs


#: Updates through subresources: what is wrong is added to a list.
ephemeral_containers_update = podupdates.ephemeral_containers
resize_update = podupdates.resize
approval_update = cluster.update_certificate_status
