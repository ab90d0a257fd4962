"""Volumes, claims and their controllers, run against each other until nothing changes."""

from __future__ import annotations

from typing import Any

from clustermodel import ClusterModel

from apimachinery import meta, resources
from controllermanager.plans import claimbinding, localpath, volumebinding, volumematch, volumeprotection
from controllermanager.plans.volumematch import CLAIMS, CLASSES, VOLUMES

NODES = resources.get("nodes")
PODS = resources.get("pods")
Object = dict[str, Any]


class Storage(ClusterModel):
    """Claims, volumes, classes and nodes, brought to rest by the plans."""

    def volume(self, name: str, size: str = "1Gi", modes: Any = ("ReadWriteOnce",), **spec: Any) -> Object:
        spec = {
            "capacity": {"storage": size},
            "accessModes": list(modes),
            "persistentVolumeReclaimPolicy": "Retain",
            "volumeMode": "Filesystem",
            "hostPath": {"path": f"/data/{name}"},
            **spec,
        }
        finalizers = [volumeprotection.VOLUME_FINALIZER]
        return self.add(
            VOLUMES, {"metadata": {"name": name, "finalizers": finalizers}, "spec": spec, "status": {}}
        )

    def claim(
        self,
        name: str,
        size: str = "1Gi",
        modes: Any = ("ReadWriteOnce",),
        annotations: Any = None,
        **spec: Any,
    ) -> Object:
        spec = {
            "resources": {"requests": {"storage": size}},
            "accessModes": list(modes),
            "storageClassName": "",
            "volumeMode": "Filesystem",
            **spec,
        }
        metadata = {
            "name": name,
            "finalizers": [volumeprotection.CLAIM_FINALIZER],
            "annotations": annotations or {},
        }
        return self.add(CLAIMS, {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})

    def storage_class(self, name: str, **more: Any) -> None:
        metadata = {"name": name, "annotations": more.pop("annotations", {})}
        self.add(CLASSES, {"metadata": metadata, "provisioner": localpath.PROVISIONER, **more})

    def standard(self, policy: str = "Delete") -> None:
        self.storage_class("standard", volumeBindingMode="WaitForFirstConsumer", reclaimPolicy=policy)

    def node(self, name: str = "n1") -> None:
        annotations = {localpath.ROOT_ANNOTATION: "/root/local-path"}
        labels = {"kubernetes.io/hostname": name}
        self.add(NODES, {"metadata": {"name": name, "labels": labels, "annotations": annotations}})

    def _maybe(self, resource: Any, name: str, namespace: str = "ns") -> Object | None:
        return self.objects.get((resource, namespace if resource.namespaced else "", name))

    def claim_plan(self, claim: Object) -> list[Any]:
        class_name = volumematch.class_of(claim)
        snapshot = claimbinding.Snapshot(
            claim,
            self.of(VOLUMES),
            self._maybe(VOLUMES, claim["spec"].get("volumeName", "")),
            self._maybe(CLASSES, class_name),
            volumematch.default_class(self.of(CLASSES)),
            self._maybe(NODES, meta.annotations(claim).get(localpath.SELECTED_NODE, "")),
        )
        return claimbinding.plan(snapshot, self.now)

    def volume_plan(self, volume: Object) -> list[Any]:
        ref = volume["spec"].get("claimRef") or {}
        claim = self._maybe(CLAIMS, ref.get("name", ""))
        node = self._maybe(NODES, localpath.node_of(volume))
        return volumebinding.plan(volumebinding.Snapshot(volume, claim, node), self.now)

    def protect(self) -> None:
        pods = self.pods(PODS)
        for claim in self.of(CLAIMS):
            used = volumeprotection.in_use(claim["metadata"]["name"], pods)
            self.carry_out(volumeprotection.plan_claim(claim, used))
        for volume in self.of(VOLUMES):
            self.carry_out(volumeprotection.plan_volume(volume))

    def step(self, resource: Any, name: str, stop_after: int | None = None) -> int:
        """One turn for one object, which may stop after some actions. How many actions were carried out."""
        obj = self._maybe(resource, name)
        if obj is None:
            return 0
        actions = self.claim_plan(obj) if resource == CLAIMS else self.volume_plan(obj)
        changes = [a for a in actions if not isinstance(a, claimbinding.Event)]
        self.events += [a for a in actions if isinstance(a, claimbinding.Event)]
        changes = changes[:stop_after]
        self.carry_out(changes)
        return len(changes)

    def settle(self) -> None:
        for _ in range(50):
            self.protect()
            before = self.revision
            for resource in (VOLUMES, CLAIMS):
                for obj in self.of(resource):
                    self.step(resource, obj["metadata"]["name"])
            if self.revision == before:
                return
        raise AssertionError("no rest")

    def phase(self, resource: Any, name: str) -> str:
        return str(self.get(resource, name)["status"]["phase"])

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events]

    def delete(self, resource: Any, name: str) -> None:
        obj = self.get(resource, name)
        metadata = obj["metadata"]
        self.carry_out([localpath.Delete(resource, metadata.get("namespace", ""), name, metadata["uid"])])
        self.settle()
