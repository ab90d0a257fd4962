"""TaintNodesByCondition and NodeRestriction: what a new node gets, and what a node may write."""

from __future__ import annotations

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver.admission.plugin import MIRROR_ANNOTATION, PODS, Object, Plugin, Step, forbid, is_mirror
from apiserver.authz_node import LEASE_NAMESPACE, node_name
from apiserver.request import AdmissionRequest, Reader

NOT_READY_TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
NODES = resources.get("nodes")
CLAIMS = resources.get("persistentvolumeclaims")
VOLUMES = resources.get("persistentvolumes")
CSI_DRIVERS = resources.get("csidrivers", "storage.k8s.io")

_KUBELET_LABELS = frozenset({
    "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/os", "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region", "topology.kubernetes.io/zone",
})  # fmt: skip
_KUBELET_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._taint if (resource.kind, operation, subresource) == ("Node", "CREATE", "") else None

    @staticmethod
    def _taint(request: AdmissionRequest) -> None:
        assert request.object is not None
        spec = request.object.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any((t.get("key"), t.get("effect")) == tuple(NOT_READY_TAINT.values()) for t in taints):
            spec["taints"] = [*taints, dict(NOT_READY_TAINT)]


class NodeRestriction(Plugin):
    """Nodes write their own Node, Lease and CSINode, and pods bound to them."""

    name = "NodeRestriction"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        step = {
            ("", "Pod"): self._pod,
            ("", "Node"): self._node,
            ("", "PersistentVolumeClaim"): self._claim,
            ("", "ServiceAccount"): self._token,
            ("coordination.k8s.io", "Lease"): self._lease,
            ("storage.k8s.io", "CSINode"): self._csi_node,
        }.get((resource.group, resource.kind))
        if step is None:
            return None

        def check(request: AdmissionRequest) -> None:
            node = node_name(request.user)
            if node is None:
                return
            if not node:
                raise forbid(request, f'could not determine node from user "{request.user.name}"')
            step(node, request)

        return check

    def _pod(self, node: str, request: AdmissionRequest) -> None:
        match request.operation, request.subresource:
            case "CREATE", "":
                self._mirror(node, request)
            case "DELETE", "":
                if _bound_to(request.old_object) != node:
                    raise forbid(
                        request, f'node "{node}" can only delete pods with spec.nodeName set to itself'
                    )
            case "UPDATE", "status":
                if _bound_to(request.old_object) != node:
                    why = (
                        f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
                    )
                    raise forbid(request, why)
                if _labels(request.object) != _labels(request.old_object):
                    raise forbid(request, f'node "{node}" cannot update labels through pod status')
            case "CREATE", "eviction":
                pod = self._reader.get(PODS, request.namespace, request.name)
                if pod is not None and _bound_to(pod) != node:
                    raise forbid(request, f"node {node} can only evict pods with spec.nodeName set to itself")
            case operation, subresource:
                what = (
                    f"unexpected operation {operation}"
                    if not subresource
                    else f"unexpected pod subresource {subresource}"
                )
                raise forbid(request, what)

    @staticmethod
    def _mirror(node: str, request: AdmissionRequest) -> None:
        pod = request.object
        assert pod is not None
        if not is_mirror(pod):
            why = f'pod does not have "{MIRROR_ANNOTATION}" annotation, node "{node}" can only create mirror pods'
            raise forbid(request, why)
        if _bound_to(pod) != node:
            raise forbid(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
        owners = pod["metadata"].get("ownerReferences") or []
        if len(owners) != 1 or owners[0].get("kind") != "Node" or owners[0].get("name") != node:
            raise forbid(request, f'node "{node}" can only create pods with an owner reference set to itself')
        spec = pod["spec"]
        if spec.get("serviceAccountName"):
            raise forbid(request, f'node "{node}" can not create pods that reference a service account')

    def _node(self, node: str, request: AdmissionRequest) -> None:
        name = request.name or ((request.object or {}).get("metadata") or {}).get("name", "")
        if name != node:
            raise forbid(request, f'node "{node}" is not allowed to modify node "{name}"')
        new, old = request.object, request.old_object
        if request.operation == "CREATE" and new is not None:
            barred = [label for label in _labels(new) if _barred(label)]
            if barred:
                listed = ", ".join(sorted(barred))
                why = f'node "{node}" is not allowed to set the following labels: {listed}'
                raise forbid(request, why)
            if new["metadata"].get("ownerReferences"):
                raise forbid(request, f'node "{node}" is not allowed to modify ownerReferences')
        elif request.operation == "UPDATE" and new is not None and old is not None:
            if new["metadata"].get("ownerReferences") != old["metadata"].get("ownerReferences"):
                raise forbid(request, f'node "{node}" is not allowed to modify ownerReferences')
            if ((new.get("spec") or {}).get("taints") or []) != ((old.get("spec") or {}).get("taints") or []):
                raise forbid(request, f'node "{node}" is not allowed to modify taints')
            changed = {key for key, _ in _labels(new).items() ^ _labels(old).items()}
            barred = [label for label in changed if _barred(label)]
            if barred:
                listed = ", ".join(sorted(barred))
                raise forbid(request, f"is not allowed to modify labels: {listed}")

    @staticmethod
    def _claim(node: str, request: AdmissionRequest) -> None:
        if (request.operation, request.subresource) != ("UPDATE", "status"):
            raise forbid(request, f"unexpected operation {request.operation}")
        new, old = request.object or {}, request.old_object or {}
        if new.get("spec") != old.get("spec"):
            why = f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
            raise forbid(request, why)

    def _token(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource != "token":
            return
        spec = (request.object or {}).get("spec") or {}
        reference = spec.get("boundObjectRef") or {}
        if (
            reference.get("kind") != "Pod"
            or (reference.get("apiVersion") or "v1") != "v1"
            or not reference.get("name")
        ):
            raise forbid(request, "node requested token not bound to a pod")
        if not reference.get("uid"):
            raise forbid(request, "node requested token with a pod binding without a uid")
        pod = self._reader.get(PODS, request.namespace, reference["name"])
        if pod is None:
            raise forbid(request, f'pod "{reference["name"]}" not found')
        if pod["metadata"].get("uid") != reference["uid"]:
            why = "the UID in the bound object reference ({}) does not match the UID in record. "
            why += "The object might have been deleted and then recreated"
            raise forbid(request, why.format(reference["uid"]))
        if _bound_to(pod) != node:
            raise forbid(request, "node requested token bound to a pod scheduled on a different node")
        audiences = spec.get("audiences") or [""]
        if len(audiences) > 1:
            raise forbid(request, "node may only request 0 or 1 audiences")
        if audiences[0] not in _audiences(pod) | self._audiences_of_drivers(pod):
            raise forbid(request, f'audience "{audiences[0]}" not found in pod spec volume')

    def _audiences_of_drivers(self, pod: Object) -> set[str]:
        """The audiences that CSI drivers of the pod's volumes ask tokens for."""
        found: set[str] = set()
        for name in self._drivers(pod):
            driver = self._reader.get(CSI_DRIVERS, "", name) or {}
            requests = (driver.get("spec") or {}).get("tokenRequests") or ()
            found |= {request.get("audience") or "" for request in requests}
        return found

    def _drivers(self, pod: Object) -> set[str]:
        meta, found = pod["metadata"], set()
        for volume in pod["spec"].get("volumes") or ():
            if "csi" in volume:
                found.add(volume["csi"].get("driver", ""))
                continue
            claim_name = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
            if "ephemeral" in volume:
                claim_name = f"{meta['name']}-{volume['name']}"
            claim = self._reader.get(CLAIMS, meta["namespace"], claim_name) if claim_name else None
            bound = ((claim or {}).get("spec") or {}).get("volumeName")
            spec = ((self._reader.get(VOLUMES, "", bound) if bound else None) or {}).get("spec") or {}
            found.add((spec.get("csi") or {}).get("driver", ""))
        return found - {""}

    @staticmethod
    def _lease(node: str, request: AdmissionRequest) -> None:
        if request.namespace != LEASE_NAMESPACE:
            why = f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
            raise forbid(request, why)
        name = request.name or ((request.object or {}).get("metadata") or {}).get("name", "")
        if name != node:
            raise forbid(request, "can only access node lease with the same name as the requesting node")

    @staticmethod
    def _csi_node(node: str, request: AdmissionRequest) -> None:
        name = request.name or ((request.object or {}).get("metadata") or {}).get("name", "")
        if name != node:
            raise forbid(request, "can only access CSINode with the same name as the requesting node")


def _bound_to(pod: Object | None) -> str:
    return str(((pod or {}).get("spec") or {}).get("nodeName") or "")


def _labels(obj: Object | None) -> dict[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


def _audiences(pod: Object) -> set[str]:
    """The audiences of the pod's projected tokens; "" is the apiserver's own."""
    return {
        source["serviceAccountToken"].get("audience", "")
        for volume in pod["spec"].get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
        if "serviceAccountToken" in source
    }


def _barred(label: str) -> bool:
    """Labels that say what a node is trusted for are not the node's to set."""
    domain = label.partition("/")[0] if "/" in label else ""
    if domain == "node-restriction.kubernetes.io" or domain.endswith(".node-restriction.kubernetes.io"):
        return True
    known = any(domain == d or domain.endswith(f".{d}") for d in ("kubernetes.io", "k8s.io"))
    if not known or label in _KUBELET_LABELS:
        return False
    return not any(domain == p or domain.endswith(f".{p}") for p in _KUBELET_PREFIXES)
