"""What is accepted and still worth a warning: deprecated fields and labels, and settings that do not what they seem to.

The words are Kubernetes's; kubectl prints them, and people search for them. Pure: `of_new` and `of_change` look at
objects that have passed validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery import names, quantity
from apimachinery.recurring import Recurring

Object = dict[str, Any]

#: Resources (group, version, plural) for which every request is answered with a warning.
DEPRECATED: Mapping[tuple[str, str, str], str] = {
    ("", "v1", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
    ("", "v1", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_POD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_INGRESS_CLASS = "kubernetes.io/ingress.class"
#: Kinds that hold a pod template, and where.
TEMPLATES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("", "podtemplates"): ("template",),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
#: Kinds whose new objects may be warned of.
KINDS = frozenset({*TEMPLATES, ("", "pods"), ("networking.k8s.io", "ingresses")})
#: Whose names become part of pods' names.
_NAMED = frozenset(TEMPLATES) - {("apps", "daemonsets"), ("", "replicationcontrollers"), ("", "podtemplates")}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def of_new(group: str, plural: str, obj: Object) -> list[str]:
    """Warnings about an object that is created."""
    kind = (group, plural)
    found: list[str] = []
    if kind == ("", "pods"):
        found += _hostname(obj, "the Pod's hostname")
        found += of_pod("", obj)
    elif kind in TEMPLATES:
        if kind in _NAMED:
            found += _hostname(obj, "Pod names and hostnames")
        found += _of_workload(kind, obj)
    elif kind == ("networking.k8s.io", "ingresses") and _INGRESS_CLASS in _annotations(obj):
        found.append(
            f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"
        )
    return found


def of_change(group: str, plural: str, obj: Object) -> list[str]:
    """Warnings about an object whose spec is changed. None about pods: those who change them are mostly programs."""
    return _of_workload((group, plural), obj)


def _of_workload(kind: tuple[str, str], obj: Object) -> list[str]:
    path = TEMPLATES.get(kind)
    if path is None:
        return []
    template: Any = obj
    for key in path:
        template = template.get(key) or {}
    return of_pod(".".join(path) + ".", template)


def _annotations(obj: Object) -> Object:
    return (obj.get("metadata") or {}).get("annotations") or {}


def _hostname(obj: Object, used: str) -> list[str]:
    wrong = names.dns1123_label(str((obj.get("metadata") or {}).get("name") or ""))
    if not wrong:
        return []
    return [
        f"metadata.name: this is used in {used}, which can result in surprising behavior; "
        f"a DNS label is recommended: [{' '.join(wrong)}]"
    ]


#: Pods (their specs and annotations) that there is nothing to warn of.
_plain: Recurring[bool] = Recurring()


def of_pod(path: str, pod: Object) -> list[str]:
    """Warnings about a pod, or the template at `path` (with its last dot)."""
    spec: Object = pod.get("spec") or {}
    annotations = _annotations(pod)
    key = _plain.key([spec, annotations] if annotations else spec)
    if _plain.get(key):
        return []
    found = _of_pod(path, spec, annotations)
    if not found:
        _plain.put(key, True)
    return found


def _of_pod(path: str, spec: Object, annotations: Object) -> list[str]:
    found = [*_of_scheduling(path, spec)]
    for key, text in _POD_ANNOTATIONS.items():
        if key in annotations:
            found.append(f"{path}metadata.annotations[{key}]: {text}")
    for index, volume in enumerate(spec.get("volumes") or ()):
        for source in volume:
            if source in _VOLUMES:
                found.append(f"{path}spec.volumes[{index}].{source}: {_VOLUMES[source]}")
    found += _of_references(path, spec)
    found += _of_amounts(f"{path}spec.overhead", spec.get("overhead"))
    if _SECCOMP_POD in annotations and not (spec.get("securityContext") or {}).get("seccompProfile"):
        found.append(f"{path}metadata.annotations[{_SECCOMP_POD}]: {_SECCOMP}")
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            found += _of_container(f"{path}spec.{field}[{index}]", container)
    found += _of_ports(path, spec)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        field = f"{path}spec.terminationGracePeriodSeconds"
        found.append(f"{field}: must be >= 0; negative values are invalid and will be treated as 1")
    return found


def _of_scheduling(path: str, spec: Object) -> Iterator[str]:
    for label in spec.get("nodeSelector") or ():
        if label in _NODE_LABELS:
            yield f"{path}spec.nodeSelector[{label}]: {_NODE_LABELS[label]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    base = f"{path}spec.affinity.nodeAffinity"
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = [
        (f"{base}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{i}]", term)
        for i, term in enumerate(required.get("nodeSelectorTerms") or ())
    ]
    terms += [
        (
            f"{base}.preferredDuringSchedulingIgnoredDuringExecution[{i}].preference",
            choice.get("preference") or {},
        )
        for i, choice in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ())
    ]
    for where, term in terms:
        for i, expression in enumerate(term.get("matchExpressions") or ()):
            label = expression.get("key", "")
            if label in _NODE_LABELS:
                yield f"{where}.matchExpressions[{i}].key: {label} is {_NODE_LABELS[label]}"
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, label = f"{path}spec.topologySpreadConstraints[{i}]", constraint.get("topologyKey", "")
        if label in _NODE_LABELS:
            yield f"{where}.topologyKey: {label} is {_NODE_LABELS[label]}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: a null labelSelector results in matching no pod"


def _of_references(path: str, spec: Object) -> Iterator[str]:
    addresses: set[str] = set()
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        address = alias.get("ip", "")
        if address in addresses:
            yield f'{path}spec.hostAliases[{i}].ip: duplicate ip "{address}"'
        addresses.add(address)
    secrets: set[str] = set()
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        name, where = secret.get("name", ""), f"{path}spec.imagePullSecrets[{i}].name"
        if not name:
            yield f'{where}: invalid empty name ""'
        elif name in secrets:
            yield f'{where}: duplicate name "{name}"'
        secrets.add(name)


def _of_amounts(path: str, amounts: Object | None) -> Iterator[str]:
    for resource in ("memory", "ephemeral-storage"):
        text = (amounts or {}).get(resource)
        if text is not None and quantity.to_milli(text) % 1000:
            yield f'{path}[{resource}]: fractional byte value "{text}" is invalid, must be an integer'


def _of_container(path: str, container: Object) -> Iterator[str]:
    resources = container.get("resources") or {}
    yield from _of_amounts(f"{path}.resources.limits", resources.get("limits"))
    yield from _of_amounts(f"{path}.resources.requests", resources.get("requests"))
    variables: set[str] = set()
    for i, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value", "")
        earlier = f"$({name})"
        # X="$(X)more" builds on the value before it.
        builds_on = earlier in value and value != earlier and variable.get("valueFrom") is None
        if name in variables and not builds_on:
            yield f'{path}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply'
        variables.add(name)


def _of_ports(path: str, spec: Object) -> Iterator[str]:
    earlier: dict[tuple[Any, str], list[tuple[str, str, int]]] = {}
    for field in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(field) or ()):
            for j, port in enumerate(container.get("ports") or ()):
                where = f"{path}spec.{field}[{i}].ports[{j}]"
                address, number = port.get("hostIP", ""), port.get("hostPort", 0)
                others = earlier.setdefault((port.get("containerPort"), port.get("protocol", "TCP")), [])
                for other, other_address, other_number in others:
                    if (address, number) == (other_address, other_number):
                        yield f"{where}: duplicate port definition with {other}"
                    elif not number or not other_number:
                        yield f"{where}: overlapping port definition with {other}"
                others.append((where, address, number))
