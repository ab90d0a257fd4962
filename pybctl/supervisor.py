"""Keeps a local cluster's components running: `python -m pybctl.supervisor RUN_DIRECTORY`.

Each `<component>.json` in the directory is `{"argv": [...], "env": {...}, "log": path, "enabled": true}`. A component
that ends is started again: at once the first time, then after a delay that doubles up to ten seconds. SIGHUP reads
the directory anew; SIGTERM ends every component, then this process. Components found running (this process was
killed and started again) are adopted by their pid files. Only the standard library is imported, to stay small.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_FIRST_DELAY, _LAST_DELAY, _STEADY = 0.5, 10.0, 30.0
_STOP_GRACE = 5.0


def start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks: with its pid, its identity. Empty where it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def running_pid(run: Path, name: str) -> int:
    """The pid of a component that runs, 0 where it does not. A reused pid is told by its start time."""
    try:
        pid_text, _, started = (run / f"{name}.pid").read_text().partition(" ")
    except OSError:
        return 0
    pid = int(pid_text)
    return pid if started.strip() and start_time(pid) == started.strip() else 0


def write_pid(run: Path, name: str, pid: int) -> None:
    temporary = run / f".{name}.pid"
    temporary.write_text(f"{pid} {start_time(pid)}\n")
    temporary.replace(run / f"{name}.pid")


class Component:
    def __init__(self, run: Path, name: str) -> None:
        self.run = run
        self.name = name
        self.spec: dict[str, Any] = {}
        self.pid = 0
        self.handle = -1
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.delay = 0.0
        self.due = 0.0

    def start(self) -> None:
        log = os.open(self.spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.process = subprocess.Popen(
                self.spec["argv"],
                env={**os.environ, **self.spec.get("env", {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.pid = self.process.pid
        self.started = time.monotonic()
        write_pid(self.run, self.name, self.pid)
        self.handle = os.pidfd_open(self.pid)

    def adopt(self) -> bool:
        pid = running_pid(self.run, self.name)
        if not pid:
            return False
        self.pid, self.handle, self.started = pid, os.pidfd_open(pid), time.monotonic()
        return True

    def ended(self) -> None:
        """Reaps it and says when it may start again."""
        if self.process is not None:
            self.process.wait()
        os.close(self.handle)
        self.handle, self.pid, self.process = -1, 0, None
        (self.run / f"{self.name}.pid").unlink(missing_ok=True)
        now = time.monotonic()
        if now - self.started > _STEADY:
            self.delay = 0.0
        self.due = now + self.delay
        self.delay = min(_LAST_DELAY, max(_FIRST_DELAY, self.delay * 2))

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)


class Supervisor:
    def __init__(self, run: Path) -> None:
        self.run = run
        self.components: dict[str, Component] = {}
        self.selector = selectors.DefaultSelector()
        reader, self._writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(self._writer, False)
        self._signals = reader
        self.selector.register(reader, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._writer)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def load(self) -> None:
        """Reads the specifications; what is no longer wanted is ended, what is new is due now."""
        specs = {path.stem: json.loads(path.read_text()) for path in self.run.glob("*.json")}
        for name, spec in specs.items():
            component = self.components.setdefault(name, Component(self.run, name))
            component.spec = spec
            component.due = component.delay = 0.0
            if component.handle < 0 and component.adopt():
                self.selector.register(component.handle, selectors.EVENT_READ, component)
        for name, component in self.components.items():
            if component.handle >= 0 and (name not in specs or not component.spec["enabled"]):
                component.spec = {**component.spec, "enabled": False}
                component.signal(signal.SIGTERM)

    def start_due(self) -> float | None:
        """Starts what is due; the seconds until something else is, None for never."""
        now = time.monotonic()
        waits = []
        for component in self.components.values():
            if component.handle >= 0 or not component.spec.get("enabled"):
                continue
            if component.due <= now:
                component.start()
                self.selector.register(component.handle, selectors.EVENT_READ, component)
            else:
                waits.append(component.due - now)
        return min(waits) if waits else None

    def run_forever(self) -> None:
        self.load()
        while True:
            for key, _ in self.selector.select(self.start_due()):
                if key.fd == self._signals:
                    numbers = os.read(self._signals, 64)
                    if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                        self.stop_all()
                        return
                    self.load()
                else:
                    self.selector.unregister(key.fd)
                    key.data.ended()

    def stop_all(self) -> None:
        """SIGTERM to all, SIGKILL to what is left after the grace."""
        alive = {c.handle: c for c in self.components.values() if c.handle >= 0}
        for component in alive.values():
            component.signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_GRACE
        while alive:
            left = deadline - time.monotonic()
            if left <= 0:
                for component in alive.values():
                    component.signal(signal.SIGKILL)
                deadline = float("inf")
                left = 0.0
            for key, _ in self.selector.select(left if deadline != float("inf") else None):
                if key.fd in alive:
                    self.selector.unregister(key.fd)
                    alive.pop(key.fd).ended()


def main() -> None:
    run = Path(sys.argv[1])
    write_pid(run, "supervisor", os.getpid())
    Supervisor(run).run_forever()
    (run / "supervisor.pid").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
