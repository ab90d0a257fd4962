"""The user's kubeconfig: a context for each local cluster comes and goes, whatever else is in the file stays."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

_LISTS = ("clusters", "contexts", "users")


class UserConfigError(Exception):
    """The user's kubeconfig cannot be read or written."""


def context_name(cluster: str) -> str:
    return f"pybernetes-{cluster}"


def path() -> Path:
    """The file that contexts go to: the first of `$KUBECONFIG`, or `~/.kube/config`."""
    listed = [p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return Path(listed[0]) if listed else Path.home() / ".kube" / "config"


@contextmanager
def _edited(target: Path) -> Iterator[dict[str, Any]]:
    """The document to change in place; written back in one step."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (target.parent / f".{target.name}.pybernetes-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            document = yaml.safe_load(target.read_text()) if target.exists() else None
        except (OSError, yaml.YAMLError) as error:
            raise UserConfigError(f"cannot read {target}: {error}") from error
        document = document or {"apiVersion": "v1", "kind": "Config", "preferences": {}}
        if not isinstance(document, dict):
            raise UserConfigError(f"{target} is not a kubeconfig")
        for name in _LISTS:
            document[name] = document.get(name) or []
        yield document
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w") as file:
            yaml.safe_dump(document, file, sort_keys=False)
        # The file itself, where a link leads to it.
        os.replace(temporary, target.resolve() if target.is_symlink() else target)


def _without(document: dict[str, Any], name: str) -> None:
    for kind in _LISTS:
        document[kind] = [entry for entry in document[kind] if entry.get("name") != name]


def add(cluster: str, kubeconfig: str) -> None:
    """Adds the one context of `kubeconfig` (YAML) as `pybernetes-<cluster>` and makes it the current one."""
    given = yaml.safe_load(kubeconfig)
    name = context_name(cluster)
    with _edited(path()) as document:
        _without(document, name)
        document["clusters"].append({"name": name, "cluster": given["clusters"][0]["cluster"]})
        document["users"].append({"name": name, "user": given["users"][0]["user"]})
        document["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
        document["current-context"] = name


def remove(cluster: str) -> None:
    """Takes the cluster's context away; the current context is cleared if it was that one."""
    target, name = path(), context_name(cluster)
    if not target.exists():
        return
    with _edited(target) as document:
        _without(document, name)
        if document.get("current-context") == name:
            document["current-context"] = ""
