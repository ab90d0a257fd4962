"""Tables of the core group's other kinds, and of events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apiserver.tables_format import (
    NONE,
    UNKNOWN,
    UNSET,
    Printer,
    access_modes,
    age,
    condition,
    created,
    is_true,
    labels,
    name,
    printer,
    shortened,
    template,
)

Object = dict[str, Any]

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _node(node: Object, now: datetime) -> list[Any]:
    status, spec = node.get("status") or {}, node.get("spec") or {}
    ready = condition(node, "Ready")
    words = ["Unknown" if ready is None else "Ready" if is_true(ready) else "NotReady"]
    if spec.get("unschedulable"):
        words.append("SchedulingDisabled")
    info = status.get("nodeInfo") or {}
    addresses: dict[str, str] = {}
    for address in status.get("addresses") or ():
        addresses.setdefault(address.get("type", ""), address.get("address", ""))
    return [
        name(node),
        ",".join(words),
        _roles(node["metadata"].get("labels") or {}),
        created(node, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _roles(given: dict[str, str]) -> str:
    roles = {key[len(_ROLE_PREFIX) :] for key in given if key.startswith(_ROLE_PREFIX)} - {""}
    if given.get("kubernetes.io/role"):
        roles.add(given["kubernetes.io/role"])
    return ",".join(sorted(roles)) or NONE


def _service(service: Object, now: datetime) -> list[Any]:
    spec = service.get("spec") or {}
    addresses = spec.get("clusterIPs") or ()
    ports = [
        f"{p.get('port')}:{p['nodePort']}/{p.get('protocol', 'TCP')}"
        if p.get("nodePort")
        else f"{p.get('port')}/{p.get('protocol', 'TCP')}"
        for p in spec.get("ports") or ()
    ]
    return [
        name(service),
        spec.get("type", ""),
        (addresses[0] if addresses else spec.get("clusterIP")) or NONE,
        _external_address(service, spec),
        ",".join(ports) or NONE,
        created(service, now),
        labels(spec.get("selector")),
    ]


def _external_address(service: Object, spec: Object) -> str:
    given = list(spec.get("externalIPs") or ())
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec.get("type") != "LoadBalancer":
        return ",".join(given) or NONE
    balancer = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = [point.get("ip") or point.get("hostname") for point in balancer]
    return ",".join([*filter(None, found), *given]) or "<pending>"


def _endpoints(endpoints: Object, now: datetime) -> list[Any]:
    found: list[str] = []
    subsets = endpoints.get("subsets") or ()
    for subset in subsets:
        addresses = [a.get("ip", "") for a in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            found += addresses
        for port in ports:
            found += [_host_port(address, port.get("port")) for address in addresses]
    return [name(endpoints), shortened(found, 3), created(endpoints, now)]


def _host_port(host: str, port: Any) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _namespace(namespace: Object, now: datetime) -> list[Any]:
    return [name(namespace), (namespace.get("status") or {}).get("phase", ""), created(namespace, now)]


def _secret(secret: Object, now: datetime) -> list[Any]:
    return [name(secret), secret.get("type", ""), len(secret.get("data") or ()), created(secret, now)]


def _config_map(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), created(obj, now)]


def _service_account(account: Object, now: datetime) -> list[Any]:
    return [name(account), len(account.get("secrets") or ()), created(account, now)]


def _replication_controller(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        created(obj, now),
        *template(obj),
        labels(spec.get("selector")),
    ]


def _quota(quota: Object, now: datetime) -> list[Any]:
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for resource in sorted(hard):
        text = f"{resource}: {used.get(resource, '0')}/{hard[resource]}"
        (limits if "limits" in resource.split(".")[0] else requests).append(text)
    return [name(quota), ", ".join(requests), ", ".join(limits), created(quota, now)]


def _phase(obj: Object) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((obj.get("status") or {}).get("phase", ""))


def _volume(volume: Object, now: datetime) -> list[Any]:
    spec = volume.get("spec") or {}
    claim = spec.get("claimRef")
    return [
        name(volume),
        (spec.get("capacity") or {}).get("storage", "0"),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(volume),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _storage_class(volume, spec),
        spec.get("volumeAttributesClassName") or UNSET,
        (volume.get("status") or {}).get("reason", ""),
        created(volume, now),
        spec.get("volumeMode") or UNSET,
    ]


def _claim(claim: Object, now: datetime) -> list[Any]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    bound = spec.get("volumeName", "")
    return [
        name(claim),
        _phase(claim),
        bound,
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        _storage_class(claim, spec),
        spec.get("volumeAttributesClassName") or UNSET,
        created(claim, now),
        spec.get("volumeMode") or UNSET,
    ]


def _storage_class(obj: Object, spec: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    legacy = annotations.get("volume.beta.kubernetes.io/storage-class")
    return str(legacy if legacy is not None else spec.get("storageClassName") or "")


def _component_status(obj: Object, now: datetime) -> list[Any]:
    health: Object = next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), {})
    words = {"True": "Healthy", "False": "Unhealthy"}
    status = words.get(health.get("status", ""), "Unknown")
    return [name(obj), status, health.get("message", ""), health.get("error", "")]


def _event(event: Object, now: datetime) -> list[Any]:
    """Both forms of an event: core's, and events.k8s.io's with its own field names."""
    about = event.get("involvedObject") or event.get("regarding") or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or first
    count = event.get("count") or event.get("deprecatedCount") or 1
    series = event.get("series")
    if series:
        last, count = series.get("lastObservedTime") or last, series.get("count", count)
    kind = about.get("kind", "").lower()
    component = (
        source.get("component") or event.get("reportingComponent") or event.get("reportingController", "")
    )
    host = source.get("host") or ""
    return [
        age(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (event.get("message") or event.get("note") or "").strip(),
        age(first, now),
        count,
        name(event),
    ]


_EVENT = printer("Last Seen|Type|Reason|Object|+Subobject|+Source|Message|+First Seen|+Count#|+Name", _event)


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "nodes"): printer(
        "Name|Status|Roles|Age|Version|+Internal-IP|+External-IP|+OS-Image|+Kernel-Version|+Container-Runtime",
        _node,
    ),
    ("", "services"): printer("Name|Type|Cluster-IP|External-IP|Port(s)|Age|+Selector", _service),
    ("", "endpoints"): printer("Name|Endpoints|Age", _endpoints),
    ("", "namespaces"): printer("Name|Status|Age", _namespace),
    ("", "secrets"): printer("Name|Type|Data#|Age", _secret),
    ("", "configmaps"): printer("Name|Data#|Age", _config_map),
    ("", "serviceaccounts"): printer("Name|Secrets#|Age", _service_account),
    ("", "replicationcontrollers"): printer(
        "Name|Desired#|Current#|Ready#|Age|+Containers|+Images|+Selector", _replication_controller
    ),
    ("", "resourcequotas"): printer("Name|Request|Limit|Age", _quota),
    ("", "persistentvolumes"): printer(
        "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age"
        "|+VolumeMode",
        _volume,
    ),
    ("", "persistentvolumeclaims"): printer(
        "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|+VolumeMode", _claim
    ),
    ("", "componentstatuses"): printer("Name|Status|Message|Error", _component_status),
    ("", "events"): _EVENT,
    ("events.k8s.io", "events"): _EVENT,
}
