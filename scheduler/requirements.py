"""What a pod asks of a node. Identical pods (replicas of one template) share one `Requirements` object.

Parsed once per distinct pod spec and interned, so six thousand replicas cost one parse and one object, and every
mask and score the scheduler computes for one of them is valid for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import orjson

from apimachinery import quantity, selectors
from scheduler.held import held

Object = Mapping[str, Any]

CPU, MEMORY, EPHEMERAL, PODS = "cpu", "memory", "ephemeral-storage", "pods"
# What a container that asks for nothing is taken to use when nodes are scored (not when they are filtered).
UNSET_CPU_MILLI = 100
UNSET_MEMORY = 200 * 1024 * 1024
# Amounts are int64 in the columns; anything a sum of pods could overflow is cut here (an exbibyte fits).
LARGEST_AMOUNT = 1 << 60
# Resources that a pod-level request replaces the containers' sum of.
_POD_LEVEL = (CPU, MEMORY)


@dataclass(frozen=True, slots=True)
class Expression:
    """One node selector requirement: `key operator values`."""

    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One node selector term: all label expressions and all field expressions must hold."""

    labels: tuple[Expression, ...]
    fields: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, key: str, value: str, effect: str) -> bool:
        if self.effect and self.effect != effect:
            return False
        if self.key and self.key != key:
            return False
        return self.operator == "Exists" or (bool(self.key) and self.value == value)


@dataclass(frozen=True, slots=True, eq=False)
class PodTerm:
    """One pod (anti-)affinity term: pods matched by namespace and labels, within a topology domain.

    `identity` says which pods are matched: two terms with one identity share one counter.
    `weight` is 0 for a required term.
    """

    topology_key: str
    namespaces: frozenset[str]
    selector: Any
    namespace_selector: Any
    identity: bytes
    weight: int = 0

    def matches(self, other: Requirements, namespace_labels: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether a pod with `other` is one this term speaks of."""
        if other.namespace not in self.namespaces:
            if self.namespace_selector is None:
                return False
            if not self.namespace_selector.matches(namespace_labels.get(other.namespace, {})):
                return False
        return self.selector is not None and bool(self.selector.matches(other.labels))


@dataclass(frozen=True, slots=True, eq=False)
class SpreadConstraint:
    """One topologySpreadConstraints entry; `term` matches the pods that are counted."""

    term: PodTerm
    max_skew: int
    hard: bool
    min_domains: int
    honor_affinity: bool
    honor_taints: bool


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Requirements:
    """All that scheduling reads of a pod but its name, age and fate. Compared by identity: see `requirements`.

    `requests`: cpu in millicores, the rest in units; always holds `pods: 1`.
    `ports`: (protocol, host IP, host port). `claims`: names of the pod's PersistentVolumeClaims.
    `node_terms` is None where required node affinity is not set; an empty tuple matches no node.
    """

    namespace: str
    labels: Mapping[str, str]
    requests: Mapping[str, int]
    scored_cpu: int
    scored_memory: int
    node_selector: tuple[tuple[str, str], ...]
    node_terms: tuple[NodeTerm, ...] | None
    preferred_nodes: tuple[tuple[int, NodeTerm], ...]
    tolerations: tuple[Toleration, ...]
    ports: tuple[tuple[str, str, int], ...]
    spread: tuple[SpreadConstraint, ...]
    affinity: tuple[PodTerm, ...]
    anti_affinity: tuple[PodTerm, ...]
    preferred_pods: tuple[PodTerm, ...]
    claims: tuple[str, ...]
    images: tuple[str, ...]
    priority: int
    may_preempt: bool
    owner: str


_interned: WeakValueDictionary[bytes, Requirements] = WeakValueDictionary()


def requirements(pod: Object) -> Requirements:
    """The requirements of a Pod object; the same object for pods that ask for the same."""
    metadata, spec = pod["metadata"], held(pod.get("spec") or {}, pod.get("status") or {})
    owner = next((o["uid"] for o in metadata.get("ownerReferences") or () if o.get("controller")), "")
    asked = {
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"] if _has_ephemeral_volume(spec) else "",
        "labels": metadata.get("labels"),
        "owner": owner,
        "containers": [_asked_of_container(c) for c in spec.get("containers") or ()],
        "initContainers": [_asked_of_container(c) for c in spec.get("initContainers") or ()],
        "volumes": [v for v in spec.get("volumes") or () if "persistentVolumeClaim" in v or "ephemeral" in v],
    }
    for key in _SPEC_KEYS:
        if spec.get(key):
            asked[key] = spec[key]
    identity = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    found = _interned.get(identity)
    if found is None:
        found = _interned[identity] = _parse(metadata, spec, owner)
    return found


_SPEC_KEYS = (
    "overhead",
    "resources",
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "priority",
    "preemptionPolicy",
)


def _asked_of_container(container: Object) -> tuple[Any, ...]:
    ports = [p for p in container.get("ports") or () if p.get("hostPort")]
    return container.get("image"), container.get("resources"), ports, container.get("restartPolicy")


def _has_ephemeral_volume(spec: Object) -> bool:
    return any("ephemeral" in v for v in spec.get("volumes") or ())


def _parse(metadata: Object, spec: Object, owner: str) -> Requirements:
    namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
    containers = spec.get("containers") or ()
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    pod_affinity = affinity.get("podAffinity") or {}
    pod_anti_affinity = affinity.get("podAntiAffinity") or {}
    required_nodes = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    requests = pod_requests(spec)
    scored = pod_requests(spec, {CPU: UNSET_CPU_MILLI, MEMORY: UNSET_MEMORY})

    def terms(source: Object) -> tuple[PodTerm, ...]:
        listed = source.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(_pod_term(t, namespace, labels) for t in listed)

    def preferred(source: Object, sign: int) -> list[PodTerm]:
        listed = source.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return [_pod_term(t["podAffinityTerm"], namespace, labels, sign * t["weight"]) for t in listed]

    return Requirements(
        namespace=namespace,
        labels=dict(labels),
        requests=requests,
        scored_cpu=scored.get(CPU, 0),
        scored_memory=scored.get(MEMORY, 0),
        node_selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
        node_terms=None if required_nodes is None else node_terms(required_nodes),
        preferred_nodes=tuple(
            (p["weight"], _node_term(p["preference"]))
            for p in node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ),
        tolerations=tuple(
            Toleration(
                t.get("key", ""), t.get("operator") or "Equal", t.get("value", ""), t.get("effect", "")
            )
            for t in spec.get("tolerations") or ()
        ),
        ports=_host_ports((*containers, *_sidecars(spec))),
        spread=tuple(
            _spread_constraint(c, namespace, labels) for c in spec.get("topologySpreadConstraints") or ()
        ),
        affinity=terms(pod_affinity),
        anti_affinity=terms(pod_anti_affinity),
        preferred_pods=tuple(preferred(pod_affinity, 1) + preferred(pod_anti_affinity, -1)),
        claims=_claims(metadata["name"], spec),
        images=tuple(
            normalized_image(c.get("image", "")) for c in (*containers, *(spec.get("initContainers") or ()))
        ),
        priority=spec.get("priority") or 0,
        may_preempt=spec.get("preemptionPolicy") != "Never",
        owner=owner,
    )


def amounts(resources: Object | None) -> dict[str, int]:
    """A ResourceList as integers: cpu in millicores, the rest rounded up to whole units."""
    return {
        name: min(quantity.to_milli(str(q)) if name == CPU else quantity.to_int(str(q)), LARGEST_AMOUNT)
        for name, q in (resources or {}).items()
    }


def _container_requests(container: Object, unset: Mapping[str, int]) -> dict[str, int]:
    resources = container.get("resources") or {}
    return {**unset, **amounts(resources.get("limits")), **amounts(resources.get("requests"))}


def _sidecars(spec: Object) -> list[Object]:
    return [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]


def pod_requests(spec: Object, unset: Mapping[str, int] | None = None) -> dict[str, int]:
    """What the whole pod requests, with `pods: 1`; `unset` is what a container that names no amount counts as.

    Containers and sidecars run together; an init container runs beside the sidecars started before it. The pod
    needs the larger of the two. Pod-level resources replace the sum for cpu and memory; overhead is added.
    """
    unset = unset or {}
    together: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(together, _container_requests(container, unset))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        asked = _container_requests(container, unset)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            _raise_to(peak, sidecars)
        else:
            _raise_to(peak, _summed(asked, sidecars))
    _add(together, sidecars)
    _raise_to(together, peak)
    pod_level = spec.get("resources") or {}
    for name, amount in {**amounts(pod_level.get("limits")), **amounts(pod_level.get("requests"))}.items():
        if name in _POD_LEVEL or name.startswith("hugepages-"):
            together[name] = amount
    _add(together, amounts(spec.get("overhead")))
    together[PODS] = 1
    return {name: min(amount, LARGEST_AMOUNT) for name, amount in together.items() if amount > 0}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    total = dict(one)
    _add(total, other)
    return total


def _raise_to(total: dict[str, int], floor: Mapping[str, int]) -> None:
    for name, amount in floor.items():
        total[name] = max(total.get(name, 0), amount)


def _host_ports(containers: Iterable[Object]) -> tuple[tuple[str, str, int], ...]:
    return tuple(
        (p.get("protocol") or "TCP", p.get("hostIP") or "0.0.0.0", p["hostPort"])
        for c in containers
        for p in c.get("ports") or ()
        if p.get("hostPort")
    )


def _claims(pod_name: str, spec: Object) -> tuple[str, ...]:
    names = []
    for volume in spec.get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{pod_name}-{volume['name']}")
    return tuple(names)


def _expressions(listed: Iterable[Object] | None) -> tuple[Expression, ...]:
    return tuple(Expression(e["key"], e["operator"], tuple(e.get("values") or ())) for e in listed or ())


def _node_term(term: Object) -> NodeTerm:
    return NodeTerm(_expressions(term.get("matchExpressions")), _expressions(term.get("matchFields")))


def node_terms(selector: Object) -> tuple[NodeTerm, ...]:
    """The terms of a NodeSelector (any of them suffices). A term without expressions matches no node: dropped."""
    parsed = (_node_term(t) for t in selector.get("nodeSelectorTerms") or ())
    return tuple(t for t in parsed if t.labels or t.fields)


def _with_label_keys(
    selector: Object | None, labels: Object, match: Iterable[str], mismatch: Iterable[str]
) -> Any:
    """`selector` narrowed by matchLabelKeys and mismatchLabelKeys, taken from the pod's own labels."""
    added = [{"key": k, "operator": "In", "values": [labels[k]]} for k in match if k in labels]
    added += [{"key": k, "operator": "NotIn", "values": [labels[k]]} for k in mismatch if k in labels]
    if not added or selector is None:
        return selector
    known = list(selector.get("matchExpressions") or ())
    return {**selector, "matchExpressions": known + [e for e in added if e not in known]}


def _pod_term(term: Object, namespace: str, labels: Object, weight: int = 0) -> PodTerm:
    selector = _with_label_keys(
        term.get("labelSelector"),
        labels,
        term.get("matchLabelKeys") or (),
        term.get("mismatchLabelKeys") or (),
    )
    namespaces, by_labels = term.get("namespaces") or (), term.get("namespaceSelector")
    if not namespaces and by_labels is None:
        namespaces = (namespace,)
    return PodTerm(
        topology_key=term["topologyKey"],
        namespaces=frozenset(namespaces),
        selector=None if selector is None else selectors.from_label_selector(dict(selector)),
        namespace_selector=None if by_labels is None else selectors.from_label_selector(by_labels),
        identity=orjson.dumps((sorted(namespaces), selector, by_labels), option=orjson.OPT_SORT_KEYS),
        weight=weight,
    )


def _spread_constraint(constraint: Object, namespace: str, labels: Object) -> SpreadConstraint:
    term = {
        key: constraint[key]
        for key in ("labelSelector", "topologyKey", "matchLabelKeys")
        if key in constraint
    }
    return SpreadConstraint(
        term=_pod_term(term, namespace, labels),
        max_skew=constraint["maxSkew"],
        hard=constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
        min_domains=constraint.get("minDomains") or 1,
        honor_affinity=constraint.get("nodeAffinityPolicy", "Honor") != "Ignore",
        honor_taints=constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def normalized_image(name: str) -> str:
    """An image name as nodes report it: with a tag, `latest` unless given."""
    if not name or "@" in name or ":" in name.rpartition("/")[2]:
        return name
    return name + ":latest"
