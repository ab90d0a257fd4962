"""Area scheduling: where pods go on three simulated nodes, and who has to make way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from apiclient import Api
from hands import Hands, conditions
from lifecycle import fine
from registrations import eventually

from pytest_pybernetes.servers import KubeServer

Object = dict[str, Any]
FOO = "scheduling.example.com/foo"
NODES = 3
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


class Space:
    """Pods of one namespace, nodes with something to give, priorities."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.hands = Hands(api, namespace)
        self.nodes: list[str] = eventually(self._schedulable, 30)
        self._classes: list[str] = []
        self._given: set[str] = set()

    def _schedulable(self) -> list[str] | None:
        nodes = fine(self.api.get("/api/v1/nodes"))["items"]
        good = [n for n in nodes if "Ready" in conditions(n) and not n["spec"].get("taints")]
        return sorted(node["metadata"]["name"] for node in good) if len(good) == NODES else None

    def give(self, node: str, amount: int) -> None:
        """A node has so much of an extended resource."""
        self._given.add(node)
        path = f"/api/v1/nodes/{node}/status"
        amounts = {FOO: str(amount) if amount else None}
        fine(self.api.patch(path, {"status": {"capacity": amounts, "allocatable": amounts}}))
        eventually(
            lambda: (
                fine(self.api.get(f"/api/v1/nodes/{node}"))["status"]["allocatable"].get(FOO) == amounts[FOO]
            )
        )

    def priority(self, name: str, value: int) -> str:
        """The name of a PriorityClass of this test's own."""
        body = {"metadata": {"name": f"{self.namespace}-{name}"}, "value": value}
        made: str = fine(self.api.post(CLASSES, body), 201)["metadata"]["name"]
        self._classes.append(made)
        return made

    def pod(self, name: str, amount: int = 0, finalizer: str = "", **spec: Any) -> Object:
        container: Object = {"name": "main", "image": "app", **spec.pop("container", {})}
        if amount:
            container["resources"] = {"requests": {FOO: str(amount)}, "limits": {FOO: str(amount)}}
        metadata: Object = {"name": name, **({"finalizers": [finalizer]} if finalizer else {})}
        body = {"metadata": metadata, "spec": {"terminationGracePeriodSeconds": 0, **spec}}
        body["spec"]["containers"] = [container]
        return fine(self.api.post(self.hands.path, body), 201)

    def node_of(self, name: str) -> str:
        """Where it runs."""
        pod = self.hands.get(name)
        return str(pod["spec"]["nodeName"]) if pod["status"].get("phase") == "Running" else ""

    def refusal(self, name: str) -> str:
        """Why the scheduler has found no node for it."""
        found = self.hands.get(name)["status"].get("conditions") or ()
        return next((c["message"] for c in found if c.get("reason") == "Unschedulable"), "")

    def close(self) -> None:
        for name in self._classes:
            fine(self.api.delete(f"{CLASSES}/{name}"))
        for node in self._given:
            self.give(node, 0)


@pytest.fixture
def space(kube_cluster: KubeServer, kube_cluster_namespace: str) -> Iterator[Space]:
    made = Space(Api(kube_cluster.kubeconfig), kube_cluster_namespace)
    yield made
    made.close()


def test_scheduler_resource_limits(space: Space) -> None:
    """What is left of every node is taken by a pod; then there is no place for another of that size."""
    for node in space.nodes:
        space.give(node, 4)
        space.pod(f"filler-{node}", 3, nodeSelector={"kubernetes.io/hostname": node})
    eventually(lambda: all(space.node_of(f"filler-{node}") == node for node in space.nodes), 30)
    space.pod("additional", 3)
    text = eventually(lambda: space.refusal("additional"), 30)
    assert text.startswith(f"0/{len(space.nodes)} nodes are available: ")
    assert f"{len(space.nodes)} Insufficient {FOO}" in text
    events = fine(space.api.get(space.hands.path.replace("pods", "events")))["items"]
    assert [e["involvedObject"]["name"] for e in events if e["reason"] == "FailedScheduling"] == [
        "additional"
    ]
    whole = {"resources": {"requests": {"cpu": "1000"}}}
    space.pod("enormous", container=whole)
    assert "Insufficient cpu" in eventually(lambda: space.refusal("enormous"), 30)
    fine(space.api.delete(f"{space.hands.path}/filler-{space.nodes[0]}"))
    eventually(lambda: space.node_of("additional") == space.nodes[0], 30)


def test_scheduler_node_selector_matching(space: Space) -> None:
    node, key = space.nodes[1], f"example.com/{space.namespace}"
    space.pod("before", nodeSelector={key: "42"})
    eventually(lambda: "didn't match Pod's node affinity/selector" in space.refusal("before"), 30)
    fine(space.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {key: "42"}}}))
    space.pod("after", nodeSelector={key: "42"})
    eventually(lambda: space.node_of("before") == space.node_of("after") == node, 30)
    space.pod("other", nodeSelector={key: "nonempty"})
    eventually(lambda: space.refusal("other"), 30)
    fine(space.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {key: None}}}))


def test_scheduling_hostport_and_protocol_match_hostips_different_but_one_is_default_hostip_0_0_0_0(
    space: Space,
) -> None:
    where = {"kubernetes.io/hostname": space.nodes[0]}

    def listens(address: str, protocol: str = "TCP") -> Object:
        port = {"containerPort": 8080, "hostPort": 54322, "protocol": protocol}
        return {"ports": [{**port, **({"hostIP": address} if address else {})}]}

    space.pod("pod4", nodeSelector=where, container=listens(""))
    eventually(lambda: space.node_of("pod4") == space.nodes[0], 30)
    space.pod("pod5", nodeSelector=where, container=listens("127.0.0.1"))
    text = eventually(lambda: space.refusal("pod5"), 30)
    assert "1 node(s) didn't have free ports for the requested pod ports" in text
    space.pod("pod6", nodeSelector=where, container=listens("127.0.0.1", "UDP"))
    eventually(lambda: space.node_of("pod6") == space.nodes[0], 30)
    assert not space.node_of("pod5")


def test_scheduler_basic_preemption(space: Space) -> None:
    """Each node is full of pods of low and of middle priority; one of high priority takes the place of a low one."""
    low, middle, high = (space.priority(n, v) for n, v in (("low", 1), ("middle", 100), ("high", 1000)))
    for number, node in enumerate(space.nodes):
        space.give(node, 5)
        for priority in (low, middle) if number == 0 else (middle, middle):
            name = f"{node}-{len(space.hands.pods())}"
            space.pod(name, 2, priorityClassName=priority, nodeSelector={"kubernetes.io/hostname": node})
            eventually(lambda name=name: space.node_of(name), 30)
    before = {pod["metadata"]["name"]: pod for pod in space.hands.pods()}
    assert all(conditions(pod)["Ready"] == "" for pod in before.values())
    (victim,) = [name for name, pod in before.items() if pod["spec"]["priority"] == 1]
    space.pod("preemptor", 2, priorityClassName=high)
    eventually(lambda: space.node_of("preemptor"), 30)
    assert space.node_of("preemptor") == before[victim]["spec"]["nodeName"]
    assert sorted(space.hands.names()) == sorted([*(set(before) - {victim}), "preemptor"])
    for name in set(before) - {victim}:
        assert not space.hands.get(name)["metadata"].get("deletionTimestamp")


def test_verify_the_disruptiontarget_condition_is_added_to_the_preempted_pod(space: Space) -> None:
    low, high = space.priority("low", 1), space.priority("high", 1000)
    node = space.nodes[0]
    space.give(node, 1)
    space.pod("victim", 1, "example.com/test-finalizer", priorityClassName=low)
    eventually(lambda: space.node_of("victim") == node, 30)
    space.pod("preemptor", 1, priorityClassName=high)
    eventually(lambda: space.hands.get("victim")["metadata"].get("deletionTimestamp"), 30)
    victim = space.hands.get("victim")
    assert conditions(victim)["DisruptionTarget"] == "PreemptionByScheduler"
    eventually(lambda: space.node_of("preemptor") == node, 30)
    assert conditions(space.hands.get("victim"))["DisruptionTarget"] == "PreemptionByScheduler"
    fine(space.api.patch(f"{space.hands.path}/victim", {"metadata": {"finalizers": None}}))
    eventually(lambda: space.api.get(f"{space.hands.path}/victim").code == 404, 30)


def test_pod_preemption_verification(space: Space) -> None:
    """ReplicaSets of four priorities: the fourth is worth the place of the first two, and they wait."""
    node = space.nodes[0]
    space.give(node, 100)
    path = f"/apis/apps/v1/namespaces/{space.namespace}/replicasets"

    def replica_set(number: int, amount: int) -> None:
        resources = {"requests": {FOO: str(amount)}, "limits": {FOO: str(amount)}}
        pod = {
            "priorityClassName": space.priority(f"p{number}", number),
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "app", "resources": resources}],
        }
        labels = {"name": f"pod{number}"}
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        fine(space.api.post(path, {"metadata": {"name": f"rs-pod{number}"}, "spec": spec}), 201)

    def running() -> list[int]:
        pods = [pod for pod in space.hands.pods() if pod["status"].get("phase") == "Running"]
        return sorted(int(pod["metadata"]["labels"]["name"].removeprefix("pod")) for pod in pods)

    version = fine(space.api.get(space.hands.path))["metadata"]["resourceVersion"]
    for number, amount in ((1, 20), (2, 30), (3, 45)):
        replica_set(number, amount)
    eventually(lambda: running() == [1, 2, 3], 30)
    replica_set(4, 50)
    eventually(lambda: 4 in running(), 30)
    # Together they would be more than there is: the two of least priority have made way, and are made anew.
    eventually(lambda: running() == [3, 4], 30)

    def counts(number: int) -> tuple[int, int]:
        status = fine(space.api.get(f"{path}/rs-pod{number}"))["status"]
        return status["replicas"], status.get("readyReplicas", 0)

    for number, ready in ((1, 0), (2, 0), (3, 1), (4, 1)):
        eventually(lambda number=number: len(space.hands.pods(f"name=pod{number}")) == 1, 30)
        eventually(lambda number=number, ready=ready: counts(number) == (1, ready), 30)
    # Nobody had to go twice.
    with space.api.watch(f"{space.hands.path}?resourceVersion={version}") as events:
        made: Counter[str] = Counter()
        for event in events:
            if event["type"] == "ADDED":
                made[event["object"]["metadata"]["labels"]["name"]] += 1
            if sum(made.values()) == 6:
                break
    assert made == {"pod1": 2, "pod2": 2, "pod3": 1, "pod4": 1}
