"""Whatever a pod makes of its volume is given to a group, and removed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeletd import trees
from kubeletd.volumetypes.ownership import give_to_group

DEPTH = 1500  # far beyond what a path can name, and what calls of functions can nest
PART = "deep" * 10


@pytest.fixture
def abyss(tmp_path: Path) -> Iterator[Path]:
    """Directories in directories, with a file in each hundredth."""
    root = tmp_path / "volume"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    for depth in range(DEPTH):
        os.mkdir(PART, dir_fd=descriptor)
        inner = os.open(PART, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
        if depth % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=descriptor))
    os.close(descriptor)
    yield root
    if root.exists():
        trees.remove(root)


def test_no_depth_is_too_deep(abyss: Path) -> None:
    group = os.getgid()
    pod = {"spec": {"securityContext": {"fsGroup": group}}}
    give_to_group(pod, abyss)
    found = list(trees.visit(abyss))
    assert len(found) == DEPTH + DEPTH // 100
    for _, name, status in found:
        assert stat.S_IMODE(status.st_mode) == (0o660 if name == "file" else 0o2775), name
    trees.remove(abyss)
    assert not abyss.exists()


def test_links_are_removed_and_not_what_they_lead_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "folder" / "file").touch(0o600)
    (outside / "folder" / "file").chmod(0o600)
    volume = tmp_path / "volume"
    (volume / "a").mkdir(parents=True)
    (volume / "a" / "link").symlink_to(outside / "folder")
    (volume / "file").symlink_to(outside / "folder" / "file")
    (volume / ".removed-1").mkdir()
    (volume / ".removed-1" / "b" / "c").mkdir(parents=True)
    give_to_group({"spec": {"securityContext": {"fsGroup": os.getgid()}}}, volume)
    trees.remove(volume)
    assert not volume.exists()
    assert stat.S_IMODE((outside / "folder" / "file").stat().st_mode) == 0o600


NAMES = st.lists(st.sampled_from(["a", "b", ".removed-1", "c"]), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.lists(NAMES, max_size=8))
def test_every_tree_goes_whole(tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]) -> None:
    root = tmp_path_factory.mktemp("tree") / "root"
    root.mkdir()
    for parts in paths:
        root.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        root.joinpath(*parts, "file").touch()
    below = {str(path.relative_to(root)) for path in root.rglob("*")}
    visited = {
        os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name) for folder, name, _ in trees.visit(root)
    }
    assert visited == {str(root / path) for path in below}
    trees.remove(root)
    assert not root.exists()
