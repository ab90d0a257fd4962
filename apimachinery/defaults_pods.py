"""Defaults of pods and pod templates. A pod gets some that its template does not (requests, service links)."""

from __future__ import annotations

from typing import Any

from apimachinery.quantity import Quantity

Object = dict[str, Any]

DEFAULT_MODE = 0o644
SERVICE_ACCOUNT_TOKEN_SECONDS = 3600
_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def pod(obj: Object) -> None:
    """A Pod: its spec's defaults, requests from limits, service links, host ports of the host network."""
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    host_network = spec.get("hostNetwork")
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            resources = container.get("resources")
            if resources and resources.get("limits") is not None:
                requests = resources.setdefault("requests", {})
                for name, amount in resources["limits"].items():
                    requests.setdefault(name, amount)
            if host_network:
                for port in container.get("ports") or ():
                    if not port.get("hostPort"):
                        port["hostPort"] = port.get("containerPort", 0)
    if spec.get("resources"):
        _pod_level_resources(spec)
    spec.setdefault("enableServiceLinks", True)


def pod_template(template: Object) -> None:
    """A PodTemplateSpec, as in a Deployment."""
    pod_spec(template.setdefault("spec", {}))


def pod_spec(spec: Object) -> None:
    """What pods and templates share."""
    for field, value in (
        ("dnsPolicy", "ClusterFirst"),
        ("restartPolicy", "Always"),
        ("schedulerName", "default-scheduler"),
    ):
        if not spec.get(field):
            spec[field] = value
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for field in _CONTAINER_LISTS:
        for item in spec.get(field) or ():
            container(item)
    for item in spec.get("volumes") or ():
        volume(item)
    if "overhead" in spec:
        resource_list(spec["overhead"])


def container(obj: Object) -> None:
    """A container of any of the three lists."""
    if not obj.get("imagePullPolicy"):
        obj["imagePullPolicy"] = pull_policy(obj.get("image") or "")
    if not obj.get("terminationMessagePath"):
        obj["terminationMessagePath"] = "/dev/termination-log"
    if not obj.get("terminationMessagePolicy"):
        obj["terminationMessagePolicy"] = "File"
    resources = obj.setdefault("resources", {})
    for field in ("limits", "requests"):
        if resources.get(field):
            resource_list(resources[field])
    for port in obj.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in obj.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None and not reference.get("apiVersion"):
            reference["apiVersion"] = "v1"
        file_key = (variable.get("valueFrom") or {}).get("fileKeyRef")
        if file_key is not None:
            file_key.setdefault("optional", False)
    for field in _PROBES:
        if obj.get(field) is not None:
            probe(obj[field])
    for hook in (obj.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and hook.get("httpGet") is not None:
            _http_get(hook["httpGet"])


def pull_policy(image: str) -> str:
    """Always for the tag `latest`, said or meant; IfNotPresent for other tags and for digests."""
    name, at, _ = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not at) else "IfNotPresent"


_PROBE_DEFAULTS = (
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
)


def probe(obj: Object) -> None:
    for field, value in _PROBE_DEFAULTS:
        if not obj.get(field):
            obj[field] = value
    if obj.get("httpGet") is not None:
        _http_get(obj["httpGet"])
    if obj.get("grpc") is not None:
        obj["grpc"].setdefault("service", "")


def _http_get(action: Object) -> None:
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def resource_list(amounts: dict[str, str]) -> None:
    """Round amounts up to thousandths, as all resource lists are."""
    for name, amount in amounts.items():
        if amount[-1] in "nu":
            parsed = Quantity.parse(amount)
            amounts[name] = str(Quantity.from_milli(parsed.milli(), parsed.format))


_VOLUME_SOURCES: dict[str, tuple[tuple[str, Any], ...]] = {
    "secret": (("defaultMode", DEFAULT_MODE),),
    "configMap": (("defaultMode", DEFAULT_MODE),),
    "downwardAPI": (("defaultMode", DEFAULT_MODE),),
    "projected": (("defaultMode", DEFAULT_MODE),),
    "hostPath": (("type", ""),),
    "iscsi": (("iscsiInterface", "default"),),
    "rbd": (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")),
    "azureDisk": (("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4"), ("readOnly", False)),
    "scaleIO": (("storageMode", "ThinProvisioned"), ("fsType", "xfs")),
}


def volume_source(source: Object) -> None:
    """Defaults of a volume's source, which pods and persistent volumes share."""
    for kind, fields in _VOLUME_SOURCES.items():
        settings = source.get(kind)
        if settings is not None:
            for field, value in fields:
                settings.setdefault(field, value)


def volume(obj: Object) -> None:
    """A volume of a pod; one without a source is an emptyDir."""
    if len(obj) == 1 and "name" in obj:
        obj["emptyDir"] = {}
        return
    volume_source(obj)
    for item in (obj.get("downwardAPI") or {}).get("items") or ():
        _field_reference(item)
    for source in (obj.get("projected") or {}).get("sources") or ():
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _field_reference(item)
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", SERVICE_ACCOUNT_TOKEN_SECONDS)
    if obj.get("ephemeral") is not None:
        claim = obj["ephemeral"].get("volumeClaimTemplate") or {}
        claim_spec(claim.setdefault("spec", {}))
    image = obj.get("image")
    if image is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = pull_policy(image.get("reference") or "")


def _field_reference(item: Object) -> None:
    reference = item.get("fieldRef")
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def claim_spec(spec: Object) -> None:
    """A PersistentVolumeClaimSpec, wherever it stands."""
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"
    for field in ("limits", "requests"):
        if (spec.get("resources") or {}).get(field):
            resource_list(spec["resources"][field])


def _is_pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _pod_level_resources(spec: Object) -> None:
    """Pod-level requests and limits that follow from each other and from the containers' (KEP-2837)."""
    resources = spec["resources"]
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    had_limits, had_requests = bool(limits), bool(requests)
    if not had_limits and not had_requests:
        return
    for name, amount in effective_resources(spec, "limits").items():
        if name.startswith("hugepages-") and name not in requests:
            limits.setdefault(name, str(amount))
    if limits:
        for name, amount in effective_resources(spec, "requests").items():
            if name in ("cpu", "memory"):
                requests.setdefault(name, str(amount))
        for name, limit in limits.items():
            if _is_pod_level(name):
                requests.setdefault(name, limit)
    elif had_requests:
        everyone = [c for f in ("containers", "initContainers") for c in spec.get(f) or ()]
        for name, amount in effective_resources(spec, "limits").items():
            if name in ("cpu", "memory") and all(
                name in (c["resources"].get("limits") or {}) for c in everyone
            ):
                limits.setdefault(name, str(amount))
    if requests:
        resources["requests"] = requests
    if limits:
        resources["limits"] = limits


def effective_resources(spec: Object, field: str) -> dict[str, Quantity]:
    """What a pod's containers need together: `field` is "requests" or "limits".

    Containers and restartable init containers (sidecars) add up; an init container needs its own share beside the
    sidecars started before it, and the pod needs the largest of these.
    """
    total: dict[str, Quantity] = {}
    for item in spec.get("containers") or ():
        _add(total, item, field)
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for item in spec.get("initContainers") or ():
        if item.get("restartPolicy") == "Always":
            _add(total, item, field)
            _add(sidecars, item, field)
            current = sidecars
        else:
            current = dict(sidecars)
            _add(current, item, field)
        for name, amount in current.items():
            peak[name] = max(peak.get(name, amount), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, amount), amount)
    return total


def _add(total: dict[str, Quantity], item: Object, field: str) -> None:
    for name, text in ((item.get("resources") or {}).get(field) or {}).items():
        amount = Quantity.parse(text)
        total[name] = total[name] + amount if name in total else amount
