"""ConfigMap, Secret and downward volumes: what their files hold, and that they change all at once."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeletd import atomicfiles
from kubeletd.interfaces import MountError, PodFacts
from kubeletd.projection import File, ProjectionError, downward, keyed
from kubeletd.volumetypes.hostpath import host_path

CONFIG: dict[str, Any] = {
    "data": {"a": "1", "b": "2"},
    "binaryData": {"c": base64.b64encode(b"\xff").decode()},
}


def test_every_key_is_a_file() -> None:
    assert keyed("ConfigMap", "cm", CONFIG, (), 0o644, False) == {
        "a": File(b"1"),
        "b": File(b"2"),
        "c": File(b"\xff"),
    }


def test_items_choose_keys_paths_and_modes() -> None:
    items = [{"key": "a", "path": "x/y", "mode": 0o400}]
    assert keyed("ConfigMap", "cm", CONFIG, items, 0o644, False) == {"x/y": File(b"1", 0o400)}


def test_what_is_missing_is_named_unless_optional() -> None:
    with pytest.raises(ProjectionError, match='secret "s" not found'):
        keyed("Secret", "s", None, (), 0o644, False)
    with pytest.raises(ProjectionError, match="configmap references non-existent config key: zz"):
        keyed("ConfigMap", "cm", CONFIG, [{"key": "zz", "path": "p"}], 0o644, False)
    assert keyed("Secret", "s", None, (), 0o644, True) == {}
    assert keyed("ConfigMap", "cm", CONFIG, [{"key": "zz", "path": "p"}], 0o644, True) == {}


def test_downward_files() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"k": "v"}},
        "spec": {"containers": []},
    }
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    assert downward(pod, items, 0o644, PodFacts()) == {"labels": File(b'k="v"')}


names = st.from_regex(r"[a-z]{1,3}(/[a-z]{1,2})?", fullmatch=True)
payloads = st.dictionaries(names, st.binary(max_size=8).map(File), max_size=4).filter(
    lambda payload: not any(other.startswith(name + "/") for name in payload for other in payload)
)


@settings(max_examples=30)
@given(st.lists(payloads, min_size=1, max_size=4))
def test_a_volume_shows_exactly_its_last_payload(
    tmp_path_factory: Any, sequence: list[dict[str, File]]
) -> None:
    root: Path = tmp_path_factory.mktemp("volume")
    for payload in sequence:
        atomicfiles.write(root, payload)
        shown = {name: (root / name).read_bytes() for name in payload}
        assert shown == {name: file.data for name, file in payload.items()}
        visible = {entry.name for entry in root.iterdir() if not entry.name.startswith("..")}
        assert visible == {Path(name).parts[0] for name in payload}
        assert not atomicfiles.write(root, payload)
        assert len([e for e in root.iterdir() if e.is_dir() and not e.is_symlink()]) == 1


def test_modes_and_groups(tmp_path: Path) -> None:
    atomicfiles.write(tmp_path, {"f": File(b"x", 0o400)})
    assert os.stat(tmp_path / "f").st_mode & 0o777 == 0o400


def test_a_path_may_not_leave_the_volume(tmp_path: Path) -> None:
    for name in ("../x", "/x", "a/../../x"):
        with pytest.raises(ValueError, match="leaves the volume"):
            atomicfiles.write(tmp_path, {name: File(b"")})


def test_host_path_types(tmp_path: Path) -> None:
    there, missing = tmp_path / "f", tmp_path / "d" / "e"
    there.write_text("x")
    assert host_path(str(there), "File") == str(there)
    assert host_path(str(missing), "DirectoryOrCreate") == str(missing)
    assert missing.is_dir()
    with pytest.raises(MountError, match=r"hostPath type check failed: .* is not a directory"):
        host_path(str(there), "Directory")
    with pytest.raises(MountError, match="is not a file"):
        host_path(str(tmp_path / "none"), "File")
    assert host_path(str(tmp_path / "none"), "") == str(tmp_path / "none")
