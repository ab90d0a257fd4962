"""PodSecurity: a namespace's labels say which Pod Security Standard its pods are held to, warned of or audited by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.resources import Resource
from apiserver.admission import pod_security_checks as checks
from apiserver.admission.plugin import NAMESPACES, PODS, Object, Plugin, Step, forbid
from apiserver.audit.annotations import annotate, annotating
from apiserver.request import AdmissionRequest, Reader

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
_TEMPLATES = {
    ("", "ReplicationController"), ("", "PodTemplate"), ("apps", "ReplicaSet"), ("apps", "Deployment"),
    ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("batch", "Job"), ("batch", "CronJob"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """A level and the version of the standard it is of."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def level(labels: dict[str, str], mode: str) -> Level:
    """The level a namespace asks for; a label that cannot be read holds pods to restricted, as Kubernetes does."""
    name = labels.get(PREFIX + mode, "privileged")
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    if name not in LEVELS:
        return Level("restricted" if mode == "enforce" else "privileged", "latest")
    return Level(name, version if _VERSION.fullmatch(version) else "latest")


class PodSecurity(Plugin):
    name = "PodSecurity"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if operation not in ("CREATE", "UPDATE"):
            return None
        kind = (resource.group, resource.kind)
        if kind == ("", "Pod"):
            return self._pod if subresource in ("", "ephemeralcontainers") else None
        if kind in _TEMPLATES and not subresource:
            return self._template
        return self._namespace if kind == ("", "Namespace") and not subresource else None

    def _labels(self, request: AdmissionRequest) -> dict[str, str]:
        namespace = self._reader.get(NAMESPACES, "", request.namespace) or {"metadata": {}}
        labels = namespace["metadata"].get("labels") or {}
        # Nearly every namespace has none of them: nothing is to be done then.
        return labels if any(PREFIX + mode in labels for mode in _MODES) else {}

    def _pod(self, request: AdmissionRequest) -> None:
        labels = self._labels(request)
        pod, old = request.object, request.old_object
        if not labels or pod is None or (old is not None and _same(pod, old)):
            return
        meta, spec = pod["metadata"], pod["spec"]
        enforced = level(labels, "enforce")
        annotate(f"{PREFIX}enforce-policy", str(enforced))
        found = checks.violations(enforced.name, meta, spec)
        if found:
            raise forbid(request, f'violates PodSecurity "{enforced}": {checks.describe(found)}')
        self._warn(request, labels, meta, spec)

    def _template(self, request: AdmissionRequest) -> None:
        labels = self._labels(request)
        if not labels or request.object is None:
            return
        template = pod_template(request.object)
        old = pod_template(request.old_object) if request.old_object else None
        if template.get("spec") and (old is None or template != old):
            self._warn(request, labels, template.get("metadata") or {}, template["spec"])

    @staticmethod
    def _warn(request: AdmissionRequest, labels: dict[str, str], meta: Object, spec: Object) -> None:
        if annotating():
            audited = level(labels, "audit")
            found = checks.violations(audited.name, meta, spec)
            if found:
                text = f'would violate PodSecurity "{audited}": {checks.describe(found)}'
                annotate(f"{PREFIX}audit-violations", text)
        warned = level(labels, "warn")
        found = checks.violations(warned.name, meta, spec)
        if found:
            request.warnings.append(f'would violate PodSecurity "{warned}": {checks.describe(found)}')

    def _namespace(self, request: AdmissionRequest) -> None:
        new, old = request.object or {}, request.old_object or {"metadata": {}}
        labels = (new.get("metadata") or {}).get("labels") or {}
        before = old["metadata"].get("labels") or {}
        if all(labels.get(key) == before.get(key) for key in {*labels, *before} if key.startswith(PREFIX)):
            return
        self._check_labels(request, labels)
        enforced = level(labels, "enforce")
        if (
            request.operation == "UPDATE"
            and enforced != level(before, "enforce")
            and checks.CHECKS[enforced.name]
        ):
            self._warn_of_pods(request, enforced)

    @staticmethod
    def _check_labels(request: AdmissionRequest, labels: dict[str, str]) -> None:
        problems = []
        for mode in _MODES:
            name, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
            if name is not None and name not in LEVELS:
                detail = f"must be one of {', '.join(LEVELS)}"
                problems.append(errors.invalid_value(f"metadata.labels[{PREFIX}{mode}]", name, detail))
            if version is not None and not _VERSION.fullmatch(version):
                detail = 'must be "latest" or "v1.x"'
                problems.append(
                    errors.invalid_value(f"metadata.labels[{PREFIX}{mode}-version]", version, detail)
                )
        if problems:
            raise errors.invalid("Namespace", request.name, problems)

    def _warn_of_pods(self, request: AdmissionRequest, enforced: Level) -> None:
        """Tell which pods, grouped by what is wrong, could not be created any more."""
        groups: dict[str, list[str]] = {}
        for pod in self._reader.list(PODS, request.name):
            found = checks.violations(enforced.name, pod["metadata"], pod["spec"])
            if found:
                groups.setdefault(", ".join(what for what, _ in found), []).append(pod["metadata"]["name"])
        if not groups:
            return
        request.warnings.append(
            f'existing pods in namespace "{request.name}" violate the new PodSecurity enforce level "{enforced}"'
        )
        for wrong, names in sorted(groups.items(), key=lambda item: item[1][0]):
            others = len(names) - 1
            more = "" if not others else f" (and {others} other pod{'s' if others > 1 else ''})"
            request.warnings.append(f"{sorted(names)[0]}{more}: {wrong}")


def pod_template(obj: Object) -> Object:
    """The pod template of a kind that has one."""
    if obj.get("kind") == "PodTemplate":
        return obj.get("template") or {}
    spec = obj.get("spec") or {}
    if obj.get("kind") == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return spec.get("template") or {}


def _same(new: Object, old: Object) -> bool:
    """Whether an update leaves alone what the checks look at."""
    annotations = (o["metadata"].get("annotations") or {} for o in (new, old))
    return new["spec"] == old["spec"] and bool(next(annotations) == next(annotations))
