"""A real API server, and on demand controllers, scheduler and simulated nodes, as subprocesses of a test run."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0
# Nobody has these addresses, so there may be as many as hundreds of simulated nodes take, 256 each.
_POD_ADDRESSES = "10.128.0.0/9"
# A test run that is killed must not leave servers behind: PR_SET_PDEATHSIG (1) is SIGKILL (9), then the module runs.
_RUN = (
    "import ctypes, runpy, sys; ctypes.CDLL(None).prctl(1, 9); "
    "runpy.run_module(sys.argv.pop(1), None, '__main__', True)"
)


class ServerError(Exception):
    """A server did not start; the text ends with what it printed."""


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class KubeServer:
    """An API server on the embedded store in memory. `kubeconfig` is an administrator's.

    >>> server = KubeServer(Path("/tmp/some-directory"))  # doctest: +SKIP
    >>> server.start()  # doctest: +SKIP
    """

    def __init__(self, directory: Path, *, storage: str = "memory") -> None:
        self.directory = directory
        self.kubeconfig = directory / "admin.conf"
        self._storage = storage
        self._port = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_file(self) -> Path:
        return self.directory / "pki" / "ca.crt"

    def start(self) -> None:
        """Returns when the server is ready. Raises ServerError."""
        self._port = _free_port()
        self._spawn(
            "apiserver",
            f"--data-dir={self.directory}",
            f"--secure-port={self._port}",
            f"--storage={self._storage}",
            "--log-level=WARNING",
        )
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._ready():
            if self._processes["apiserver"].poll() is not None:
                raise ServerError(f"the API server ended: {self.log('apiserver')}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the API server is not ready after {_START_TIMEOUT:.0f} s: {self.log('apiserver')}"
                )
            time.sleep(0.01)

    def start_controllers(self, names: Sequence[str] = ()) -> None:
        """Starts the controller manager, with only the named controllers if any are named."""
        chosen = [f"--controllers={','.join(names)}"] if names else []
        self._spawn(
            "controllermanager",
            f"--kubeconfig={self.directory / 'controller-manager.conf'}",
            f"--cluster-cidr={_POD_ADDRESSES}",
            f"--root-ca-file={self.ca_file}",
            f"--cluster-signing-cert-file={self.ca_file}",
            f"--cluster-signing-key-file={self.ca_file.with_name('ca.key')}",
            *chosen,
        )

    def start_scheduler(self) -> None:
        self._spawn("scheduler", f"--kubeconfig={self.directory / 'scheduler.conf'}")

    def start_nodes(self, count: int) -> None:
        """Starts `count` simulated nodes: pods on them run, become Ready and end without any container."""
        self._spawn(
            "kubeletd",
            "--node-name=node",
            f"--nodes={count}",
            "--runtime=simulated",
            f"--kubeconfig={self.kubeconfig}",
            f"--root-dir={self.directory / 'nodes'}",
        )

    def kill(self, component: str) -> None:
        """kill -9, for tests of what survives it. It can be started again."""
        process = self._processes.pop(component)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def log(self, component: str) -> str:
        """What a component has printed."""
        return (self.directory / f"{component}.log").read_text(errors="replace")

    def _spawn(self, module: str, *arguments: str) -> None:
        if module in self._processes:
            raise ServerError(f"{module} runs already")
        with (self.directory / f"{module}.log").open("ab") as log:
            self._processes[module] = subprocess.Popen(
                # -P: a user's own folder named `scheduler` must not be taken for ours.
                [sys.executable, "-P", "-c", _RUN, module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _ready(self) -> bool:
        if not self.kubeconfig.exists():
            return False
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=context, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False
