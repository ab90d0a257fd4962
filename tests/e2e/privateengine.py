"""A Docker Engine of a test's own, in a network namespace of its own, which may be killed and started again."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from docker.api.client import APIClient
from docker.errors import DockerException
from localcluster import until

from kubeletd import mounts
from kubeletd.runtime import lostprocesses
from pybctl.supervisor import start_time

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"enter a network namespace: {os.strerror(number)}")


@contextmanager
def network_namespace(name: str) -> Iterator[None]:
    """This thread, and the processes it starts, are in the named network namespace."""
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{name}") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


class PrivateEngine:
    """Everything it keeps is under `root`; its bridges, rules and ports are in the network namespace `name`.

    With `live_restore` containers outlive the daemon's end, however it ends.
    """

    def __init__(self, name: str, root: Path, live_restore: bool = False) -> None:
        self.name = name
        self.root = root
        self.url = f"unix://{root / 'docker.sock'}"
        self._process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)
        (root / "daemon.json").write_text(json.dumps({"live-restore": live_restore}))
        subprocess.run(["ip", "netns", "add", name], check=True)
        with network_namespace(self.name):
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def client(self) -> APIClient:
        return APIClient(base_url=self.url, version="auto")

    def start(self) -> None:
        """Starts the daemon and waits until it answers."""
        command = [
            "dockerd",
            f"--data-root={self.root / 'data'}",
            f"--exec-root={self.root / 'exec'}",
            f"--pidfile={self.root / 'docker.pid'}",
            f"--config-file={self.root / 'daemon.json'}",
            f"--host={self.url}",
        ]
        with network_namespace(self.name), (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self.answers, 60, f"the engine to answer ({self.root / 'log'})")

    def answers(self) -> bool:
        try:
            client = self.client()
        except DockerException:
            return False
        client.close()
        return True

    def freeze(self) -> None:
        """The daemon takes connections and answers none, until `thaw`. Its containers go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Ends the daemon. After SIGKILL the containers live on until the next one finds them."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None
            # Its containerd follows it; while that is a zombie, the next daemon would take it for alive.
            file = self.root / "exec" / "containerd" / "containerd.pid"
            if file.exists():
                until(lambda: not start_time(int(file.read_text())), 30, "containerd to end")
                file.unlink()

    def crash(self) -> None:
        """The machine is switched off: daemon, shims and containers end at once, and what they kept in memory goes."""
        self.end(signal.SIGKILL)
        for pid in self._shims():
            for each in (*lostprocesses.children(pid), pid):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        until(lambda: not self._shims(), 30, "the containers to end")
        for point in mounts.below(self.root / "exec"):
            mounts.unmount(point)
        shutil.rmtree(self.root / "exec")

    def _shims(self) -> list[int]:
        command = f"-address\0{self.root}/exec/".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if command in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def remove(self) -> None:
        """Ends it with all its containers, and takes away what it made."""
        if self._process is None:
            self.start()
        self.end()
        for point in mounts.below(self.root):  # the engine leaves a handle of its network namespace
            mounts.unmount(point)
        subprocess.run(["ip", "netns", "delete", self.name], check=True)
