"""Directories whose files change all at once, as running pods expect of ConfigMap and Secret volumes.

The files live in a directory named by time; `..data` is a link to it and every visible name a link through
`..data`. Replacing that one link replaces them all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from kubeletd.projection import File, Payload

_DATA = "..data"
_GROUP_READS = 0o440


def _current(root: Path) -> Path | None:
    link = root / _DATA
    return root / os.readlink(link) if link.is_symlink() else None


def _same(directory: Path, payload: Payload) -> bool:
    present = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    if set(present) != set(payload):
        return False
    return all(present[name].read_bytes() == file.data for name, file in payload.items())


def _write(path: Path, file: File, group: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(file.data)
        while view:
            view = view[os.write(descriptor, view) :]
        if file.owner >= 0 or group >= 0:
            os.fchown(descriptor, file.owner, group)
        # A pod's group may read what it mounts, whatever the mode says of it.
        os.fchmod(descriptor, file.mode | (_GROUP_READS if group >= 0 else 0))
    finally:
        os.close(descriptor)


def write(root: Path, payload: Payload, *, group: int = -1) -> bool:
    """Makes the files under `root` those of `payload`, all at once. False where they were already."""
    for name in payload:
        if name.startswith("/") or ".." in Path(name).parts or name.startswith(".."):
            raise ValueError(f"path {name!r} leaves the volume")
    current = _current(root)
    if current is not None and current.is_dir() and _same(current, payload):
        return False
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=root))
    os.chmod(fresh, 0o755)
    for name, file in payload.items():
        _write(fresh / name, file, group)
    for directory in (fresh, *(path for path in fresh.rglob("*") if path.is_dir())):
        if group >= 0:
            os.chown(directory, -1, group)
        os.chmod(directory, 0o2755 if group >= 0 else 0o755)
    staged = root / "..data_tmp"
    staged.unlink(missing_ok=True)
    staged.symlink_to(fresh.name)
    os.replace(staged, root / _DATA)
    wanted = {Path(name).parts[0] for name in payload}
    for name in wanted:
        link = root / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for entry in root.iterdir():
        if entry.is_symlink():
            if entry.name not in wanted and not entry.name.startswith(".."):
                entry.unlink()
        elif entry != fresh and entry.name.startswith(".."):
            # The version before, and what a writer that was stopped half-way had begun.
            shutil.rmtree(entry, ignore_errors=True)
    return True
