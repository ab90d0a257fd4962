"""Which fields of which kind a field selector may ask for, and their values in an object. Pure.

The names are Kubernetes's; `metadata.name` and `metadata.namespace` are selectable in every kind and are not
repeated in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from apimachinery.resources import Resource
from apiserver.entry import Fields

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

_PATHS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    ("", "events"): (
        *(f"involvedObject.{field}" for field in _INVOLVED),
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("spec.signerName",),
    ("certificates.k8s.io", "clustertrustbundles"): ("spec.signerName",),
}

# Fields that a selector names otherwise than the object does, or that are not plain values there.
_SPECIAL: dict[str, tuple[str, ...]] = {
    "status.successful": ("status", "succeeded"),
    "source": ("source", "component"),
}
_NUMBERS = frozenset({"status.replicas", "status.successful"})
_BOOLEANS = frozenset({"spec.hostNetwork", "spec.unschedulable"})


def paths(resource: Resource) -> tuple[str, ...]:
    """The selectable fields of a resource besides metadata.name and metadata.namespace."""
    return resource.selectable if resource.custom else _PATHS.get(resource.storage, ())


def fields_of(resource: Resource) -> Fields:
    """A function from an object to its selectable fields."""
    wanted = [(path, _SPECIAL.get(path, tuple(path.split("."))), _absent(path)) for path in paths(resource)]
    pods = resource.storage == ("", "pods")
    events = resource.storage == ("", "events")

    def fields(obj: Mapping[str, Any]) -> dict[str, str]:
        metadata = obj["metadata"]
        found = {
            "metadata.name": metadata.get("name", ""),
            "metadata.namespace": metadata.get("namespace", ""),
        }
        for path, steps, absent in wanted:
            value: Any = obj
            for step in steps:
                value = value.get(step) if isinstance(value, dict) else None
            found[path] = intern(_text(value, absent))
        if pods:
            addresses = (obj.get("status") or {}).get("podIPs") or ()
            found["status.podIPs"] = ",".join(a.get("ip", "") for a in addresses)
        if events:
            found["source"] = found["source"] or found["reportingComponent"]
        return found

    return fields


def _absent(path: str) -> str:
    return "0" if path in _NUMBERS else "false" if path in _BOOLEANS else ""


def _text(value: Any, absent: str) -> str:
    if value is None or value == "":
        return absent
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
