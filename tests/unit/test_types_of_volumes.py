"""Types of volumes: what is asked of the node, whose files they become, and the words of what is refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeletd import claims, subpaths, volumes
from kubeletd.interfaces import MountError, PodConfigError, PodFacts
from kubeletd.runtime import dockerspec
from kubeletd.runtime.specs import ContainerSpec, Identity, Mount
from kubeletd.volumetypes import emptydir, kind_of, nfs, ownership
from kubeletd.volumetypes.hostpath import host_path
from kubeletd.volumetypes.interface import Asked, Node

Object = dict[str, Any]


def pod(**spec: Any) -> Object:
    metadata = {"name": "p", "namespace": "n", "uid": spec.pop("uid", "u1")}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c"}], **spec}}


def asked(kind: str, source: Object, directory: Path = Path("/v"), **more: Any) -> Asked:
    facts = more.pop("facts", PodFacts())
    return Asked(more.pop("pod", pod()), "v", kind, source, directory, facts, **more)


def persistent(**spec: Any) -> Object:
    return {"metadata": {"name": "pv"}, "spec": spec}


# NFS


def test_mount_is_called_as_the_volume_says() -> None:
    inline = {"server": "host", "path": "/x"}
    assert nfs.arguments(asked("nfs", inline)) == ["-t", "nfs", "host:/x", "/v"]
    assert nfs.arguments(asked("nfs", {**inline, "readOnly": True})) == [
        "-t",
        "nfs",
        "-o",
        "ro",
        "host:/x",
        "/v",
    ]
    volume = persistent(nfs={"server": "fd00::1", "path": "/x"}, mountOptions=["hard", "nfsvers=4.2", "hard"])
    volume["metadata"]["annotations"] = {"volume.beta.kubernetes.io/mount-options": "ac,hard"}
    claimed = asked("nfs", volume["spec"]["nfs"], persistent=volume, read_only=True)
    assert nfs.arguments(claimed) == ["-t", "nfs", "-o", "ac,hard,nfsvers=4.2,ro", "[fd00::1]:/x", "/v"]


def mount_program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "mount").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "mount").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def test_what_the_mount_program_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount_program(tmp_path / "bin", "echo mount.nfs: Connection refused >&2; exit 32", monkeypatch)
    place = tmp_path / "pods" / "v"
    made = nfs.create(Node(tmp_path, None, "n"))  # type: ignore[arg-type]
    with pytest.raises(MountError) as caught:
        await made.set_up(asked("nfs", {"server": "host", "path": "/x"}, place))
    assert caught.value.message == (
        f"mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs host:/x {place}\n"
        "Output: mount.nfs: Connection refused\n"
    )
    assert not place.exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MountError, match="the node has no mount program"):
        await made.set_up(asked("nfs", {"server": "host", "path": "/x"}, place))


async def test_a_mounted_export_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount_program(tmp_path / "bin", f'echo "$@" > {tmp_path}/said', monkeypatch)
    place = tmp_path / "pods" / "v"
    made = nfs.create(Node(tmp_path, None, "n"))  # type: ignore[arg-type]
    assert await made.set_up(asked("nfs", {"server": "host", "path": "/x"}, place)) == str(place)
    assert (tmp_path / "said").read_text() == f"-t nfs host:/x {place}\n"


# emptyDir


@pytest.mark.parametrize(
    ("source", "spec", "allocatable", "size"),
    [
        ({}, {}, None, 0),
        ({}, {}, {"memory": "1Gi"}, 1 << 30),
        ({"sizeLimit": "1Mi"}, {}, {"memory": "1Gi"}, 1 << 20),
        ({"sizeLimit": "2Gi"}, {}, {"memory": "1Gi"}, 1 << 30),
        ({}, {"containers": [{"resources": {"limits": {"memory": "8Mi"}}}]}, {"memory": "1Gi"}, 8 << 20),
        ({}, {"containers": [{"resources": {"limits": {"memory": "8Mi"}}}, {}]}, {"memory": "1Gi"}, 1 << 30),
        ({}, {"resources": {"limits": {"memory": "4Mi"}}}, {"memory": "1Gi"}, 4 << 20),
    ],
)
def test_memory_has_the_smallest_of_all_limits(
    source: Object, spec: Object, allocatable: Any, size: int
) -> None:
    facts = PodFacts(allocatable=allocatable)
    assert emptydir.memory_size(asked("emptyDir", source, pod=pod(**spec), facts=facts)) == size


async def test_huge_pages_are_refused(tmp_path: Path) -> None:
    made = emptydir.create(Node(tmp_path, None, "n"))  # type: ignore[arg-type]
    with pytest.raises(
        MountError, match="medium HugePages: hugePages storage requested, but there is no resource"
    ):
        await made.set_up(asked("emptyDir", {"medium": "HugePages"}, tmp_path / "v"))
    resources = {"requests": {"hugepages-2Mi": "4Mi"}}
    wants = asked(
        "emptyDir",
        {"medium": "HugePages-2Mi"},
        tmp_path / "v",
        pod=pod(containers=[{"resources": resources}]),
    )
    with pytest.raises(MountError, match="medium HugePages-2Mi: this node offers no huge pages"):
        await made.set_up(wants)
    assert not (tmp_path / "v").exists()


async def test_a_pod_that_has_begun_keeps_what_it_made_of_its_directory(tmp_path: Path) -> None:
    made = emptydir.create(Node(tmp_path, None, "n"))  # type: ignore[arg-type]
    place = Path(await made.set_up(asked("emptyDir", {}, tmp_path / "v")))
    assert stat.S_IMODE(place.stat().st_mode) == 0o777
    place.chmod(0o700)
    await made.set_up(asked("emptyDir", {}, tmp_path / "v"))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


async def test_what_an_ended_agent_had_begun_is_made_whole(tmp_path: Path) -> None:
    made = emptydir.create(Node(tmp_path, None, "n"))  # type: ignore[arg-type]
    (tmp_path / ".v.new").mkdir(0o700)
    wants = pod(securityContext={"fsGroup": os.getgid()})
    place = Path(await made.set_up(asked("emptyDir", {}, tmp_path / "v", pod=wants)))
    assert stat.S_IMODE(place.stat().st_mode) == 0o2777
    assert [path.name for path in tmp_path.iterdir()] == ["v"]


# hostPath


def test_what_cannot_be_made_is_said_as_the_kernel_says_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MountError) as caught:
        host_path(str(tmp_path / "none" / "file"), "FileOrCreate")
    assert caught.value.message == f"open {tmp_path}/none/file: no such file or directory"
    with pytest.raises(MountError) as caught:
        host_path(str(tmp_path / "file" / "folder"), "DirectoryOrCreate")
    assert caught.value.message == f"mkdir {tmp_path}/file/folder: not a directory"


@pytest.mark.parametrize("kind", ["", "DirectoryOrCreate"])
def test_directories_are_made_whatever_the_umask(tmp_path: Path, kind: str) -> None:
    before = os.umask(0o077)
    try:
        host_path(str(tmp_path / "a" / "b"), kind)
        host_path(str(tmp_path / "a" / "f"), "FileOrCreate")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / p).stat().st_mode) for p in ("a", "a/b", "a/f")] == [0o755, 0o755, 0o644]


# fsGroup


@given(st.integers(0, 0o7777), st.booleans(), st.booleans())
def test_a_group_gets_its_bits_and_nobody_loses_any(bits: int, folder: bool, read_only: bool) -> None:
    mode = bits | (stat.S_IFDIR if folder else stat.S_IFREG)
    given_bits = ownership.mode_for_group(mode, read_only)
    assert given_bits & bits == bits
    assert given_bits & 0o440 == 0o440
    assert given_bits & 0o220 == (bits & 0o220 if read_only else 0o220)
    assert bool(given_bits & stat.S_ISGID) == (folder or bool(bits & stat.S_ISGID))
    assert ownership.mode_for_group(given_bits | stat.S_IFMT(mode), read_only) == given_bits


def test_a_root_that_is_right_stands_for_all_where_the_pod_says_so(tmp_path: Path) -> None:
    group = os.getgid()
    wants = pod(securityContext={"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"})
    (tmp_path / "f").touch(0o600)
    (tmp_path / "f").chmod(0o600)
    (tmp_path / "away").symlink_to("/nonexistent")
    tmp_path.chmod(0o700)
    ownership.give_to_group(wants, tmp_path, may_skip=True)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o2770
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o660
    (tmp_path / "f").chmod(0o600)
    ownership.give_to_group(wants, tmp_path, may_skip=True)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    ownership.give_to_group(wants, tmp_path)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o660


# subPath


def test_sub_paths_are_expanded_and_checked() -> None:
    env = {"A": "x", "EMPTY": ""}
    assert subpaths.wanted({"subPathExpr": "$(A)/$$(A)/y"}, env) == "x/$(A)/y"
    assert subpaths.wanted({"subPath": "$(A)"}, env) == "$(A)"
    for mount, said in (
        ({"subPathExpr": "$(NONE)/$(EMPTY)"}, "missing value for EMPTY, NONE"),
        ({"subPathExpr": "/$(A)"}, "error SubPath `/x` must not be an absolute path"),
        ({"subPathExpr": "$(A)/../y"}, "unable to provision SubPath `x/../y`: must not contain '..'"),
    ):
        with pytest.raises(PodConfigError) as caught:
            subpaths.wanted(mount, env)
        assert caught.value.message == said


def test_no_link_is_followed_while_a_place_is_opened(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "real" / "deep").mkdir(parents=True)
    (volume / "link").symlink_to("/etc")
    descriptor = subpaths.open_within(str(volume), str(volume / "real" / "deep"))
    assert os.readlink(f"/proc/self/fd/{descriptor}") == str(volume / "real" / "deep")
    os.close(descriptor)
    for target in (volume / "link", volume / "link" / "passwd", tmp_path, Path("/etc")):
        with pytest.raises(OSError, match=r"link|within|directory"):
            subpaths.open_within(str(volume), str(target))


# Claims, and what a mount says


class Objects:
    """A claim that is bound to one volume."""

    def __init__(self, volume: Object) -> None:
        self.volume = volume

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        if kind == "PersistentVolume":
            return self.volume
        return {"spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}

    def release(self, uid: str) -> None: ...


def claiming(field: str = "volumeMounts", uid: str = "u1") -> Object:
    used = [{"name": "v", "mountPath": "/v"}]
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    return pod(uid=uid, containers=[{"name": "c", field: used}], volumes=[claim])


def volumes_of(root: Path, volume: Object, **more: Any) -> volumes.PodVolumes:
    return volumes.PodVolumes(root, Objects(volume), "node", **more)  # type: ignore[arg-type]


async def test_a_volume_is_used_as_its_mode_says(tmp_path: Path) -> None:
    block = volumes_of(tmp_path, persistent(hostPath={"path": "/dev/null"}, volumeMode="Block"))
    with pytest.raises(MountError, match="volume v has volumeMode Block, but is specified in volumeMounts"):
        await block.mount_all(claiming(), PodFacts())
    with pytest.raises(MountError, match="volumes of volumeMode Block through CSI drivers only"):
        await block.mount_all(claiming("volumeDevices"), PodFacts())
    files = volumes_of(tmp_path, persistent(hostPath={"path": str(tmp_path)}))
    with pytest.raises(
        MountError, match="volume v has volumeMode Filesystem, but is specified in volumeDevices"
    ):
        await files.mount_all(claiming("volumeDevices"), PodFacts())


async def test_a_volume_of_other_nodes_is_not_mounted_here(tmp_path: Path) -> None:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["here"]}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    made = volumes_of(tmp_path, persistent(hostPath={"path": str(tmp_path)}, nodeAffinity=affinity))
    with pytest.raises(
        MountError, match='NodeAffinity check failed for volume "pv" : no matching NodeSelectorTerms'
    ):
        await made.mount_all(claiming(), PodFacts(node_labels={"kubernetes.io/hostname": "there"}))
    here = PodFacts(node_labels={"kubernetes.io/hostname": "here"})
    assert await made.mount_all(claiming(), here) == {"v": str(tmp_path)}


def test_an_ephemeral_volume_is_its_pods_own() -> None:
    owner = pod()
    volume = {"name": "v", "ephemeral": {}}
    claim: Object = {
        "metadata": {"name": "p-v", "namespace": "n"},
        "spec": {"volumeName": "pv"},
        "status": {"phase": "Bound"},
    }
    with pytest.raises(MountError) as caught:
        claims.bound_volume(owner, volume, claim)
    assert caught.value.message == 'PVC "n/p-v" was not created for pod "n/p" (pod is not owner)'
    claim["metadata"]["ownerReferences"] = [{"uid": "u1", "controller": True, "kind": "Pod", "name": "p"}]
    assert claims.bound_volume(owner, volume, claim) == "pv"


async def test_a_volume_for_one_pod_is_not_shared(tmp_path: Path) -> None:
    made = volumes_of(
        tmp_path, persistent(hostPath={"path": str(tmp_path)}, accessModes=["ReadWriteOncePod"])
    )
    assert await made.mount_all(claiming(), PodFacts()) == {"v": str(tmp_path)}
    assert await made.mount_all(claiming(), PodFacts()) == {"v": str(tmp_path)}
    with pytest.raises(MountError) as caught:
        await made.mount_all(claiming(uid="u2"), PodFacts())
    assert caught.value.message == (
        'MountVolume.SetUp failed for volume "v" : volume uses the ReadWriteOncePod access mode and is already in use '
        "by another pod"
    )
    await made.unmount_all("u1")
    assert await made.mount_all(claiming(uid="u2"), PodFacts()) == {"v": str(tmp_path)}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"secret": {"secretName": "s"}}, True),
        ({"configMap": {"name": "c"}}, True),
        ({"projected": {}}, True),
        ({"emptyDir": {}}, False),
        ({"nfs": {"readOnly": True}}, True),
        ({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, True),
        ({"hostPath": {"path": "/x"}}, False),
    ],
)
def test_what_nobody_may_write(volume: Object, expected: bool) -> None:
    assert volumes.read_only({"name": "v", **volume}) is expected


async def test_mounts_are_recursively_read_only_where_they_can_be(tmp_path: Path) -> None:
    wanted = {"Disabled": False, "IfPossible": True, "Enabled": True}
    for able in (True, False):
        made = volumes_of(tmp_path, {}, recursive_read_only=lambda able=able: able)
        for word, recursive in wanted.items():
            mount = {"name": "v", "mountPath": "/m", "readOnly": True, "recursiveReadOnly": word}
            container = {"name": "c", "volumeMounts": [mount]}
            spec = pod(containers=[container], volumes=[{"name": "v", "emptyDir": {}}])
            if word == "Enabled" and not able:
                with pytest.raises(PodConfigError, match="but it is not supported by the runtime"):
                    await made.container_mounts(spec, container, {"v": "/v"}, {})
                continue
            (found,) = await made.container_mounts(spec, container, {"v": "/v"}, {})
            assert found.recursive_read_only is (recursive and able) and found.read_only


def test_types_nobody_has_are_named() -> None:
    with pytest.raises(MountError, match="no volume plugin matched for volume type iscsi"):
        kind_of({"name": "v", "iscsi": {}})


FEATURES = "org.opencontainers.runtime-spec.features"
RUNC = {"runc": {"status": {FEATURES: json.dumps({"mountOptions": ["ro", "rro"]})}}}
OLD_RUNC = {"runc": {"status": {FEATURES: json.dumps({"mountOptions": ["ro"]})}}}


@pytest.mark.parametrize(
    ("api", "info", "able"),
    [
        ("1.41", {"KernelVersion": "6.1.0", "Runtimes": RUNC}, False),
        ("1.44", {"KernelVersion": "6.1.0", "Runtimes": RUNC}, True),
        ("1.44", {"KernelVersion": "6.1.0"}, True),
        ("1.44", {"KernelVersion": "6.1.0", "Runtimes": OLD_RUNC}, False),
        ("1.47", {"KernelVersion": "5.10.0-28-amd64", "Runtimes": RUNC}, False),
        ("1.47", {"KernelVersion": "5.12.3", "Runtimes": RUNC}, True),
        ("1.47", {}, False),
    ],
)
def test_which_engines_make_all_below_a_mount_read_only(api: str, info: Object, able: bool) -> None:
    assert dockerspec.recursive_read_only(api, info) is able


def test_newer_engines_are_told_what_older_ones_always_do() -> None:
    def options(api: str, **more: bool) -> Object:
        spec = ContainerSpec(
            Identity("n", "p", "u", "c", "container"), "image", "s", mounts=(Mount("/h", "/c", **more),)
        )
        body = dockerspec.container(spec, "cluster", "node", api_version=api)
        found: Object = body["HostConfig"]["Mounts"][0]["BindOptions"]
        return found

    assert options("1.41", read_only=True) == {"Propagation": "rprivate"}
    assert options("1.44") == {"Propagation": "rprivate"}
    assert options("1.44", read_only=True) == {"Propagation": "rprivate", "ReadOnlyNonRecursive": True}
    recursive = options("1.44", read_only=True, recursive_read_only=True)
    assert recursive == {"Propagation": "rprivate", "ReadOnlyForceRecursive": True}
