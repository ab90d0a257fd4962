"""The files of a volume change all at once: no reader ever finds some of one version and some of another."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeletd import atomicfiles
from kubeletd.projection import File

VERSIONS = 30


def payload(version: int, names: frozenset[str]) -> dict[str, File]:
    return {name: File(str(version).encode()) for name in names}


def read(root: Path) -> dict[str, bytes] | None:
    """What a process finds that opens the volume's data once; None if it was replaced meanwhile."""
    found: dict[str, bytes] = {}
    try:
        data = os.open(root / "..data", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        for folder, _, files in os.walk(f"/proc/self/fd/{data}"):
            for name in files:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, f"/proc/self/fd/{data}")] = Path(path).read_bytes()
        # Only what was whole until the end of the reading counts.
        if os.readlink(root / "..data") != os.path.basename(os.readlink(f"/proc/self/fd/{data}")):
            return None
    except FileNotFoundError:
        return None
    finally:
        os.close(data)
    return found


NAMES = st.frozensets(st.sampled_from(["a", "b", "c/d", "c/e", "f"]), min_size=1)


@settings(max_examples=5, deadline=None)
@given(st.lists(NAMES, min_size=2, max_size=4))
def test_a_reader_never_sees_a_mix(tmp_path_factory: object, sets: list[frozenset[str]]) -> None:
    root = tmp_path_factory.mktemp("volume")  # type: ignore[attr-defined]
    atomicfiles.write(root, payload(0, sets[0]))
    mixed: list[dict[str, bytes]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen = read(root)
            if seen is None:
                continue
            versions = {int(data) for data in seen.values()}
            if len(versions) != 1 or set(seen) != sets[versions.pop() % len(sets)]:
                mixed.append(seen)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for version in range(1, VERSIONS):
            atomicfiles.write(root, payload(version, sets[version % len(sets)]))
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert mixed == []


def test_what_a_writer_left_half_done_goes_with_the_next_change(tmp_path: Path) -> None:
    atomicfiles.write(tmp_path, {"f": File(b"1")})
    (tmp_path / "..half").mkdir()
    (tmp_path / "..half" / "f").write_bytes(b"2")
    (tmp_path / "..data_tmp").symlink_to("..half")
    atomicfiles.write(tmp_path, {"f": File(b"3")})
    assert (tmp_path / "f").read_bytes() == b"3"
    assert sorted(p.name for p in tmp_path.iterdir() if not p.is_symlink()) == [
        os.readlink(tmp_path / "..data")
    ]


def test_a_group_may_read_and_only_the_token_has_another_owner(tmp_path: Path) -> None:
    group, user = os.getgid(), os.getuid()
    files = {"d/a": File(b"", 0o400), "b": File(b"", 0o640), "t": File(b"", 0o600, user)}
    atomicfiles.write(tmp_path, files, group=group)
    modes = {name: oct((tmp_path / name).stat().st_mode & 0o7777) for name in ("d/a", "b", "t", "d")}
    assert modes == {"d/a": "0o440", "b": "0o640", "t": "0o640", "d": "0o2755"}
