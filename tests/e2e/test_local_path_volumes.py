"""Claims on real nodes: a directory where the pod runs, kept from pod to pod, gone with its claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from busyboximage import NAME as IMAGE
from kubernetes.client.exceptions import ApiException
from localcluster import LocalCluster, until

pytestmark = pytest.mark.e2e


def claim(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def pod(namespace: str, name: str, command: str, volume: dict[str, Any]) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
        "securityContext": {"runAsUser": 1234},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [{"name": "data", **volume}],
        },
    }


def ended(cluster: LocalCluster, namespace: str, name: str) -> Any:
    def look() -> Any:
        found = cluster.core.read_namespaced_pod(name, namespace)
        return found if found.status.phase in ("Succeeded", "Failed") else None

    found = until(look, 60, f"the end of pod {name}")
    assert found.status.phase == "Succeeded", found.status
    return found


def size_of(cluster: LocalCluster, namespace: str, name: str) -> str:
    found = cluster.core.read_namespaced_persistent_volume_claim(name, namespace)
    return str(found.status.capacity["storage"])


def is_gone(cluster: LocalCluster, volume: str) -> bool:
    try:
        cluster.core.read_persistent_volume(volume)
    except ApiException as error:
        return bool(error.status == 404)
    return False


def test_data_outlives_its_pod_and_not_its_claim(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(claim(namespace, "data"))
    used = {"persistentVolumeClaim": {"claimName": "data"}}
    cluster.apply(pod(namespace, "writer", "echo hello > /data/file", used))
    written = ended(cluster, namespace, "writer")
    bound = cluster.core.read_namespaced_persistent_volume_claim("data", namespace)
    assert bound.status.phase == "Bound" and bound.spec.storage_class_name == "standard"
    volume = cluster.core.read_persistent_volume(bound.spec.volume_name)
    directory = Path(volume.spec.host_path.path)
    assert (directory / "file").read_text() == "hello\n"
    assert cluster.home in directory.parents
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    cluster.core.patch_namespaced_persistent_volume_claim("data", namespace, more)
    cluster.core.delete_namespaced_pod("writer", namespace)
    cluster.apply(pod(namespace, "reader", "grep hello /data/file", used))
    assert ended(cluster, namespace, "reader").spec.node_name == written.spec.node_name
    # Where volumes are held to their size, it has grown when the next pod has mounted it.
    until(lambda: size_of(cluster, namespace, "data") == "2Gi", 60, "the claim has grown")
    cluster.core.delete_namespaced_persistent_volume_claim("data", namespace)
    assert directory.exists(), "a pod still refers to it"
    cluster.core.delete_namespaced_pod("reader", namespace)
    until(lambda: is_gone(cluster, bound.spec.volume_name), 60, "the volume is gone")
    assert not directory.exists()


def test_an_ephemeral_volume_goes_with_its_pod(cluster: LocalCluster, namespace: str) -> None:
    template = {"spec": claim(namespace, "any")["spec"]}
    cluster.apply(
        pod(namespace, "worker", "echo x > /data/x", {"ephemeral": {"volumeClaimTemplate": template}})
    )
    ended(cluster, namespace, "worker")
    bound = cluster.core.read_namespaced_persistent_volume_claim("worker-data", namespace)
    directory = Path(cluster.core.read_persistent_volume(bound.spec.volume_name).spec.host_path.path)
    assert directory.is_dir()
    cluster.core.delete_namespaced_pod("worker", namespace)
    until(lambda: is_gone(cluster, bound.spec.volume_name), 60, "the volume is gone")
    assert not directory.exists()


def test_claims_are_protected_from_the_start(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(claim(namespace, "fresh"))
    found = cluster.core.read_namespaced_persistent_volume_claim("fresh", namespace)
    assert found.metadata.finalizers == ["kubernetes.io/pvc-protection"]
