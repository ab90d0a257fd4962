"""Area common/storage: config maps and secrets as volumes, and what becomes of them when the objects change."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from localcluster import until
from podset import FOREVER, Pods
from volumefacts import Fact, check, facts, facts_now, follows, items, mounting

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
DEFAULT, MODE_0400, MODE_0440 = "-rw-r--r--", "-r--------", "-r--r-----"
BINARY = bytes((0xDE, 0xCA, 0xFE, 0xBA, 0xD0, 0xFE, 0xFF))
THREE = {"data-1": "value-1", "data-2": "value-2", "data-3": "value-3"}
MAPPED = items(**{"data-2": "path/to/data-2"})


def config(name: str = "config", **more: Any) -> Object:
    return {"configMap": {"name": name, **more}}


def secret(name: str = "secret", **more: Any) -> Object:
    return {"secret": {"secretName": name, **more}}


def both(**more: Any) -> dict[str, Object]:
    """Each kind's volume with the same settings."""
    return {"config": config(**more), "secret": secret(**more)}


OPTIONAL = {
    f"{kind}-{what}": source(f"{kind}-{what}", optional=True)
    for kind, source in (("config", config), ("secret", secret))
    for what in ("create", "update", "delete")
}


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> Iterator[None]:
    other = f"{pods.namespace}-other"
    pods.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    Pods(pods.cluster, other).secret("secret", **dict.fromkeys(THREE, "of the other namespace"))
    binary = {"dump.bin": base64.b64encode(BINARY).decode()}
    body = {"metadata": {"name": "config"}, "data": THREE, "binaryData": binary}
    pods.core.create_namespaced_config_map(pods.namespace, body)
    pods.secret("secret", **THREE)
    for name in ("config-update", "config-delete", "followed"):
        pods.config_map(name, **{"data-1": "value-1"})
    for name in ("secret-update", "secret-delete"):
        pods.secret(name, **{"data-1": "value-1"})

    mapped_0400 = [{**MAPPED[0], "mode": 0o400}]
    whole = {
        **both(), **{f"{kind}-mapped": source for kind, source in both(items=MAPPED).items()},
        **{f"{kind}-0400": source for kind, source in both(defaultMode=0o400).items()},
        **{f"{kind}-mapped-0400": source for kind, source in both(items=mapped_0400).items()},
        **{f"{kind}-again": source for kind, source in both().items()},
    }  # fmt: skip
    mounting(pods, "root", whole)
    mounting(pods, "user", {"config": config(), "config-mapped": config(items=MAPPED)}, user=1000)
    grouped = {
        **both(defaultMode=0o440), "config-default": config(), "config-mapped": config(items=MAPPED),
        "config-0400": config(defaultMode=0o400),
    }  # fmt: skip
    mounting(pods, "group", grouped, user=1000, fs_group=1001)
    mounting(pods, "watching", {"followed": config("followed"), **OPTIONAL}, FOREVER)
    yield
    pods.cluster.pybctl("delete", "namespace", other)


@pytest.fixture(scope="module")
def before(made: None, pods: Pods) -> dict[str, Fact]:
    """What the pod saw before everything was changed under it."""
    pods.ready("watching")
    seen = facts_now(pods, "watching")
    core, namespace = pods.core, pods.namespace
    core.replace_namespaced_config_map(
        "followed", namespace, {"metadata": {"name": "followed"}, "data": {"data-1": "value-2"}}
    )
    changed = {"data-3": "value-3"}
    core.replace_namespaced_config_map(
        "config-update", namespace, {"metadata": {"name": "config-update"}, "data": changed}
    )
    core.replace_namespaced_secret(
        "secret-update", namespace, {"metadata": {"name": "secret-update"}, "stringData": changed}
    )
    core.delete_namespaced_config_map("config-delete", namespace)
    core.delete_namespaced_secret("secret-delete", namespace)
    pods.config_map("config-create", **{"data-1": "value-1"})
    pods.secret("secret-create", **{"data-1": "value-1"})
    return seen


def test_configmap_volume_without_mapping(pods: Pods) -> None:
    found = facts(pods, "root")
    for key, value in THREE.items():
        check(found[f"config/{key}"], DEFAULT, value)


def test_configmap_volume_without_mapping_volume_mode_set(pods: Pods) -> None:
    check(facts(pods, "root")["config-0400/data-1"], MODE_0400, "value-1")


def test_configmap_volume_without_mapping_non_root_user(pods: Pods) -> None:
    check(facts(pods, "user")["config/data-1"], DEFAULT, "value-1")


def test_configmap_volume_with_mapping(pods: Pods) -> None:
    found = facts(pods, "root")
    check(found["config-mapped/path/to/data-2"], DEFAULT, "value-2")
    # Nothing but what was asked for is shown.
    shown = {path for path in found if path.startswith("config-mapped/")}
    assert shown == {"config-mapped/path", "config-mapped/path/to", "config-mapped/path/to/data-2"}


def test_configmap_volume_with_mapping_volume_mode_set(pods: Pods) -> None:
    check(facts(pods, "root")["config-mapped-0400/path/to/data-2"], MODE_0400, "value-2")


def test_configmap_volume_with_mapping_non_root_user(pods: Pods) -> None:
    check(facts(pods, "user")["config-mapped/path/to/data-2"], DEFAULT, "value-2")


def test_configmap_volume_text_data_binary_data(pods: Pods) -> None:
    found = facts(pods, "root")
    assert found["config/data-1"].text == "value-1"
    assert found["config/dump.bin"].data == BINARY


def test_configmap_volume_multiple_volume_maps(pods: Pods) -> None:
    found = facts(pods, "root")
    assert found["config/data-1"].text == found["config-again/data-1"].text == "value-1"


def test_configmap_volumes_of_a_group(pods: Pods) -> None:
    """With fsGroup the files are of that group, which may read them, whatever the mode."""
    found = facts(pods, "group")
    check(found["config/data-1"], MODE_0440, "value-1", 1001)
    check(found["config-default/data-1"], DEFAULT, "value-1", 1001)
    check(found["config-mapped/path/to/data-2"], DEFAULT, "value-2", 1001)
    check(found["config-0400/data-1"], MODE_0440, "value-1", 1001)


def test_configmap_volume_update(pods: Pods, before: dict[str, Fact]) -> None:
    assert before["followed/data-1"].text == "value-1"
    until(lambda: facts_now(pods, "watching")["followed/data-1"].text == "value-2")


def test_configmap_volume_create_update_and_delete(pods: Pods, before: dict[str, Fact]) -> None:
    follows(pods, "config", before)


def test_secrets_volume_create_update_and_delete(pods: Pods, before: dict[str, Fact]) -> None:
    follows(pods, "secret", before)


def test_secrets_volume_default(pods: Pods) -> None:
    found = facts(pods, "root")
    check(found["secret/data-1"], DEFAULT, "value-1")
    assert found["secret/data-1"].file_system == "tmpfs"  # never on a disk
    assert (found["config"].mode, found["secret"].mode) == ("drwxrwxrwx", "drwxrwxrwt")


def test_secrets_volume_volume_mode_0400(pods: Pods) -> None:
    check(facts(pods, "root")["secret-0400/data-1"], MODE_0400, "value-1")


def test_secrets_volume_volume_mode_0440_fsgroup_1001_and_uid_1000(pods: Pods) -> None:
    check(facts(pods, "group")["secret/data-1"], MODE_0440, "value-1", 1001)


def test_secrets_volume_mapping(pods: Pods) -> None:
    check(facts(pods, "root")["secret-mapped/path/to/data-2"], DEFAULT, "value-2")


def test_secrets_volume_mapping_volume_mode_0400(pods: Pods) -> None:
    check(facts(pods, "root")["secret-mapped-0400/path/to/data-2"], MODE_0400, "value-2")


def test_secrets_volume_mapping_multiple_volume_paths(pods: Pods) -> None:
    found = facts(pods, "root")
    for path in ("secret", "secret-again"):
        check(found[f"{path}/data-1"], DEFAULT, "value-1")


def test_secrets_volume_volume_mode_default_secret_with_same_name_in_different_namespace(pods: Pods) -> None:
    check(facts(pods, "root")["secret/data-1"], DEFAULT, "value-1")


@pytest.mark.parametrize("kind", ["config_map", "secret"])
def test_secrets_volume_immutability(pods: Pods, kind: str) -> None:
    """Secrets Volume, immutability, and the same of a config map; their volumes are as they were."""
    replace, delete = (getattr(pods.core, f"{verb}_namespaced_{kind}") for verb in ("replace", "delete"))
    name = f"immutable-{kind.replace('_', '-')}"
    key = "data" if kind == "config_map" else "stringData"
    first: Object = {"metadata": {"name": name}, key: {"data-1": "value-1"}}
    getattr(pods.core, f"create_namespaced_{kind}")(pods.namespace, first)
    changed = {**first, key: {"data-1": "value-1", "data-4": "value-4"}}
    replace(name, pods.namespace, changed)
    fixed = {**changed, "immutable": True}
    replace(name, pods.namespace, fixed)
    source = config(name) if kind == "config_map" else secret(name)
    mounting(pods, name, {"fixed": source})
    for wrong in ({**fixed, key: {"data-5": "value-5"}}, {**changed, "immutable": False}, changed):
        with pytest.raises(ApiException) as caught:
            replace(name, pods.namespace, wrong)
        assert caught.value.status == 422
    labelled = replace(name, pods.namespace, {**fixed, "metadata": {"name": name, "labels": {"l": "v"}}})
    assert labelled.metadata.labels == {"l": "v"} and labelled.immutable is True
    assert facts(pods, name)["fixed/data-4"].text == "value-4"
    delete(name, pods.namespace)
