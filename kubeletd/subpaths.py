"""The places within volumes that containers mount in place of the whole (subPath, subPathExpr)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from kubeletd.environment import expand
from kubeletd.interfaces import PodConfigError


def wanted(mount: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """The subPath of a volumeMount, "" for the whole volume. Raises PodConfigError."""
    if expression := mount.get("subPathExpr"):
        sub_path = expand(expression, env)
        if "$(" in sub_path:
            raise PodConfigError(f"failed to expand subPath {expression!r}: missing value")
        return sub_path
    return mount.get("subPath") or ""


def of_image(volume: str, sub_path: str, name: str) -> str:
    """The host path within an image's files, which must be there. Raises PodConfigError."""
    root = os.path.realpath(volume)
    target = os.path.realpath(os.path.join(root, sub_path))
    if not target.startswith(root + os.sep) or not os.path.exists(target):
        text = f'failed to mount image volume "{name}": image volume subpath {sub_path!r}: no such directory'
        raise PodConfigError(text, "CreateContainerError")
    return target


def of_volume(volume: str, sub_path: str, name: str, container: str) -> str:
    """The host path of a subPath, made if it is missing. It may not lead out of the volume, links included."""
    root = os.path.realpath(volume)
    target = os.path.realpath(os.path.join(root, sub_path))
    if target != root and not target.startswith(root + os.sep):
        raise PodConfigError(f'failed to prepare subPath for volumeMount "{name}" of container "{container}"')
    if not os.path.exists(target):
        try:
            os.makedirs(target, mode=0o750)
            os.chmod(target, stat.S_IMODE(os.stat(root).st_mode) | 0o750)
        except OSError as error:
            raise PodConfigError(
                f'failed to create subPath directory for volumeMount "{name}" of container "{container}"'
            ) from error
    return target
