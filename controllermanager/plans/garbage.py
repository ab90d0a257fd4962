"""The graph of owners and dependents, and what becomes of an object whose owners are gone or going.

The graph is fed by every informer. It is made of what the watches said, so what it does not know may still exist:
an owner it never saw is looked up (`Verdict.unknown`) before anything is deleted for its absence; an owner it saw
vanish is gone for good, as uids never come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.resources import Resource
from controllermanager.plans.actions import Action, Delete, Patch
from controllermanager.plans.views import MetaView, Owner, PodView

Object = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_REMEMBERED = 4096  # uids of vanished owners kept in mind


@dataclass(slots=True)
class Node:
    """One object. `dependents` are the uids of objects that name it as an owner."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    revision: str
    owners: tuple[Owner, ...]
    finalizers: tuple[str, ...]
    deleting: bool

    @property
    def foreground(self) -> bool:
        """Waits for its dependents to go first."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers


@dataclass(frozen=True, slots=True)
class Verdict:
    """`actions` to take, or `unknown` owners to look up first (then `Graph.mark_absent` or nothing, and again)."""

    actions: tuple[Action, ...] = ()
    unknown: tuple[Owner, ...] = ()


@dataclass(slots=True)
class Graph:
    nodes: dict[str, Node] = field(default_factory=dict)
    dependents: dict[str, set[str]] = field(default_factory=dict)
    absent: OrderedDict[str, None] = field(default_factory=OrderedDict)
    # Owners that were looked up and found, though no watch has shown them (yet, or of a resource without watch).
    elsewhere: dict[str, None] = field(default_factory=dict)

    def observe(self, resource: Resource, view: MetaView | PodView) -> set[str]:
        """Takes in an object as it is now; returns the uids to decide on."""
        uid = view.uid
        old = self.nodes.get(uid)
        node = self.nodes[uid] = Node(
            resource,
            view.namespace,
            view.name,
            uid,
            view.revision,
            view.owners,
            view.finalizers,
            bool(view.deleting),
        )
        self.elsewhere.pop(uid, None)
        affected: set[str] = set()
        before = {o.uid for o in old.owners} if old is not None else set()
        after = {o.uid for o in node.owners}
        for owner in after - before:
            self.dependents.setdefault(owner, set()).add(uid)
        for owner in before - after:
            self._forget_dependent(owner, uid)
        for owner in before | after:
            if (up := self.nodes.get(owner)) is not None and up.deleting:
                affected.add(owner)
        if node.owners and (old is None or old.owners != node.owners or node.foreground != old.foreground):
            affected.add(uid)
        if node.foreground or node.orphaning:
            affected.add(uid)
            if node.foreground and (old is None or not old.foreground):
                affected |= self.dependents.get(uid, set())
        return affected

    def remove(self, uid: str) -> set[str]:
        """An object is gone; returns the uids to decide on."""
        node = self.nodes.pop(uid, None)
        self.mark_absent(uid)
        affected = set(self.dependents.get(uid, ()))
        if node is not None:
            for owner in node.owners:
                self._forget_dependent(owner.uid, uid)
                if (up := self.nodes.get(owner.uid)) is not None and up.deleting:
                    affected.add(owner.uid)
        return affected

    def mark_absent(self, uid: str) -> None:
        self.elsewhere.pop(uid, None)
        self.absent[uid] = None
        self.absent.move_to_end(uid)
        if len(self.absent) > _REMEMBERED:
            self.absent.popitem(last=False)

    def mark_found(self, uid: str) -> None:
        """A looked-up owner exists."""
        if uid not in self.nodes:
            self.elsewhere[uid] = None
            while len(self.elsewhere) > _REMEMBERED:
                self.elsewhere.pop(next(iter(self.elsewhere)))

    def recheck(self) -> set[str]:
        """Forgets what was only looked up; returns the uids to decide on again. For now and then: an owner that came
        and went while its watch was broken was never shown, neither its end."""
        affected: set[str] = set()
        for uid in self.elsewhere:
            affected |= self.dependents.get(uid, set())
        self.elsewhere.clear()
        return affected

    def _forget_dependent(self, owner: str, uid: str) -> None:
        members = self.dependents.get(owner)
        if members is not None:
            members.discard(uid)
            if not members:
                del self.dependents[owner]

    def decide(self, uid: str) -> Verdict:
        node = self.nodes.get(uid)
        if node is None:
            return Verdict()
        if node.orphaning:
            return self._orphan(node)
        if node.foreground:
            return self._finish_foreground(node)
        if node.deleting or not node.owners:
            return Verdict()
        solid, gone, waiting, unknown = self._classify(node)
        if unknown:
            return Verdict(unknown=tuple(unknown))
        if solid:
            if not gone and not waiting:
                return Verdict()
            return Verdict((_drop_owners(node, [*gone, *waiting]),))
        if waiting and self.dependents.get(uid):
            actions: list[Action] = []
            if any((d := self.nodes.get(u)) is not None and d.foreground for u in self.dependents[uid]):
                # Owners in a circle, all waiting for each other: this one stops blocking.
                actions.append(_unblock(node))
            return Verdict((*actions, _delete(node, "Foreground", exact=not actions)))
        if FOREGROUND in node.finalizers:
            policy = "Foreground"
        else:
            policy = "Orphan" if ORPHAN in node.finalizers else "Background"
        return Verdict((_delete(node, policy, exact=True),))

    def _classify(self, node: Node) -> tuple[list[Owner], list[Owner], list[Owner], list[Owner]]:
        """Owners that stand, are gone, wait for their dependents, and that nobody knows."""
        solid: list[Owner] = []
        gone: list[Owner] = []
        waiting: list[Owner] = []
        unknown: list[Owner] = []
        for owner in node.owners:
            up = self.nodes.get(owner.uid)
            if up is not None:
                if up.resource.namespaced and up.namespace != node.namespace:
                    # An owner must be of the same namespace or of none; by its name here, it does not exist.
                    (gone if node.namespace else solid).append(owner)
                elif up.foreground:
                    waiting.append(owner)
                else:
                    solid.append(owner)
            elif owner.uid in self.absent:
                gone.append(owner)
            elif owner.uid in self.elsewhere:
                solid.append(owner)
            else:
                unknown.append(owner)
        return solid, gone, waiting, unknown

    def _finish_foreground(self, node: Node) -> Verdict:
        """Lets it go once no dependent blocks it any more."""
        for uid in self.dependents.get(node.uid, ()):
            dependent = self.nodes.get(uid)
            if dependent is not None and any(o.uid == node.uid and o.block for o in dependent.owners):
                return Verdict()
        return Verdict((_drop_finalizer(node, FOREGROUND),))

    def _orphan(self, node: Node) -> Verdict:
        """Dependents lose this owner, then it may go."""
        dependents = [self.nodes[u] for u in sorted(self.dependents.get(node.uid, ())) if u in self.nodes]
        actions: list[Action] = [
            _drop_owners(d, [o for o in d.owners if o.uid == node.uid]) for d in dependents
        ]
        return Verdict((*actions, _drop_finalizer(node, ORPHAN)))


def _patch(node: Node, metadata: Mapping[str, Any]) -> Patch:
    """Bound to the revision decided on: owners and finalizers are lists that a merge patch replaces as a whole."""
    body = {"metadata": {"uid": node.uid, "resourceVersion": node.revision, **metadata}}
    return Patch(node.resource, node.namespace, node.name, body, missing_ok=True)


def _reference(owner: Owner, block: bool | None = None) -> Object:
    reference: Object = {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    }
    if owner.controller:
        reference["controller"] = True
    if owner.block if block is None else block:
        reference["blockOwnerDeletion"] = True
    return reference


def _drop_owners(node: Node, dropped: list[Owner]) -> Patch:
    gone = {owner.uid for owner in dropped}
    kept = [_reference(owner) for owner in node.owners if owner.uid not in gone]
    return _patch(node, {"ownerReferences": kept or None})


def _unblock(node: Node) -> Patch:
    return _patch(node, {"ownerReferences": [_reference(owner, block=False) for owner in node.owners]})


def _drop_finalizer(node: Node, finalizer: str) -> Patch:
    kept = [f for f in node.finalizers if f != finalizer]
    return _patch(node, {"finalizers": kept or None})


def _delete(node: Node, policy: str, exact: bool) -> Delete:
    """`exact`: only if the object is still as it was decided on (its owners may have changed)."""
    version = node.revision if exact else None
    return Delete(node.resource, node.namespace, node.name, node.uid, version, propagation_policy=policy)
