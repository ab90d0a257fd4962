"""Defaults of every built-in kind, set in place as v1.36 sets them. One table: kind → function.

`apply` is called on what clients send; running it again changes nothing. Fields that only a server can fill
(cluster IPs, uids, Job selectors) belong to the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import defaults_cluster, defaults_pods, defaults_workloads
from apimachinery.resources import Resource

Object = dict[str, Any]

_TABLE: dict[tuple[str, str], Callable[[Object], None]] = {
    ("", "Pod"): defaults_pods.pod,
    ("", "PodTemplate"): defaults_workloads.pod_template,
    ("", "ReplicationController"): defaults_workloads.replication_controller,
    ("apps", "Deployment"): defaults_workloads.deployment,
    ("apps", "ReplicaSet"): defaults_workloads.replica_set,
    ("apps", "StatefulSet"): defaults_workloads.stateful_set,
    ("apps", "DaemonSet"): defaults_workloads.daemon_set,
    ("batch", "Job"): defaults_workloads.job,
    ("batch", "CronJob"): defaults_workloads.cron_job,
    ("autoscaling", "HorizontalPodAutoscaler"): defaults_workloads.horizontal_pod_autoscaler,
    ("", "Service"): defaults_cluster.service,
    ("", "Endpoints"): defaults_cluster.endpoints,
    ("", "Secret"): defaults_cluster.secret,
    ("", "Namespace"): defaults_cluster.namespace,
    ("", "Node"): defaults_cluster.node,
    ("", "LimitRange"): defaults_cluster.limit_range,
    ("", "PersistentVolume"): defaults_cluster.persistent_volume,
    ("", "PersistentVolumeClaim"): defaults_cluster.persistent_volume_claim,
    ("discovery.k8s.io", "EndpointSlice"): defaults_cluster.endpoint_slice,
    ("networking.k8s.io", "NetworkPolicy"): defaults_cluster.network_policy,
    ("networking.k8s.io", "IngressClass"): defaults_cluster.ingress_class,
    ("rbac.authorization.k8s.io", "RoleBinding"): defaults_cluster.role_binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): defaults_cluster.role_binding,
    ("storage.k8s.io", "StorageClass"): defaults_cluster.storage_class,
    ("storage.k8s.io", "CSIDriver"): defaults_cluster.csi_driver,
    ("scheduling.k8s.io", "PriorityClass"): defaults_cluster.priority_class,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): defaults_cluster.mutating_webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): defaults_cluster.validating_webhooks,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): defaults_cluster.admission_policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): defaults_cluster.admission_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): defaults_cluster.admission_binding,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): defaults_cluster.admission_binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): defaults_cluster.custom_resource_definition,
    ("apiregistration.k8s.io", "APIService"): defaults_cluster.api_service,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): defaults_cluster.flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): defaults_cluster.priority_level,
    ("resource.k8s.io", "ResourceClaim"): defaults_cluster.resource_claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): defaults_cluster.resource_claim_template,
}


def apply(resource: Resource, obj: Object) -> None:
    """Set the defaults of a kind, in place. `obj` has been decoded, so its types are right."""
    function = _TABLE.get((resource.group, resource.kind))
    if function is not None and not resource.custom:
        function(obj)
