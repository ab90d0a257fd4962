"""DaemonSets cover their nodes and StatefulSets keep their order, in any order of events."""

from __future__ import annotations

import json
from typing import Any

from clustermodel import ClusterModel
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import resources
from controllermanager.plans import daemonset, statefulset
from controllermanager.plans.claimretention import CLAIMS
from controllermanager.plans.daemonset import DAEMON_SETS
from controllermanager.plans.revisions import REVISIONS
from controllermanager.plans.statefulset import STATEFUL_SETS

PODS = resources.get("pods")
NODES = resources.get("nodes")


def template(version: int) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": f"app:{version}"}]},
    }


class Model(ClusterModel):
    def make_ready(self, name: str) -> None:
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": self.stamp()}
        self.change(PODS, name, {"status": {"phase": "Running", "conditions": [condition]}})

    def images(self) -> dict[str, str]:
        return {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in self.of(PODS)}

    def obey(self) -> None:
        for pod in self.pods(PODS):
            if pod.deleting:
                self.remove(PODS, pod.name)
            elif not pod.ready:
                self.make_ready(pod.name)


class Stateful(Model):
    def __init__(self, replicas: int = 3, **spec: Any) -> None:
        super().__init__()
        body = {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "x"}},
            "template": template(1),
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate"},
            "revisionHistoryLimit": 1,
            **spec,
        }
        self.add(STATEFUL_SETS, {"metadata": {"name": "db"}, "spec": body})

    def sync(self) -> None:
        claims = {c["metadata"]["name"]: c for c in self.of(CLAIMS)}
        owner = self.get(STATEFUL_SETS, "db")
        snapshot = statefulset.Snapshot(owner, self.pods(PODS), self.of(REVISIONS), claims)
        plan = statefulset.plan(snapshot, self.now)
        self.carry_out([*plan.first, *plan.pods, *plan.last], graceful=False)

    def settle(self) -> None:
        for _ in range(40):
            before = self.revision
            self.sync()
            self.obey()
            if self.revision == before:
                return
        raise AssertionError("it does not come to rest")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get(STATEFUL_SETS, "db")["status"]
        return found


def test_pods_come_one_after_the_other_with_names_that_last() -> None:
    model = Stateful(2, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {"x": 1}}])
    model.sync()
    model.sync()
    assert sorted(model.images()) == ["db-0"]
    pod = model.get(PODS, "db-0")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")
    assert pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
    assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "data-db-0"
    model.make_ready("db-0")
    model.sync()
    assert sorted(model.images()) == ["db-0", "db-1"]
    assert sorted(c["metadata"]["name"] for c in model.of(CLAIMS)) == ["data-db-0", "data-db-1"]
    model.settle()
    status = model.status()
    assert status["currentRevision"] == status["updateRevision"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)


def test_scaling_down_takes_the_highest_first_and_leaves_claims() -> None:
    model = Stateful(3, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}])
    model.settle()
    model.change(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
    model.sync()
    assert sorted(model.images()) == ["db-0", "db-1"]
    model.settle()
    assert sorted(model.images()) == ["db-0"]
    assert len(model.of(CLAIMS)) == 3


def test_an_ordered_set_with_several_unwell_pods_does_not_shrink() -> None:
    model = Stateful(3)
    model.settle()
    for name in ("db-0", "db-2"):
        unready = [{"type": "Ready", "status": "False", "lastTransitionTime": model.stamp()}]
        model.change(PODS, name, {"status": {"conditions": unready}})
    model.change(STATEFUL_SETS, "db", {"spec": {"replicas": 0}})
    model.sync()
    assert len(model.images()) == 3
    model.make_ready("db-0")
    model.sync()
    assert sorted(model.images()) == ["db-0", "db-1"]


def test_an_update_waits_for_a_pod_that_is_not_ready() -> None:
    model = Stateful(3)
    model.settle()
    unready = [{"type": "Ready", "status": "False", "lastTransitionTime": model.stamp()}]
    model.change(PODS, "db-1", {"status": {"conditions": unready}})
    model.change(STATEFUL_SETS, "db", {"spec": {"template": template(2)}})
    model.sync()
    assert set(model.images().values()) == {"app:1"}
    model.remove(PODS, "db-1")
    model.sync()
    model.sync()
    assert model.images() == {"db-0": "app:1", "db-1": "app:2", "db-2": "app:1"}
    model.settle()
    assert set(model.images().values()) == {"app:2"}


def test_a_partition_counts_from_the_first_ordinal() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    model = Stateful(2, ordinals={"start": 5}, updateStrategy=rolling)
    model.settle()
    model.change(STATEFUL_SETS, "db", {"spec": {"template": template(2)}})
    model.settle()
    assert model.images() == {"db-5": "app:1", "db-6": "app:2"}


def test_a_revision_has_the_bytes_that_go_writes() -> None:
    model = Stateful(1)
    model.settle()
    data = model.of(REVISIONS)[0]["data"]
    assert json.dumps(data) == json.dumps(data, sort_keys=True)
    assert data["spec"]["template"] == {
        **model.get(STATEFUL_SETS, "db")["spec"]["template"],
        "$patch": "replace",
    }


def test_pods_are_labelled_with_the_name_of_their_revision() -> None:
    model = Stateful(1)
    model.settle()
    label = model.get(PODS, "db-0")["metadata"]["labels"]["controller-revision-hash"]
    assert label == model.status()["currentRevision"] == model.of(REVISIONS)[0]["metadata"]["name"]


def test_a_parallel_set_starts_all_at_once() -> None:
    model = Stateful(3, podManagementPolicy="Parallel")
    model.sync()
    assert sorted(model.images()) == ["db-0", "db-1", "db-2"]


def test_a_partition_keeps_lower_ordinals_back() -> None:
    model = Stateful(3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    model.settle()
    model.change(STATEFUL_SETS, "db", {"spec": {"template": template(2)}})
    model.settle()
    assert model.images() == {"db-0": "app:1", "db-1": "app:1", "db-2": "app:2"}
    assert model.status()["currentRevision"] != model.status()["updateRevision"]
    model.remove(PODS, "db-0")
    model.settle()
    assert model.images()["db-0"] == "app:1"
    model.change(STATEFUL_SETS, "db", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    model.settle()
    assert set(model.images().values()) == {"app:2"}
    assert model.status()["currentRevision"] == model.status()["updateRevision"]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_at_most_one_ordered_pod_is_not_ready_and_updates_end(data: st.DataObject) -> None:
    replicas = data.draw(st.integers(1, 4))
    model = Stateful(replicas)
    model.settle()
    for version in (2, 3):
        model.change(STATEFUL_SETS, "db", {"spec": {"template": template(version)}})
        for _ in range(data.draw(st.integers(0, 25))):
            if data.draw(st.booleans()):
                model.sync()
            elif waiting := [p.name for p in model.pods(PODS) if not p.ready]:
                model.make_ready(data.draw(st.sampled_from(waiting)))
            assert sum(1 for p in model.pods(PODS) if p.ready) >= replicas - 1
    model.settle()
    assert model.images() == {f"db-{i}": "app:3" for i in range(replicas)}
    assert len(model.of(REVISIONS)) <= 2


class Daemons(Model):
    def __init__(self, nodes: int = 3, **spec: Any) -> None:
        super().__init__()
        for i in range(nodes):
            self.add(
                NODES, {"metadata": {"name": f"n{i}", "labels": {"disk": "ssd" if i else "hdd"}}, "spec": {}}
            )
        body = {
            "selector": {"matchLabels": {"app": "x"}},
            "template": template(1),
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "revisionHistoryLimit": 10,
            **spec,
        }
        self.add(DAEMON_SETS, {"metadata": {"name": "d"}, "spec": body})

    def sync(self) -> None:
        owner = self.get(DAEMON_SETS, "d")
        snapshot = daemonset.Snapshot(owner, self.pods(PODS), self.of(REVISIONS), self.of(NODES))
        plan = daemonset.plan(snapshot, self.now, self.suffixes())
        self.carry_out([*plan.first, *plan.deletes, *plan.creates, *plan.last])

    def settle(self) -> None:
        for _ in range(40):
            before = self.revision
            self.sync()
            self.obey()
            if self.revision == before:
                return
        raise AssertionError("it does not come to rest")

    def nodes(self) -> list[str]:
        return sorted(p.node or p.pinned_node for p in self.pods(PODS))


def test_every_node_that_may_has_one_pod() -> None:
    model = Daemons()
    model.change(NODES, "n2", {"spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}]}})
    model.change(
        NODES, "n1", {"spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}}
    )
    model.settle()
    assert model.nodes() == ["n0", "n1"]
    status = model.get(DAEMON_SETS, "d")["status"]
    assert {k: v for k, v in status.items() if k != "observedGeneration"} == {
        "desiredNumberScheduled": 2,
        "currentNumberScheduled": 2,
        "numberMisscheduled": 0,
        "numberReady": 2,
        "updatedNumberScheduled": 2,
        "numberAvailable": 2,
    }
    model.change(NODES, "n2", {"spec": {"taints": None}})
    model.change(NODES, "n0", {"spec": {"taints": [{"key": "mine", "effect": "NoExecute"}]}})
    model.settle()
    assert model.nodes() == ["n1", "n2"]


def test_node_selectors_and_affinity_choose_nodes() -> None:
    chosen = template(1)
    chosen["spec"]["nodeSelector"] = {"disk": "ssd"}
    term = {
        "matchExpressions": [{"key": "disk", "operator": "Exists"}, {"key": "x", "operator": "DoesNotExist"}]
    }
    chosen["spec"]["affinity"] = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    }
    model = Daemons(template=chosen)
    model.change(NODES, "n2", {"metadata": {"labels": {"x": "y"}}})
    model.settle()
    assert model.nodes() == ["n1"]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_updates_keep_enough_daemons_available_and_end(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 5))
    surge = data.draw(st.booleans())
    bound = data.draw(st.integers(1, 3))
    rolling = {"maxSurge": bound, "maxUnavailable": 0} if surge else {"maxUnavailable": bound, "maxSurge": 0}
    model = Daemons(nodes, updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    model.settle()
    for version in (2, 3):
        model.change(DAEMON_SETS, "d", {"spec": {"template": template(version)}})
        for _ in range(data.draw(st.integers(0, 25))):
            if data.draw(st.booleans()):
                model.sync()
            elif waiting := [p.name for p in model.pods(PODS) if not p.ready]:
                model.make_ready(data.draw(st.sampled_from(waiting)))
            served = {p.pinned_node for p in model.pods(PODS) if p.ready}
            assert len(served) >= nodes - (0 if surge else bound)
            assert len(model.pods(PODS)) <= nodes + (bound if surge else 0)
    model.settle()
    assert set(model.images().values()) == {"app:3"}
    assert model.nodes() == [f"n{i}" for i in range(nodes)]
