"""A scheduler written the obvious way, one node and one pod at a time on plain objects: what plans are checked against.

Also the objects tests make plans of.
"""

from __future__ import annotations

from typing import Any

from apimachinery import quantity, selectors

Object = dict[str, Any]


def make_node(
    name: str,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    labels: dict[str, str] | None = None,
    taints: list[Object] | None = None,
    unschedulable: bool = False,
    **resources: str,
) -> Object:
    """A Node object; further resources by keyword, `__` standing for `/` and `_` for `.`."""
    extended = {key.replace("__", "/").replace("_", "."): value for key, value in resources.items()}
    spec: Object = {"taints": taints or []}
    if unschedulable:
        spec["unschedulable"] = True
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **extended}},
    }


def make_pod(name: str, requests: Object | None = None, labels: Object | None = None, **spec: Any) -> Object:
    """A Pod object with one container; `spec` adds to it. `ports` go to the container."""
    container = {
        "name": "c",
        "image": "app:1",
        "resources": {"requests": requests or {}},
        "ports": spec.pop("ports", []),
    }
    return {
        "metadata": {
            "name": name,
            "namespace": spec.pop("namespace", "default"),
            "uid": f"uid-{name}",
            "labels": labels or {},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"containers": [container], **spec},
    }


def naive_requests(pod: Object) -> dict[str, int]:
    total: dict[str, int] = {"pods": 1}
    for name, amount in pod["spec"]["containers"][0]["resources"]["requests"].items():
        value = quantity.to_milli(amount) if name == "cpu" else quantity.to_int(amount)
        if value:
            total[name] = total.get(name, 0) + value
    return total


def naive_capacity(node: Object, name: str) -> int:
    amount = node["status"]["allocatable"].get(name, "0")
    return quantity.to_milli(amount) if name == "cpu" else quantity.to_int(amount)


def _tolerated(taint: Object, pod: Object) -> bool:
    for t in pod["spec"].get("tolerations", []):
        if t.get("effect") and t["effect"] != taint["effect"]:
            continue
        if t.get("key") and t["key"] != taint["key"]:
            continue
        if t.get("operator") == "Exists" or (t.get("key") and t.get("value", "") == taint.get("value", "")):
            return True
    return False


def _expression(labels: Object, e: Object) -> bool:
    value = labels.get(e["key"])
    match e["operator"]:
        case "In":
            return value in e["values"]
        case "NotIn":
            return value not in e["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(e["values"][0])
        case "Lt":
            return value is not None and value.isdigit() and int(value) < int(e["values"][0])
    raise AssertionError(e)


def _selected(node: Object, pod: Object) -> bool:
    labels = node["metadata"]["labels"]
    if any(labels.get(k) != v for k, v in pod["spec"].get("nodeSelector", {}).items()):
        return False
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    for term in required["nodeSelectorTerms"]:
        expressions, fields = term.get("matchExpressions", []), term.get("matchFields", [])
        if (
            (expressions or fields)
            and all(_expression(labels, e) for e in expressions)
            and all(_expression({"metadata.name": node["metadata"]["name"]}, e) for e in fields)
        ):
            return True
    return False


def _term_matches(term: Object, owner: Object, pod: Object) -> bool:
    namespaces = term.get("namespaces") or [owner["metadata"]["namespace"]]
    selector = selectors.from_label_selector(term["labelSelector"])
    return pod["metadata"]["namespace"] in namespaces and selector.matches(pod["metadata"]["labels"])


def _required(pod: Object, kind: str) -> list[Object]:
    terms = pod["spec"].get("affinity", {}).get(kind, {})
    return list(terms.get("requiredDuringSchedulingIgnoredDuringExecution", []))


class Cluster:
    """Nodes, and the pods on each, as plain objects."""

    def __init__(self, nodes: list[Object]) -> None:
        self.nodes = {n["metadata"]["name"]: n for n in nodes}
        self.pods: dict[str, list[Object]] = {name: [] for name in self.nodes}

    def place(self, pod: Object, node: str) -> None:
        self.pods[node].append(pod)

    def used(self, node: str, resource: str) -> int:
        return sum(naive_requests(p).get(resource, 0) for p in self.pods[node])

    def failure(self, pod: Object, name: str) -> str:
        """The first filter that the pod fails on the node, "" where it fits."""
        node = self.nodes[name]
        spec = pod["spec"]
        unschedulable = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if node["spec"].get("unschedulable") and not _tolerated(unschedulable, pod):
            return "NodeUnschedulable"
        hard = [t for t in node["spec"]["taints"] if t["effect"] != "PreferNoSchedule"]
        if not all(_tolerated(t, pod) for t in hard):
            return "TaintToleration"
        if not _selected(node, pod):
            return "NodeAffinity"
        for port in spec["containers"][0]["ports"]:
            for other in self.pods[name]:
                for taken in other["spec"]["containers"][0]["ports"]:
                    addresses = {port.get("hostIP", "0.0.0.0"), taken.get("hostIP", "0.0.0.0")}
                    if (
                        port["hostPort"] == taken["hostPort"]
                        and port.get("protocol", "TCP") == taken.get("protocol", "TCP")
                        and (len(addresses) == 1 or "0.0.0.0" in addresses)
                    ):
                        return "NodePorts"
        for resource, amount in naive_requests(pod).items():
            if self.used(name, resource) + amount > naive_capacity(node, resource):
                return "NodeResourcesFit"
        if not self._spread(pod, node):
            return "PodTopologySpread"
        if not self._affinity(pod, node):
            return "InterPodAffinity"
        return ""

    def _spread(self, pod: Object, node: Object) -> bool:
        hard = [
            c
            for c in pod["spec"].get("topologySpreadConstraints", [])
            if c["whenUnsatisfiable"] == "DoNotSchedule"
        ]
        keys = [c["topologyKey"] for c in hard]
        if not all(key in node["metadata"]["labels"] for key in keys):
            return False
        for c in hard:
            counts: dict[str, int] = {}
            for name, other in self.nodes.items():
                labels = other["metadata"]["labels"]
                if not all(key in labels for key in keys):
                    continue
                if c.get("nodeAffinityPolicy") != "Ignore" and not _selected(other, pod):
                    continue
                if c.get("nodeTaintsPolicy") == "Honor" and not all(
                    _tolerated(t, pod) for t in other["spec"]["taints"] if t["effect"] != "PreferNoSchedule"
                ):
                    continue
                domain = labels[c["topologyKey"]]
                matching = sum(_term_matches(c, pod, p) for p in self.pods[name])
                counts[domain] = counts.get(domain, 0) + matching
            lowest = min(counts.values(), default=0) if len(counts) >= c.get("minDomains", 1) else 0
            here = counts.get(node["metadata"]["labels"][c["topologyKey"]], 0)
            if here + _term_matches(c, pod, pod) - lowest > c["maxSkew"]:
                return False
        return True

    def _in_domain(self, key: str, node: Object) -> list[Object]:
        value = node["metadata"]["labels"].get(key)
        if value is None:
            return []
        return [
            p
            for n, o in self.nodes.items()
            if o["metadata"]["labels"].get(key) == value
            for p in self.pods[n]
        ]

    def _affinity(self, pod: Object, node: Object) -> bool:
        wanted = _required(pod, "podAffinity")
        if wanted:
            if not all(t["topologyKey"] in node["metadata"]["labels"] for t in wanted):
                return False

            def together(p: Object) -> bool:
                return all(_term_matches(t, pod, p) for t in wanted)

            anywhere = any(
                together(p)
                for name, o in self.nodes.items()
                for p in self.pods[name]
                if any(t["topologyKey"] in o["metadata"]["labels"] for t in wanted)
            )
            if not all(
                any(together(p) for p in self._in_domain(t["topologyKey"], node)) for t in wanted
            ) and (anywhere or not together(pod)):
                return False
        for t in _required(pod, "podAntiAffinity"):
            if any(_term_matches(t, pod, p) for p in self._in_domain(t["topologyKey"], node)):
                return False
        for name, other_node in self.nodes.items():
            for other in self.pods[name]:
                for t in _required(other, "podAntiAffinity"):
                    value = other_node["metadata"]["labels"].get(t["topologyKey"])
                    if (
                        value is not None
                        and node["metadata"]["labels"].get(t["topologyKey"]) == value
                        and _term_matches(t, other, pod)
                    ):
                        return False
        return True
