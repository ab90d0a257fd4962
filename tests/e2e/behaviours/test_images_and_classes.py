"""Area common/node: images as volumes, and pods of runtime classes."""

from __future__ import annotations

import json
from typing import Any

import busyboximage
import pytest
from docker.api.client import APIClient
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from localcluster import until
from podset import FOREVER, Pods, condition, entry, running, shell

pytestmark = pytest.mark.e2e
OVERHEAD = {"cpu": "10m", "memory": "1Mi"}
LAYERED = "pybernetes-test/layered:1"


@pytest.fixture(scope="module")
def layered() -> str:
    """An image of two layers: what is in the upper one hides what is in the lower."""
    engine = APIClient(version="auto")
    if not engine.images(LAYERED):
        made = engine.create_container(
            busyboximage.NAME,
            ["sh", "-c", "echo kitten.jpg > /data.json; rm /bin/vi; echo above > /etc/passwd"],
        )
        engine.start(made["Id"])
        engine.wait(made["Id"])
        engine.commit(made["Id"], *LAYERED.split(":"))
        engine.remove_container(made["Id"])
    engine.close()
    return LAYERED


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, layered: str) -> None:
    def image(name: str, reference: str, policy: str) -> dict[str, Any]:
        return {"name": name, "image": {"reference": reference, "pullPolicy": policy}}

    mounts = [
        {"name": "layers", "mountPath": "/volume"}, {"name": "layers", "mountPath": "/etc-of-it", "subPath": "etc"},
        {"name": "one", "mountPath": "/one"},
    ]  # fmt: skip
    volumes = [image("layers", layered, "IfNotPresent"), image("one", busyboximage.NAME, "Never")]
    pods.create("images", shell(FOREVER, volumeMounts=mounts), shell(FOREVER, "second", volumeMounts=mounts[:1]),
                volumes=volumes)  # fmt: skip
    volumes = [image("none", "localhost:1/nothing/here:1", "Always")]
    mount = {"name": "none", "mountPath": "/volume"}
    pods.create("no-image", shell(FOREVER, volumeMounts=[mount]), volumes=volumes)
    mount = {"name": "layers", "mountPath": "/volume", "subPath": "no/such"}
    pods.create("no-path", shell(FOREVER, volumeMounts=[mount]), volumes=[image("layers", layered, "Never")])


def test_image_volume(pods: Pods, layered: str) -> None:
    pod = pods.wait("images", lambda p: running(p) and running(p, "second"))
    assert pods.exec("images", "cat /volume/data.json") == "kitten.jpg\n"
    assert pods.exec("images", "cat /volume/data.json", "second") == "kitten.jpg\n"
    assert pods.exec("images", "cat /volume/etc/passwd /etc-of-it/passwd") == "above\nabove\n"
    assert pods.exec("images", "test -e /volume/bin/vi || ls /one/bin/vi") == "/one/bin/vi\n"
    for path in ("/volume/x", "/etc-of-it/x", "/one/x"):
        assert "Read-only file system" in pods.exec("images", f"touch {path}")
    for path in ("/volume", "/one"):
        assert "Permission denied" in pods.exec("images", f"{path}/bin/busybox true")
    told = {m["mountPath"]: m for m in entry(pod)["volumeMounts"]}
    reference = told["/volume"]["volumeStatus"]["image"]["imageRef"]
    assert reference == told["/etc-of-it"]["volumeStatus"]["image"]["imageRef"]
    # Nobody takes the image away from under the pod.
    engine = APIClient(version="auto")
    assert engine.inspect_image(layered)["Id"] == reference
    holders = engine.containers(
        all=True, filters={"label": f"io.pybernetes.image-volume-of={pod['metadata']['uid']}"}
    )
    assert {holder["ImageID"] for holder in holders} > {reference} and len(holders) == 2
    pods.delete("images")
    pods.gone("images")
    uid = pod["metadata"]["uid"]
    assert engine.containers(all=True, filters={"label": f"io.pybernetes.image-volume-of={uid}"}) == []
    with open("/proc/self/mountinfo") as mounts:
        assert uid not in mounts.read()
    engine.close()


def test_an_image_volume_that_cannot_be_had_says_why(pods: Pods) -> None:
    def reason(name: str) -> str:
        return str((entry(pods.get(name)).get("state") or {}).get("waiting", {}).get("reason", ""))

    until(lambda: reason("no-image") in ("ErrImagePull", "ImagePullBackOff"), 60, "the failing pull")
    assert any("localhost:1/nothing/here:1" in text for text in pods.events("no-image", "Failed"))
    until(lambda: reason("no-path") == "CreateContainerError", 60, "the missing path")


def runtime_class(pods: Pods, name: str, **more: Any) -> None:
    body = {"metadata": {"name": name}, "handler": "runc", **more}
    client.NodeV1Api(pods.core.api_client).create_runtime_class(body)


def test_can_schedule_a_pod_requesting_existing_runtimeclass(pods: Pods) -> None:
    runtime_class(pods, "preconfigured")
    pods.create("classy", shell(FOREVER), runtimeClassName="preconfigured")
    pod = pods.wait("classy", lambda p: condition(p, "PodScheduled") == "True")
    assert pod["spec"]["nodeName"] and "overhead" not in pod["spec"]


def test_runtimeclass_overhead_field_must_be_respected(pods: Pods) -> None:
    runtime_class(pods, "heavy", overhead={"podFixed": OVERHEAD})
    pods.create("heavy", shell(FOREVER), runtimeClassName="heavy")
    pod = pods.wait("heavy", lambda p: condition(p, "PodScheduled") == "True")
    assert pod["spec"]["overhead"] == OVERHEAD


def rejected(pods: Pods, name: str) -> None:
    with pytest.raises(ApiException) as caught:
        pods.create(f"of-{name}", shell(FOREVER), runtimeClassName=name)
    message = json.loads(caught.value.body)["message"]
    assert caught.value.status == 403 and f'RuntimeClass "{name}" not found' in message


def test_pod_with_the_non_existing_runtimeclass_is_rejected(pods: Pods) -> None:
    rejected(pods, "nonexistent")


def test_pod_with_the_deleted_runtimeclass_is_rejected(pods: Pods) -> None:
    runtime_class(pods, "deleted")
    client.NodeV1Api(pods.core.api_client).delete_runtime_class("deleted")
    rejected(pods, "deleted")
