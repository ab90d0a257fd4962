"""Local-path volumes are held to their size where the file system can."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from kubeletd import localvolumes, projectquota
from kubeletd.interfaces import PodFacts
from kubeletd.volumes import PodVolumes

Object = dict[str, Any]
MOUNTS = b"25 1 8:1 / / rw - ext4 /dev/root rw\n30 25 %s / /data rw,noatime shared:5 - %s /dev/data rw,%s\n"


class Quotas:
    """A file system that keeps count: limits by project, projects by directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limits: dict[int, int] = {}
        self.projects: dict[int, int] = {}  # by inode, as a directory is renamed
        monkeypatch.setattr(projectquota, "device_of", lambda place: "/dev/data")
        monkeypatch.setattr(projectquota, "limit_of", lambda device, project: self.limits.get(project, 0))
        monkeypatch.setattr(
            projectquota, "project_of", lambda place: self.projects.get(place.stat().st_ino, 0)
        )
        monkeypatch.setattr(projectquota, "set_limit", self._limit)
        monkeypatch.setattr(projectquota, "set_project", self._give)

    def _limit(self, device: str, project: int, size: int) -> None:
        assert device == "/dev/data"
        if size:
            self.limits[project] = size
        else:
            del self.limits[project]

    def _give(self, place: Path, project: int) -> None:
        self.projects[place.stat().st_ino] = project

    def of(self, path: str) -> int:
        return self.limits[self.projects[Path(path).stat().st_ino]]


def volume(root: Path, name: str = "pvc-1", size: str = "1Mi", confined: bool = True) -> Object:
    annotations = {localvolumes.PROVISIONED_BY: localvolumes.PROVISIONER}
    if confined:
        annotations[localvolumes.QUOTA_ANNOTATION] = localvolumes.QUOTA
    spec = {"hostPath": {"path": str(root / "local-path" / name)}, "capacity": {"storage": size}}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": spec}


@pytest.mark.parametrize(
    ("kind", "options", "device"),
    [
        (b"ext4", b"prjquota", "/dev/data"),
        (b"ext4", b"usrquota,prjquota", "/dev/data"),
        (b"xfs", b"attr2,prjquota", "/dev/data"),
        (b"xfs", b"pquota", "/dev/data"),
        (b"xfs", b"pqnoenforce", ""),
        (b"ext4", b"relatime", ""),
        (b"btrfs", b"prjquota", ""),
    ],
)
def test_file_systems_that_enforce_are_known(
    tmp_path: Path, kind: bytes, options: bytes, device: str
) -> None:
    number = tmp_path.stat().st_dev
    place = b"%d:%d" % (number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)
    assert projectquota.device_of(tmp_path, MOUNTS % (place, kind, options)) == device


def test_a_directory_holds_what_was_claimed_until_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas = Quotas(monkeypatch)
    path = localvolumes.make(tmp_path, volume(tmp_path))
    other = localvolumes.make(tmp_path, volume(tmp_path, "pvc-2", "2Mi"))
    assert path is not None and other is not None
    assert (quotas.of(path), quotas.of(other)) == (1 << 20, 2 << 20)
    assert localvolumes.make(tmp_path, volume(tmp_path, size="4Mi")) == path
    assert quotas.of(path) == 4 << 20, "it has grown"
    localvolumes.remove(tmp_path, "pvc-1")
    localvolumes.remove(tmp_path, "pvc-2")
    assert quotas.limits == {}


def test_a_number_that_somebody_has_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quotas = Quotas(monkeypatch)
    path = localvolumes.make(tmp_path, volume(tmp_path))
    assert path is not None
    (taken,) = quotas.limits
    shutil.rmtree(path)  # whose agent is gone
    quotas.projects.clear()
    again = localvolumes.make(tmp_path, volume(tmp_path))
    assert again is not None and set(quotas.limits) == {taken, taken + 1}


def test_what_was_made_without_a_limit_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = localvolumes.make(tmp_path, volume(tmp_path))
    quotas = Quotas(monkeypatch)
    assert localvolumes.make(tmp_path, volume(tmp_path)) == path
    assert quotas.limits == {}


@pytest.mark.parametrize(
    ("present", "told"), [({}, True), ({localvolumes.QUOTA_ANNOTATION: "project"}, False)]
)
async def test_the_node_says_what_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: Object, told: bool
) -> None:
    Quotas(monkeypatch)
    said: list[Mapping[str, str | None]] = []
    tasks: list[asyncio.Task[None]] = []

    async def annotate(annotations: Mapping[str, str | None]) -> None:
        said.append(annotations)

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        tasks.append(asyncio.ensure_future(work))

    local = localvolumes.LocalVolumes(tmp_path, annotate, spawn)
    for _ in range(2):
        local.on_node({"metadata": {"annotations": present}})
    await asyncio.gather(*tasks)
    assert said == ([{localvolumes.QUOTA_ANNOTATION: "project"}] if told else [])


class Objects:
    """A claim and its volume; `told` is what the claim's status was patched with."""

    def __init__(self, root: Path) -> None:
        self.volume = volume(root)
        self.status: Object = {"phase": "Bound", "capacity": {"storage": "1Mi"}}
        self.told: list[Object] = []

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        if kind == "PersistentVolume":
            return self.volume
        return {"metadata": {"uid": "c"}, "spec": {"volumeName": "pvc-1"}, "status": self.status}

    async def patch_claim_status(self, claim: Object, patch: Object) -> None:
        self.told.append(patch["status"])

    def release(self, uid: str) -> None: ...


async def test_a_claim_learns_that_its_volume_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas = Quotas(monkeypatch)
    objects = Objects(tmp_path)
    made = PodVolumes(tmp_path, objects, "node")  # type: ignore[arg-type]
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    used = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [used], "volumes": [claim]},
    }
    path = (await made.mount_all(pod, PodFacts()))["v"]
    assert objects.told == [] and quotas.of(path) == 1 << 20
    assert made.renewed("u")
    objects.volume = volume(tmp_path, size="2Mi")
    objects.status["conditions"] = [{"type": "FileSystemResizePending", "status": "True"}]
    await made.refresh(pod, PodFacts())
    assert quotas.of(path) == 2 << 20
    assert objects.told == [{"capacity": {"storage": "2Mi"}, "conditions": None}]
    await made.unmount_all("u")
    assert not made.renewed("u")
