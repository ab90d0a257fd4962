"""Processes that an engine has lost. One that is killed while it starts a container may leave it behind half started,
or running: the engine that comes after says that it does not run. They hold memory, ports, and an address of the pods'.

Each container has a shim over it, which names it in its command line.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

_PROC = Path("/proc")
_SHIM = b"containerd-shim"


def _shim_of(pid: int, proc: Path) -> str:
    """The container that a process is the shim of, "" where it is none."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""  # it has ended
    if not os.path.basename(words[0]).startswith(_SHIM) or b"-id" not in words[:-1]:
        return ""
    return words[words.index(b"-id") + 1].decode(errors="replace")


def shims(containers: Collection[str], proc: Path = _PROC) -> list[tuple[int, str]]:
    """(process, container) of the shims of any of the containers."""
    pids = (int(name) for name in os.listdir(proc) if name.isdigit())
    return [(pid, found) for pid in pids if (found := _shim_of(pid, proc)) in containers]


def children(pid: int, proc: Path = _PROC) -> list[int]:
    found: list[int] = []
    for path in (proc / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError):  # that thread has ended
            found += map(int, path.read_text().split())
    return found


def end(containers: Collection[str], proc: Path = _PROC) -> list[str]:
    """Kills what the shims of these containers, none of which runs, still keep, and them. The containers it was of."""
    ended = []
    for pid, container in shims(containers, proc):
        for each in [*children(pid, proc), pid]:
            if _shim_of(pid, proc) == container:  # and not another process of that number by now
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        ended.append(container)
    return ended
