"""Area storage: lives of the storage API's objects as clients in Go lead them, with every controller watching.

Such clients send all fields a type has, null where there is nothing, and expect what they delete to be gone in 30 s.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from localcluster import LocalCluster, until
from podset import Pods

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
STORAGE = "/apis/storage.k8s.io/v1"
SECONDS = 30.0
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
META = {"creationTimestamp": None}


class Resource:
    """The objects at one path, asked for by raw requests."""

    def __init__(self, cluster: LocalCluster, path: str) -> None:
        self.client = cluster.core.api_client
        self.path = path

    def ask(self, method: str, path: str = "", body: Any = None, kind: str = "application/json") -> Object:
        """The answer, with its HTTP code as `code` where it is a refusal."""
        answer = self.client.rest_client.pool_manager.request(
            method, f"{self.client.configuration.host}{self.path}{path}",
            body=None if body is None else json.dumps(body), headers={"Content-Type": kind},
        )  # fmt: skip
        found: Object = json.loads(answer.data)
        return {**found, "code": answer.status} if answer.status >= 400 else found

    def create(self, body: Object, name: str) -> Object:
        body = {**body, "metadata": {**META, **body.get("metadata", {}), "name": name}}
        made = self.ask("POST", "", body)
        assert made["metadata"].get("name") == name and made["metadata"]["uid"], made
        assert self.ask("POST", "", body)["reason"] == "AlreadyExists"
        found = self.ask("GET", f"/{name}")
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        return found

    def label(self, name: str, kind: str = STRATEGIC) -> None:
        before = self.ask("GET", f"/{name}")
        patched = self.ask("PATCH", f"/{name}", {"metadata": {"labels": {name: "patched"}}}, kind)
        assert patched["metadata"]["labels"][name] == "patched"
        versions = [int(each["metadata"]["resourceVersion"]) for each in (before, patched)]
        assert versions[0] < versions[1]
        assert len(self.chosen(f"{name}=patched")) == 1

    def chosen(self, selector: str) -> list[Object]:
        items: list[Object] = self.ask("GET", f"?labelSelector={selector}")["items"]
        return items

    def update(self, name: str, change: Any, subresource: str = "") -> Object:
        """What came of an update of the object as it is; tried again when it is not so any more."""
        made: Object = {}

        def done() -> bool:
            current = self.ask("GET", f"/{name}")
            change(current)
            answer = self.ask("PUT", f"/{name}{subresource}", current)
            assert answer.get("code") in (None, 409), answer
            made.update(answer)
            return "code" not in answer

        until(done, SECONDS)
        return {key: value for key, value in made.items() if key != "code"}

    def relabel(self, name: str) -> None:
        def change(current: Object) -> None:
            current["metadata"]["labels"] = {**current["metadata"].get("labels", {}), name: "updated"}

        assert self.update(name, change)["metadata"]["labels"][name] == "updated"
        assert len(self.chosen(f"{name}=updated")) == 1

    def delete(self, name: str) -> None:
        assert "code" not in self.ask("DELETE", f"/{name}")
        until(lambda: self.ask("GET", f"/{name}").get("code") == 404, SECONDS, f"{name} to be gone")

    def delete_chosen(self, selector: str) -> None:
        assert "code" not in self.ask("DELETE", f"?labelSelector={selector}")
        until(lambda: not self.chosen(selector), SECONDS, f"what {selector} chooses to be gone")

    def live(self, body: Object, first: str, second: str) -> None:
        self.create(body, first)
        self.label(first)
        self.delete(first)
        self.create(body, second)
        self.relabel(second)
        self.delete_chosen(f"{second}=updated")


def test_csinode_lifecycle(cluster: LocalCluster) -> None:
    Resource(cluster, f"{STORAGE}/csinodes").live(
        {"spec": {"drivers": None}}, "life-csinode-1", "life-csinode-2"
    )


def test_storageclass_lifecycle(cluster: LocalCluster) -> None:
    body = {
        "provisioner": "e2e-fake-provisioner", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
        "mountOptions": None, "parameters": {"provider": "e2e-fake"},
    }  # fmt: skip
    Resource(cluster, f"{STORAGE}/storageclasses").live(body, "life-class-1", "life-class-2")


def test_volumeattributesclass_lifecycle(cluster: LocalCluster) -> None:
    body = {"driverName": "e2e-fake-driver", "parameters": {"provider": "e2e-fake", "iops": "2000"}}
    Resource(cluster, f"{STORAGE}/volumeattributesclasses").live(
        body, "life-attributes-1", "life-attributes-2"
    )


def test_volumeattributesclass_that_a_claim_names_stays_until_the_claim_goes(pods: Pods) -> None:
    classes = Resource(pods.cluster, f"{STORAGE}/volumeattributesclasses")
    classes.create({"driverName": "e2e-fake-driver", "parameters": {"iops": "2000"}}, "vac-used")
    _, _, claims, claim = volume(pods, "attributes")
    claim["spec"]["volumeAttributesClassName"] = "vac-used"
    claims.create(claim, "claim-attributes")
    assert "code" not in classes.ask("DELETE", "/vac-used")
    assert classes.ask("GET", "/vac-used")["metadata"]["deletionTimestamp"]
    claims.delete("claim-attributes")
    until(lambda: classes.ask("GET", "/vac-used").get("code") == 404, SECONDS, "the class to be gone")


def test_csidriver_lifecycle(cluster: LocalCluster) -> None:
    drivers = Resource(cluster, f"{STORAGE}/csidrivers")
    policy = "ReadWriteOnceWithFSType"
    labels = {"labels": {"e2e-test": "drivers"}}
    for name, modes in (("inline-1", ["Ephemeral"]), ("inline-2", ["Persistent", "Ephemeral"])):
        spec = {"volumeLifecycleModes": modes, "fsGroupPolicy": policy}
        made = drivers.create({"spec": spec, "metadata": labels}, name)
        assert made["spec"]["volumeLifecycleModes"] == modes and made["spec"]["attachRequired"] is True
    drivers.label("inline-2")
    drivers.relabel("inline-2")
    assert len(drivers.chosen("e2e-test=drivers")) == 2
    drivers.delete("inline-1")
    drivers.delete_chosen("inline-2=updated")


def test_csistoragecapacity_api(pods: Pods) -> None:
    path = f"{STORAGE}/namespaces/{pods.namespace}/csistoragecapacities"
    body = {"storageClassName": "e2e", "capacity": "1Gi", "nodeTopology": None}
    capacities = Resource(pods.cluster, path)
    capacities.live(body, "capacity-1", "capacity-2")
    group = Resource(pods.cluster, "/apis").ask("GET")["groups"]
    versions = next(each["versions"] for each in group if each["name"] == "storage.k8s.io")
    assert "v1" in [each["version"] for each in versions]
    found = Resource(pods.cluster, STORAGE).ask("GET")["resources"]
    verbs = next(each["verbs"] for each in found if each["name"] == "csistoragecapacities")
    assert set(verbs) == {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}


def attachment(cluster: LocalCluster, name: str) -> Object:
    """Of a volume and by a driver that are not there, to a node that is."""
    node = cluster.core.list_node().items[0].metadata.name
    source = {"persistentVolumeName": f"pv-{name}"}
    spec = {"attacher": "e2e-test.storage.k8s.io", "nodeName": node, "source": source}
    return {"metadata": {"uid": name}, "spec": spec, "status": {"attached": False}}


def test_volumeattachment_lifecycle(cluster: LocalCluster) -> None:
    attachments = Resource(cluster, f"{STORAGE}/volumeattachments")
    attachments.create(attachment(cluster, "va-1"), "va-1")
    attachments.label("va-1", MERGE)
    attachments.delete("va-1")

    def relabel(current: Object) -> None:
        current["metadata"]["labels"] = {"va-e2e": "updated"}

    for name in ("va-2", "va-3"):
        attachments.create(attachment(cluster, name), name)
        assert attachments.update(name, relabel)["metadata"]["labels"] == {"va-e2e": "updated"}
    attachments.delete_chosen("va-e2e=updated")


def test_volumeattachment_apply_changes_to_a_volumeattachment_status(cluster: LocalCluster) -> None:
    attachments = Resource(cluster, f"{STORAGE}/volumeattachments")
    attachments.create(attachment(cluster, "va-status"), "va-status")
    attachments.label("va-status", MERGE)
    assert attachments.ask("GET", "/va-status/status")["status"]["attached"] is False
    patched = attachments.ask("PATCH", "/va-status/status", {"status": {"attached": True}}, MERGE)
    assert patched["status"]["attached"] is True
    updated = attachments.update(
        "va-status", lambda current: current["status"].update(attached=False), "/status"
    )
    assert updated["status"]["attached"] is False
    attachments.delete("va-status")


def volume(pods: Pods, driver: str) -> tuple[Resource, Object, Resource, Object]:
    """A volume of a driver nobody runs, and a claim that fits it, with where they are made."""
    volumes = Resource(pods.cluster, "/api/v1/persistentvolumes")
    claims = Resource(pods.cluster, f"/api/v1/namespaces/{pods.namespace}/persistentvolumeclaims")
    pv = {
        "metadata": {"labels": {"e2e-pv-pool": driver}},
        "spec": {
            "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": driver,
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": None,
            "csi": {"driver": f"{driver}.example.com", "volumeHandle": "e2e-conformance"},
        },
        "status": {},
    }  # fmt: skip
    claim = {
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}},
            "storageClassName": driver, "selector": None,
        },
        "status": {},
    }  # fmt: skip
    return volumes, pv, claims, claim


def bound(volumes: Resource, pv: str, claims: Resource, claim: str) -> None:
    until(lambda: claims.ask("GET", f"/{claim}")["status"]["phase"] == "Bound", SECONDS)
    until(lambda: volumes.ask("GET", f"/{pv}")["status"]["phase"] == "Bound", SECONDS)


def test_persistentvolumes_claims_lifecycle(pods: Pods) -> None:
    volumes, pv, claims, claim = volume(pods, "lifecycle")
    volumes.create(pv, "life-pv-1")
    claims.create(claim, "claim-1")
    assert len(volumes.chosen("e2e-pv-pool=lifecycle")) == 1
    volumes.label("life-pv-1")
    claims.label("claim-1")
    bound(volumes, "life-pv-1", claims, "claim-1")
    claims.delete("claim-1")
    until(lambda: volumes.ask("GET", "/life-pv-1")["status"]["phase"] == "Released", SECONDS)
    volumes.delete("life-pv-1")
    volumes.create(pv, "life-pv-2")
    claims.create(claim, "claim-2")
    volumes.relabel("life-pv-2")
    claims.relabel("claim-2")
    everywhere = Resource(pods.cluster, "/api/v1/persistentvolumeclaims")
    assert len(everywhere.chosen("claim-2=updated")) == 1
    claims.delete_chosen("claim-2=updated")
    volumes.delete_chosen("life-pv-2=updated")


def test_persistentvolumes_claims_apply_changes_to_a_pv_pvc_status(pods: Pods) -> None:
    volumes, pv, claims, claim = volume(pods, "status")
    volumes.create(pv, "pv-status")
    claims.create(claim, "claim-status")
    assert claims.ask("GET", "/claim-status/status")["status"]["phase"] in ("Pending", "Bound")
    assert volumes.ask("GET", "/pv-status/status")["status"]["phase"] in ("Pending", "Available", "Bound")
    condition = {"type": "StatusPatched", "status": "True", "reason": "E2E patchedStatus", "message": "Set"}
    patched = claims.ask("PATCH", "/claim-status/status", {"status": {"conditions": [condition]}}, MERGE)
    assert patched["status"]["conditions"][0].items() >= condition.items()
    status = {"message": "StatusPatched", "reason": "E2E patchStatus"}
    patched = volumes.ask("PATCH", "/pv-status/status", {"status": status}, MERGE)
    assert patched["status"].items() >= status.items()
    bound(volumes, "pv-status", claims, "claim-status")

    times = {"lastProbeTime": None, "lastTransitionTime": None}
    other = {"type": "StatusUpdated", "status": "True", "reason": "E2E updateStatus", "message": "Set"}

    def add(current: Object) -> None:
        current["status"].setdefault("conditions", []).append({**other, **times})

    updated = claims.update("claim-status", add, "/status")
    assert any(each.items() >= other.items() for each in updated["status"]["conditions"])
    status = {"message": "StatusUpdated", "reason": "E2E updateStatus"}
    updated = volumes.update("pv-status", lambda current: current["status"].update(status), "/status")
    assert updated["status"].items() >= status.items()
    claims.delete("claim-status")
    volumes.delete("pv-status")


def test_csiinlinevolumes_should_support_pods_with_inline_volumes(pods: Pods) -> None:
    """Of a driver that no node has: the pod waits, and may go at any time."""
    inline = [
        {"name": "vol1", "csi": {"driver": "e2e.example.com"}},
        {"name": "vol2", "csi": {"driver": "e2e.example.com", "fsType": "ext4", "readOnly": True}},
    ]
    mounts = [{"name": each["name"], "mountPath": f"/mnt/{each['name']}"} for each in inline]
    container = {"name": "main", "image": "pybernetes-test/busybox:1", "volumeMounts": mounts}
    resource = Resource(pods.cluster, f"/api/v1/namespaces/{pods.namespace}/pods")
    made = resource.create({"spec": {"volumes": inline, "containers": [container]}}, "inline")
    assert made["spec"]["volumes"][:2] == inline
    assert len(resource.ask("GET")["items"]) == 1
    body = {"metadata": {"annotations": {"patched": "true"}}}
    assert resource.ask("PATCH", "/inline", body, MERGE)["metadata"]["annotations"]["patched"] == "true"
    until(lambda: pods.get("inline")["spec"].get("nodeName"))
    resource.delete("inline")
