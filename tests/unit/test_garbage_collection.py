"""The owner graph: nothing owned is lost, nothing orphaned stays, whatever order news comes in."""

from __future__ import annotations

from typing import Any

from clustermodel import ClusterModel
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import resources
from controllermanager.plans.actions import Delete, Patch
from controllermanager.plans.garbage import FOREGROUND, ORPHAN, Graph, Verdict
from controllermanager.plans.views import MetaView

MAPS = resources.get("configmaps")


def reference(name: str, uid: str, block: bool = True) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": block}


def obj(name: str, *owners: str, finalizers: tuple[str, ...] = (), deleting: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "ns", "uid": name, "finalizers": list(finalizers)}
    metadata["ownerReferences"] = [reference(o, o) for o in owners]
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata}


class Cluster(ClusterModel):
    """Objects and a graph that hears of changes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = Graph()
        self.pending: set[str] = set()
        self.shown: dict[str, str] = {}

    def apply(self, *objects: dict[str, Any]) -> None:
        for o in objects:
            self.add(MAPS, o)

    def names(self) -> set[str]:
        return {o["metadata"]["name"] for o in self.of(MAPS)}

    def stale(self) -> list[str]:
        """What the graph has not heard of yet."""
        current = {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for o in self.of(MAPS)}
        changed = [uid for uid, version in current.items() if self.shown.get(uid) != version]
        return changed + [uid for uid in self.shown if uid not in current]

    def show(self, uid: str) -> None:
        found = next((o for o in self.of(MAPS) if o["metadata"]["uid"] == uid), None)
        if found is None:
            self.shown.pop(uid, None)
            self.pending |= self.graph.remove(uid)
        else:
            self.shown[uid] = found["metadata"]["resourceVersion"]
            self.pending |= self.graph.observe(MAPS, MetaView.of(found))

    def delete(self, name: str, policy: str) -> None:
        """As the API server does on a user's behalf."""
        found = self.get(MAPS, name)
        finalizers = list(found["metadata"].get("finalizers") or ())
        finalizers += {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(policy, [])
        if not finalizers:
            self.remove(MAPS, name)
            return
        metadata = {"finalizers": finalizers, "deletionTimestamp": "2026-01-01T00:00:00Z"}
        self.change(MAPS, name, {"metadata": metadata})

    def decide(self, uid: str) -> Verdict:
        while (verdict := self.graph.decide(uid)).unknown:
            for owner in verdict.unknown:
                if any(o["metadata"]["uid"] == owner.uid for o in self.of(MAPS)):
                    self.graph.mark_found(owner.uid)
                else:
                    self.graph.mark_absent(owner.uid)
        return verdict

    def step(self, uid: str) -> None:
        """Decides and acts; what the server refuses (decided on an old copy) is tried again later."""
        for action in self.decide(uid).actions:
            assert isinstance(action, (Delete, Patch))
            live = self.objects.get((MAPS, "ns", action.name))
            if live is None:
                continue
            if isinstance(action, Delete):
                version = live["metadata"]["resourceVersion"]
                if action.resource_version not in (None, version) or live["metadata"].get(
                    "deletionTimestamp"
                ):
                    self.pending.add(uid)
                    return
                self.delete(action.name, action.propagation_policy or "Background")
            elif action.patch["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
                self.pending.add(uid)
                return
            else:
                self.one(action)

    def settle(self) -> None:
        self.pending |= self.graph.recheck()
        for _ in range(500):
            for uid in self.stale():
                self.show(uid)
            if not self.pending:
                return
            self.step(self.pending.pop())
        raise AssertionError("it does not come to rest")


def test_background_takes_the_whole_tree() -> None:
    cluster = Cluster()
    cluster.apply(obj("a"), obj("b", "a"), obj("c", "b"), obj("other"))
    cluster.settle()
    cluster.delete("a", "Background")
    cluster.settle()
    assert cluster.names() == {"other"}


def test_foreground_goes_from_the_leaves_up() -> None:
    cluster = Cluster()
    cluster.apply(obj("a"), obj("b", "a"), obj("c", "b", finalizers=("hold",)))
    cluster.settle()
    cluster.delete("a", "Foreground")
    cluster.settle()
    assert cluster.names() == {"a", "b", "c"}
    assert all(o["metadata"].get("deletionTimestamp") for o in cluster.of(MAPS))
    cluster.change(MAPS, "c", {"metadata": {"finalizers": None}})
    cluster.settle()
    assert cluster.names() == set()


def test_foreground_does_not_wait_for_what_does_not_block() -> None:
    cluster = Cluster()
    child = obj("b", finalizers=("hold",))
    child["metadata"]["ownerReferences"] = [reference("a", "a", block=False)]
    cluster.apply(obj("a"), child)
    cluster.settle()
    cluster.delete("a", "Foreground")
    cluster.settle()
    assert cluster.names() == {"b"}


def test_orphans_lose_their_owner_and_stay() -> None:
    cluster = Cluster()
    cluster.apply(obj("a"), obj("b", "a"), obj("c", "a", "other"), obj("other"))
    cluster.settle()
    cluster.delete("a", "Orphan")
    cluster.settle()
    assert cluster.names() == {"b", "c", "other"}
    assert not cluster.get(MAPS, "b")["metadata"].get("ownerReferences")
    assert [r["name"] for r in cluster.get(MAPS, "c")["metadata"]["ownerReferences"]] == ["other"]


def test_a_circle_of_owners_does_not_block_itself() -> None:
    cluster = Cluster()
    cluster.apply(obj("a", "c"), obj("b", "a"), obj("c", "b"))
    cluster.settle()
    cluster.delete("a", "Foreground")
    cluster.settle()
    assert cluster.names() == set()


def test_an_owner_nobody_saw_is_looked_up_before_anything_is_deleted() -> None:
    graph = Graph()
    view = MetaView.of({"metadata": {**obj("b", "a")["metadata"], "resourceVersion": "1"}})
    assert graph.observe(MAPS, view) == {"b"}
    verdict = graph.decide("b")
    assert [o.uid for o in verdict.unknown] == ["a"] and not verdict.actions
    graph.mark_found("a")
    assert graph.decide("b") == Verdict()
    graph.mark_absent("a")
    (delete,) = graph.decide("b").actions
    assert isinstance(delete, Delete) and (delete.uid, delete.resource_version) == ("b", "1")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_in_any_order_exactly_what_has_no_owner_left_goes(data: st.DataObject) -> None:
    """Owners come from earlier objects, so there are no circles; deletions are background ones."""
    cluster = Cluster()
    count = data.draw(st.integers(1, 8))
    owners: dict[str, set[str]] = {}
    for i in range(count):
        owners[f"o{i}"] = (
            data.draw(st.sets(st.sampled_from([f"o{j}" for j in range(i)]), max_size=2)) if i else set()
        )
        cluster.apply(obj(f"o{i}", *sorted(owners[f"o{i}"])))
    deleted = data.draw(st.sets(st.sampled_from(sorted(owners)), max_size=3))
    left = sorted(deleted)
    for _ in range(data.draw(st.integers(0, 60))):
        kind = data.draw(st.sampled_from(["show", "step", "delete"]))
        if kind == "show" and (stale := cluster.stale()):
            cluster.show(data.draw(st.sampled_from(stale)))
        elif kind == "step" and cluster.pending:
            uid = data.draw(st.sampled_from(sorted(cluster.pending)))
            cluster.pending.discard(uid)
            cluster.step(uid)
        elif kind == "delete" and left and left[-1] in cluster.names():
            cluster.remove(MAPS, left.pop())
    for name in left:
        if name in cluster.names():
            cluster.remove(MAPS, name)
    cluster.settle()
    gone = set(deleted)
    for name, of in owners.items():  # Owners come first.
        if name not in gone and of and of <= gone:
            gone.add(name)
    assert cluster.names() == owners.keys() - gone
    for o in cluster.of(MAPS):
        kept = {r["uid"] for r in o["metadata"].get("ownerReferences") or ()}
        assert kept == owners[o["metadata"]["name"]] - gone
