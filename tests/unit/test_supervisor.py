"""pybctl.supervisor: components come back, stay away when they are not wanted, and survive their supervisor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybctl.supervisor import running_pid

Supervise = Callable[[], subprocess.Popen[bytes]]


def specify(run: Path, name: str, *, enabled: bool = True) -> None:
    argv = [sys.executable, "-c", "import signal; signal.pause()"]
    text = json.dumps({"argv": argv, "env": {}, "log": str(run / f"{name}.log"), "enabled": enabled})
    (run / f"{name}.json").write_text(text)


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition of other processes, which nothing tells us about."""
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition did not come true in 10 s")


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-P", "-m", "pybctl.supervisor", str(tmp_path)])
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait()
    for path in tmp_path.glob("*.pid"):
        pid = running_pid(tmp_path, path.stem)
        if pid:
            os.kill(pid, signal.SIGKILL)


def test_a_killed_component_comes_back(tmp_path: Path, supervise: Supervise) -> None:
    specify(tmp_path, "a")
    supervise()
    until(lambda: running_pid(tmp_path, "a") > 0)
    first = running_pid(tmp_path, "a")
    os.kill(first, signal.SIGKILL)
    until(lambda: running_pid(tmp_path, "a") not in (0, first))


def test_a_disabled_component_ends_and_an_enabled_one_starts(tmp_path: Path, supervise: Supervise) -> None:
    specify(tmp_path, "a")
    specify(tmp_path, "b", enabled=False)
    process = supervise()
    until(lambda: running_pid(tmp_path, "a") > 0)
    assert running_pid(tmp_path, "b") == 0
    specify(tmp_path, "a", enabled=False)
    specify(tmp_path, "b")
    process.send_signal(signal.SIGHUP)
    until(lambda: running_pid(tmp_path, "a") == 0 and running_pid(tmp_path, "b") > 0)


def test_components_outlive_a_killed_supervisor_and_are_adopted(tmp_path: Path, supervise: Supervise) -> None:
    specify(tmp_path, "a")
    process = supervise()
    until(lambda: running_pid(tmp_path, "a") > 0)
    first = running_pid(tmp_path, "a")
    process.kill()
    process.wait()
    assert running_pid(tmp_path, "a") == first
    again = supervise()
    until(lambda: running_pid(tmp_path, "supervisor") == again.pid)
    os.kill(first, signal.SIGKILL)
    until(lambda: running_pid(tmp_path, "a") not in (0, first))


def test_the_end_of_the_supervisor_is_the_end_of_all(tmp_path: Path, supervise: Supervise) -> None:
    specify(tmp_path, "a")
    process = supervise()
    until(lambda: running_pid(tmp_path, "a") > 0)
    process.terminate()
    assert process.wait() == 0
    assert running_pid(tmp_path, "a") == 0
