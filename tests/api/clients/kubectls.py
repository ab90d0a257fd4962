"""The kubectls of this machine, and running them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SECONDS = 60


def programs() -> dict[str, Path]:
    """By version: each `kubectl.1.<minor>` beside the kubectl on PATH, else that kubectl itself."""
    found = shutil.which("kubectl")
    if found is None:
        return {}
    first = Path(found).resolve()
    beside = [path for path in first.parent.glob("kubectl.1.*") if path.name.rpartition(".")[2].isdigit()]
    ordered = sorted(beside, key=lambda path: int(path.name.rpartition(".")[2]))
    return {path.name.removeprefix("kubectl."): path for path in ordered} or {"any": first}


PROGRAMS = programs()
_NAMES = list(PROGRAMS)
#: The oldest and the newest: what both do, those between do too.
ENDS = [_NAMES[0], _NAMES[-1]] if len(_NAMES) > 1 else _NAMES
BETWEEN = _NAMES[1:-1]


def params(names: list[str]) -> list[Any]:
    if names:
        return list(names)
    return [pytest.param("none", marks=pytest.mark.skip("no kubectl is installed"))]


class Output(NamedTuple):
    code: int
    out: str
    err: str


class Kubectl:
    """One kubectl with a home of its own, in one namespace."""

    def __init__(self, version: str, kubeconfig: Path, namespace: str, home: Path) -> None:
        self.version = version
        self.namespace = namespace
        self.home = home
        self._kubeconfig = kubeconfig

    @property
    def minor(self) -> int:
        """Of its version; Debian's kubectl says it itself."""
        if self.version == "any":
            text = self("version", "--client", "-o", "json")
            found = re.search(r'"minor": "(\d+)', text)
            assert found is not None, text
            return int(found[1])
        return int(self.version.removeprefix("1."))

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        if arguments[0] == "config" or "-A" in arguments:
            return [str(PROGRAMS[self.version]), *arguments]
        return [str(PROGRAMS[self.version]), "--namespace", self.namespace, *arguments]

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(self._kubeconfig),
            "KUBE_EDITOR": "false",
            **more,
        }

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Output:
        done = subprocess.run(
            self._command(arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=self.environment(environment),
            cwd=self.home,
        )
        return Output(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """What it prints. AssertionError where it fails."""
        done = self.run(*arguments, stdin=stdin, **environment)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.err or done.out}"
        return done.out

    def fails(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """What it complains of. AssertionError where it does not fail."""
        done = self.run(*arguments, stdin=stdin, **environment)
        assert done.code != 0, f"kubectl {' '.join(arguments)} did not fail: {done.out}"
        return done.err

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """kubectl in the background, ended afterwards."""
        process = subprocess.Popen(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment({}),
            cwd=self.home,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def columns(text: str) -> list[list[str]]:
    """A table's cells; columns are two blanks or more apart."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]
