"""Directories of local-path volumes on a node: made as claimed, removed only when asked for by name."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from kubeletd import localvolumes


def volume(root: Path, name: str = "pvc-1", path: str = "", size: str = "1Gi") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {localvolumes.PROVISIONED_BY: localvolumes.PROVISIONER}},
        "spec": {
            "hostPath": {"path": path or str(root / "local-path" / name)},
            "capacity": {"storage": size},
        },
    }


def test_a_directory_is_made_for_every_user_and_kept(tmp_path: Path) -> None:
    path = localvolumes.make(tmp_path, volume(tmp_path))
    assert path == str(tmp_path / "local-path" / "pvc-1")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
    (Path(path) / "data").write_text("kept")
    os.chmod(path, 0o700)
    assert localvolumes.make(tmp_path, volume(tmp_path)) == path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700, "what a pod chose stays"
    assert (Path(path) / "data").read_text() == "kept"


def test_volumes_that_are_there_are_known_by_name(tmp_path: Path) -> None:
    assert localvolumes.present(tmp_path) == []
    localvolumes.make(tmp_path, volume(tmp_path))
    (tmp_path / "local-path" / ".pvc-2.new").mkdir()
    assert localvolumes.present(tmp_path) == ["pvc-1"]


def test_other_volumes_are_not_ours(tmp_path: Path) -> None:
    by_hand = volume(tmp_path)
    by_hand["metadata"]["annotations"] = {}
    assert localvolumes.make(tmp_path, by_hand) is None
    assert localvolumes.make(tmp_path, volume(tmp_path, path=str(tmp_path / "elsewhere"))) is None
    assert not (tmp_path / "local-path").exists()


def test_nothing_outside_is_ever_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "local-path").mkdir()
    (tmp_path / "local-path" / "link").symlink_to(outside)
    for name in ("..", "../outside", "/etc", "", ".", "link", "a/b"):
        with pytest.raises(ValueError):
            localvolumes.remove(tmp_path, name)
    assert outside.exists()
    localvolumes.remove(tmp_path, "never-there")


async def test_the_node_answers_when_a_volume_is_removed(tmp_path: Path) -> None:
    said: list[Mapping[str, str]] = []
    tasks: list[asyncio.Task[None]] = []

    async def annotate(annotations: Mapping[str, str]) -> None:
        said.append(annotations)

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        tasks.append(asyncio.create_task(work))

    path = localvolumes.make(tmp_path, volume(tmp_path))
    assert path is not None
    kept = localvolumes.make(tmp_path, volume(tmp_path, "pvc-2"))
    assert kept is not None
    (Path(path) / "deep").mkdir()
    local = localvolumes.LocalVolumes(tmp_path, annotate, spawn)
    key = localvolumes.REMOVAL_PREFIX
    node = {"metadata": {"annotations": {f"{key}pvc-1": "remove", f"{key}pvc-2": "removed", "x": "remove"}}}
    local.on_node(node)
    local.on_node(node)
    await asyncio.gather(*tasks)
    assert said == [{f"{key}pvc-1": "removed"}]
    assert not Path(path).exists() and Path(kept).exists()
