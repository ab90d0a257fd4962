"""StatefulSets: pods with names that last, one after the other, each with its own claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery import resources, selectors
from controllermanager.plans import claimretention, revisions
from controllermanager.plans.actions import Action, Create, Delete, Event, RequeueAfter, status_patch
from controllermanager.plans.claimretention import CLAIMS
from controllermanager.plans.ownership import claim, reference
from controllermanager.plans.podtemplate import pod_from_template
from controllermanager.plans.views import PodView

Object = dict[str, Any]

STATEFUL_SETS = resources.get("statefulsets", "apps")
PODS = resources.get("pods")
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A set, the pods it or nobody controls, its revisions, and the namespace's volume claims by name."""

    owner: Object
    pods: Sequence[PodView]
    revisions: Sequence[Object]
    claims: Mapping[str, Object]


@dataclass(slots=True)
class Plan:
    """`first` in order, then `pods` (at once if the set is parallel), then `last`."""

    first: list[Action] = field(default_factory=list)
    pods: list[Action] = field(default_factory=list)
    last: list[Action] = field(default_factory=list)


def ordinal_of(owner_name: str, pod: PodView) -> int | None:
    prefix, _, number = pod.name.rpartition("-")
    return int(number) if prefix == owner_name and number.isdigit() else None


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    owner = snapshot.owner
    selector = selectors.from_label_selector(owner["spec"].get("selector"))
    claimed, claims = claim(owner, STATEFUL_SETS, PODS, snapshot.pods, selector)
    name = owner["metadata"]["name"]
    pods = {o: pod for pod in claimed if (o := ordinal_of(name, pod)) is not None}
    old = owner.get("status") or {}
    history = revisions.follow(owner, STATEFUL_SETS, snapshot.revisions, int(old.get("collisionCount") or 0))
    result = Plan(first=[*claims, *history.actions])
    current = old.get("currentRevision") or history.current["metadata"]["name"]
    by_name = {r["metadata"]["name"]: r for r in (*history.others, history.current)}
    if current not in by_name:
        current = history.current["metadata"]["name"]
    step = _Step(snapshot, pods, by_name[current], history.current, now)
    if not owner["metadata"].get("deletionTimestamp"):
        step.run()
        result.first += [*step.volume_claims, *step.retention()]
        result.pods = step.actions
    live = {pod.labels.get(revisions.HASH_LABEL, "") for pod in pods.values()} | {current}
    limit = owner["spec"].get("revisionHistoryLimit")
    result.last = [
        *step.events(),
        *step.status(),
        *revisions.truncate(history, live, 10 if limit is None else limit),
    ]
    return result


class _Step:
    def __init__(
        self, snapshot: Snapshot, pods: dict[int, PodView], current: Object, update: Object, now: datetime
    ) -> None:
        self.snapshot = snapshot
        self.owner = snapshot.owner
        self.spec = snapshot.owner["spec"]
        self.pods = pods
        self.current = current
        self.update = update
        self.now = now
        self.actions: list[Action] = []
        self.volume_claims: list[Action] = []
        replicas = self.spec.get("replicas")
        first = int((self.spec.get("ordinals") or {}).get("start") or 0)
        self.wanted = range(first, first + (1 if replicas is None else int(replicas)))
        self.parallel = self.spec.get("podManagementPolicy") == "Parallel"
        self.min_ready = int(self.spec.get("minReadySeconds") or 0)

    def run(self) -> None:
        """One pod after the other unless parallel: each waits for those before it to be available."""
        for ordinal in self.wanted:
            pod = self.pods.get(ordinal)
            if pod is not None and pod.finished and not pod.deleting:
                self.actions.append(_delete(pod))
                if not self.parallel:
                    return
            elif pod is None:
                if self._is_awaited(ordinal):
                    return
                self._create(ordinal)
                if not self.parallel:
                    return
            elif not self.parallel and (pod.deleting or not pod.available(self.min_ready, self.now)):
                return  # also while an update waits: a pod of a broken template goes when somebody deletes it
        surplus = [o for o in sorted(self.pods, reverse=True) if o not in self.wanted]
        unwell = [o for o in surplus if not self.pods[o].available(self.min_ready, self.now)]
        for ordinal in surplus:
            pod = self.pods[ordinal]
            if not self.parallel and ordinal in unwell and ordinal != unwell[-1]:
                return  # an ordered set with several pods that are not well does not shrink
            if not pod.deleting:
                self.actions.append(_delete(pod))
            if not self.parallel:
                return
        if not self.actions and not surplus:
            self._roll()

    def _name(self, ordinal: int) -> str:
        return f"{self.owner['metadata']['name']}-{ordinal}"

    def _claims_of(self, ordinal: int) -> dict[str, Object]:
        """The templates of a pod's claims, by the names of the claims."""
        templates = self.spec.get("volumeClaimTemplates") or ()
        return {f"{template['metadata']['name']}-{self._name(ordinal)}": template for template in templates}

    def _is_awaited(self, ordinal: int) -> bool:
        """A claim of the pod to come is on its way out."""
        present = (self.snapshot.claims.get(name) for name in self._claims_of(ordinal))
        return any(each is not None and claimretention.leaving(each, self._name(ordinal)) for each in present)

    def retention(self) -> list[Action]:
        """What the claims of the pods that are there belong to."""
        of_set = reference(self.owner, STATEFUL_SETS)
        policy = self.spec.get("persistentVolumeClaimRetentionPolicy") or {}
        return [
            patch
            for ordinal, pod in self.pods.items()
            for name in self._claims_of(ordinal)
            if name in self.snapshot.claims
            for patch in claimretention.owned(
                self.snapshot.claims[name], of_set, pod, policy, ordinal not in self.wanted
            )
        ]

    def _roll(self) -> None:
        """Replaces the highest pod of an older template, if those above it are well."""
        strategy = self.spec.get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        first = self._first_updated()
        for ordinal in reversed(self.wanted):
            pod = self.pods.get(ordinal)
            if ordinal < first or pod is None or pod.deleting:
                return
            if not self._is_updated(pod):
                self.actions.append(_delete(pod))
                return
            if not pod.available(self.min_ready, self.now):
                return

    def _first_updated(self) -> int:
        """The lowest ordinal that a rolling update may come to: its partition counts from the first pod."""
        strategy = self.spec.get("updateStrategy") or {}
        partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        return self.wanted.start + partition if strategy.get("type") != "OnDelete" else self.wanted.start

    def _is_updated(self, pod: PodView) -> bool:
        return bool(pod.labels.get(revisions.HASH_LABEL) == self.update["metadata"]["name"])

    def _create(self, ordinal: int) -> None:
        revision = self.current if ordinal < self._first_updated() else self.update
        owner, name = self.owner, self._name(ordinal)
        pod = pod_from_template(revisions.template_of(revision), owner, STATEFUL_SETS, iter(()), name)
        metadata, spec = pod["metadata"], dict(pod["spec"])
        metadata["generateName"] = owner["metadata"]["name"] + "-"
        metadata["labels"] = {
            **metadata.get("labels", {}),
            revisions.HASH_LABEL: revision["metadata"]["name"],  # a DaemonSet's pods have the hash alone
            POD_NAME: name,
            POD_INDEX: str(ordinal),
        }
        spec["hostname"] = name
        spec["subdomain"] = self.spec.get("serviceName") or ""
        volumes = {volume["name"]: volume for volume in spec.get("volumes") or ()}
        for claim_name, template in self._claims_of(ordinal).items():
            source = {"claimName": claim_name, "readOnly": False}
            volumes[template["metadata"]["name"]] = {
                "name": template["metadata"]["name"],
                "persistentVolumeClaim": source,
            }
            if claim_name not in self.snapshot.claims:
                self.volume_claims.append(Create(CLAIMS, self._claim(template, claim_name)))
        if volumes:
            spec["volumes"] = list(volumes.values())
        self.actions.append(Create(PODS, {**pod, "spec": spec}))

    def _claim(self, template: Object, name: str) -> Object:
        metadata = {**template["metadata"], "name": name, "namespace": self.owner["metadata"]["namespace"]}
        match = (self.spec.get("selector") or {}).get("matchLabels") or {}
        metadata["labels"] = {**(metadata.get("labels") or {}), **match}
        policy = self.spec.get("persistentVolumeClaimRetentionPolicy") or {}
        if policy.get("whenDeleted") == "Delete":
            metadata["ownerReferences"] = [reference(self.owner, STATEFUL_SETS)]
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": template["spec"],
        }

    def events(self) -> list[Action]:
        involved = {**self.owner, "apiVersion": "apps/v1", "kind": "StatefulSet"}
        name = self.owner["metadata"]["name"]
        told: list[Action] = []
        for action in self.actions:
            if isinstance(action, Create):
                text = f"create Pod {action.obj['metadata']['name']} in StatefulSet {name} successful"
                told.append(Event(involved, "Normal", "SuccessfulCreate", text))
            elif isinstance(action, Delete):
                text = f"delete Pod {action.name} in StatefulSet {name} successful"
                told.append(Event(involved, "Normal", "SuccessfulDelete", text))
        return told

    def status(self) -> list[Action]:
        pods = [pod for pod in self.pods.values() if not pod.finished]
        ready = [pod for pod in pods if pod.ready and not pod.deleting]
        available = [pod for pod in ready if pod.available(self.min_ready, self.now)]
        updated = [pod for pod in pods if self._is_updated(pod) and not pod.deleting]
        update_name = self.update["metadata"]["name"]
        current_name = self.current["metadata"]["name"]
        of_current = [
            pod for pod in pods if pod.labels.get(revisions.HASH_LABEL) == current_name and not pod.deleting
        ]
        strategy = self.spec.get("updateStrategy") or {}
        done = len(updated) == len(self.wanted) == len(pods) == len(ready)
        if strategy.get("type") != "OnDelete" and done and update_name != current_name:
            current_name, of_current = update_name, updated
        status: Object = {
            "observedGeneration": self.owner["metadata"].get("generation") or 0,
            "replicas": len(pods),
            "availableReplicas": len(available),
            "currentRevision": current_name,
            "updateRevision": update_name,
            "collisionCount": int((self.owner.get("status") or {}).get("collisionCount") or 0),
        }
        for key, members in (
            ("readyReplicas", ready),
            ("currentReplicas", of_current),
            ("updatedReplicas", updated),
        ):
            if members:
                status[key] = len(members)
        if (self.owner.get("status") or {}).get("conditions"):
            status["conditions"] = self.owner["status"]["conditions"]
        actions = status_patch(STATEFUL_SETS, self.owner, status)
        if self.min_ready and len(available) < len(ready):
            actions.append(RequeueAfter(1.0))
        return actions


def _delete(pod: PodView) -> Delete:
    return Delete(PODS, pod.namespace, pod.name, pod.uid)
