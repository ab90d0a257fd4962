"""CSI volumes on real nodes: a driver of its own processes, our controller for it, pods that use what it makes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from busyboximage import NAME as IMAGE
from csicluster import CLASS, DRIVER, ZONE, Driver, traces
from kubernetes.client.exceptions import ApiException
from localcluster import LocalCluster, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def driver(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """One driver for all tests here. It leaves nothing behind."""
    # A socket's path may not be long.
    made = Driver(cluster, tmp_path_factory.mktemp("csi"))
    spec = {"attachRequired": True, "podInfoOnMount": True, "fsGroupPolicy": "File"}
    modes = {"volumeLifecycleModes": ["Persistent", "Ephemeral"]}
    tokens = {"tokenRequests": [{"audience": "vault", "expirationSeconds": 3600}]}
    cluster.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": {"name": DRIVER},
            "spec": {**spec, **modes, **tokens},
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": CLASS},
            "provisioner": DRIVER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
            "mountOptions": ["noatime"],
            "parameters": {
                "tier": "gold",
                "csi.storage.k8s.io/node-stage-secret-name": "login",
                "csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}",
            },
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": f"{CLASS}-now"},
            "provisioner": DRIVER,
            "volumeBindingMode": "Immediate",
        },
    )
    made.start()
    yield made
    try:
        until(lambda: not traces(made), 60, "nothing to be left")
    finally:
        left = traces(made)
        made.stop_all()
    assert left == []
    for node in made.nodes:
        until(lambda node=node: not made.registered(node), 30, f"{DRIVER} to be signed off on {node}")
    for kind, name in (("csidriver", DRIVER), ("storageclass", CLASS), ("storageclass", f"{CLASS}-now")):
        cluster.kubectl("delete", kind, name)


def claim(namespace: str, name: str, *, storage_class: str = CLASS, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Mi"}},
            **spec,
        },
    }


def pod(namespace: str, name: str, command: str, volume: dict[str, Any], **spec: Any) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "data", **volume}],
            **spec,
        },
    }


def uses(name: str, **more: Any) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name, **more}}


def login(namespace: str) -> dict[str, Any]:
    meta = {"name": "login", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": "sesame"}}


SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def phase(cluster: LocalCluster, namespace: str, name: str, *wanted: str) -> Any:
    def look() -> Any:
        found = cluster.core.read_namespaced_pod(name, namespace)
        return found if found.status.phase in wanted else None

    return until(look, 90, f"pod {name} to be {' or '.join(wanted)}")


def ended(cluster: LocalCluster, namespace: str, name: str) -> Any:
    found = phase(cluster, namespace, name, "Succeeded", "Failed")
    assert found.status.phase == "Succeeded", found.status
    return found


def volume_of(cluster: LocalCluster, namespace: str, name: str) -> Any:
    def look() -> Any:
        found = cluster.core.read_namespaced_persistent_volume_claim(name, namespace)
        return found.spec.volume_name if found.status.phase == "Bound" else None

    return cluster.core.read_persistent_volume(until(look, 60, f"claim {name} to be bound"))


def gone(cluster: LocalCluster, namespace: str, name: str) -> None:
    def look() -> bool:
        try:
            cluster.core.read_namespaced_pod(name, namespace)
        except ApiException as error:
            return bool(error.status == 404)
        return False

    until(look, 60, f"pod {name} to be gone")


def test_drivers_register_with_their_place_and_their_limit(cluster: LocalCluster, driver: Driver) -> None:
    for node in driver.nodes:
        entry = driver.registered(node)
        assert entry == {
            "name": DRIVER,
            "nodeID": f"id-{node}",
            "topologyKeys": [ZONE],
            "allocatable": {"count": 20},
        }
        found = cluster.core.read_node(node)
        assert found.metadata.labels[ZONE] == f"zone-{node}"
        ids = json.loads(found.metadata.annotations["csi.volume.kubernetes.io/nodeid"])
        assert ids[DRIVER] == f"id-{node}"
    told = driver.calls("NotifyRegistrationStatus")
    assert told and all(call.get("pluginRegistered") for call in told)


def test_a_volume_is_made_where_its_pod_goes_and_shared_there(
    cluster: LocalCluster, driver: Driver, namespace: str
) -> None:
    cluster.apply(login(namespace), claim(namespace, "data"))
    group = {"securityContext": {"fsGroup": 4321}}
    cluster.apply(pod(namespace, "first", f"echo hello > /data/file; {SLEEP}", uses("data"), **group))
    first = phase(cluster, namespace, "first", "Running", "Failed")
    volume = volume_of(cluster, namespace, "data")
    node = first.spec.node_name
    (term,) = volume.spec.node_affinity.required.node_selector_terms
    (expression,) = term.match_expressions
    assert (expression.key, expression.values) == (ZONE, [f"zone-{node}"])
    handle = volume.spec.csi.volume_handle
    (made,) = driver.calls("CreateVolume", name=volume.metadata.name)
    assert made["parameters"] == {"tier": "gold"} and made["capacityRange"] == {"requiredBytes": "10485760"}
    (staged,) = driver.calls("NodeStageVolume", volumeId=handle)
    assert staged["node"] == f"id-{node}" and staged["secrets"] == {"password": "sesame"}
    assert staged["publishContext"] == {"device": f"/dev/id-{node}"}
    assert staged["volumeCapability"]["mount"] == {"mountFlags": ["noatime"]}
    assert staged["volumeContext"] == {"made-by": DRIVER}
    # A second pod: the same stage, a publication of its own.
    second = pod(namespace, "second", "cat /data/file && ls -ln /data/file", uses("data"))
    cluster.apply(second)
    assert ended(cluster, namespace, "second").spec.node_name == node
    log = cluster.core.read_namespaced_pod_log("second", namespace)
    assert "hello" in log and " 4321 " in log
    assert len(driver.calls("NodeStageVolume", volumeId=handle)) == 1
    published = driver.calls("NodePublishVolume", volumeId=handle)
    assert len(published) == 2
    context = published[0]["volumeContext"]
    assert context["csi.storage.k8s.io/pod.name"] == "first"
    assert context["csi.storage.k8s.io/pod.namespace"] == namespace
    assert context["csi.storage.k8s.io/ephemeral"] == "false"
    tokens = json.loads(context["csi.storage.k8s.io/serviceAccount.tokens"])
    assert tokens["vault"]["token"].count(".") == 2 and tokens["vault"]["expirationTimestamp"]
    in_use = cluster.core.read_node(node).status
    unique = f"kubernetes.io/csi/{DRIVER}^{handle}"
    assert in_use.volumes_in_use == [unique] and [one.name for one in in_use.volumes_attached] == [unique]
    summary = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    (figures,) = [
        one
        for each in summary["pods"]
        for one in each.get("volume", ())
        if one.get("pvcRef") == {"name": "data", "namespace": namespace}
    ]
    assert (figures["capacityBytes"], figures["availableBytes"], figures["usedBytes"]) == (1000, 750, 250)
    messages = cluster.events(namespace, "SuccessfulAttachVolume")
    assert f'AttachVolume.Attach succeeded for volume "{volume.metadata.name}" ' in messages
    # A third is read-only, by its own word.
    cluster.apply(pod(namespace, "third", "cat /data/file && ! touch /data/new", uses("data", readOnly=True)))
    ended(cluster, namespace, "third")
    assert driver.calls("NodePublishVolume", volumeId=handle)[-1]["readonly"] is True


def test_a_volume_grows_under_its_pod(cluster: LocalCluster, driver: Driver, namespace: str) -> None:
    cluster.apply(login(namespace), claim(namespace, "data"))
    cluster.apply(pod(namespace, "user", SLEEP, uses("data")))
    phase(cluster, namespace, "user", "Running")
    handle = volume_of(cluster, namespace, "data").spec.csi.volume_handle
    more = {"spec": {"resources": {"requests": {"storage": "20Mi"}}}}
    cluster.core.patch_namespaced_persistent_volume_claim("data", namespace, more)
    until(lambda: "Require file system resize of volume on node" in cluster.events(namespace), 30)
    # A change of the pod has its node look again; it would by itself within a minute.
    cluster.kubectl("annotate", "pod", "user", "--namespace", namespace, "look=again")

    def size() -> bool:
        status = cluster.core.read_namespaced_persistent_volume_claim("data", namespace).status
        return status.capacity["storage"] == "20Mi" and not status.conditions

    until(size, 90, "the claim to have grown")
    (call,) = driver.calls("NodeExpandVolume", volumeId=handle)
    assert call["capacityRange"] == {"requiredBytes": "20971520"}
    assert driver.volumes()[handle]["node_size"] == 20971520
    assert any("MountVolume.NodeExpandVolume succeeded" in text for text in cluster.events(namespace))
    # While no pod has it, its node has nothing to do: the next pod finds it larger.
    cluster.core.delete_namespaced_pod("user", namespace)
    gone(cluster, namespace, "user")
    more["spec"]["resources"]["requests"]["storage"] = "30Mi"
    cluster.core.patch_namespaced_persistent_volume_claim("data", namespace, more)

    def pending() -> bool:
        status = cluster.core.read_namespaced_persistent_volume_claim("data", namespace).status
        return [one.type for one in status.conditions or ()] == ["FileSystemResizePending"]

    until(pending, 30, "the claim to wait for a pod")
    cluster.apply(pod(namespace, "next", "true", uses("data")))
    ended(cluster, namespace, "next")
    status = cluster.core.read_namespaced_persistent_volume_claim("data", namespace).status
    assert status.capacity["storage"] == "30Mi" and not status.conditions
    assert driver.volumes()[handle]["node_size"] == 31457280


def test_a_volume_that_lives_with_its_pod(cluster: LocalCluster, driver: Driver, namespace: str) -> None:
    inline = {"csi": {"driver": DRIVER, "volumeAttributes": {"greeting": "hi"}, "readOnly": True}}
    cluster.apply(pod(namespace, "user", "grep hi /data/greeting && ! touch /data/new", inline))
    done = ended(cluster, namespace, "user")
    (call,) = [
        one
        for one in driver.calls("NodePublishVolume", readonly=True)
        if one["volumeContext"].get("csi.storage.k8s.io/pod.uid") == done.metadata.uid
    ]
    assert call["volumeContext"]["csi.storage.k8s.io/ephemeral"] == "true"
    assert "stagingTargetPath" not in call
    until(lambda: driver.calls("NodeUnpublishVolume", volumeId=call["volumeId"]), 30)


def test_driver_and_agent_come_back_to_what_was_there(
    cluster: LocalCluster, driver: Driver, namespace: str
) -> None:
    cluster.apply(login(namespace), claim(namespace, "data"))
    cluster.apply(pod(namespace, "user", f"echo kept > /data/file; {SLEEP}", uses("data")))
    node = phase(cluster, namespace, "user", "Running").spec.node_name
    handle = volume_of(cluster, namespace, "data").spec.csi.volume_handle
    # The agent is killed: its volumes stay, nothing is asked twice.
    cluster.kill(f"kubeletd-{node}")
    driver.stop(node)
    until(lambda: not driver.registered(node), 60, "the driver to be signed off")
    cluster.core.delete_namespaced_pod("user", namespace)
    # While the driver is away its volume cannot be taken back: the pod waits.
    agent = f"kubeletd-{node}"
    log = cluster.home / "logs" / f"{agent}.log"
    until(lambda: "not found in the list of registered CSI drivers" in log.read_text(), 60)
    assert cluster.pod("user", namespace)
    driver.start_node(node)
    gone(cluster, namespace, "user")
    until(lambda: driver.calls("NodeUnstageVolume", volumeId=handle), 60, "the volume to be unstaged")
    for method in ("NodeStageVolume", "NodePublishVolume"):
        assert len(driver.calls(method, volumeId=handle)) == 1, method
    until(lambda: driver.registered(node), 30)
    # What it holds is there for the next pod.
    cluster.apply(pod(namespace, "next", "grep kept /data/file", uses("data")))
    ended(cluster, namespace, "next")
    # An agent that was killed while a volume was in use takes it back all the same.
    cluster.apply(pod(namespace, "last", SLEEP, uses("data")))
    phase(cluster, namespace, "last", "Running")
    os.kill(cluster.pid(agent), 9)
    cluster.kubectl("delete", "pod", "last", "--namespace", namespace, "--force", "--grace-period=0")
    until(lambda: not driver.volumes()[handle]["attached"], 90, "the volume to be detached")


def test_failing_calls_are_told_and_tried_again(
    cluster: LocalCluster, driver: Driver, namespace: str
) -> None:
    failing = {
        "CreateVolume": "no room",
        "ControllerPublishVolume": "no port",
        "NodeStageVolume": "no disk",
        "NodePublishVolume": "no path",
    }
    driver.fail(**{method: ("INTERNAL", text) for method, text in failing.items()})
    cluster.apply(login(namespace), claim(namespace, "data"))
    cluster.apply(pod(namespace, "user", "true", uses("data")))

    def said(reason: str, text: str) -> None:
        until(lambda: any(text in each for each in cluster.events(namespace, reason)), 60, text)

    refused = "rpc error: code = Internal desc ="
    said("ProvisioningFailed", f'failed to provision volume with StorageClass "{CLASS}": {refused} no room')
    del failing["CreateVolume"]
    driver.fail(**{method: ("INTERNAL", text) for method, text in failing.items()})
    volume = volume_of(cluster, namespace, "data").metadata.name
    said("FailedAttachVolume", f'AttachVolume.Attach failed for volume "{volume}" : {refused} no port')
    del failing["ControllerPublishVolume"]
    driver.fail(**{method: ("INTERNAL", text) for method, text in failing.items()})
    said("FailedMount", f'MountVolume.MountDevice failed for volume "{volume}" : {refused} no disk')
    del failing["NodeStageVolume"]
    driver.fail(**{method: ("INTERNAL", text) for method, text in failing.items()})
    said("FailedMount", f'MountVolume.SetUp failed for volume "{volume}" : {refused} no path')
    driver.fail(NodeUnpublishVolume=("INTERNAL", "busy"), NodeUnstageVolume=("INTERNAL", "busy"))
    ended(cluster, namespace, "user")
    handle = volume_of(cluster, namespace, "data").spec.csi.volume_handle
    until(lambda: driver.calls("NodeUnpublishVolume", volumeId=handle), 30)
    driver.fail()


def test_a_pod_that_never_got_its_volume_goes_at_once(
    cluster: LocalCluster, driver: Driver, namespace: str
) -> None:
    driver.fail(ControllerPublishVolume=("INTERNAL", "no port"))
    cluster.apply(login(namespace), claim(namespace, "data"))
    cluster.apply(pod(namespace, "user", "true", uses("data")))
    until(lambda: cluster.events(namespace, "FailedAttachVolume"), 60)
    cluster.core.delete_namespaced_pod("user", namespace)
    gone(cluster, namespace, "user")
    driver.fail()


def test_a_block_volume_is_a_device_of_its_container(
    cluster: LocalCluster, driver: Driver, namespace: str
) -> None:
    cluster.apply(login(namespace), claim(namespace, "disk", volumeMode="Block"))
    script = "test -b /dev/disk && echo raw | dd of=/dev/disk && head -c 3 /dev/disk | grep raw"
    wanted = pod(namespace, "user", script, uses("disk"))
    (container,) = wanted["spec"]["containers"]
    del container["volumeMounts"]
    container["volumeDevices"] = [{"name": "data", "devicePath": "/dev/disk"}]
    cluster.apply(wanted)
    ended(cluster, namespace, "user")
    handle = volume_of(cluster, namespace, "disk").spec.csi.volume_handle
    assert (driver.data / "volumes" / handle / "image").read_bytes()[:3] == b"raw"
    (call,) = driver.calls("NodePublishVolume", volumeId=handle)
    assert call["volumeCapability"]["block"] == {}
    until(lambda: driver.calls("NodeUnstageVolume", volumeId=handle), 30, "the disk to be given back")


def test_volumes_are_made_at_once_and_copied(cluster: LocalCluster, driver: Driver, namespace: str) -> None:
    now = f"{CLASS}-now"
    cluster.apply(claim(namespace, "source", storage_class=now))
    source = volume_of(cluster, namespace, "source")
    data = driver.data / "volumes" / source.spec.csi.volume_handle
    (data / "file").write_text("copied")
    copy = {"dataSource": {"kind": "PersistentVolumeClaim", "name": "source"}}
    cluster.apply(claim(namespace, "copy", storage_class=now, **copy))
    copied = volume_of(cluster, namespace, "copy")
    assert (driver.data / "volumes" / copied.spec.csi.volume_handle / "file").read_text() == "copied"
