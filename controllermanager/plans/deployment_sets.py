"""A Deployment's replica sets: which one is of the current template, revisions, and the annotations they carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import resources
from controllermanager.plans.actions import Create, Patch
from controllermanager.plans.ownership import reference
from controllermanager.plans.podtemplate import same_template, template_hash

Object = dict[str, Any]

DEPLOYMENTS = resources.get("deployments", "apps")
REPLICA_SETS = resources.get("replicasets", "apps")

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    )
)
_HISTORY_LIMIT = 2000  # characters of the revision-history annotation
_NAME_LIMIT = 253


@dataclass(slots=True)
class SetState:
    """A replica set as the plan wants it: `replicas`, `min_ready` and `annotations` are changed, `obj` is not."""

    obj: Object
    replicas: int
    min_ready: int
    annotations: dict[str, str] = field(default_factory=dict)
    to_create: bool = False

    @classmethod
    def of(cls, obj: Object) -> SetState:
        spec = obj.get("spec") or {}
        replicas = spec.get("replicas")
        return cls(
            obj,
            1 if replicas is None else int(replicas),
            int(spec.get("minReadySeconds") or 0),
            dict(obj["metadata"].get("annotations") or {}),
        )

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def created(self) -> tuple[str, str]:
        """Orders by age; the name breaks ties."""
        return (self.obj["metadata"].get("creationTimestamp") or "~", self.name)

    @property
    def status(self) -> Object:
        return self.obj.get("status") or {}

    @property
    def current_replicas(self) -> int:
        """spec.replicas as it is now, before the plan."""
        value = (self.obj.get("spec") or {}).get("replicas")
        return 1 if value is None else int(value)

    @property
    def available(self) -> int:
        """Pods that can be counted on: a status from before a scale-down may still tell of more."""
        return min(int(self.status.get("availableReplicas") or 0), self.replicas)

    @property
    def pods(self) -> int:
        """Active pods the set reported."""
        return int(self.status.get("replicas") or 0)

    @property
    def settled(self) -> bool:
        """The set's own loop has acted on its spec as it is stored."""
        return int(self.status.get("observedGeneration") or 0) >= int(
            self.obj["metadata"].get("generation") or 0
        )

    @property
    def revision(self) -> int:
        return number(self.annotations.get(REVISION, ""))

    def write(self) -> Create | Patch | None:
        """What brings the stored object to this state, if anything."""
        metadata = self.obj["metadata"]
        if self.to_create:
            spec = {**self.obj["spec"], "replicas": self.replicas, "minReadySeconds": self.min_ready}
            obj = {**self.obj, "metadata": {**metadata, "annotations": self.annotations}, "spec": spec}
            return Create(REPLICA_SETS, obj, reusable=False)
        before = metadata.get("annotations") or {}
        changed: Object = {key: value for key, value in self.annotations.items() if before.get(key) != value}
        changed.update({key: None for key in before if key not in self.annotations})
        spec = {}
        if self.replicas != self.current_replicas:
            spec["replicas"] = self.replicas
        if self.min_ready != int(self.obj["spec"].get("minReadySeconds") or 0):
            spec["minReadySeconds"] = self.min_ready
        if not changed and not spec:
            return None
        patch: Object = {"metadata": {"resourceVersion": metadata["resourceVersion"]}}
        if changed:
            patch["metadata"]["annotations"] = changed
        if spec:
            patch["spec"] = spec
        return Patch(REPLICA_SETS, metadata["namespace"], metadata["name"], patch)


def number(text: str) -> int:
    """An annotation's integer; 0 if it is none."""
    return int(text) if text.isdigit() else 0


def find_new(deployment: Object, sets: Sequence[SetState]) -> SetState | None:
    """The replica set of the current template; the oldest, should there be several."""
    template = deployment["spec"]["template"]
    matching = [s for s in sets if same_template(s.obj["spec"].get("template") or {}, template, HASH_LABEL)]
    return min(matching, key=lambda s: s.created, default=None)


def new_set(deployment: Object) -> SetState:
    """The replica set to create for the current template, with no replicas yet."""
    spec = deployment["spec"]
    template = spec["template"]
    template_metadata = template.get("metadata") or {}
    hashed = template_hash(template, int((deployment.get("status") or {}).get("collisionCount") or 0))
    labels = {**(template_metadata.get("labels") or {}), HASH_LABEL: hashed}
    selector = spec.get("selector") or {}
    match_labels = {**(selector.get("matchLabels") or {}), HASH_LABEL: hashed}
    base = deployment["metadata"]["name"][: _NAME_LIMIT - len(hashed) - 1]
    obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{base}-{hashed}",
            "namespace": deployment["metadata"]["namespace"],
            "ownerReferences": [reference(deployment, DEPLOYMENTS)],
            "labels": labels,
        },
        "spec": {
            "replicas": 0,
            "selector": {**selector, "matchLabels": match_labels},
            "template": {**template, "metadata": {**template_metadata, "labels": labels}},
        },
    }
    return SetState(obj, 0, int(spec.get("minReadySeconds") or 0), to_create=True)


def annotate(deployment: Object, new: SetState, revision: int) -> None:
    """Copies the deployment's annotations to its new set and counts its revision up to `revision`; a set that is
    rolled back to remembers the revisions it had."""
    for key, value in (deployment["metadata"].get("annotations") or {}).items():
        if key not in _NOT_COPIED:
            new.annotations[key] = value
    before = new.annotations.get(REVISION, "")
    if number(before) >= revision:
        return
    new.annotations[REVISION] = str(revision)
    if before and not new.to_create:
        history = [entry for entry in new.annotations.get(REVISION_HISTORY, "").split(",") if entry]
        if before not in history:
            history.append(before)
        while len(",".join(history)) > _HISTORY_LIMIT:
            history.pop(0)
        new.annotations[REVISION_HISTORY] = ",".join(history)
