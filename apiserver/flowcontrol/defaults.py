"""The priority levels and flow schemas every server has from its start: Kubernetes's own, as tables. Pure."""

from __future__ import annotations

from typing import Any

from apiserver.flowcontrol.schema import ALL, CATCH_ALL, EXEMPT, GROUP

Object = dict[str, Any]

#: Objects with this annotation at "true" are kept as they are here; it is added to those made here.
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
API_VERSION = f"{GROUP}/v1"
MANDATORY = (EXEMPT, CATCH_ALL)

#: Limited levels that queue: shares, lendable percent, queues, hand size, queue length.
_LEVELS = {
    "system": (30, 33, 64, 6, 50),
    "node-high": (40, 25, 64, 6, 50),
    "leader-election": (10, 0, 16, 4, 50),
    "workload-high": (40, 50, 128, 6, 50),
    "workload-low": (100, 90, 128, 6, 50),
    "global-default": (20, 50, 128, 6, 50),
}
_CATCH_ALL_SHARES = 5

_LEASES = ("get create update", "coordination.k8s.io", "leases")
_EVERYBODY = ("Group:system:unauthenticated", "Group:system:authenticated")
_SYSTEM_ACCOUNTS = "ServiceAccount:kube-system:*"
_CONTROLLERS, _SCHEDULER = "User:system:kube-controller-manager", "User:system:kube-scheduler"

#: name: (level, precedence, distinguisher, subjects, resource rules; None for everything there is).
_SCHEMAS: dict[str, tuple[str, int, str, tuple[str, ...], tuple[tuple[str, str, str], ...] | None]] = {
    EXEMPT: (EXEMPT, 1, "", ("Group:system:masters",), None),
    "probes": (EXEMPT, 2, "", _EVERYBODY, ()),
    "system-leader-election": (
        "leader-election", 100, "ByUser", (_CONTROLLERS, _SCHEDULER, _SYSTEM_ACCOUNTS), (_LEASES,),
    ),
    "endpoint-controller": (
        "workload-high",
        150,
        "ByUser",
        (
            _CONTROLLERS,
            "ServiceAccount:kube-system:endpoint-controller",
            "ServiceAccount:kube-system:endpointslicemirroring-controller",
        ),
        (("get create update", "", "endpoints"),),
    ),
    "workload-leader-election": ("leader-election", 200, "ByUser", (_SYSTEM_ACCOUNTS,), (_LEASES,)),
    "system-node-high": (
        "node-high",
        400,
        "ByUser",
        ("Group:system:nodes",),
        (("*", "", "nodes nodes/status"), ("*", "coordination.k8s.io", "leases")),
    ),
    "system-nodes": ("system", 500, "ByUser", ("Group:system:nodes",), None),
    "kube-controller-manager": ("workload-high", 800, "ByNamespace", (_CONTROLLERS,), None),
    "kube-scheduler": ("workload-high", 800, "ByNamespace", (_SCHEDULER,), None),
    "kube-system-service-accounts": ("workload-high", 900, "ByNamespace", (_SYSTEM_ACCOUNTS,), None),
    "service-accounts": ("workload-low", 9000, "ByUser", ("Group:system:serviceaccounts",), None),
    "global-default": ("global-default", 9900, "ByUser", _EVERYBODY, None),
    CATCH_ALL: (CATCH_ALL, 10000, "ByUser", _EVERYBODY, None),
}  # fmt: skip
_PROBE_PATHS = ["/healthz", "/readyz", "/livez"]


def _metadata(name: str) -> Object:
    return {"name": name, "annotations": {AUTOUPDATE: "true"}}


def _level(name: str, spec: Object) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "PriorityLevelConfiguration",
        "metadata": _metadata(name),
        "spec": spec,
    }


def _limited(shares: int, lendable: int, response: Object) -> Object:
    return {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable,
            "limitResponse": response,
        },
    }


def levels() -> list[Object]:
    """The default PriorityLevelConfigurations."""
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    made = [_level(EXEMPT, exempt), _level(CATCH_ALL, _limited(_CATCH_ALL_SHARES, 0, {"type": "Reject"}))]
    for name, (shares, lendable, queues, hand, length) in _LEVELS.items():
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": length}
        made.append(_level(name, _limited(shares, lendable, {"type": "Queue", "queuing": queuing})))
    return made


def _subject(text: str) -> Object:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition(":")
        return {"kind": kind, "serviceAccount": {"name": name, "namespace": namespace}}
    return {"kind": kind, kind.lower(): {"name": name}}


def _resources(verbs: str, group: str, resources: str, *, cluster: bool) -> Object:
    rule: Object = {
        "verbs": verbs.split(),
        "apiGroups": [group],
        "resources": resources.split(),
        "namespaces": [ALL],
    }
    return rule | {"clusterScope": True} if cluster else rule


def _schema(name: str) -> Object:
    level, precedence, distinguisher, subjects, resources = _SCHEMAS[name]
    rule: Object = {"subjects": [_subject(text) for text in subjects]}
    if resources is None:
        rule["resourceRules"] = [_resources(ALL, ALL, ALL, cluster=True)]
        rule["nonResourceRules"] = [{"verbs": [ALL], "nonResourceURLs": [ALL]}]
    elif resources:
        rule["resourceRules"] = [
            _resources(verbs, group, plurals, cluster="nodes" in plurals)
            for verbs, group, plurals in resources
        ]
    else:
        rule["nonResourceRules"] = [{"verbs": ["get"], "nonResourceURLs": _PROBE_PATHS}]
    spec: Object = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [rule],
    }
    if distinguisher:
        spec["distinguisherMethod"] = {"type": distinguisher}
    return {"apiVersion": API_VERSION, "kind": "FlowSchema", "metadata": _metadata(name), "spec": spec}


def schemas() -> list[Object]:
    """The default FlowSchemas."""
    return [_schema(name) for name in _SCHEMAS]
