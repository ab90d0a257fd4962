"""What the CSI controller asks a driver for a claim, and what it makes of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import quantity
from csicontroller import attaching, csi_pb2, objects, parameters, resizing, topology
from csicontroller.driver import DriverError, Features
from csicontroller.options import CsiControllerConfig
from csicontroller.parameters import ParameterError
from csicontroller.provisioning import Provisioner
from csicontroller.reconciler import CLAIMS, CLASSES, Context, NotYet
from csicontroller.topology import TopologyError
from kubeclient import EventRecorder

Object = dict[str, Any]
DRIVER = "d.example.com"
CLASS: Object = {
    "metadata": {"name": "fast"},
    "provisioner": DRIVER,
    "volumeBindingMode": "WaitForFirstConsumer",
    "parameters": {
        "tier": "gold",
        "csi.storage.k8s.io/fstype": "xfs",
        "csi.storage.k8s.io/provisioner-secret-name": "s-${pvc.name}",
        "csi.storage.k8s.io/provisioner-secret-namespace": "${pvc.namespace}",
        "csi.storage.k8s.io/node-stage-secret-name": "${pvc.annotations['team']}",
        "csi.storage.k8s.io/node-stage-secret-namespace": "storage",
    },
    "mountOptions": ["noatime"],
    "reclaimPolicy": "Delete",
}


def claim(**annotations: str) -> Object:
    return {
        "metadata": {
            "name": "data",
            "namespace": "ns",
            "uid": "u",
            "resourceVersion": "7",
            "annotations": {"volume.kubernetes.io/storage-provisioner": DRIVER, "team": "red", **annotations},
        },
        "spec": {
            "storageClassName": "fast",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def test_a_claim_that_waits_for_a_pod_is_served_when_its_node_is_chosen() -> None:
    assert not objects.is_for(claim(), DRIVER, CLASS)
    chosen = claim(**{"volume.kubernetes.io/selected-node": "n1"})
    assert objects.is_for(chosen, DRIVER, CLASS)
    assert not objects.is_for(chosen, "other", CLASS)
    assert not objects.is_for({**chosen, "spec": {**chosen["spec"], "volumeName": "pv"}}, DRIVER, CLASS)
    assert objects.is_for(claim(), DRIVER, {**CLASS, "volumeBindingMode": "Immediate"})


def test_what_the_driver_is_asked_for() -> None:
    asked = objects.create_request(
        claim(),
        CLASS,
        secrets={"k": "v"},
        source=None,
        places=None,
        capabilities=frozenset(),
        default_fstype="",
    )
    assert asked == {
        "name": "pvc-u",
        "capacity_range": {"required_bytes": 1 << 30},
        "volume_capabilities": [
            {
                "access_mode": {"mode": "SINGLE_NODE_WRITER"},
                "mount": {"fs_type": "xfs", "mount_flags": ["noatime"]},
            }
        ],
        "parameters": {"tier": "gold"},
        "secrets": {"k": "v"},
    }


def test_the_volume_that_comes_of_it() -> None:
    made = objects.persistent_volume(
        claim(),
        CLASS,
        DRIVER,
        handle="h",
        capacity=2 << 30,
        context={"a": "b"},
        places=[{"zone": "z1"}],
        default_fstype="",
    )
    assert made["metadata"]["annotations"] == {
        "pv.kubernetes.io/provisioned-by": DRIVER,
        "volume.kubernetes.io/provisioner-deletion-secret-name": "s-data",
        "volume.kubernetes.io/provisioner-deletion-secret-namespace": "ns",
    }
    spec = made["spec"]
    assert spec["csi"] == {
        "driver": DRIVER,
        "volumeHandle": "h",
        "volumeAttributes": {"a": "b"},
        "fsType": "xfs",
        "nodeStageSecretRef": {"namespace": "storage", "name": "red"},
    }
    assert spec["capacity"] == {"storage": "2Gi"} and spec["claimRef"]["uid"] == "u"
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z1"]}]}


def test_half_a_secret_is_refused() -> None:
    with pytest.raises(ParameterError, match="only one of name and namespace"):
        parameters.secret({"csi.storage.k8s.io/node-stage-secret-name": "x"}, "node-stage", claim(), "pv")
    given = {
        "csi.storage.k8s.io/node-stage-secret-name": "${nothing}",
        "csi.storage.k8s.io/node-stage-secret-namespace": "ns",
    }
    with pytest.raises(ParameterError, match="is not known"):
        parameters.secret(given, "node-stage", claim(), "pv")


@given(st.integers(min_value=1, max_value=1 << 60))
def test_sizes_are_written_exactly(size: int) -> None:
    assert quantity.to_int(objects.bytes_text(size)) == size


def nodes(**zones: str) -> dict[str, Object]:
    return {name: {"metadata": {"labels": {"zone": zone}}} for name, zone in zones.items()}


def csi_nodes(*names: str) -> dict[str, Object]:
    entry = {"name": DRIVER, "nodeID": "id", "topologyKeys": ["zone"]}
    return {name: {"spec": {"drivers": [entry]}} for name in names}


def test_a_volume_is_made_where_its_pod_goes() -> None:
    where = nodes(n1="a", n2="b", n3="b")
    found = topology.requirement(DRIVER, "u", where, csi_nodes("n1", "n2", "n3"), "n2", ())
    assert found is not None
    assert found["requisite"] == [{"segments": {"zone": "a"}}, {"segments": {"zone": "b"}}]
    assert found["preferred"][0] == {"segments": {"zone": "b"}}


def test_a_class_says_where_volumes_may_be() -> None:
    allowed = [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]
    where, there = nodes(n1="a", n2="b"), csi_nodes("n1", "n2")
    found = topology.requirement(DRIVER, "u", where, there, "n1", allowed)
    assert found is not None and found["requisite"] == [{"segments": {"zone": "a"}}]
    with pytest.raises(TopologyError, match="not in allowed topologies"):
        topology.requirement(DRIVER, "u", where, there, "n2", allowed)
    with pytest.raises(TopologyError, match="no topology key found on CSINode n3"):
        topology.requirement(DRIVER, "u", nodes(n3="a"), {}, "n3", ())


def test_a_driver_without_places_is_asked_for_none() -> None:
    bare = {"n1": {"spec": {"drivers": [{"name": DRIVER, "nodeID": "id"}]}}}
    assert topology.requirement(DRIVER, "u", nodes(n1="a"), bare, "n1", ()) is None


def volume(phase: str, policy: str = "Delete", deleting: bool = False) -> Object:
    metadata: Object = {
        "name": "pv",
        "resourceVersion": "1",
        "annotations": {objects.PROVISIONED_BY: DRIVER},
        "finalizers": [objects.PROVISIONER_FINALIZER],
    }
    if deleting:
        metadata["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    csi = {"driver": DRIVER, "volumeHandle": "h"}
    spec = {"csi": csi, "persistentVolumeReclaimPolicy": policy, "claimRef": {"uid": "u"}}
    return {
        "metadata": metadata,
        "spec": {**spec, "capacity": {"storage": "1Gi"}},
        "status": {"phase": phase},
    }


def test_only_what_a_claim_has_left_is_deleted() -> None:
    assert objects.deletable(volume("Released"), DRIVER)
    assert objects.deletable(volume("Released", deleting=True), DRIVER)
    assert not objects.deletable(volume("Bound", deleting=True), DRIVER)
    assert not objects.deletable(volume("Released", "Retain"), DRIVER)
    assert not objects.deletable(volume("Released"), "other")


def test_a_volume_grows_when_its_claim_asks_for_more() -> None:
    asks = claim()
    asks["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    assert resizing.wanted(asks, volume("Bound"), DRIVER) == 0
    asks["spec"]["resources"]["requests"]["storage"] = "2Gi"
    assert resizing.wanted(asks, volume("Bound"), DRIVER) == 2 << 30
    grown = volume("Bound")
    grown["spec"]["capacity"]["storage"] = "2Gi"
    asks["status"]["conditions"] = [{"type": "FileSystemResizePending", "status": "True"}]
    assert resizing.wanted(asks, grown, DRIVER) == 0


def test_the_attachers_finalizer_is_the_one_of_the_sidecar() -> None:
    assert attaching.finalizer("d.example.com/x") == "external-attacher/d-example-com-x"


class FakeDriver:
    """Answers calls as a test has it: `answers` by method, an exception to be raised or a result."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Object]] = []

    async def call(self, method: str, request: Object, seconds: float = 0) -> Any:
        self.calls.append((method, request))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def provisioner(driver: FakeDriver) -> Provisioner:
    config = CsiControllerConfig(csi_address="unix:///nowhere")
    client: Any = None
    recorder = EventRecorder(client, DRIVER)
    features = Features(DRIVER, frozenset({"CREATE_DELETE_VOLUME"}))
    context = Context(client, recorder, driver, features, config)  # type: ignore[arg-type]
    made = Provisioner(context)
    plain = {**CLASS, "parameters": {}, "volumeBindingMode": "Immediate"}
    context.informer(CLASSES).store["", "fast"] = plain
    context.informer(CLAIMS).store["ns", "data"] = claim()
    return made


async def test_a_volume_that_may_have_been_made_is_deleted_when_its_claim_is_gone() -> None:
    driver = FakeDriver(CreateVolume=DriverError("DeadlineExceeded", "slow"), DeleteVolume=None)
    made = provisioner(driver)
    with pytest.raises(NotYet, match="slow"):
        await made.sync(("ns", "data"))
    del made.context.informer(CLAIMS).store["ns", "data"]
    with pytest.raises(DriverError, match="slow"):
        await made.sync(("ns", "data"))
    volume = csi_pb2.Volume(volume_id="h", capacity_bytes=1 << 30)
    driver.answers["CreateVolume"] = csi_pb2.CreateVolumeResponse(volume=volume)
    await made.sync(("ns", "data"))
    assert driver.calls[-1] == ("DeleteVolume", {"volume_id": "h", "secrets": {}})
    asked = len(driver.calls)
    await made.sync(("ns", "data"))
    assert len(driver.calls) == asked


async def test_a_claim_that_was_refused_leaves_nothing_to_look_after() -> None:
    driver = FakeDriver(CreateVolume=DriverError("InvalidArgument", "no"))
    made = provisioner(driver)
    with pytest.raises(NotYet, match="no"):
        await made.sync(("ns", "data"))
    del made.context.informer(CLAIMS).store["ns", "data"]
    await made.sync(("ns", "data"))
    assert [method for method, _ in driver.calls] == ["CreateVolume"]
