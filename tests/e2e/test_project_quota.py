"""Project quotas of a real file system: on those that have them, a directory holds what it may and no more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeletd import localvolumes, projectquota

pytestmark = pytest.mark.e2e
MEBI = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """An ext4 file system of the test's own, and whether the kernel keeps count on it."""
    image, place = tmp_path / "disk", tmp_path / "mounted"
    place.mkdir()
    image.touch()
    os.truncate(image, 64 * MEBI)
    features = ("-I", "256", "-O", "quota,project", "-E", "quotatype=prjquota")
    for extra, options in ((features, "loop,prjquota"), ((), "loop")):
        subprocess.run(["mkfs.ext4", "-q", "-F", *extra, str(image)], check=True)
        mounted = subprocess.run(
            ["mount", "-o", options, str(image), str(place)], check=False, capture_output=True
        )
        if mounted.returncode == 0:
            yield place, bool(extra)
            subprocess.run(["umount", str(place)], check=True)
            return
    raise AssertionError(mounted.stderr)


def volume(root: Path, size: int) -> dict[str, object]:
    return {
        "metadata": {
            "name": "v",
            "annotations": {localvolumes.PROVISIONED_BY: localvolumes.PROVISIONER},
        },
        "spec": {"hostPath": {"path": f"{root}/local-path/v"}, "capacity": {"storage": str(size)}},
    }


def written(folder: Path, size: int) -> int:
    """How much of `size` bytes a file took. Who may exceed limits (CAP_SYS_RESOURCE) is no judge of that."""
    command = ["dd", "if=/dev/zero", "of=f", "bs=1M", f"count={size // MEBI}", "conv=fsync"]
    subprocess.run(command, check=False, capture_output=True, cwd=folder, user=1234, group=1234)
    return (folder / "f").stat().st_size


def test_a_volume_is_held_to_its_size(disk: tuple[Path, bool]) -> None:
    root, enforced = disk
    assert bool(projectquota.device_of(root)) is enforced
    made = localvolumes.make(root, volume(root, 4 * MEBI))
    assert made is not None
    path = Path(made)
    assert (written(path, 8 * MEBI) <= 4 * MEBI) is enforced
    localvolumes.make(root, volume(root, 16 * MEBI))
    assert written(path, 8 * MEBI) == 8 * MEBI
    localvolumes.remove(root, "v")
    assert not path.exists()
