"""What is wrong with volumes of pods and persistent volumes, and with how containers mount them."""

from __future__ import annotations

from typing import Any

import pytest
from validated import META, POD, Object, changed, create_errors, update_errors

V = "spec.volumes[0]"
C = "spec.containers.0."
PATHS = [{"key": "k", "path": "p"}]


def volume(kind: str, settings: Any) -> Object:
    return {"spec.volumes": [{"name": "v", kind: settings}]}


@pytest.mark.parametrize(
    ("kind", "settings", "error"),
    [
        ("gcePersistentDisk", {"pdName": "d", "partition": 256},
         "spec.volumes[0].persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive"),
        ("awsElasticBlockStore", {"volumeID": "d", "partition": -1},
         f"{V}.awsElasticBlockStore.partition: Invalid value: -1: must be between 1 and 255, inclusive"),
        ("nfs", {"server": "s", "path": "p"},
         f'{V}.nfs.path: Invalid value: "p": must be an absolute path'),
        ("gitRepo", {"repository": "r", "directory": "../x"},
         f"{V}.gitRepo.directory: Invalid value: \"../x\": must not contain '..'"),
        ("iscsi", {"targetPortal": "t", "iqn": "abc", "lun": 0},
         f'{V}.iscsi.iqn: Invalid value: "abc": must be valid format starting with iqn, eui, or naa'),
        ("iscsi", {"targetPortal": "t", "iqn": "iqn.1", "lun": 0},
         f'{V}.iscsi.iqn: Invalid value: "iqn.1": must be valid format'),
        ("iscsi", {"targetPortal": "t", "iqn": "eui.0123456789ABCDEF", "lun": 300},
         f"{V}.iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive"),
        ("iscsi", {"targetPortal": "t", "iqn": "eui.0123456789ABCDEF", "lun": 0, "chapAuthSession": True},
         f"{V}.iscsi.secretRef: Required value"),
        ("iscsi", {"targetPortal": "t" * 70, "iqn": "eui.0123456789ABCDEF", "lun": 0,
                   "initiatorName": "eui.0123456789ABCDEF"}, f'{V}.name: Invalid value: "v": Total length of'),
        ("fc", {}, f"{V}.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"),
        ("fc", {"targetWWNs": ["a"]}, f"{V}.fc.lun: Required value: lun is required if targetWWNs is specified"),
        ("fc", {"targetWWNs": ["a"], "wwids": ["b"], "lun": 1},
         f'{V}.fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously'),
        ("flocker", {}, f"{V}.flocker: Required value: one of datasetName and datasetUUID is required"),
        ("flocker", {"datasetName": "a/b"}, f"{V}.flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"),
        ("quobyte", {"registry": "r", "volume": "v"},
         f'{V}.quobyte.registry: Invalid value: "r": must be a host:port pair or multiple pairs separated by'),
        ("flexVolume", {"driver": "d", "options": {"x.kubernetes.io/a": "b"}},
         f'{V}.flexVolume.options[x.kubernetes.io/a]: Invalid value: "x.kubernetes.io/a": kubernetes.io and k8s.io'),
        ("azureDisk", {"diskName": "d", "diskURI": "u", "cachingMode": "Some"},
         f'{V}.azureDisk.cachingMode: Unsupported value: "Some": supported values: "None", "ReadOnly", "ReadWrite"'),
        ("azureDisk", {"diskName": "d", "diskURI": "u"},
         f'{V}.azureDisk.diskURI: Unsupported value: "u": supported values: "https://{{account-name}}.blob.core'),
        ("storageos", {}, f"{V}.storageos.volumeName: Required value"),
        ("cinder", {"volumeID": "d", "secretRef": {}}, f"{V}.cinder.secretRef.name: Required value"),
        ("csi", {"driver": "d", "nodePublishSecretRef": {}}, f"{V}.csi.nodePublishSecretRef.name: Required value"),
        ("csi", {"driver": "d" * 64}, f"{V}.csi.driver: Too long: may not be more than 63 bytes"),
        ("csi", {}, f"{V}.csi.driver: Required value"),
        ("image", {}, f"{V}.image.reference: Required value"),
        ("image", {"reference": "r", "pullPolicy": "Often"}, f'{V}.image.pullPolicy: Unsupported value: "Often"'),
        ("hostPath", {"path": "/a/../b"}, f"{V}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
        ("hostPath", {"path": "/a", "type": "Thing"}, f'{V}.hostPath.type: Unsupported value: "Thing"'),
        ("emptyDir", {"sizeLimit": "-1"},
         f"{V}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"),
        ("ephemeral", {}, f"{V}.ephemeral.volumeClaimTemplate: Required value"),
        ("ephemeral", {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {}}},
         f"{V}.ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set"),
        ("downwardAPI", {"items": [{"path": "a"}]},
         f"{V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"),
        ("downwardAPI", {"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}}]},
         f'{V}.downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.anno'),
        ("downwardAPI", {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels['A b']"}}]},
         f'{V}.downwardAPI.fieldRef: Invalid value: "A b": name part must consist of'),
        ("downwardAPI", {"items": [{"path": "..a", "fieldRef": {"fieldPath": "metadata.name"}}]},
         f"{V}.downwardAPI.path: Invalid value: \"..a\": must not start with '..'"),
        ("downwardAPI", {"items": [{"path": "a", "resourceFieldRef": {
            "containerName": "c", "resource": "limits.cpu", "divisor": "2"}}]},
         f'{V}.downwardAPI.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1'),
        ("projected", {"sources": [{"configMap": {"name": "a", "items": PATHS}},
                                   {"secret": {"name": "b", "items": PATHS}}]},
         f'{V}.projected: Invalid value: "b": conflicting duplicate paths'),
        ("projected", {"sources": [{"configMap": {"name": "a"}, "secret": {"name": "b"}}]},
         f"{V}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"),
        ("projected", {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]},
         f"{V}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a du"),
        ("projected", {"sources": [{"serviceAccountToken": {"path": "t"}}]},
         f"{V}.projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is"),
        ("projected", {"sources": [{"clusterTrustBundle": {"path": "t"}}]},
         f"{V}.projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"),
    ],
)  # fmt: skip
def test_sources_of_volumes(kind: str, settings: Any, error: str) -> None:
    errors = create_errors("pods", changed(POD, volume(kind, settings)))
    assert any(found.startswith(error) for found in errors), errors


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("iscsi", {"targetPortal": "t", "iqn": "iqn.2015-02.example.com:test", "lun": 0}),
        ("fc", {"wwids": ["a"]}),
        ("quobyte", {"registry": "a:1,[::1]:2", "volume": "v"}),
        ("csi", {"driver": "d.example.com", "nodePublishSecretRef": {"name": "s"}}),
        ("image", {"reference": "r"}),
        ("projected", {"sources": [{}]}),
        ("downwardAPI", {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.annotations['x.Y/z']"}}]}),
    ],
)  # fmt: skip
def test_sources_that_are_fine(kind: str, settings: Any) -> None:
    assert create_errors("pods", changed(POD, volume(kind, settings))) == []


def test_paths_below_an_image_volume_are_fine() -> None:
    mounts = {C + "volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "b"}]}
    assert create_errors("pods", changed(POD, volume("image", {"reference": "r"}) | mounts)) == []


def test_claims_made_for_a_pod() -> None:
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}
    made = {"name": "v", "ephemeral": {"volumeClaimTemplate": claim}}
    used = {"name": "w", "persistentVolumeClaim": {"claimName": "x-v"}}
    assert create_errors("pods", changed(POD, {"spec.volumes": [made, used]})) == [
        'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "x-v": '
        "must not reference a PVC that gets created for an ephemeral volume"
    ]
    long = changed(POD, {"spec.volumes": [made], "metadata.name": "n" * 252})
    assert any(
        f'PVC name "{"n" * 252}-v": must be no more than 253' in e for e in create_errors("pods", long)
    )
    # The same spec is fine in a pod of another name, and wrong again in the first.
    assert create_errors("pods", changed(long, {"metadata.name": "n"})) == []
    assert create_errors("pods", long) != []


BLOCK = {"spec.volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({C + "volumeMounts": [{"name": "v"}]}, "spec.containers[0].volumeMounts[0].mountPath: Required value"),
        ({C + "volumeMounts": [{"mountPath": "/a"}]}, "spec.containers[0].volumeMounts[0].name: Required value"),
        ({C + "volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]},
         "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is avail"),
        ({C + "volumeMounts": [{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Enabled"}]},
         "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is t"),
        ({C + "volumeMounts": [{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Yes"}]},
         'spec.containers[0].volumeMounts.recursiveReadOnly: Unsupported value: "Yes"'),
        ({**BLOCK, C + "volumeDevices": [{"name": "v", "devicePath": "/d"}],
          C + "volumeMounts": [{"name": "v", "mountPath": "/a"}]},
         'spec.containers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices'),
        ({**BLOCK, C + "volumeDevices": [{"name": "v", "devicePath": "/a/../d"}]},
         'spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/a/../d": can not contain backsteps'),
        ({**BLOCK, C + "volumeDevices": [{"name": "v", "devicePath": "/d"}, {"name": "v", "devicePath": "/e"}]},
         'spec.containers[0].volumeDevices[1].name: Invalid value: "v": must be unique'),
        ({C + "volumeDevices": [{"name": "v", "devicePath": "/d"}]},
         'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of Persi'),
        ({"spec.volumes": [{"name": "V", "emptyDir": {}}], C + "volumeMounts": [{"name": "V", "mountPath": "/a"}]},
         'spec.containers[0].volumeMounts[0].name: Not found: "V"'),
    ],
)  # fmt: skip
def test_mounts(changes: Object, error: str) -> None:
    errors = create_errors("pods", changed(POD, changes))
    assert any(found.startswith(error) for found in errors), errors


PV: Object = {
    "metadata": META,
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "csi": {"driver": "d.example.com", "volumeHandle": "h"},
    },
}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"spec.csi.volumeHandle": ""}, "spec.csi.volumeHandle: Required value"),
        ({"spec.csi.nodeStageSecretRef": {}, "spec.csi.nodePublishSecretRef": {"name": "s"}},
         "spec.csi.nodePublishSecretRef.namespace: Required value"),
        ({"spec.accessModes": []}, "spec.accessModes: Required value"),
        ({"spec.accessModes": ["ReadWriteOncePod", "ReadWriteMany"]},
         "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"),
        ({"spec.capacity": {"storage": "0"}},
         'spec.capacity[storage]: Invalid value: "0": must be greater than zero'),
        ({"spec.capacity": {"cpu": "1"}},
         'spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage"'),
        ({"spec.volumeAttributesClassName": ""},
         "spec.volumeAttributesClassName: Required value: an empty string is disallowed"),
        ({"spec.local": {"path": "/p"}}, "spec.local: Forbidden: may not specify more than 1 volume type"),
    ],
)  # fmt: skip
def test_persistent_volumes(changes: Object, error: str) -> None:
    assert create_errors("persistentvolumes", PV) == []
    errors = create_errors("persistentvolumes", changed(PV, changes))
    assert error in errors, errors


def test_updates_of_persistent_volumes() -> None:
    grown = changed(PV, {"spec.csi.controllerExpandSecretRef": {"name": "s", "namespace": "n"}})
    assert update_errors("persistentvolumes", grown, PV) == []
    other = changed(PV, {"spec.csi.volumeHandle": "other"})
    assert "spec.persistentvolumesource is immutable" in update_errors("persistentvolumes", other, PV)[0]
    expression = {"key": "failure-domain.beta.kubernetes.io/zone", "operator": "In", "values": ["a"]}
    terms = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    old = changed(PV, {"spec.nodeAffinity": terms})
    place = "spec.nodeAffinity.required.nodeSelectorTerms.0.matchExpressions.0."
    stable = changed(old, {place + "key": "topology.kubernetes.io/zone"})
    assert update_errors("persistentvolumes", stable, old) == []
    moved = changed(old, {place + "values": ["b"]})
    assert (
        "field is immutable, except for updating from beta"
        in update_errors("persistentvolumes", moved, old)[0]
    )
