"""Static pods: what a manifest in the node's folder becomes, and what the API is to show of it. Pure.

A static pod is this node's alone: it runs whether or not the API server answers. In the API a mirror pod stands for
it, which the node makes, and makes again when somebody deletes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

MIRROR = "kubernetes.io/config.mirror"
HASH, SOURCE, SEEN = "kubernetes.io/config.hash", "kubernetes.io/config.source", "kubernetes.io/config.seen"
#: The priorities of the classes that every cluster has.
_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


class ManifestError(Exception):
    """A manifest that makes no pod; the text says why."""


def pods_in(document: Any) -> list[Object]:
    """The pods of a manifest: a Pod, or a list of them. Raises ManifestError."""
    if not isinstance(document, dict):
        raise ManifestError("it holds no object")
    kind = document.get("kind")
    if document.get("apiVersion") != "v1" or kind not in ("Pod", "PodList", "List"):
        raise ManifestError(f"expected a v1 Pod, not {document.get('apiVersion')} {kind}")
    return [document] if kind == "Pod" else list(document.get("items") or ())


def static_pod(obj: Mapping[str, Any], node: str, path: str, text: bytes, seen: str) -> Object:
    """The pod that a manifest (decoded) means on this node. `text` is the file's content, `seen` when it was read."""
    meta = obj.get("metadata") or {}
    spec = dict(obj.get("spec") or {})
    if not meta.get("name"):
        raise ManifestError("metadata.name: Required value: name is required")
    refused = reference(spec)
    if refused:
        raise ManifestError(f"static pods may not reference {refused}")
    name, namespace = f"{meta['name']}-{node}".lower(), meta.get("namespace") or "default"
    identity = "\0".join((node, path, namespace, meta["name"])).encode() + b"\0" + text
    uid = hashlib.md5(identity, usedforsecurity=False).hexdigest()
    annotations = {**(meta.get("annotations") or {}), HASH: uid, SOURCE: "file", SEEN: seen}
    everything = {"operator": "Exists", "effect": "NoExecute"}
    tolerations = [t for t in spec.get("tolerations") or () if t != everything]
    spec |= {"nodeName": node, "tolerations": [*tolerations, everything]}
    if spec.get("priority") is None and spec.get("priorityClassName") in _PRIORITIES:
        spec["priority"] = _PRIORITIES[spec["priorityClassName"]]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "creationTimestamp": seen,
            "annotations": annotations,
            **({"labels": dict(meta["labels"])} if meta.get("labels") else {}),
        },
        "spec": spec,
    }


def reference(spec: Mapping[str, Any]) -> str:
    """What of the API a pod depends on, which one that runs without it must not; "" where nothing."""
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    if spec.get("imagePullSecrets"):
        return "secrets"
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for source in container.get("envFrom") or ():
                if "configMapRef" in source or "secretRef" in source:
                    return "configmaps" if "configMapRef" in source else "secrets"
            for variable in container.get("env") or ():
                value = variable.get("valueFrom") or {}
                if "configMapKeyRef" in value or "secretKeyRef" in value:
                    return "configmaps" if "configMapKeyRef" in value else "secrets"
    for volume in spec.get("volumes") or ():
        for source in [volume, *((volume.get("projected") or {}).get("sources") or ())]:
            for kind, plural in _REFERENCES.items():
                if kind in source:
                    return plural
    return ""


_REFERENCES = {
    "configMap": "configmaps",
    "secret": "secrets",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims",
    "serviceAccountToken": "serviceaccounts",
    "clusterTrustBundle": "clustertrustbundles",
}


def mirror_of(pod: Mapping[str, Any], node_uid: str) -> Object:
    """The mirror pod, to be created in the API."""
    meta = pod["metadata"]
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": pod["spec"]["nodeName"],
        "uid": node_uid,
        "controller": True,
    }
    made = {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "annotations": {**meta["annotations"], MIRROR: meta["uid"]},
        "ownerReferences": [owner],
    }
    if meta.get("labels"):
        made["labels"] = meta["labels"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": pod["spec"]}


def is_mirror(pod: Mapping[str, Any]) -> bool:
    return MIRROR in (pod["metadata"].get("annotations") or {})


def mirrors(pod: Mapping[str, Any], static: Mapping[str, Any]) -> bool:
    """Whether a mirror pod is of this very static pod."""
    return bool(pod["metadata"]["annotations"].get(MIRROR) == static["metadata"]["uid"])


def name_of(pod: Mapping[str, Any]) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """What is to be written to the API."""

    create: list[Object]
    delete: list[Object]


def plan(statics: Iterable[Object], shown: Mapping[tuple[str, str], Object]) -> MirrorPlan:
    """`statics` are the pods that are to run, `shown` the node's mirror pods in the API by namespace and name."""
    wanted = {name_of(pod): pod for pod in statics}
    delete = [
        mirror
        for name, mirror in shown.items()
        if name not in wanted
        or not mirrors(mirror, wanted[name])
        or mirror["metadata"].get("deletionTimestamp")
    ]
    return MirrorPlan([pod for name, pod in wanted.items() if name not in shown], delete)


def ending(pod: Mapping[str, Any], now: str) -> Object:
    """The pod once its manifest is gone: deleted, with its own grace period."""
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    meta = {
        **pod["metadata"],
        "deletionTimestamp": now,
        "deletionGracePeriodSeconds": 30 if grace is None else grace,
    }
    return {**pod, "metadata": meta}
