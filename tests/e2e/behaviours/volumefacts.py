"""Volumes of pods, and what a process in the pod finds in them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from localcluster import until
from podset import Pods, shell

Object = dict[str, Any]
ROOT = "/v"
# A line for each file and folder below the mounts. What a volume keeps to itself begins with two dots.
LOOK = (
    f"for path in $(find -L {ROOT} -mindepth 1 -name '..?*' -prune -o -mindepth 1 -print); do "
    'text=; if [ -f "$path" ]; then text=$(base64 -w 0 < "$path" 2>/dev/null); fi; '
    'echo "$path $(stat -L -c "%A %u %g" "$path") $(stat -f -c %T "$path") $text"; '
    "done"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Of one file: its mode as `ls -l` writes it, its owners' numbers, its file system and its content."""

    mode: str
    user: int
    group: int
    file_system: str
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode()


def parsed(output: str) -> dict[str, Fact]:
    """What LOOK wrote: path below the mounts -> Fact."""
    found = {}
    for line in output.splitlines():
        path, mode, user, group, kind, *rest = line.split(" ")
        content = base64.b64decode("".join(rest))
        found[path.removeprefix(f"{ROOT}/")] = Fact(mode, int(user), int(group), kind, content)
    return found


def mounting(
    pods: Pods, name: str, volumes: dict[str, Object], script: str = LOOK, *, user: int | None = None,
    fs_group: int | None = None, **more: Any,
) -> None:  # fmt: skip
    """A pod that mounts each volume at its name below ROOT; with FOREVER as its script it is there to be looked at."""
    numbers = {"runAsUser": user, "fsGroup": fs_group}
    resources = more.pop("resources", {})
    mounts = [{"name": volume, "mountPath": f"{ROOT}/{volume}"} for volume in volumes]
    pods.create(
        name,
        shell(script, volumeMounts=mounts, resources=resources),
        volumes=[{"name": volume, **source} for volume, source in volumes.items()],
        securityContext={key: value for key, value in numbers.items() if value is not None},
        **more,
    )


def facts(pods: Pods, name: str) -> dict[str, Fact]:
    """What a pod found that has ended."""
    return parsed(pods.output(name))


def facts_now(pods: Pods, name: str, container: str = "main") -> dict[str, Fact]:
    """What a running pod finds."""
    return parsed(pods.exec(name, LOOK, container))


def items(**paths: str) -> list[Object]:
    """key=path: which keys are shown, and where."""
    return [{"key": key, "path": path} for key, path in paths.items()]


def check(fact: Fact, mode: str, text: str, group: int = 0) -> None:
    """A file is as declared, and root's."""
    assert (fact.mode, fact.text, fact.user, fact.group) == (mode, text, 0, group)


def follows(pods: Pods, kind: str, before: dict[str, Fact]) -> None:
    """What the pod `watching` sees of a kind's three optional objects: made, changed and deleted while it runs."""
    assert f"{kind}-create/data-1" not in before and f"{kind}-update/data-3" not in before
    assert before[f"{kind}-update/data-1"].text == before[f"{kind}-delete/data-1"].text == "value-1"
    wanted = {f"{kind}-create/data-1": "value-1", f"{kind}-update/data-3": "value-3"}

    def told() -> bool:
        files = {path: fact.text for path, fact in facts_now(pods, "watching").items() if "/" in path}
        return {path: text for path, text in files.items() if path.startswith(f"{kind}-")} == wanted

    until(told, what=f"the volumes of each {kind} to be as it is")
