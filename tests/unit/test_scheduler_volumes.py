"""Volumes decide where a pod may run, and pods decide where waiting claims are served."""

from __future__ import annotations

from typing import Any

from naivescheduler import Object, make_node, make_pod

from scheduler.columns import Columns, snapshot
from scheduler.plan import Plan, plan
from scheduler.profiles import BINPACK
from scheduler.views import Claim, Node, Pod, StorageClass, Volume

ZONE = "topology.kubernetes.io/zone"


def claim(name: str, storage_class: str = "slow", volume: str = "", **more: Any) -> Claim:
    obj: Object = {
        "metadata": {"namespace": "default", "name": name, **more.pop("metadata", {})},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": more.pop("modes", ["ReadWriteOnce"]),
            "resources": {"requests": {"storage": "1Gi"}},
            **({"volumeName": volume} if volume else {}),
        },
        "status": {"phase": "Bound" if volume else "Pending"},
    }
    return Claim.of(obj)


def volume(
    name: str, node: str = "", size: str = "1Gi", storage_class: str = "slow", zone: str = ""
) -> Volume:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    spec: Object = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
    }
    if node:
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    labels = {ZONE: zone} if zone else {}
    return Volume.of(
        {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"phase": "Available"}}
    )


def storage_class(
    name: str = "slow", provisioner: str = "kubernetes.io/no-provisioner", **more: Any
) -> StorageClass:
    mode = more.pop("mode", "WaitForFirstConsumer")
    return StorageClass.of(
        {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode, **more}
    )


def columns(*things: Claim | Volume | StorageClass) -> Columns:
    nodes = [make_node(name, labels={ZONE: f"zone-{name}"}) for name in "abc"]
    result = snapshot(Node.of(n) for n in nodes)
    for thing in things:
        if isinstance(thing, Claim):
            result.storage.set_claim((thing.namespace, thing.name), thing)
        elif isinstance(thing, Volume):
            result.storage.set_volume(thing.name, thing)
        else:
            result.storage.set_class(thing.name, thing)
    return result


def pod(name: str, *claims: str) -> Pod:
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return Pod.of(make_pod(name, volumes=volumes))


def message(result: Plan) -> str:
    return result.unplaced[0].message


def test_a_pod_goes_where_its_bound_volume_is() -> None:
    state = columns(claim("c", volume="v"), volume("v", "b"))
    assert plan([pod("p", "c")], state, BINPACK).placements[0].node == "b"


def test_a_volume_out_of_reach_is_the_reason() -> None:
    state = columns(claim("c", volume="v"), volume("v", "elsewhere"))
    assert message(plan([pod("p", "c")], state, BINPACK)) == (
        "0/3 nodes are available: 3 node(s) had volume node affinity conflict. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


def test_a_volume_is_used_in_its_zone() -> None:
    state = columns(claim("c", volume="v"), volume("v", zone="zone-c"))
    assert plan([pod("p", "c")], state, BINPACK).placements[0].node == "c"


def test_a_missing_claim_is_the_reason() -> None:
    assert message(plan([pod("p", "c")], columns(), BINPACK)) == (
        '0/3 nodes are available: persistentvolumeclaim "c" not found. '
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


def test_claims_that_do_not_wait_must_be_bound_first() -> None:
    state = columns(claim("c"), storage_class(mode="Immediate"))
    assert message(plan([pod("p", "c")], state, BINPACK)).startswith(
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    )


def test_a_waiting_claim_gets_a_volume_where_there_is_one() -> None:
    state = columns(claim("c"), storage_class(), volume("v", "b"))
    [placement] = plan([pod("p", "c")], state, BINPACK).placements
    assert placement.node == "b"
    assert placement.volumes[0].volume == "v"


def test_two_claims_do_not_count_on_one_volume() -> None:
    state = columns(
        claim("c"), claim("d"), storage_class(), volume("v", "b"), volume("w", "c"), volume("x", "c")
    )
    [placement] = plan([pod("p", "c", "d")], state, BINPACK).placements
    assert placement.node == "c"
    assert {choice.volume for choice in placement.volumes} == {"w", "x"}


def test_two_pods_do_not_count_on_one_volume() -> None:
    state = columns(claim("c"), claim("d"), storage_class(), volume("v", "b"))
    result = plan([pod("p", "c"), pod("q", "d")], state, BINPACK)
    assert len(result.placements) == 1
    assert "3 node(s) didn't find available persistent volumes to bind" in message(result)


def test_the_smallest_volume_that_will_do_is_taken() -> None:
    state = columns(
        claim("c"), storage_class(), volume("big", "b", "9Gi"), volume("fit", "b"), volume("s", "b", "1Mi")
    )
    assert plan([pod("p", "c")], state, BINPACK).placements[0].volumes[0].volume == "fit"


def test_a_waiting_claim_can_be_provisioned_where_the_class_allows() -> None:
    topology = [{"matchLabelExpressions": [{"key": ZONE, "values": ["zone-b"]}]}]
    state = columns(claim("c"), storage_class(provisioner="example.com/disk", allowedTopologies=topology))
    [placement] = plan([pod("p", "c")], state, BINPACK).placements
    assert (placement.node, placement.volumes[0].volume) == ("b", "")


def test_a_claim_being_provisioned_for_a_node_holds_the_pod_to_it() -> None:
    chosen = {"annotations": {"volume.kubernetes.io/selected-node": "c"}}
    state = columns(claim("c", metadata=chosen), storage_class(provisioner="example.com/disk"))
    assert plan([pod("p", "c")], state, BINPACK).placements[0].node == "c"


def test_a_claim_for_one_pod_is_for_one_pod() -> None:
    state = columns(claim("c", volume="v", modes=["ReadWriteOncePod"]), volume("v"))
    result = plan([pod("p", "c"), pod("q", "c")], state, BINPACK)
    assert [p.pod.name for p in result.placements] == ["p"]
    assert "3 node has pod using PersistentVolumeClaim with the same name" in message(result)


def csi_volume(name: str, handle: str) -> Volume:
    csi = {"driver": "d.example.com", "volumeHandle": handle}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": csi}
    return Volume.of({"metadata": {"name": name}, "spec": spec, "status": {"phase": "Bound"}})


def limited(**counts: int) -> Columns:
    """Four bound CSI volumes, one still to be made, and a limit for each node named."""
    bound = [claim(f"c{i}", volume=f"v{i}") for i in range(4)]
    state = columns(
        *bound,
        *(csi_volume(f"v{i}", f"h{i}") for i in range(4)),
        claim("new", "fast"),
        storage_class("fast", "d.example.com"),
    )
    for node, count in counts.items():
        state.storage.set_limits(node, {"d.example.com": count})
    return state


def test_a_node_gets_no_more_volumes_than_their_driver_takes() -> None:
    state = limited(a=1, b=1, c=2)
    for name, claims, node in (("p0", ["c0"], "a"), ("p1", ["c1"], "b"), ("p2", ["c2"], "c")):
        state.add_pod(pod(name, *claims), node)
    (placed,) = plan([pod("next", "c3")], state, BINPACK).placements
    assert placed.node == "c"
    assert "node(s) exceed max volume count" in message(plan([pod("after", "new")], state, BINPACK))
    # A volume that is there already takes no more room.
    (again,) = plan([pod("again", "c3")], state, BINPACK).placements
    assert again.node == "c"


def test_two_volumes_of_one_pod_count_twice() -> None:
    state = limited(a=1, b=1, c=1)
    assert "node(s) exceed max volume count" in message(plan([pod("p", "c0", "c1")], state, BINPACK))
    state.storage.set_limits("b", {"d.example.com": 2})
    (placed,) = plan([pod("p", "c0", "c1")], state, BINPACK).placements
    assert placed.node == "b"
