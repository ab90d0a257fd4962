"""Area common/storage: what pods are told of themselves in files, by downwardAPI volumes and projected ones."""

from __future__ import annotations

from typing import Any

import pytest
from localcluster import until
from podset import FOREVER, Pods
from volumefacts import Fact, check, facts, facts_now, mounting

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
GIVEN = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}


def downward(*files: Object, mode: int | None = None) -> dict[str, Object]:
    """The same files in both kinds of volumes."""
    shown = list(files)
    more = {} if mode is None else {"defaultMode": mode}
    return {
        "own": {"downwardAPI": {"items": shown, **more}},
        "projected": {"projected": {"sources": [{"downwardAPI": {"items": shown}}], **more}},
    }


def field(path: str, field_path: str, **more: Any) -> Object:
    return {"path": path, "fieldRef": {"fieldPath": field_path}, **more}


def amount(resource: str, **more: Any) -> Object:
    reference = {"containerName": "main", "resource": resource, **more}
    return {"path": resource.replace(".", "_") + "".join(more.values()), "resourceFieldRef": reference}


AMOUNTS = [amount(name) for name in ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")]
NAME = field("podname", "metadata.name")


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    exact = [amount("limits.cpu", divisor="1m"), amount("requests.memory", divisor="1Mi")]
    mounting(pods, "amounts", downward(NAME, *AMOUNTS, *exact), resources=GIVEN)
    mounting(pods, "defaults", downward(*AMOUNTS))
    mounting(pods, "mode", downward(NAME, mode=0o400))
    item = field("podname", "metadata.name", mode=0o400)
    mounting(pods, "item-mode", downward(item, field("uid", "metadata.uid")))
    group = downward(NAME, mode=0o440)
    mounting(pods, "group", group, user=1000, fs_group=1234)
    ephemeral = amount("limits.ephemeral-storage", divisor="1Mi")
    mounting(pods, "disk", downward(ephemeral), resources={"limits": {"ephemeral-storage": "96Mi"}})
    sizes = downward(amount("limits.cpu", divisor="1m"), amount("requests.memory", divisor="1Mi"))
    mounting(pods, "resized", sizes, FOREVER, resources=GIVEN)
    changing = [
        field("labels", "metadata.labels"), field("annotations", "metadata.annotations"),
        field("builder", "metadata.annotations['builder']"),
    ]  # fmt: skip
    mounting(
        pods, "watching", downward(*changing), FOREVER, labels={"key1": "value1", "key2": "value2"},
        annotations={"builder": "bar"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def before(made: None, pods: Pods) -> dict[str, Fact]:
    """What the pod saw before its labels and annotations were changed."""
    pods.ready("watching")
    seen = facts_now(pods, "watching")
    metadata = {"labels": {"key3": "value3"}, "annotations": {"builder": "foo", "added": 'line\n"quoted"'}}
    pods.patch("watching", {"metadata": metadata})
    return seen


def told(pods: Pods, path: str, *wanted: str) -> None:
    until(lambda: set(wanted) <= set(facts_now(pods, "watching")[path].text.splitlines()), what=path)


def test_downwardapi_volume_pod_name(pods: Pods) -> None:
    check(facts(pods, "amounts")["own/podname"], "-rw-r--r--", "amounts")


def test_projected_volume_downwardapi_pod_name(pods: Pods) -> None:
    check(facts(pods, "amounts")["projected/podname"], "-rw-r--r--", "amounts")


@pytest.mark.parametrize("volume", ["own", "projected"])
def test_downwardapi_volume_volume_mode_0400(pods: Pods, volume: str) -> None:
    """DownwardAPI volume, volume mode 0400; Projected Volume, DownwardAPI, volume mode 0400."""
    check(facts(pods, "mode")[f"{volume}/podname"], "-r--------", "mode")


def test_downwardapi_volume_file_mode_0400(pods: Pods) -> None:
    found = facts(pods, "item-mode")
    check(found["own/podname"], "-r--------", "item-mode")
    assert found["own/uid"].mode == "-rw-r--r--"


def test_projected_volume_downwardapi_file_mode_0400(pods: Pods) -> None:
    check(facts(pods, "item-mode")["projected/podname"], "-r--------", "item-mode")


@pytest.mark.parametrize("volume", ["own", "projected"])
def test_downwardapi_volumes_of_a_group(pods: Pods, volume: str) -> None:
    check(facts(pods, "group")[f"{volume}/podname"], "-r--r-----", "group", 1234)


def test_downwardapi_volume_update_label(pods: Pods, before: dict[str, Fact]) -> None:
    assert before["own/labels"].text == 'key1="value1"\nkey2="value2"'
    told(pods, "own/labels", 'key1="value1"', 'key2="value2"', 'key3="value3"')


def test_downwardapi_volume_update_annotations(pods: Pods, before: dict[str, Fact]) -> None:
    assert 'builder="bar"' in before["own/annotations"].text.splitlines()
    assert before["own/builder"].text == "bar"
    told(pods, "own/annotations", 'builder="foo"', 'added="line\\n\\"quoted\\""')
    told(pods, "own/builder", "foo")


def test_projected_volume_downwardapi_update_labels(pods: Pods, before: dict[str, Fact]) -> None:
    assert before["projected/labels"].text == 'key1="value1"\nkey2="value2"'
    told(pods, "projected/labels", 'key1="value1"', 'key2="value2"', 'key3="value3"')


def test_projected_volume_downwardapi_update_annotation(pods: Pods, before: dict[str, Fact]) -> None:
    assert 'builder="bar"' in before["projected/annotations"].text.splitlines()
    told(pods, "projected/annotations", 'builder="foo"', 'added="line\\n\\"quoted\\""')


def test_downwardapi_volume_cpu_limits(pods: Pods) -> None:
    found = facts(pods, "amounts")
    assert found["own/limits_cpu"].text == "2"  # 1250m, rounded up to the divisor
    assert found["own/limits_cpu1m"].text == "1250"


def test_downwardapi_volume_memory_limits(pods: Pods) -> None:
    assert facts(pods, "amounts")["own/limits_memory"].text == str(64 << 20)


def test_downwardapi_volume_cpu_request(pods: Pods) -> None:
    assert facts(pods, "amounts")["own/requests_cpu"].text == "1"


def test_downwardapi_volume_memory_request(pods: Pods) -> None:
    found = facts(pods, "amounts")
    assert found["own/requests_memory"].text == str(32 << 20)
    assert found["own/requests_memory1Mi"].text == "32"


def test_downwardapi_volume_cpu_limit_default_node_allocatable(pods: Pods) -> None:
    assert facts(pods, "defaults")["own/limits_cpu"].text == "4"  # what the node has


def test_downwardapi_volume_memory_limit_default_node_allocatable(pods: Pods) -> None:
    assert facts(pods, "defaults")["own/limits_memory"].text == str(4 << 30)


def test_downwardapi_volume_ephemeral_storage_limit(pods: Pods) -> None:
    assert facts(pods, "disk")["own/limits_ephemeral-storage1Mi"].text == "96"


def test_downwardapi_volumes_follow_a_resize(pods: Pods) -> None:
    pods.ready("resized")
    assert facts_now(pods, "resized")["own/limits_cpu1m"].text == "1250"
    more = {"requests": {"cpu": "250m", "memory": "48Mi"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}
    body = {"spec": {"containers": [{"name": "main", "resources": more}]}}
    pods.core.patch_namespaced_pod_resize("resized", pods.namespace, body)
    for volume in ("own", "projected"):
        # By the change itself, not by the look that is had each minute.
        until(lambda at=volume: facts_now(pods, "resized")[f"{at}/limits_cpu1m"].text == "1500", 30)
        assert facts_now(pods, "resized")[f"{volume}/requests_memory1Mi"].text == "48"


def test_projected_volume_downwardapi_cpu_limits(pods: Pods) -> None:
    assert facts(pods, "amounts")["projected/limits_cpu"].text == "2"


def test_projected_volume_downwardapi_memory_limits(pods: Pods) -> None:
    assert facts(pods, "amounts")["projected/limits_memory"].text == str(64 << 20)


def test_projected_volume_downwardapi_cpu_request(pods: Pods) -> None:
    assert facts(pods, "amounts")["projected/requests_cpu"].text == "1"


def test_projected_volume_downwardapi_memory_request(pods: Pods) -> None:
    assert facts(pods, "amounts")["projected/requests_memory"].text == str(32 << 20)


def test_projected_volume_downwardapi_cpu_limit_node_allocatable(pods: Pods) -> None:
    assert facts(pods, "defaults")["projected/limits_cpu"].text == "4"


def test_projected_volume_downwardapi_memory_limit_node_allocatable(pods: Pods) -> None:
    assert facts(pods, "defaults")["projected/limits_memory"].text == str(4 << 30)
