"""Real etcd servers on loopback for tests: one member or several, each killed and started again by its pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_SECONDS = 30.0


def free_ports(count: int) -> list[int]:
    """Ports nobody listened on a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass(frozen=True)
class Tls:
    """Files of the authority, and of a certificate for 127.0.0.1 that servers and clients share."""

    ca: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.ca))
        made.load_cert_chain(self.certificate, self.key)
        return made


class EtcdServers:
    """A cluster of `members` etcd servers with their data under `root`; with `tls`, clients need a certificate."""

    def __init__(self, root: Path, members: int = 1, tls: Tls | None = None) -> None:
        self._root = root
        self._tls = tls
        ports = free_ports(2 * members)
        scheme = "https" if tls else "http"
        self._clients = [f"{scheme}://127.0.0.1:{port}" for port in ports[:members]]
        self._peers = [f"http://127.0.0.1:{port}" for port in ports[members:]]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * members

    @property
    def endpoints(self) -> list[str]:
        return list(self._clients)

    def start(self, member: int) -> None:
        """Start one member without waiting for it."""
        cluster = ",".join(f"m{number}={peer}" for number, peer in enumerate(self._peers))
        data = self._root / f"m{member}"
        log = (self._root / f"m{member}.log").open("ab")
        self._processes[member] = subprocess.Popen(
            [
                "etcd",
                f"--name=m{member}",
                f"--data-dir={data}",
                f"--listen-client-urls={self._clients[member]}",
                f"--advertise-client-urls={self._clients[member]}",
                f"--listen-peer-urls={self._peers[member]}",
                f"--initial-advertise-peer-urls={self._peers[member]}",
                f"--initial-cluster={cluster}",
                "--initial-cluster-state=new",
                "--log-level=warn",
                *self._tls_flags(),
            ],
            env={key: value for key, value in os.environ.items() if not key.startswith("ETCD_")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()

    def _tls_flags(self) -> list[str]:
        if self._tls is None:
            return []
        tls = self._tls
        return [
            f"--trusted-ca-file={tls.ca}",
            f"--cert-file={tls.certificate}",
            f"--key-file={tls.key}",
            "--client-cert-auth",
        ]

    def wait_healthy(self, member: int) -> None:
        give_up = time.monotonic() + _START_SECONDS
        context = self._tls.context() if self._tls else None
        while True:
            try:
                health = f"{self._clients[member]}/health"
                with urllib.request.urlopen(health, timeout=1, context=context) as answer:
                    if b'"health":"true"' in answer.read():
                        return
            except (urllib.error.URLError, OSError) as error:
                process = self._processes[member]
                if process is None or process.poll() is not None or time.monotonic() > give_up:
                    log = (self._root / f"m{member}.log").read_text()[-2000:]
                    raise AssertionError(f"etcd member {member} did not start: {error}\n{log}") from error
            time.sleep(0.02)

    def kill(self, member: int) -> None:
        """kill -9, and wait until it is gone."""
        process = self._processes[member]
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self._processes[member] = None

    def signal(self, member: int, number: int) -> None:
        process = self._processes[member]
        assert process is not None
        process.send_signal(number)

    def stop(self) -> None:
        for member in range(len(self._processes)):
            self.kill(member)


@contextmanager
def etcd_servers(root: Path, members: int = 1, tls: Tls | None = None) -> Iterator[EtcdServers]:
    """Healthy etcd servers; skips the test where etcd is not installed."""
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian package etcd-server)")
    servers = EtcdServers(root, members, tls)
    try:
        for member in range(members):
            servers.start(member)
        for member in range(members):
            servers.wait_healthy(member)
        yield servers
    finally:
        servers.stop()
