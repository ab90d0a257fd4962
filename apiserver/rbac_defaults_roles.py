"""Tables of the default roles for users and components. A rule is (verbs, API groups, resources[, names]).

The core group is written `core`; the group `url` means that the third field lists non-resource URLs.
"""

from __future__ import annotations

TableRule = tuple[str, ...]

READ = "get list watch"
WRITE = "create update patch delete deletecollection"
READ_WRITE = f"{READ} {WRITE}"
READ_UPDATE = f"{READ} update patch"

_INFO = "/livez /readyz /healthz /version /version/"
_EVENTS: tuple[TableRule, ...] = (("create update patch", "core events.k8s.io", "events"),)
_AUTH = "authentication.k8s.io"
_AUTHZ = "authorization.k8s.io"
_CERT = "certificates.k8s.io"
_LEASES = ("coordination.k8s.io", "leases")
_RBAC = "rbac.authorization.k8s.io"
_STORAGE = "storage.k8s.io"
_DRA = "resource.k8s.io"

_WORKLOADS = (
    "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale"
)
_WORKLOAD_STATUS = "daemonsets/status deployments/status replicasets/status statefulsets/status"

AGGREGATES: dict[str, tuple[TableRule, ...]] = {
    "admin": (
        ("create", _AUTHZ, "localsubjectaccessreviews"),
        (READ_WRITE, _RBAC, "roles rolebindings"),
    ),
    "edit": (
        (READ, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
        ("impersonate", "core", "serviceaccounts"),
        (WRITE, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
        ("create", "core", "pods/eviction"),
        (
            WRITE,
            "core",
            "configmaps events persistentvolumeclaims replicationcontrollers"
            " replicationcontrollers/scale secrets serviceaccounts services services/proxy",
        ),
        ("create", "core", "serviceaccounts/token"),
        (WRITE, "apps", f"{_WORKLOADS} deployments/rollback"),
        (WRITE, "autoscaling", "horizontalpodautoscalers"),
        (WRITE, "batch", "cronjobs jobs"),
        (WRITE, "policy", "poddisruptionbudgets"),
        (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
        (READ_WRITE, *_LEASES),
        (WRITE, _DRA, "resourceclaims resourceclaimtemplates"),
    ),
    "view": (
        (
            READ,
            "core",
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods"
            " replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
        ),
        (
            READ,
            "core",
            "bindings events limitranges namespaces/status pods/log pods/status"
            " replicationcontrollers/status resourcequotas resourcequotas/status",
        ),
        (READ, "core", "namespaces"),
        (READ, "discovery.k8s.io", "endpointslices"),
        (READ, "apps", f"controllerrevisions {_WORKLOADS} {_WORKLOAD_STATUS}"),
        (READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
        (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
        (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
        (READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        (READ, _DRA, "resourceclaims resourceclaims/status resourceclaimtemplates"),
    ),
}

SYSTEM_ROLES: dict[str, tuple[TableRule, ...]] = {
    "cluster-admin": (("*", "*", "*"), ("*", "url", "*")),
    "system:discovery": (("get", "url", f"{_INFO} /openapi /openapi/* /api /api/* /apis /apis/*"),),
    "system:monitoring": (
        ("get", "url", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
    ),
    "system:basic-user": (
        ("create", _AUTHZ, "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", _AUTH, "selfsubjectreviews"),
    ),
    "system:public-info-viewer": (("get", "url", _INFO),),
    "system:service-account-issuer-discovery": (
        (
            "get",
            "url",
            "/.well-known/openid-configuration /.well-known/openid-configuration/"
            " /openid/v1/jwks /openid/v1/jwks/",
        ),
    ),
    "system:auth-delegator": (
        ("create", _AUTH, "tokenreviews"),
        ("create", _AUTHZ, "subjectaccessreviews"),
    ),
    "system:kubelet-api-admin": (
        ("get list watch", "core", "nodes"),
        ("proxy", "core", "nodes"),
        ("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ),
    "system:cluster-trust-bundle-discovery": ((READ, _CERT, "clustertrustbundles"),),
    "system:node-bootstrapper": (("create get list watch", _CERT, "certificatesigningrequests"),),
    "system:node-problem-detector": (("get", "core", "nodes"), ("patch", "core", "nodes/status"), *_EVENTS),
    "system:node-proxier": (
        ("list watch", "core", "services endpoints"),
        ("get list watch", "core", "nodes"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
        ("list watch", "networking.k8s.io", "servicecidrs"),
        *_EVENTS,
    ),
    "system:kube-aggregator": ((READ, "core", "services endpoints"),),
    "system:kube-dns": (("list watch", "core", "endpoints services"),),
    "system:coredns": (
        ("list watch", "core", "endpoints namespaces pods services"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:persistent-volume-provisioner": (
        ("create delete get list watch", "core", "persistentvolumes"),
        ("get list update watch", "core", "persistentvolumeclaims"),
        (READ, _STORAGE, "storageclasses"),
        ("watch", "core", "events"),
        *_EVENTS,
    ),
    "system:kube-scheduler": (
        *_EVENTS,
        ("create list watch", *_LEASES),
        ("get update", *_LEASES, "kube-scheduler"),
        (READ, "core", "nodes"),
        ("delete get list watch", "core", "pods"),
        ("create", "core", "bindings pods/binding"),
        ("patch update", "core", "pods/status"),
        (READ, "core", "namespaces replicationcontrollers services"),
        (READ, "apps", "replicasets statefulsets"),
        (READ, "policy", "poddisruptionbudgets"),
        (READ, "core", "persistentvolumeclaims persistentvolumes"),
        ("create", _AUTH, "tokenreviews"),
        ("create", _AUTHZ, "subjectaccessreviews"),
        (READ, _STORAGE, "csidrivers csinodes csistoragecapacities storageclasses volumeattachments"),
        (READ, "scheduling.k8s.io", "priorityclasses"),
        (READ, _DRA, "deviceclasses resourceslices"),
        (READ_UPDATE, _DRA, "resourceclaims"),
        ("update patch", _DRA, "resourceclaims/status"),
    ),
    "system:volume-scheduler": (
        (READ_UPDATE, "core", "persistentvolumes"),
        (READ_UPDATE, "core", "persistentvolumeclaims"),
        (READ, _STORAGE, "storageclasses"),
    ),
    "system:kube-controller-manager": (
        *_EVENTS,
        ("create list watch", *_LEASES),
        ("get update", *_LEASES, "kube-controller-manager"),
        ("create", "core", "secrets serviceaccounts"),
        ("delete", "core", "secrets"),
        ("get", "core", "configmaps namespaces secrets serviceaccounts"),
        ("update", "core", "secrets serviceaccounts"),
        ("create", _AUTH, "tokenreviews"),
        ("create", _AUTHZ, "subjectaccessreviews"),
        ("list watch", "*", "*"),
        ("create", "core", "serviceaccounts/token"),
    ),
    f"system:{_CERT}:certificatesigningrequests:nodeclient": (
        ("create", _CERT, "certificatesigningrequests/nodeclient"),
    ),
    f"system:{_CERT}:certificatesigningrequests:selfnodeclient": (
        ("create", _CERT, "certificatesigningrequests/selfnodeclient"),
    ),
    f"system:{_CERT}:kube-apiserver-client-approver": (
        ("approve", _CERT, "signers", "kubernetes.io/kube-apiserver-client"),
    ),
    f"system:{_CERT}:kube-apiserver-client-kubelet-approver": (
        ("approve", _CERT, "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
    ),
    f"system:{_CERT}:kubelet-serving-approver": (
        ("approve", _CERT, "signers", "kubernetes.io/kubelet-serving"),
    ),
    f"system:{_CERT}:legacy-unknown-approver": (
        ("approve", _CERT, "signers", "kubernetes.io/legacy-unknown"),
    ),
}

CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group:system:masters",),
    "system:monitoring": ("Group:system:monitoring",),
    "system:discovery": ("Group:system:authenticated",),
    "system:basic-user": ("Group:system:authenticated",),
    "system:public-info-viewer": ("Group:system:authenticated", "Group:system:unauthenticated"),
    "system:service-account-issuer-discovery": ("Group:system:serviceaccounts",),
    "system:cluster-trust-bundle-discovery": ("Group:system:serviceaccounts",),
    "system:node": (),
    "system:node-proxier": ("User:system:kube-proxy",),
    "system:kube-dns": ("ServiceAccount:kube-system:kube-dns",),
    # Our service proxy answers the cluster's names too.
    "system:coredns": ("ServiceAccount:kube-system:coredns", "User:system:kube-proxy"),
    "system:kube-scheduler": ("User:system:kube-scheduler",),
    "system:volume-scheduler": ("User:system:kube-scheduler",),
    "system:kube-controller-manager": ("User:system:kube-controller-manager",),
}

NAMESPACED_ROLES: dict[tuple[str, str], tuple[tuple[TableRule, ...], tuple[str, ...]]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        ((READ, "core", "configmaps", "extension-apiserver-authentication"),),
        ("User:system:kube-controller-manager", "User:system:kube-scheduler"),
    ),
    ("kube-system", "system:controller:bootstrap-signer"): (
        ((READ, "core", "secrets"),),
        ("ServiceAccount:kube-system:bootstrap-signer", "User:system:kube-controller-manager"),
    ),
    ("kube-system", "system:controller:token-cleaner"): (
        (("delete get list watch", "core", "secrets"), *_EVENTS),
        ("ServiceAccount:kube-system:token-cleaner", "User:system:kube-controller-manager"),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        (("watch", "core", "configmaps"), ("get update", "core", "configmaps", "kube-controller-manager")),
        ("ServiceAccount:kube-system:kube-controller-manager", "User:system:kube-controller-manager"),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        (("watch", "core", "configmaps"), ("get update", "core", "configmaps", "kube-scheduler")),
        ("ServiceAccount:kube-system:kube-scheduler", "User:system:kube-scheduler"),
    ),
    ("kube-public", "system:controller:bootstrap-signer"): (
        (
            (READ, "core", "configmaps"),
            ("patch update", "core", "configmaps", "cluster-info"),
            *_EVENTS,
        ),
        ("ServiceAccount:kube-system:bootstrap-signer", "User:system:kube-controller-manager"),
    ),
}
