"""The table of built-in resources of Kubernetes v1.36 that are on by default: names, scopes, verbs, subresources.

Custom resources are added at run time as further `Resource` values; nothing here is special to built-in ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)
READ_ONLY = ("get", "list")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource; `api_version`/`kind` differ from the parent's where its body is another type."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one API version.

    `storage` is the (group, plural) its keys are under: versions of one kind share it. `virtual` resources
    (reviews, component statuses) are computed and never stored. `selectable` are the field paths a custom resource
    adds for field selectors.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    singular: str = ""
    list_kind: str = ""
    storage: tuple[str, str] = ("", "")
    virtual: bool = False
    custom: bool = False
    selectable: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as messages name a resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base_path(self) -> str:
        """`/api/v1` or `/apis/<group>/<version>`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        parts = [self.base_path]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    @property
    def key_prefix(self) -> str:
        """`/registry/<group>/<resource>/`; the core group is `core`."""
        group, plural = self.storage
        return f"/registry/{group or 'core'}/{plural}/"

    def key(self, namespace: str, name: str) -> str:
        return f"{self.key_prefix}{namespace}/{name}" if self.namespaced else self.key_prefix + name

    def subresource(self, name: str) -> Subresource | None:
        return next((s for s in self.subresources if s.name == name), None)


STATUS = Subresource("status", ("get", "patch", "update"))
SCALE = Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling/v1")
_POD_SUBRESOURCES = (
    Subresource("attach", ("create", "get"), "PodAttachOptions", "v1"),
    Subresource("binding", ("create",), "Binding", "v1"),
    Subresource("ephemeralcontainers", ("get", "patch", "update")),
    Subresource("eviction", ("create",), "Eviction", "policy/v1"),
    Subresource("exec", ("create", "get"), "PodExecOptions", "v1"),
    Subresource("log", ("get",)),
    Subresource("portforward", ("create", "get"), "PodPortForwardOptions", "v1"),
    Subresource("proxy", ("create", "delete", "get", "patch", "update"), "PodProxyOptions", "v1"),
    Subresource("resize", ("get", "patch", "update")),
    STATUS,
)


def _service_proxy(kind: str) -> Subresource:
    return Subresource("proxy", ("create", "delete", "get", "patch", "update"), kind, "v1")


def _r(
    group: str,
    version: str,
    plural: str,
    kind: str,
    namespaced: bool,
    short: str = "",
    subresources: tuple[Subresource, ...] = (),
    categories: tuple[str, ...] = (),
    verbs: tuple[str, ...] = ALL_VERBS,
    storage: tuple[str, str] | None = None,
    virtual: bool = False,
) -> Resource:
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=namespaced,
        short_names=tuple(short.split()),
        categories=categories,
        verbs=verbs,
        subresources=subresources,
        singular=kind.lower(),
        list_kind=kind + "List",
        storage=storage or (group, plural),
        virtual=virtual,
    )


_ALL = ("all",)
_EXT = ("api-extensions",)
_ADMISSION = "admissionregistration.k8s.io"
_DRA = "resource.k8s.io"

BUILTIN: tuple[Resource, ...] = (
    _r("", "v1", "bindings", "Binding", True, verbs=CREATE_ONLY, virtual=True),
    _r("", "v1", "componentstatuses", "ComponentStatus", False, "cs", verbs=READ_ONLY, virtual=True),
    _r("", "v1", "configmaps", "ConfigMap", True, "cm"),
    _r("", "v1", "endpoints", "Endpoints", True, "ep"),
    _r("", "v1", "events", "Event", True, "ev", storage=("", "events")),
    _r("", "v1", "limitranges", "LimitRange", True, "limits"),
    _r(
        "",
        "v1",
        "namespaces",
        "Namespace",
        False,
        "ns",
        (Subresource("finalize", ("update",)), STATUS),
        verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    ),
    _r("", "v1", "nodes", "Node", False, "no", (_service_proxy("NodeProxyOptions"), STATUS)),
    _r("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, "pvc", (STATUS,)),
    _r("", "v1", "persistentvolumes", "PersistentVolume", False, "pv", (STATUS,)),
    _r("", "v1", "pods", "Pod", True, "po", _POD_SUBRESOURCES, _ALL),
    _r("", "v1", "podtemplates", "PodTemplate", True),
    _r("", "v1", "replicationcontrollers", "ReplicationController", True, "rc", (SCALE, STATUS), _ALL),
    _r("", "v1", "resourcequotas", "ResourceQuota", True, "quota", (STATUS,)),
    _r("", "v1", "secrets", "Secret", True),
    _r(
        "",
        "v1",
        "serviceaccounts",
        "ServiceAccount",
        True,
        "sa",
        (Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io/v1"),),
    ),
    _r("", "v1", "services", "Service", True, "svc", (_service_proxy("ServiceProxyOptions"), STATUS), _ALL),
    _r(_ADMISSION, "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", False, "", (), _EXT),
    _r(
        _ADMISSION,
        "v1",
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
        False,
        "",
        (),
        _EXT,
    ),
    _r(
        _ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False, "", (), _EXT
    ),
    _r(
        _ADMISSION,
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        False,
        "",
        (STATUS,),
        _EXT,
    ),
    _r(
        _ADMISSION,
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        False,
        "",
        (),
        _EXT,
    ),
    _r(
        _ADMISSION,
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        False,
        "",
        (),
        _EXT,
    ),
    _r(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        "crd crds",
        (STATUS,),
        _EXT,
    ),
    _r("apiregistration.k8s.io", "v1", "apiservices", "APIService", False, "", (STATUS,), _EXT),
    _r("apps", "v1", "controllerrevisions", "ControllerRevision", True),
    _r("apps", "v1", "daemonsets", "DaemonSet", True, "ds", (STATUS,), _ALL),
    _r("apps", "v1", "deployments", "Deployment", True, "deploy", (SCALE, STATUS), _ALL),
    _r("apps", "v1", "replicasets", "ReplicaSet", True, "rs", (SCALE, STATUS), _ALL),
    _r("apps", "v1", "statefulsets", "StatefulSet", True, "sts", (SCALE, STATUS), _ALL),
    _r(
        "authentication.k8s.io",
        "v1",
        "selfsubjectreviews",
        "SelfSubjectReview",
        False,
        verbs=CREATE_ONLY,
        virtual=True,
    ),
    _r("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False, verbs=CREATE_ONLY, virtual=True),
    _r(
        "authorization.k8s.io",
        "v1",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        True,
        verbs=CREATE_ONLY,
        virtual=True,
    ),
    _r(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        False,
        verbs=CREATE_ONLY,
        virtual=True,
    ),
    _r(
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        False,
        verbs=CREATE_ONLY,
        virtual=True,
    ),
    _r(
        "authorization.k8s.io",
        "v1",
        "subjectaccessreviews",
        "SubjectAccessReview",
        False,
        verbs=CREATE_ONLY,
        virtual=True,
    ),
    _r(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        True,
        "hpa",
        (STATUS,),
        _ALL,
    ),
    _r(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        True,
        "hpa",
        (STATUS,),
        _ALL,
    ),
    _r("batch", "v1", "cronjobs", "CronJob", True, "cj", (STATUS,), _ALL),
    _r("batch", "v1", "jobs", "Job", True, "", (STATUS,), _ALL),
    _r(
        "certificates.k8s.io",
        "v1",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        False,
        "csr",
        (Subresource("approval", ("get", "patch", "update")), STATUS),
    ),
    _r("certificates.k8s.io", "v1beta1", "clustertrustbundles", "ClusterTrustBundle", False),
    _r("coordination.k8s.io", "v1", "leases", "Lease", True),
    _r("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True),
    _r("events.k8s.io", "v1", "events", "Event", True, "ev", storage=("", "events")),
    _r("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", False, "", (STATUS,)),
    _r(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "prioritylevelconfigurations",
        "PriorityLevelConfiguration",
        False,
        "",
        (STATUS,),
    ),
    _r("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False),
    _r("networking.k8s.io", "v1", "ingresses", "Ingress", True, "ing", (STATUS,)),
    _r("networking.k8s.io", "v1", "ipaddresses", "IPAddress", False, "ip"),
    _r("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, "netpol"),
    _r("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False, "", (STATUS,)),
    _r("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False),
    _r("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, "pdb", (STATUS,)),
    _r("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    _r("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False),
    _r("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", True),
    _r("rbac.authorization.k8s.io", "v1", "roles", "Role", True),
    _r(_DRA, "v1", "deviceclasses", "DeviceClass", False),
    _r(_DRA, "v1", "resourceclaims", "ResourceClaim", True, "", (STATUS,)),
    _r(_DRA, "v1", "resourceclaimtemplates", "ResourceClaimTemplate", True),
    _r(_DRA, "v1", "resourceslices", "ResourceSlice", False),
    _r("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, "pc"),
    _r("storage.k8s.io", "v1", "csidrivers", "CSIDriver", False),
    _r("storage.k8s.io", "v1", "csinodes", "CSINode", False),
    _r("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity", True),
    _r("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, "sc"),
    _r("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", False, "", (STATUS,)),
    _r("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", False, "vac"),
)

_BY_PLURAL = {(r.group, r.version, r.plural): r for r in BUILTIN}
_BY_KIND = {(r.api_version, r.kind): r for r in BUILTIN}


def by_plural(group: str, version: str, plural: str) -> Resource | None:
    return _BY_PLURAL.get((group, version, plural))


def by_kind(api_version: str, kind: str) -> Resource | None:
    return _BY_KIND.get((api_version, kind))


def get(plural: str, group: str = "") -> Resource:
    """A built-in resource by its plural and group, in its preferred version. KeyError if there is none."""
    for resource in BUILTIN:
        if resource.plural == plural and resource.group == group:
            return resource
    raise KeyError(f"{plural}.{group}")


def stored() -> Iterable[Resource]:
    """One resource per storage location, the version objects are stored in (the preferred one)."""
    seen: set[tuple[str, str]] = set()
    for resource in BUILTIN:
        if not resource.virtual and resource.storage not in seen:
            seen.add(resource.storage)
            yield resource
