"""The node authorizer: a node reads what its pods refer to and writes its own objects, nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from apimachinery import resources, selectors
from apiserver.rbac import Rule
from apiserver.request import Attributes, Object, Reader, User

NODES_GROUP = "system:nodes"
NODE_USER_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"
_READ = ("get", "list", "watch")
_NODE_SECRETS = ("nodeStageSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")
_FRESH_SECONDS = 2.0

_PVC = resources.get("persistentvolumeclaims")
_PV = resources.get("persistentvolumes")
_PODS = resources.get("pods")
_VOLUME_ATTACHMENTS = resources.get("volumeattachments", "storage.k8s.io")


def _rule(verbs: str, group: str, names: str) -> Rule:
    return Rule(frozenset(verbs.split()), frozenset((group,)), frozenset(names.split()))


NODE_RULES = (
    _rule("create", "authentication.k8s.io", "tokenreviews"),
    _rule("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
    _rule("get list watch", "", "services"),
    _rule("create", "", "nodes"),
    _rule("create update patch", "", "events"),
    _rule("create update patch", "events.k8s.io", "events"),
    _rule("create delete", "", "pods"),
    _rule("update patch", "", "pods/status"),
    _rule("create", "", "pods/eviction"),
    _rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    _rule("get list watch", "certificates.k8s.io", "clustertrustbundles"),
    _rule("get list watch", "storage.k8s.io", "csidrivers"),
    _rule("get list watch", "node.k8s.io", "runtimeclasses"),
)
"""What every node may do wherever; NodeRestriction admission narrows the writes to the node's own objects."""


def node_name(user: User) -> str | None:
    """The node a user is; "" for a user in the nodes' group with another kind of name; None for anyone else."""
    if NODES_GROUP not in user.groups:
        return None
    return user.name.removeprefix(NODE_USER_PREFIX) if user.name.startswith(NODE_USER_PREFIX) else ""


@dataclass(frozen=True, slots=True)
class References:
    """What the pods of one node refer to: (resource, namespace, name), the pods themselves included."""

    objects: frozenset[tuple[str, str, str]]
    built: float


def references(pod: Object) -> Iterator[tuple[str, str]]:
    """(resource, name) of every object in its namespace that a pod refers to."""
    spec = pod.get("spec") or {}
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for pull in spec.get("imagePullSecrets") or ():
        yield "secrets", pull.get("name", "")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            for source in container.get("envFrom") or ():
                yield from _named(source, "configMapRef", "secretRef")
            for variable in container.get("env") or ():
                yield from _named(variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        yield from _volume(pod, volume)
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        yield "resourceclaims", status.get("resourceClaimName") or ""


def _named(source: Object, config_map: str, secret: str) -> Iterator[tuple[str, str]]:
    if source.get(config_map):
        yield "configmaps", source[config_map].get("name", "")
    if source.get(secret):
        yield "secrets", source[secret].get("name", "")


def _volume(pod: Object, volume: Object) -> Iterator[tuple[str, str]]:
    if "secret" in volume:
        yield "secrets", (volume["secret"] or {}).get("secretName", "")
    elif "configMap" in volume:
        yield "configmaps", (volume["configMap"] or {}).get("name", "")
    elif "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    elif "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod['metadata']['name']}-{volume['name']}"
    elif "projected" in volume:
        for source in (volume["projected"] or {}).get("sources") or ():
            if "secret" in source:
                yield "secrets", source["secret"].get("name", "")
            elif "configMap" in source:
                yield "configmaps", source["configMap"].get("name", "")
    else:
        for plugin in volume.values():  # cephfs, iscsi, csi and others name the secret they log in with
            if isinstance(plugin, dict):
                for key in ("secretRef", "nodePublishSecretRef"):
                    yield "secrets", (plugin.get(key) or {}).get("name", "")


class NodeAuthorizer:
    """Decides for users of the group system:nodes."""

    def __init__(self, reader: Reader, pods_of_node: Callable[[str], list[Object]] | None = None) -> None:
        self._reader = reader
        self._pods_of_node = pods_of_node or self._scan
        self._references: dict[str, References] = {}

    def _scan(self, node: str) -> list[Object]:
        return [p for p in self._reader.list(_PODS) if (p.get("spec") or {}).get("nodeName") == node]

    def decide(self, a: Attributes) -> tuple[bool, str]:
        """(allowed, why not). ("" when this is not a node's request.)"""
        node = node_name(a.user)
        if node is None or a.path:
            return False, ""
        if not node:
            return False, f'unknown node for user "{a.user.name}"'
        decide = {
            ("", "secrets"): self._read_referenced,
            ("", "configmaps"): self._read_referenced,
            ("", "persistentvolumeclaims"): self._get_referenced,
            ("", "persistentvolumes"): self._get_referenced,
            ("", "serviceaccounts"): self._service_account,
            ("", "nodes"): self._node,
            ("", "pods"): self._pods,
            ("resource.k8s.io", "resourceclaims"): self._get_referenced,
            ("storage.k8s.io", "volumeattachments"): self._volume_attachment,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._own_object,
        }.get((a.group, a.resource))
        if decide is not None:
            return decide(node, a)
        return any(rule.allows(a) for rule in NODE_RULES), ""

    def refers(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node refers to (or is) the object. A miss is looked up anew, a hit may be 2 s old."""
        wanted = (resource, namespace, name)
        known = self._references.get(node)
        now = time.monotonic()
        if known is not None and now - known.built < _FRESH_SECONDS and wanted in known.objects:
            return True
        self._references[node] = built = References(frozenset(self._collect(node)), now)
        return wanted in built.objects

    def _collect(self, node: str) -> Iterator[tuple[str, str, str]]:
        for pod in self._pods_of_node(node):
            namespace = pod["metadata"]["namespace"]
            yield "pods", namespace, pod["metadata"]["name"]
            for resource, name in references(pod):
                yield resource, namespace, name
                if resource == "persistentvolumeclaims":
                    claim = self._reader.get(_PVC, namespace, name) or {}
                    volume = (claim.get("spec") or {}).get("volumeName", "")
                    yield "persistentvolumes", "", volume
                    yield from self._secrets_of(volume)

    def _secrets_of(self, volume: str) -> Iterator[tuple[str, str, str]]:
        """The secrets that a node logs in with for a PersistentVolume of a CSI driver."""
        found = self._reader.get(_PV, "", volume) if volume else None
        csi = ((found or {}).get("spec") or {}).get("csi") or {}
        for field in _NODE_SECRETS:
            if csi.get(field):
                yield "secrets", csi[field].get("namespace", ""), csi[field].get("name", "")

    def _related(self, node: str, a: Attributes) -> tuple[bool, str]:
        if not a.name:
            return False, "No Object name found"
        if self.refers(node, a.resource, a.namespace, a.name):
            return True, ""
        return False, f"no relationship found between node '{node}' and this object"

    def _read_referenced(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb not in _READ:
            return False, "can only read resources of this type"
        if a.subresource:
            return False, "cannot read subresource"
        if not a.namespace:
            return False, "can only read namespaced object of this type"
        return self._related(node, a)

    def _get_referenced(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.resource == "persistentvolumeclaims" and a.subresource == "status":
            if a.verb not in ("update", "patch"):
                return False, "can only get individual resources of this type"
            return self._related(node, a)
        if a.verb != "get" or not a.name:
            return False, "can only get individual resources of this type"
        if a.subresource:
            return False, "cannot get subresource"
        return self._related(node, a)

    def _volume_attachment(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb != "get" or not a.name:
            return False, "can only get individual resources of this type"
        attachment = self._reader.get(_VOLUME_ATTACHMENTS, "", a.name) or {}
        if (attachment.get("spec") or {}).get("nodeName") == node:
            return True, ""
        return False, f"no relationship found between node '{node}' and this object"

    def _service_account(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.subresource != "token":
            if a.verb == "get" and not a.subresource:
                return self._related(node, a)
            return False, "can only create tokens for individual service accounts"
        if a.verb != "create" or not a.name:
            return False, "can only create tokens for individual service accounts"
        return self._related(node, a)

    def _own_object(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb not in ("get", "create", "update", "patch", "delete"):
            return False, f"can only get, create, update, patch, or delete a {a.resource[:-1]}"
        if a.subresource:
            return False, f"cannot authorize {a.resource} subresources"
        # The name of what is created is known to admission (NodeRestriction), not here.
        if a.name == node or (a.verb == "create" and not a.name):
            return True, ""
        return False, f"can only access {a.resource[:-1]} with the same name as the requesting node"

    def _lease(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.namespace != LEASE_NAMESPACE:
            return False, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        return self._own_object(node, a)

    def _node(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb == "create" and not a.subresource:
            return True, ""
        if a.verb in ("update", "patch") and a.subresource in ("", "status"):
            return True, ""  # NodeRestriction says which node, in its own words
        if a.verb not in _READ or a.subresource:
            return False, ""
        if a.name == node:
            return True, ""
        if a.verb == "get":
            return False, f"node '{node}' cannot read '{a.name}', only its own Node object"
        return False, f"node '{node}' cannot read all nodes, only its own Node object"

    def _pods(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.subresource:
            return any(rule.allows(a) for rule in NODE_RULES), ""
        if a.verb in ("create", "delete"):
            return True, ""
        if a.verb == "get":
            return self._related(node, a)
        if a.verb not in ("list", "watch"):
            return False, ""
        try:
            own_pods = ("spec.nodeName", "=", node) in selectors.parse_fields(a.field_selector)
        except ValueError as err:
            return False, str(err)
        if own_pods:
            return True, ""
        if a.name:
            return self._related(node, a)
        return False, "can only list/watch pods with spec.nodeName field selector"
