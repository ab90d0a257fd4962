"""API server processes of tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apiclient import Api

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0


class Server:
    """An API server process with its data directory."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.data = data
        self._flags = flags
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self.launch()
        self._wait()

    def launch(self) -> None:
        """Start, without waiting for anything."""
        log = (self.data.parent / f"{self.data.name}.log").open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "apiserver",
                "--data-dir",
                str(self.data),
                "--secure-port",
                "0",
                *self._flags,
            ],
            stdout=log,
            stderr=log,
            cwd=self.data.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        log.close()

    def _wait(self) -> None:
        assert self.process is not None
        give_up = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError((self.data.parent / f"{self.data.name}.log").read_text()[-4000:])
            time.sleep(0.01)

    def _ready(self) -> bool:
        try:
            return bool(self.client().get("/readyz").code == 200)
        except (OSError, TypeError):
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop it as a supervisor would."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(20) == 0

    def client(self, **options: Any) -> Api:
        return Api(self.data / "admin.conf", **options)


@contextmanager
def serving(data: Path, *flags: str) -> Iterator[Server]:
    server = Server(data, *flags)
    server.start()
    try:
        yield server
    finally:
        server.stop()
