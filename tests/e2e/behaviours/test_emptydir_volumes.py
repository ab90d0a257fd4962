"""Areas common/storage and storage: emptyDir and hostPath volumes, subpaths of volumes, and many volumes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from podset import FOREVER, Pods, entry, running, shell
from volumefacts import LOOK, ROOT, Fact, facts, mounting

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
MODES = {"0644": "-rw-r--r--", "0666": "-rw-rw-rw-", "0777": "-rwxrwxrwx", "0660": "-rw-rw----"}
USERS = {"root": 0, "user": 1001}
WRITTEN = "written by the test"
# Into each volume goes a file of the mode its name ends with.
WRITE = (
    f"for volume in {ROOT}/*; do mode=${{volume##*-}}; "
    f"umask 0; printf '{WRITTEN}' > $volume/file; "
    "case $mode in [0-7]*) chmod $mode $volume/file;; esac; done; "
)
MANY = 50
RACERS = 5


def empty(**more: Any) -> Object:
    return {"emptyDir": more}


def mount(volume: str, path: str, **more: Any) -> Object:
    return {"name": volume, "mountPath": path, **more}


def sub_path(pods: Pods, name: str, source: Object, path: str, **more: Any) -> None:
    """Two containers: one reads what a subpath of the volume is, the other is restarted, and reads it again."""
    read = f"cat {ROOT}/sub"
    mounts = [mount("whole", f"{ROOT}/sub", subPath=path, **more)]
    # Its second run finds the volume the first one found.
    again = f"{read} >> /state/seen; test $(wc -l < /state/runs) -gt 1 || exit 1; {FOREVER}"
    pods.create(
        name,
        shell(read, volumeMounts=mounts, restartPolicy="Never"),
        shell(
            f"echo >> /state/runs; {again}", "again", volumeMounts=[*mounts, mount("state", "/state")],
            restartPolicy="OnFailure",
        ),
        volumes=[{"name": "whole", **source}, {"name": "state", "emptyDir": {}}],
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> None:
    memory = empty(medium="Memory")
    volumes = {
        f"{medium}-{mode}": source
        for medium, source in (("default", empty()), ("memory", memory))
        for mode in ("0644", "0666", "0777")
    }
    for name, user in USERS.items():
        mounting(pods, name, {"default": empty(), "memory": memory, **volumes}, WRITE + LOOK, user=user)
    grouped = {"default-0660": empty(), "memory-0660": memory, "memory-0644": memory}
    mounting(pods, "group", grouped, WRITE + LOOK, user=1001, fs_group=123)
    # What the subPath is of is not there yet.
    missing = [mount("memory", f"{ROOT}/missing", subPath="test-sub")]
    pods.create(
        "group-sub-path",
        shell(LOOK, volumeMounts=missing),
        volumes=[{"name": "memory", **memory}],
        securityContext={"runAsUser": 1001, "fsGroup": 123},
    )
    mounting(
        pods, "limited", {"limited": empty(medium="Memory", sizeLimit="10Mi")},
        f"df -k {ROOT}/limited | tail -n 1; dd if=/dev/zero of={ROOT}/limited/f bs=1M count=11 2>&1 || true",
    )  # fmt: skip
    pods.create(
        "shared",
        shell(FOREVER, volumeMounts=[mount("shared", "/usr/share/volumeshare")]),
        shell(
            "echo Hello from the sub-container > /pod-data/shareddata.txt", "sub",
            volumeMounts=[mount("shared", "/pod-data")],
        ),
        volumes=[{"name": "shared", **empty()}],
    )  # fmt: skip
    host_path(pods, tmp_path_factory.mktemp("node") / "folder")

    pods.config_map("config", **{"config-key": "config-value"})
    pods.secret("secret", **{"secret-key": "secret-value"})
    config = {"configMap": {"name": "config"}}
    sub_path(pods, "of-config", config, "config-key")
    sub_path(pods, "of-secret", {"secret": {"secretName": "secret"}}, "secret-key")
    name = {"path": "downward/podname", "fieldRef": {"fieldPath": "metadata.name"}}
    sub_path(pods, "of-downward", {"downwardAPI": {"items": [name]}}, "downward/podname")
    shown = {"name": "config", "items": [{"key": "config-key", "path": "projected/config-key"}]}
    sub_path(pods, "of-projected", {"projected": {"sources": [{"configMap": shown}]}}, "projected/config-key")
    pods.create(
        "over-a-file",
        shell(
            "cat /etc/resolv.conf", volumeMounts=[mount("config", "/etc/resolv.conf", subPath="config-key")]
        ),
        volumes=[{"name": "config", **config}],
    )
    both = {"secret": {"secret": {"secretName": "secret"}}, "config": config}
    mounting(pods, "no-conflict", both)
    racers(pods)


def host_path(pods: Pods, path: Path) -> None:
    """A folder of the node's, shared by two pods on it."""
    node = pods.core.list_node().items[0].metadata.name
    folder = {"hostPath": {"path": str(path), "type": "DirectoryOrCreate"}}
    mounting(
        pods, "host-writer", {"host": folder},
        f"mkdir -p {ROOT}/host/sub && echo of the node > {ROOT}/host/sub/file && stat -c %A {ROOT}/host",
        nodeName=node,
    )  # fmt: skip
    pods.create(
        "host-reader",
        shell(
            f"until test -s {ROOT}/sub/file; do sleep 0.1; done; cat {ROOT}/sub/file; rm -r {ROOT}/sub/file",
            volumeMounts=[mount("host", f"{ROOT}/sub", subPath="sub")],
        ),
        volumes=[{"name": "host", **folder}],
        nodeName=node,
    )


def racers(pods: Pods) -> None:
    """Replicas of a pod with many volumes, all on one node."""
    names = [f"racy-{number}" for number in range(MANY)]
    pods.cluster.apply(
        *(
            {
                "apiVersion": "v1", "kind": "ConfigMap", "data": {"data-1": name},
                "metadata": {"name": name, "namespace": pods.namespace},
            }
            for name in names
        )
    )  # fmt: skip
    labels = {"name": "racers"}
    node = pods.core.list_node().items[-1]
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [shell(
                f"ls {ROOT}/*/data-1 | wc -l; {FOREVER}",
                volumeMounts=[mount(name, f"{ROOT}/{name}") for name in names],
            )],
            "volumes": [
                {"name": name, "configMap": {"name": name, "items": [{"key": "data-1", "path": "data-1"}]}}
                for name in names
            ],
            "nodeSelector": {"kubernetes.io/hostname": node.metadata.labels["kubernetes.io/hostname"]},
            "terminationGracePeriodSeconds": 1,
        },
    }  # fmt: skip
    spec = {"replicas": RACERS, "selector": labels, "template": template}
    pods.core.create_namespaced_replication_controller(
        pods.namespace, {"metadata": {"name": "racers"}, "spec": spec}
    )


def wrote(found: dict[str, Fact], volume: str, user: str, mode: str) -> None:
    """The volume is open to all, and the file in it is as it was written."""
    file = found[f"{volume}-{mode}/file"]
    assert (file.mode, file.text, file.user) == (MODES[mode], WRITTEN, USERS[user])
    if volume == "memory":
        assert file.file_system == found[f"{volume}-{mode}"].file_system == "tmpfs"


@pytest.mark.parametrize("user", USERS)
def test_emptydir_medium_default_volume_mode_default(pods: Pods, user: str) -> None:
    fact = facts(pods, user)["default"]
    assert (fact.mode, fact.user, fact.group) == ("drwxrwxrwx", 0, 0)


@pytest.mark.parametrize("user", USERS)
def test_emptydir_medium_default_volume_mode_0644(pods: Pods, user: str) -> None:
    wrote(facts(pods, user), "default", user, "0644")


@pytest.mark.parametrize("user", USERS)
def test_emptydir_medium_default_volume_mode_0666(pods: Pods, user: str) -> None:
    wrote(facts(pods, user), "default", user, "0666")


@pytest.mark.parametrize("user", USERS)
def test_emptydir_medium_default_volume_mode_0777(pods: Pods, user: str) -> None:
    wrote(facts(pods, user), "default", user, "0777")


def test_emptydir_medium_memory_volume_mode_default(pods: Pods) -> None:
    for user in USERS:
        fact = facts(pods, user)["memory"]
        assert (fact.mode, fact.file_system) == ("drwxrwxrwt", "tmpfs")


def test_emptydir_medium_memory_volume_mode_0644(pods: Pods) -> None:
    wrote(facts(pods, "root"), "memory", "root", "0644")


def test_emptydir_medium_memory_volume_mode_0666(pods: Pods) -> None:
    wrote(facts(pods, "root"), "memory", "root", "0666")


def test_emptydir_medium_memory_volume_mode_0777(pods: Pods) -> None:
    wrote(facts(pods, "root"), "memory", "root", "0777")


def test_emptydir_medium_memory_volume_mode_0644_non_root_user(pods: Pods) -> None:
    wrote(facts(pods, "user"), "memory", "user", "0644")


def test_emptydir_medium_memory_volume_mode_0666_non_root_user(pods: Pods) -> None:
    wrote(facts(pods, "user"), "memory", "user", "0666")


def test_emptydir_medium_memory_volume_mode_0777_non_root_user(pods: Pods) -> None:
    wrote(facts(pods, "user"), "memory", "user", "0777")


def test_emptydir_volumes_of_a_group(pods: Pods) -> None:
    """With fsGroup new files are of the volume's group, and the volume stays open to all."""
    found = facts(pods, "group")
    for volume in ("default-0660", "memory-0660", "memory-0644"):
        sticky = volume.startswith("memory")
        assert (found[volume].mode, found[volume].group) == ("drwxrwsrw" + ("t" if sticky else "x"), 123)
        file = found[f"{volume}/file"]
        assert (file.mode, file.group, file.text) == (MODES[volume[-4:]], 123, WRITTEN)


def test_emptydir_nonexistent_subpath_has_the_mode_and_the_group_of_its_volume(pods: Pods) -> None:
    fact = facts(pods, "group-sub-path")["missing"]
    assert (fact.mode, fact.user, fact.group, fact.file_system) == ("drwxrwsrwt", 0, 123, "tmpfs")


def test_emptydir_memory_backed_volume_is_sized_to_specified_limit(pods: Pods) -> None:
    size, copied = pods.output("limited").splitlines()[0], pods.log("limited")
    assert size.split()[1] == "10240"
    assert "No space left on device" in copied


def test_emptydir_shared_volumes_between_containers(pods: Pods) -> None:
    pods.wait("shared", lambda pod: "terminated" in (entry(pod, "sub").get("state") or {}) and running(pod))
    read = "cat /usr/share/volumeshare/shareddata.txt"
    assert pods.exec("shared", read) == "Hello from the sub-container\n"


def test_hostpath_volumes_are_shared_by_the_pods_of_a_node(pods: Pods) -> None:
    assert pods.output("host-writer") == "drwxr-xr-x\n"
    assert pods.output("host-reader") == "of the node\n"


def reads(pods: Pods, name: str, wanted: str) -> None:
    """Both containers of `sub_path` have read it, the second one twice."""
    pods.wait(name, lambda pod: entry(pod, "again").get("restartCount") == 1 and running(pod, "again"))
    pods.wait(name, lambda pod: "terminated" in entry(pod)["state"])
    assert pods.log(name, "main") == wanted
    assert pods.exec(name, "cat /state/seen", "again") == wanted * 2


def test_subpath_reading_content_from_a_configmap_volume(pods: Pods) -> None:
    """SubPath: Reading content from a configmap volume; also over a file that is there already."""
    reads(pods, "of-config", "config-value")
    assert pods.output("over-a-file") == "config-value"


def test_subpath_reading_content_from_a_secret_volume(pods: Pods) -> None:
    reads(pods, "of-secret", "secret-value")


def test_subpath_reading_content_from_a_downwardapi_volume(pods: Pods) -> None:
    reads(pods, "of-downward", "of-downward")


def test_subpath_reading_content_from_a_projected_volume(pods: Pods) -> None:
    reads(pods, "of-projected", "config-value")


def test_emptydir_wrapper_volume_secret_and_configmap_volumes_no_conflict(pods: Pods) -> None:
    found = facts(pods, "no-conflict")
    assert found["secret/secret-key"].text == "secret-value"
    assert found["config/config-key"].text == "config-value"


def test_emptydir_wrapper_volume_configmap_volumes_no_race(pods: Pods) -> None:
    found = pods.core.list_namespaced_pod(pods.namespace, label_selector="name=racers").items
    assert len(found) == RACERS
    for name in (each.metadata.name for each in found):
        pod = pods.wait(name, running)
        assert entry(pod)["restartCount"] == 0
        assert pods.log(name) == f"{MANY}\n"
        assert pods.events(name, "FailedMount") == []
