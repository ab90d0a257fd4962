"""The directories of local-path volumes: made when a pod first uses one, removed when the Node object asks for it.

The controller writes `local-path.pybernetes.io/<volume>: remove` among the Node's annotations; the answer, `removed`
or `failed: <why>`, takes the place of `remove`. Nothing else ever removes a directory here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from apimachinery import quantity
from apimachinery.errors import StatusError
from kubeletd import projectquota, trees

log = logging.getLogger(__name__)

PROVISIONER = "pybernetes.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
ROOT_ANNOTATION = "pybernetes.io/local-path-root"
# On a Node: how its volumes are held to their size; copied to each volume that is made for it.
QUOTA_ANNOTATION = "pybernetes.io/local-path-quota"
QUOTA = "project"
REMOVAL_PREFIX = "local-path.pybernetes.io/"
REMOVE = "remove"
REMOVED = "removed"
# Where a node without files says that its volumes are.
NOWHERE = "/var/lib/pybernetes/local-path"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_RETRY = 30.0


def directory(root: Path) -> Path:
    """Where the volumes of the agent with that root directory are."""
    return root / "local-path"


def make(root: Path, volume: Mapping[str, Any]) -> str | None:
    """The path of a volume of this provisioner and node, made if it is missing; None for other volumes."""
    metadata = volume["metadata"]
    if (metadata.get("annotations") or {}).get(PROVISIONED_BY) != PROVISIONER:
        return None
    path = Path(volume["spec"]["hostPath"]["path"])
    if path != directory(root) / metadata["name"]:
        return None
    size = quantity.to_int(volume["spec"]["capacity"]["storage"])
    device = quota_device(root)
    if not path.exists():
        path.parent.mkdir(mode=0o711, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.mkdir(exist_ok=True)
        os.chmod(new, 0o777)  # any user of any pod may write, as the claim is theirs alone
        if device and not projectquota.project_of(new):
            projectquota.confine(device, new, str(path), size)
        new.rename(path)
    if device:
        projectquota.resize(device, path, size)
    return str(path)


def present(root: Path) -> list[str]:
    """The names of the volumes that are there."""
    place = directory(root)
    return [name for name in os.listdir(place) if _NAME.fullmatch(name)] if place.exists() else []


def quota_device(root: Path) -> str:
    """The device of the volumes' file system if it can hold each to its size, "" if it cannot."""
    place = directory(root)
    return projectquota.device_of(place if place.exists() else root)


def is_confined(volume: Mapping[str, Any]) -> bool:
    """Whether the volume was made for a node that holds each to its size: it grows when the node has seen to it."""
    return QUOTA_ANNOTATION in (volume["metadata"].get("annotations") or {})


def remove(root: Path, name: str) -> None:
    """Removes the volume's directory with all in it; again is free. Raises OSError, ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"invalid volume name {name!r}")
    path = directory(root) / name
    if path.is_symlink():
        raise ValueError(f"{path} is a symbolic link")
    if path.exists():
        if device := quota_device(root):
            projectquota.release(device, path)
        trees.remove(path)


class LocalVolumes:
    """Does what the annotations of its Node ask for. `root` None: a node without files."""

    def __init__(
        self,
        root: Path | None,
        annotate: Callable[[Mapping[str, str | None]], Coroutine[Any, Any, None]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`annotate` writes annotations of the Node, `spawn` runs work until it is done or the agent ends."""
        self._root = root
        self._annotate = annotate
        self._spawn = spawn
        self._at_work: set[str] = set()
        self._quota = QUOTA if root is not None and quota_device(root) else ""
        self._telling = False

    @property
    def advertised(self) -> str:
        """The value of ROOT_ANNOTATION."""
        return str(directory(self._root)) if self._root is not None else NOWHERE

    def on_node(self, node: Mapping[str, Any]) -> None:
        annotations = node["metadata"].get("annotations") or {}
        if self._quota != annotations.get(QUOTA_ANNOTATION, "") and not self._telling:
            self._telling = True
            self._spawn(self._tell_quota())
        for key, value in annotations.items():
            name = key.removeprefix(REMOVAL_PREFIX)
            if name != key and value == REMOVE and name not in self._at_work:
                self._at_work.add(name)
                self._spawn(self._remove(name))

    async def _tell_quota(self) -> None:
        try:
            await self._annotate({QUOTA_ANNOTATION: self._quota or None})
        except (StatusError, OSError, TimeoutError) as error:
            log.warning("whether volumes are held to their size is not told: %s", error)
        finally:
            self._telling = False

    async def _remove(self, name: str) -> None:
        """Until it is removed and that is said."""
        try:
            while True:
                answer = REMOVED
                if self._root is not None:
                    try:
                        await asyncio.to_thread(remove, self._root, name)
                    except (OSError, ValueError) as error:
                        answer = f"failed: {error}"
                try:
                    await self._annotate({REMOVAL_PREFIX + name: answer})
                    if answer == REMOVED:
                        return
                except (StatusError, OSError, TimeoutError) as error:
                    log.warning("the removal of volume %s is not reported: %s", name, error)
                await asyncio.sleep(_RETRY if answer != REMOVED else 1.0)
        finally:
            self._at_work.discard(name)
