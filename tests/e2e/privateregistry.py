"""A registry of this machine's own that wants a password: Debian's docker-registry, on loopback."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import busyboximage
from docker.api.client import APIClient
from localcluster import until

USER, PASSWORD = "puller", "let-me-in"
_HTPASSWD = "puller:$2y$05$Hq16G94mcqCRrk.MOa0ZFuh7.3sTbl03tAwyCH3MGgOyOim31uBmG\n"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class PrivateRegistry:
    """`address` is the `host:port` that names of its images begin with."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = APIClient(version="auto")

    def name(self, repository: str, tag: str = "1") -> str:
        return f"{self.address}/{repository}:{tag}"

    def push(self, repository: str, tag: str = "1") -> str:
        """A new image under that name, in the registry and not on the engine; gives its digest."""
        name = self.name(repository, tag)
        busyboximage.ensure(self._client)
        source = self._client.create_container(busyboximage.NAME, ["true"])["Id"]
        self._client.commit(source, f"{self.address}/{repository}", tag, conf={"Labels": {"name": name}})
        self._client.remove_container(source)
        auth = {"username": USER, "password": PASSWORD}
        said = self._client.push(
            f"{self.address}/{repository}", tag, auth_config=auth, stream=True, decode=True
        )
        failures = [line["error"] for line in said if "error" in line]
        assert failures == []
        self._client.remove_image(name, force=True)
        return self._digest(repository, tag)

    def _digest(self, repository: str, tag: str) -> str:
        request = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{tag}",
            method="HEAD",
            headers={"Accept": _MANIFEST},
        )
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.headers["Docker-Content-Digest"])

    def secret(
        self, name: str, namespace: str, *, password: str = PASSWORD, server: str = "", legacy: bool = False
    ) -> dict[str, Any]:
        """A pull secret, in today's form or in that of old."""
        entry = {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}
        entries = {server or self.address: entry}
        key, content = (".dockercfg", entries) if legacy else (".dockerconfigjson", {"auths": entries})
        return {
            "apiVersion": "v1", "kind": "Secret", "type": f"kubernetes.io/{key[1:]}",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {key: json.dumps(content)},
        }  # fmt: skip

    def close(self) -> None:
        """Takes what was pulled of it off the engine."""
        for image in self._client.images():
            names = (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ()))
            if any(name.startswith(f"{self.address}/") for name in names):
                self._client.remove_image(image["Id"], force=True)
        self._client.close()


@contextmanager
def serve(directory: Path) -> Iterator[PrivateRegistry]:
    program = shutil.which("docker-registry")
    assert program, "the package docker-registry is not installed"
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (directory / "htpasswd").write_text(_HTPASSWD)
    settings = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}},
    }
    (directory / "config.yml").write_text(json.dumps(settings))
    with (directory / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(directory / "config.yml")], stdout=log, stderr=log)
    try:
        until(lambda: _asks_for_a_password(address), 30, "the registry to answer")
        registry = PrivateRegistry(address)
        yield registry
        registry.close()
    finally:
        process.terminate()
        process.wait(10)


def _asks_for_a_password(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=10):
            return False
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == 401
    except OSError:
        return False
