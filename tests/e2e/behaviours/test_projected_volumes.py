"""Area common/storage: projected volumes of config maps and secrets, and of all kinds of sources together."""

from __future__ import annotations

from typing import Any

import pytest
from localcluster import until
from podset import FOREVER, Pods
from volumefacts import Fact, check, facts, facts_now, follows, items, mounting

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
DEFAULT, MODE_0400, MODE_0440 = "-rw-r--r--", "-r--------", "-r--r-----"
DATA = {"data-1": "value-1", "data-2": "value-2"}
MAPPED = items(**{"data-2": "path/to/data-2"})


def projected(kind: str, name: str = "", mode: int | None = None, **more: Any) -> Object:
    """A volume of one source; `kind` is configMap or secret."""
    volume: Object = {"sources": [{kind: {"name": name or kind.lower(), **more}}]}
    return {"projected": volume if mode is None else {**volume, "defaultMode": mode}}


def both(**more: Any) -> dict[str, Object]:
    return {kind: projected(kind, **more) for kind in ("configMap", "secret")}


def named(suffix: str, sources: dict[str, Object]) -> dict[str, Object]:
    """Volumes by names in lower case."""
    return {f"{kind.lower()}{suffix}": source for kind, source in sources.items()}


OPTIONAL = {
    f"{kind.lower()}-{what}": projected(kind, f"{kind.lower()}-{what}", optional=True)
    for kind in ("configMap", "secret")
    for what in ("create", "update", "delete")
}


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    pods.config_map("configmap", **DATA)
    pods.secret("secret", **DATA)
    for kind, create in (("configmap", pods.config_map), ("secret", pods.secret)):
        for what in ("update", "delete"):
            create(f"{kind}-{what}", **{"data-1": "value-1"})
    pods.config_map("followed", **{"data-1": "value-1"})
    whole = {
        **named("", both()), **named("-again", both()), **named("-mapped", both(items=MAPPED)),
        **named("-mapped-again", both(items=MAPPED)), **named("-0400", both(mode=0o400)),
        **named("-mapped-0400", both(items=[{**MAPPED[0], "mode": 0o400}])),
    }  # fmt: skip
    mounting(pods, "root", whole)
    mounting(
        pods, "user", {"plain": projected("configMap"), "mapped": projected("configMap", items=MAPPED)},
        user=1000,
    )  # fmt: skip
    mounting(pods, "group", named("", both(mode=0o440)), user=1000, fs_group=1001)
    amounts = [
        {"path": name.replace(".", "_"), "resourceFieldRef": {"containerName": "main", "resource": name}}
        for name in ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
    ]
    pod_name = {"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}
    everything = [
        {"secret": {"name": "secret", "items": items(**{"data-1": "secret/data"})}},
        {"configMap": {"name": "configmap", "items": items(**{"data-2": "config/data"})}},
        {"downwardAPI": {"items": [pod_name, *amounts]}},
    ]
    given = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    mounting(pods, "all", {"all": {"projected": {"sources": everything}}}, resources=given)
    mounting(pods, "watching", {"followed": projected("configMap", "followed"), **OPTIONAL}, FOREVER)


@pytest.fixture(scope="module")
def before(made: None, pods: Pods) -> dict[str, Fact]:
    """What the pod saw before everything was changed under it."""
    pods.ready("watching")
    seen = facts_now(pods, "watching")
    core, namespace = pods.core, pods.namespace
    for name, data in (("followed", {"data-1": "value-2"}), ("configmap-update", {"data-3": "value-3"})):
        core.replace_namespaced_config_map(name, namespace, {"metadata": {"name": name}, "data": data})
    body = {"metadata": {"name": "secret-update"}, "stringData": {"data-3": "value-3"}}
    core.replace_namespaced_secret("secret-update", namespace, body)
    core.delete_namespaced_config_map("configmap-delete", namespace)
    core.delete_namespaced_secret("secret-delete", namespace)
    pods.config_map("configmap-create", **{"data-1": "value-1"})
    pods.secret("secret-create", **{"data-1": "value-1"})
    return seen


def test_projected_volume_configmap_volume_mode_default(pods: Pods) -> None:
    found = facts(pods, "root")
    for key, value in DATA.items():
        check(found[f"configmap/{key}"], DEFAULT, value)


def test_projected_volume_configmap_volume_mode_0400(pods: Pods) -> None:
    check(facts(pods, "root")["configmap-0400/data-1"], MODE_0400, "value-1")


def test_projected_volume_configmap_non_root_user(pods: Pods) -> None:
    check(facts(pods, "user")["plain/data-1"], DEFAULT, "value-1")


def test_projected_volume_configmap_mapped(pods: Pods) -> None:
    found = facts(pods, "root")
    check(found["configmap-mapped/path/to/data-2"], DEFAULT, "value-2")
    assert "configmap-mapped/data-1" not in found and "configmap-mapped/data-2" not in found


def test_projected_volume_configmap_mapped_volume_mode_0400(pods: Pods) -> None:
    check(facts(pods, "root")["configmap-mapped-0400/path/to/data-2"], MODE_0400, "value-2")


def test_projected_volume_configmap_mapped_non_root_user(pods: Pods) -> None:
    check(facts(pods, "user")["mapped/path/to/data-2"], DEFAULT, "value-2")


def test_projected_volume_configmap_multiple_volume_paths(pods: Pods) -> None:
    found = facts(pods, "root")
    assert found["configmap/data-1"].text == found["configmap-again/data-1"].text == "value-1"


def test_projected_volume_configmaps_of_a_group(pods: Pods) -> None:
    check(facts(pods, "group")["configmap/data-1"], MODE_0440, "value-1", 1001)


def test_projected_volume_configmap_update(pods: Pods, before: dict[str, Fact]) -> None:
    assert before["followed/data-1"].text == "value-1"
    until(lambda: facts_now(pods, "watching")["followed/data-1"].text == "value-2")


def test_projected_volume_configmap_create_update_and_delete(pods: Pods, before: dict[str, Fact]) -> None:
    follows(pods, "configmap", before)


def test_projected_volume_secrets_create_update_delete(pods: Pods, before: dict[str, Fact]) -> None:
    follows(pods, "secret", before)


def test_projected_volume_secrets_volume_mode_default(pods: Pods) -> None:
    check(facts(pods, "root")["secret/data-1"], DEFAULT, "value-1")


def test_projected_volume_secrets_volume_mode_0400(pods: Pods) -> None:
    check(facts(pods, "root")["secret-0400/data-1"], MODE_0400, "value-1")


def test_project_volume_secrets_non_root_custom_fsgroup(pods: Pods) -> None:
    check(facts(pods, "group")["secret/data-1"], MODE_0440, "value-1", 1001)


def test_projected_volume_secrets_mapped(pods: Pods) -> None:
    """The custom path has the default mode, and -r-------- where the item says so."""
    found = facts(pods, "root")
    check(found["secret-mapped/path/to/data-2"], DEFAULT, "value-2")
    check(found["secret-mapped-0400/path/to/data-2"], MODE_0400, "value-2")


def test_projected_volume_secrets_mapped_multiple_paths(pods: Pods) -> None:
    found = facts(pods, "root")
    for path in ("secret-mapped", "secret-mapped-again"):
        check(found[f"{path}/path/to/data-2"], DEFAULT, "value-2")
    for path in ("secret", "secret-again"):
        check(found[f"{path}/data-1"], DEFAULT, "value-1")


def test_projected_volume_multiple_projections(pods: Pods) -> None:
    found = {path: fact.text for path, fact in facts(pods, "all").items()}
    assert found["all/secret/data"] == "value-1" and found["all/config/data"] == "value-2"
    assert found["all/podname"] == "all"
    assert (found["all/limits_cpu"], found["all/requests_cpu"]) == ("2", "1")
    assert (found["all/limits_memory"], found["all/requests_memory"]) == (str(64 << 20), str(32 << 20))
