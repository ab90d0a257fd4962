"""Table of the default roles of the built-in controllers: `system:controller:<name>`.

Rules are written as in `rbac_defaults_roles`.
"""

from __future__ import annotations

from apiserver.rbac_defaults_roles import READ, READ_UPDATE, TableRule

_EVENTS: TableRule = ("create update patch", "core events.k8s.io", "events")
_REVISIONS: TableRule = ("create delete get list patch update watch", "apps", "controllerrevisions")
_PVC = "persistentvolumeclaims"
_STORAGE = "storage.k8s.io"
_DRA = "resource.k8s.io"
_SCALES: tuple[TableRule, ...] = (("get update patch", "*", "*/scale"),)

CONTROLLERS: dict[str, tuple[TableRule, ...]] = {
    "attachdetach-controller": (
        (READ, "core", f"{_PVC} persistentvolumes"),
        (READ, "core", "nodes pods"),
        ("patch update", "core", "nodes/status"),
        ("create delete get list patch update watch", _STORAGE, "volumeattachments"),
        (READ, _STORAGE, "csidrivers csinodes storageclasses"),
        _EVENTS,
    ),
    "certificate-controller": (
        ("delete get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        (
            "update patch",
            "certificates.k8s.io",
            "certificatesigningrequests/status certificatesigningrequests/approval",
        ),
        ("approve", "certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
        (
            "sign",
            "certificates.k8s.io",
            "signers",
            "kubernetes.io/legacy-unknown kubernetes.io/kubelet-serving"
            " kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kube-apiserver-client",
        ),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        _EVENTS,
    ),
    "clusterrole-aggregation-controller": (
        ("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles"),
    ),
    "cronjob-controller": (
        ("get list update watch patch", "batch", "cronjobs"),
        ("create delete get list patch update watch", "batch", "jobs"),
        ("update patch", "batch", "cronjobs/status"),
        ("update", "batch", "cronjobs/finalizers"),
        ("delete list", "core", "pods"),
        _EVENTS,
    ),
    "daemon-set-controller": (
        (READ, "apps", "daemonsets"),
        ("update patch", "apps", "daemonsets/status"),
        ("update", "apps", "daemonsets/finalizers"),
        ("list watch", "core", "nodes"),
        ("create delete list patch watch", "core", "pods"),
        ("create", "core", "pods/binding"),
        _REVISIONS,
        _EVENTS,
    ),
    "deployment-controller": (
        ("get list update watch patch", "apps", "deployments"),
        ("update patch", "apps", "deployments/status"),
        ("update", "apps", "deployments/finalizers"),
        ("create delete get list patch update watch", "apps", "replicasets"),
        ("get list update watch", "core", "pods"),
        _EVENTS,
    ),
    "disruption-controller": (
        (READ, "apps", "deployments replicasets statefulsets"),
        (READ, "core", "replicationcontrollers"),
        (READ, "policy", "poddisruptionbudgets"),
        ("update patch", "policy", "poddisruptionbudgets/status"),
        ("get list watch", "core", "pods"),
        ("patch update", "core", "pods/status"),
        ("get", "*", "*/scale"),
        _EVENTS,
    ),
    "endpoint-controller": (
        (READ, "core", "pods services"),
        ("create delete get list update patch", "core", "endpoints"),
        ("create", "core", "endpoints/restricted"),
        _EVENTS,
    ),
    "endpointslice-controller": (
        (READ, "core", "nodes pods services"),
        ("update", "core", "services/finalizers"),
        ("create delete get list update patch", "discovery.k8s.io", "endpointslices"),
        ("create", "discovery.k8s.io", "endpointslices/restricted"),
        _EVENTS,
    ),
    "endpointslicemirroring-controller": (
        (READ, "core", "endpoints services"),
        ("update", "core", "services/finalizers endpoints/finalizers"),
        ("create delete get list update patch", "discovery.k8s.io", "endpointslices"),
        ("create", "discovery.k8s.io", "endpointslices/restricted"),
        _EVENTS,
    ),
    "ephemeral-volume-controller": (
        (READ, "core", "pods"),
        ("create get list watch", "core", _PVC),
        ("update", "core", "pods/finalizers"),
        _EVENTS,
    ),
    "expand-controller": (
        ("get list patch update watch", "core", "persistentvolumes"),
        ("patch update", "core", f"{_PVC}/status"),
        (READ, "core", _PVC),
        (READ, _STORAGE, "storageclasses"),
        _EVENTS,
    ),
    "generic-garbage-collector": (
        ("delete get list patch update watch", "*", "*"),
        _EVENTS,
    ),
    "horizontal-pod-autoscaler": (
        ("get list watch", "autoscaling", "horizontalpodautoscalers"),
        ("update patch", "autoscaling", "horizontalpodautoscalers/status"),
        *_SCALES,
        ("list", "core", "pods"),
        ("list", "metrics.k8s.io", "pods"),
        ("get list", "custom.metrics.k8s.io external.metrics.k8s.io", "*"),
        _EVENTS,
    ),
    "job-controller": (
        ("get list patch update watch", "batch", "jobs"),
        ("update patch", "batch", "jobs/status"),
        ("update", "batch", "jobs/finalizers"),
        ("create delete list patch watch", "core", "pods"),
        _EVENTS,
    ),
    "namespace-controller": (
        ("delete get list watch", "core", "namespaces"),
        ("update", "core", "namespaces/finalize namespaces/status"),
        ("delete deletecollection get list", "*", "*"),
    ),
    "node-controller": (
        ("delete get list patch update watch", "core", "nodes"),
        ("patch update", "core", "nodes/status"),
        ("patch update", "core", "pods/status"),
        ("delete get list watch", "core", "pods"),
        ("create get list update", "networking.k8s.io", "clustercidrs"),
        _EVENTS,
    ),
    "persistent-volume-binder": (
        ("create delete get list update watch patch", "core", "persistentvolumes"),
        ("update patch", "core", "persistentvolumes/status"),
        ("get list update watch patch", "core", _PVC),
        ("update patch", "core", f"{_PVC}/status"),
        ("create delete get list watch", "core", "pods"),
        (READ, _STORAGE, "storageclasses"),
        ("get list watch patch", "core", "nodes"),
        ("create delete get update", "core", "endpoints services"),
        ("get list", "core", "secrets"),
        ("watch", "core", "events"),
        _EVENTS,
    ),
    "pod-garbage-collector": (
        ("delete get list watch", "core", "pods"),
        ("get list watch", "core", "nodes"),
        ("patch update", "core", "pods/status"),
    ),
    "pv-protection-controller": ((READ_UPDATE, "core", "persistentvolumes"), _EVENTS),
    "pvc-protection-controller": (
        (READ_UPDATE, "core", _PVC),
        (READ, "core", "pods"),
        _EVENTS,
    ),
    "replicaset-controller": (
        ("get list update watch patch", "apps", "replicasets"),
        ("update patch", "apps", "replicasets/status"),
        ("update", "apps", "replicasets/finalizers"),
        ("create delete get list patch watch", "core", "pods"),
        _EVENTS,
    ),
    "replication-controller": (
        ("get list update watch patch", "core", "replicationcontrollers"),
        ("update patch", "core", "replicationcontrollers/status"),
        ("update", "core", "replicationcontrollers/finalizers"),
        ("create delete get list patch watch", "core", "pods"),
        _EVENTS,
    ),
    "resource-claim-controller": (
        (READ, "core", "pods"),
        ("update", "core", "pods/finalizers"),
        ("update patch", "core", "pods/status"),
        ("create delete get list watch", _DRA, "resourceclaims"),
        (READ, _DRA, "resourceclaimtemplates"),
        ("update patch", _DRA, "resourceclaims resourceclaims/status"),
        _EVENTS,
    ),
    "resourcequota-controller": (
        ("list watch", "*", "*"),
        ("update patch", "core", "resourcequotas/status"),
        _EVENTS,
    ),
    "root-ca-cert-publisher": (("create update", "core", "configmaps"), _EVENTS),
    "route-controller": (("list watch", "core", "nodes"), ("patch", "core", "nodes/status"), _EVENTS),
    "service-account-controller": (("create", "core", "serviceaccounts"), _EVENTS),
    "service-cidrs-controller": (
        ("get list patch update watch", "networking.k8s.io", "servicecidrs"),
        ("patch update", "networking.k8s.io", "servicecidrs/finalizers servicecidrs/status"),
        (READ, "networking.k8s.io", "ipaddresses"),
        _EVENTS,
    ),
    "service-controller": (
        (READ, "core", "services"),
        ("patch update", "core", "services/status"),
        ("list watch", "core", "nodes"),
        _EVENTS,
    ),
    "statefulset-controller": (
        ("list watch", "core", "pods"),
        ("get list watch", "apps", "statefulsets"),
        ("update patch", "apps", "statefulsets/status"),
        ("update", "apps", "statefulsets/finalizers"),
        ("update", "core", "pods/finalizers"),
        ("create delete get patch update", "core", "pods"),
        _REVISIONS,
        ("create get", "core", _PVC),
        ("list watch update delete", "core", _PVC),
        _EVENTS,
    ),
    "ttl-after-finished-controller": (("delete get list watch", "batch", "jobs"), _EVENTS),
    "ttl-controller": (("list patch update watch", "core", "nodes"), _EVENTS),
    "validatingadmissionpolicy-status-controller": (
        (READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
        _EVENTS,
    ),
    "volumeattributesclass-protection-controller": (
        (READ_UPDATE, _STORAGE, "volumeattributesclasses"),
        (READ, "core", f"persistentvolumes {_PVC}"),
        _EVENTS,
    ),
}
