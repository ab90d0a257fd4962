"""Deployments: one pass of a rollout. What it says is right for the moment; the next change asks again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import selectors
from controllermanager.plans import deployment_scaling as scaling
from controllermanager.plans import deployment_sets as sets_of
from controllermanager.plans import deployment_status as statuses
from controllermanager.plans.actions import Action, Create, Delete, Event, Patch, RequeueAfter, status_patch
from controllermanager.plans.deployment_sets import DEPLOYMENTS, REPLICA_SETS, REVISION, SetState
from controllermanager.plans.ownership import claim
from controllermanager.plans.podtemplate import same_template
from controllermanager.plans.views import MetaView

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A deployment and the replica sets of its namespace that it or nobody controls. `unfinished` says for a set's
    uid how many of its pods have not ended yet, those on their way out included (Recreate waits for them)."""

    deployment: Object
    replica_sets: Sequence[Object]
    unfinished: Mapping[str, int]


def plan(snapshot: Snapshot, now: datetime) -> list[Action]:
    """What to do now. A name collision on the new set's creation is answered by `collision`."""
    deployment = snapshot.deployment
    spec = deployment["spec"]
    selector = selectors.from_label_selector(spec.get("selector"))
    if selector.empty:
        text = "This deployment is selecting all pods. A non-empty selector is required."
        return [Event(_typed(deployment), "Warning", "SelectingAll", text)]
    by_uid = {obj["metadata"]["uid"]: obj for obj in snapshot.replica_sets}
    views = [MetaView.of(obj) for obj in snapshot.replica_sets]
    claimed, claims = claim(deployment, DEPLOYMENTS, REPLICA_SETS, views, selector)
    if claims:
        return list(claims)  # The sets change by it; that brings us back here.
    sets = [SetState.of(by_uid[view.uid]) for view in claimed]
    if deployment["metadata"].get("deletionTimestamp"):
        status = statuses.base_status(deployment, sets, sets_of.find_new(deployment, sets), now)
        return status_patch(DEPLOYMENTS, deployment, status)
    return _Pass(snapshot, sets, now).run()


class _Pass:
    def __init__(self, snapshot: Snapshot, sets: list[SetState], now: datetime) -> None:
        self.deployment = snapshot.deployment
        self.unfinished = snapshot.unfinished
        self.sets = sets
        self.now = now
        self.new = sets_of.find_new(self.deployment, sets)
        self.old = [s for s in sets if s is not self.new]
        self.conditions: list[Object] = self._paused_condition()
        self.deletes: list[Action] = []

    def run(self) -> list[Action]:
        deployment = self.deployment
        paused = bool(deployment["spec"].get("paused"))
        rolling_out = False
        if paused or scaling.is_scaling_event(deployment, self.sets):
            self._follow_template(create=False)
            scaling.scale(deployment, self.old, self.new)
            if paused:
                self._trim_history()
        else:
            rolling_out = True
            if scaling.is_rolling(deployment):
                self._roll()
            else:
                self._recreate()
            status = statuses.base_status(deployment, self.sets, self.new, self.now)
            if statuses.is_complete(deployment, status):
                self._trim_history()
        return [*self._writes(), *self.deletes, *self._status(rolling_out)]

    def _roll(self) -> None:
        new = self._follow_template(create=True)
        assert new is not None
        before = new.replicas
        new.replicas = scaling.new_set_replicas(self.deployment, self.sets, new)
        if new.replicas == before or new.to_create:
            scaling.shrink_old_sets(self.deployment, self.old, new)

    def _recreate(self) -> None:
        self._follow_template(create=False)
        if any(s.replicas for s in self.old):
            for s in self.old:
                s.replicas = 0
            return
        if any(
            int(s.status.get("replicas") or 0) or self.unfinished.get(s.obj["metadata"]["uid"], 0)
            for s in self.old
        ):
            return
        new = self._follow_template(create=True)
        assert new is not None
        new.replicas = scaling.replicas_of(self.deployment)

    def _follow_template(self, create: bool) -> SetState | None:
        """Finds or makes the set of the current template, and gives it the highest revision."""
        if self.new is None:
            if not create:
                return None
            self.new = sets_of.new_set(self.deployment)
            self.sets.append(self.new)
        new = self.new
        revision = max((s.revision for s in self.old), default=0) + 1
        sets_of.annotate(self.deployment, new, revision)
        new.min_ready = int(self.deployment["spec"].get("minReadySeconds") or 0)
        if new.to_create:
            scaling.mark_scaled_for(self.deployment, new)
        return new

    def _writes(self) -> list[Action]:
        """The sets, growing ones last, so that bounds hold at every step."""
        actions: list[Action] = []
        deployment = self.deployment
        ordered = sorted(self.sets, key=lambda s: s.replicas - (0 if s.to_create else s.current_replicas))
        for s in ordered:
            before = 0 if s.to_create else s.current_replicas
            if s.replicas != before or (s.replicas > 0 and not s.to_create):
                scaling.mark_scaled_for(deployment, s)
            write = s.write()
            if write is None:
                continue
            actions.append(write)
            if s.replicas != before:
                direction = "up" if s.replicas > before else "down"
                text = f"Scaled {direction} replica set {s.name} from {before} to {s.replicas}"
                actions.append(Event(_typed(deployment), "Normal", "ScalingReplicaSet", text))
        return actions

    def _status(self, rolling_out: bool) -> list[Action]:
        existing = [s for s in self.sets if not s.to_create]
        new = self.new if self.new is not None and not self.new.to_create else None
        conditions = self.conditions
        if rolling_out and self.new is not None and statuses.has_deadline(self.deployment):
            conditions = self._found_or_created(conditions, self.new)
        if not rolling_out:
            base = {**(self.deployment.get("status") or {}), "conditions": conditions}
            status = statuses.base_status({**self.deployment, "status": base}, existing, new, self.now)
            return status_patch(DEPLOYMENTS, self.deployment, status, self._revision())
        status, requeue = statuses.rollout_status(self.deployment, existing, new, conditions, self.now)
        actions = status_patch(DEPLOYMENTS, self.deployment, status, self._revision())
        if requeue is not None:
            actions.append(RequeueAfter(requeue))
        return actions

    def _revision(self) -> dict[str, str]:
        """The new set's revision is the deployment's."""
        revision = self.new.annotations.get(REVISION, "") if self.new is not None else ""
        return {REVISION: revision} if revision else {}

    def _found_or_created(self, conditions: list[Object], new: SetState) -> list[Object]:
        if new.to_create:
            text = f'Created new replica set "{new.name}"'
            made = statuses.make("Progressing", "True", "NewReplicaSetCreated", text, self.now)
            return statuses.set_condition(conditions, made)
        if not any(c["type"] == "Progressing" for c in conditions):
            text = f'Found new replica set "{new.name}"'
            made = statuses.make("Progressing", "True", "FoundNewReplicaSet", text, self.now)
            return statuses.set_condition(conditions, made)
        return conditions

    def _paused_condition(self) -> list[Object]:
        conditions = list((self.deployment.get("status") or {}).get("conditions") or ())
        if not statuses.has_deadline(self.deployment):
            return conditions
        current = next((c for c in conditions if c["type"] == "Progressing"), None)
        if current is not None and current["reason"] == statuses.TIMED_OUT:
            return conditions
        is_paused = current is not None and current["reason"] == statuses.PAUSED
        if self.deployment["spec"].get("paused") and not is_paused:
            made = statuses.make("Progressing", "Unknown", statuses.PAUSED, "Deployment is paused", self.now)
            return statuses.set_condition(conditions, made)
        if not self.deployment["spec"].get("paused") and is_paused:
            made = statuses.make(
                "Progressing", "Unknown", statuses.RESUMED, "Deployment is resumed", self.now
            )
            return statuses.set_condition(conditions, made)
        return conditions

    def _trim_history(self) -> None:
        """Deletes old sets beyond revisionHistoryLimit, lowest revision first, if nothing is left of them."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        old = sorted(
            (s for s in self.old if not s.obj["metadata"].get("deletionTimestamp")),
            key=lambda s: (s.revision, s.created),
        )
        for s in old[: max(0, len(old) - int(limit))]:
            metadata, status = s.obj["metadata"], s.status
            observed = int(status.get("observedGeneration") or 0)
            if status.get("replicas") or s.replicas or int(metadata.get("generation") or 0) > observed:
                continue
            self.deletes.append(
                Delete(
                    REPLICA_SETS,
                    metadata["namespace"],
                    s.name,
                    metadata["uid"],
                    propagation_policy="Background",
                )
            )


def collision(deployment: Object, existing: Object) -> Action | None:
    """The new set's name is taken. None: by the very set we wanted; else the next attempt gets another hash."""
    owner = next((r for r in existing["metadata"].get("ownerReferences") or () if r.get("controller")), None)
    ours = owner is not None and owner["uid"] == deployment["metadata"]["uid"]
    template = existing["spec"].get("template") or {}
    if ours and same_template(template, deployment["spec"]["template"], sets_of.HASH_LABEL):
        return None
    metadata = deployment["metadata"]
    count = int((deployment.get("status") or {}).get("collisionCount") or 0) + 1
    patch = {
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "status": {"collisionCount": count},
    }
    return Patch(DEPLOYMENTS, metadata["namespace"], metadata["name"], patch, subresource="status")


def creation_failed(deployment: Object, create: Create, error: str, now: datetime) -> list[Action]:
    """The status that says why there is no new set."""
    name = create.obj["metadata"]["name"]
    text = f'Failed to create new replica set "{name}": {error}'
    actions: list[Action] = [Event(_typed(deployment), "Warning", "ReplicaSetCreateError", text)]
    if statuses.has_deadline(deployment):
        status = dict(deployment.get("status") or {})
        made = statuses.make("Progressing", "False", "ReplicaSetCreateError", text, now)
        status["conditions"] = statuses.set_condition(list(status.get("conditions") or ()), made)
        actions += status_patch(DEPLOYMENTS, deployment, status)
    return actions


def _typed(deployment: Object) -> Object:
    return {**deployment, "apiVersion": "apps/v1", "kind": "Deployment"}
