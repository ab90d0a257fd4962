"""Area storage: the life cycles of the storage APIs."""

from __future__ import annotations

from typing import Any

from apiclient import STRATEGIC, Api
from lifecycle import LifeCycle, check_discovery, covers, fine

from apimachinery import resources

Object = dict[str, Any]
STORAGE = "storage.k8s.io/v1"


def _relabelled(life: LifeCycle, name: str) -> None:
    """A label is added by a patch, another value by an update; a second object of the name is refused."""
    obj = life.get(name)
    again = life.api.post(life.path, {**life.template, "metadata": {"name": name}})
    assert (again.code, again["reason"]) == (409, "AlreadyExists")
    patched = fine(life.api.patch(life.at(name), {"metadata": {"labels": {name: "patched"}}}, STRATEGIC))
    assert patched["metadata"]["labels"][name] == "patched"
    obj = life.get(name)
    obj["metadata"]["labels"][name] = "updated"
    assert fine(life.api.put(life.at(name), obj))["metadata"]["labels"][name] == "updated"
    listed = fine(life.api.get(f"{life.path}?labelSelector={name}%3Dupdated"))
    assert [item["metadata"]["name"] for item in listed["items"]] == [name]


def test_csidriver_lifecycle(api: Api) -> None:
    spec = {"volumeLifecycleModes": ["Ephemeral"], "fsGroupPolicy": "ReadWriteOnceWithFSType"}
    life = LifeCycle(api, {"apiVersion": STORAGE, "kind": "CSIDriver", "spec": spec})
    driver = life.make("inline-driver-1")
    assert driver["spec"]["fsGroupPolicy"] == "ReadWriteOnceWithFSType"
    assert driver["spec"]["attachRequired"] is True
    life.template["spec"]["volumeLifecycleModes"] = ["Persistent", "Ephemeral"]
    life.make("inline-driver-2")
    _relabelled(life, "inline-driver-2")
    life.run()


def test_csinode_lifecycle(api: Api) -> None:
    spec = {"drivers": [{"name": "e2e-driver.example.com", "nodeID": "node-1", "topologyKeys": ["zone"]}]}
    life = LifeCycle(api, {"apiVersion": STORAGE, "kind": "CSINode", "spec": spec})
    assert life.make("csinode-1")["spec"] == spec
    _relabelled(life, "csinode-1")
    assert life.api.delete(life.at("csinode-1")).code == 200
    life.make("csinode-1")
    life.run()


def test_csistoragecapacity_api(api: Api, namespace: str) -> None:
    capacity = {"apiVersion": STORAGE, "kind": "CSIStorageCapacity", "storageClassName": "mysc"}
    life = LifeCycle(api, {**capacity, "capacity": "100Gi"}, namespace)
    life.run({"capacity": "1Gi"})
    assert life.make()["storageClassName"] == "mysc"


def test_storageclass_lifecycle(api: Api) -> None:
    life = LifeCycle(
        api, {"apiVersion": STORAGE, "kind": "StorageClass", "provisioner": "e2e.example.com/fake"}
    )
    made = life.make("storageclass-1")
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    _relabelled(life, "storageclass-1")
    life.run()
    # The provisioner and the parameters are for good.
    life.make("storageclass-2")
    refused = api.patch(life.at("storageclass-2"), {"parameters": {"type": "fast"}})
    assert (refused.code, refused["reason"]) == (422, "Invalid")
    fine(api.delete(life.path + life.query))


def test_volumeattributesclass_lifecycle(api: Api) -> None:
    attributes = {"apiVersion": STORAGE, "kind": "VolumeAttributesClass", "driverName": "e2e.example.com"}
    life = LifeCycle(api, {**attributes, "parameters": {"fsType": "ext4"}})
    assert life.make("attributes-1")["driverName"] == "e2e.example.com"
    _relabelled(life, "attributes-1")
    life.run()


def _attachment(api: Api) -> LifeCycle:
    spec = {
        "attacher": "e2e-test.storage.k8s.io",
        "nodeName": "n1",
        "source": {"persistentVolumeName": "pv-1"},
    }
    body = {"apiVersion": STORAGE, "kind": "VolumeAttachment", "spec": spec, "status": {"attached": True}}
    return LifeCycle(api, body)


def test_volumeattachment_lifecycle(api: Api) -> None:
    life = _attachment(api)
    life.template["metadata"]["uid"] = "of-the-client"
    first = life.make("va-1")
    assert first["metadata"]["uid"] != "of-the-client"
    del life.template["metadata"]["uid"]
    _relabelled(life, "va-1")
    life.run()


def test_volumeattachment_apply_changes_to_a_volumeattachment_status(api: Api) -> None:
    life = _attachment(api)
    made = life.make("va-status")
    assert made["status"] == {"attached": False}
    life.check_status("va-status", {"attached": True}, {"attached": False})
    assert api.delete(life.at("va-status")).code == 200
    assert life.list() == []


def test_csiinlinevolumes_should_support_pods_with_inline_volumes(api: Api, namespace: str) -> None:
    volumes = [
        {"name": "csi-inline-vol1", "csi": {"driver": "e2e.example.com"}},
        {"name": "csi-inline-vol2", "csi": {"driver": "e2e.example.com", "fsType": "ext4", "readOnly": True}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/mnt/{v['name']}"} for v in volumes]
    spec = {"volumes": volumes, "containers": [{"name": "c", "image": "busybox", "volumeMounts": mounts}]}
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "Pod", "spec": spec}, namespace)
    made = life.make("pod-csi-inline-volumes")
    assert made["spec"]["volumes"] == volumes
    _relabelled(life, "pod-csi-inline-volumes")
    assert len(life.list()) == 1
    life.run()


def test_persistentvolumes_claims_apply_changes_to_a_pv_pvc_status(api: Api, namespace: str) -> None:
    source = {"hostPath": {"path": "/tmp/e2e", "type": ""}}
    volume = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "none"}
    pv = LifeCycle(api, {"apiVersion": "v1", "kind": "PersistentVolume", "spec": {**volume, **source}})
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "none",
    }
    pvc = LifeCycle(api, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": claim}, namespace)
    made = pv.make("pv-status")
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["spec"]["volumeMode"] == "Filesystem"
    pvc.make("pvc-status")
    assert [item["metadata"]["name"] for item in pv.list()] == ["pv-status"]
    assert [item["metadata"]["name"] for item in pvc.list()] == ["pvc-status"]
    assert pv.get("pv-status", "status")["status"]["phase"] == "Pending"
    assert pvc.get("pvc-status", "status")["status"]["phase"] == "Pending"

    condition = {
        "type": "StatusUpdate",
        "status": "True",
        "reason": "E2E patchStatus",
        "message": "Set from e2e",
    }
    # As clients send it: a condition without times, merged by its type.
    patched = fine(
        api.patch(pvc.at("pvc-status", "status"), {"status": {"conditions": [condition]}}, STRATEGIC)
    )
    assert covers(patched["status"]["conditions"], [condition])
    other = {"type": "StatusUpdated", "status": "True", "reason": "E2E updateStatus", "message": "Set again"}
    pvc.check_status("pvc-status", {"conditions": [condition]}, {"conditions": [condition, other]})
    pv.check_status(
        "pv-status",
        {"message": "StatusPatched", "reason": "E2E patchStatus"},
        {"message": "StatusUpdated", "reason": "E2E updateStatus"},
    )
    pv.api.delete(pv.at("pv-status"))
    check_discovery(api, resources.get("persistentvolumes"), "status")


def test_persistentvolumes_claims_lifecycle(api: Api, namespace: str) -> None:
    """PersistentVolumes(Claims), lifecycle."""
    spec = {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/tmp/e2e"},
        "storageClassName": "none",
    }  # fmt: skip
    LifeCycle(api, {"apiVersion": "v1", "kind": "PersistentVolume", "spec": spec}).run()
    claim = {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "none",
    }  # fmt: skip
    LifeCycle(api, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": claim}, namespace).run()
