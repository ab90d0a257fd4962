"""A UDP server in a pod: busybox has none, so a process of this machine serves in the pod's network."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from docker.api.client import APIClient

_SERVE = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[1])))
print("serving", flush=True)
while True:
    _, client = server.recvfrom(1024)
    server.sendto(sys.argv[2].encode(), client)
"""


@contextmanager
def answering(uid: str, port: int, text: str) -> Iterator[None]:
    """While this lasts, the pod with that uid answers everything on the UDP port with `text`."""
    client = APIClient(version="auto")
    labels = [f"io.pybernetes.uid={uid}", "io.pybernetes.kind=sandbox"]
    (sandbox,) = client.containers(filters={"label": labels})
    pid = client.inspect_container(sandbox)["State"]["Pid"]
    client.close()
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", _SERVE, str(port), text]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"serving\n"
        yield
    finally:
        server.kill()
        server.wait()


def ask(address: str, port: int, seconds: float = 1.0) -> str:
    """What is answered there; empty where nothing is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(seconds)
        try:
            asking.connect((address, port))
            asking.send(b"who?")
            return asking.recv(1024).decode()
        except OSError:
            return ""
