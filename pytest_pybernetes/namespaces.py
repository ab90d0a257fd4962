"""A namespace for each test, made and deleted with nothing but the standard library."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class Administrator:
    """A few requests as the administrator of a kubeconfig, for what fixtures need."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._server = urlsplit(cluster["server"])
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=ca)
        with tempfile.NamedTemporaryFile("wb") as pem:
            # The ssl module takes a client certificate from a file only.
            pem.write(
                base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
            )
            pem.flush()
            self._tls.load_cert_chain(pem.name)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON. Raises RuntimeError with the server's message for an error."""
        assert self._server.hostname is not None
        connection = http.client.HTTPSConnection(
            self._server.hostname, self._server.port, context=self._tls, timeout=30
        )
        with contextlib.closing(connection):
            data = json.dumps(body) if body is not None else None
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.get('message', answer)}")
        return answer

    def create_namespace(self, prefix: str) -> str:
        """Creates a namespace with a name of its own and, as controllers would, its default service account."""
        body = {"metadata": {"generateName": f"{prefix}-"}}
        name: str = self.request("POST", "/api/v1/namespaces", body)["metadata"]["name"]
        account = {"metadata": {"name": "default"}}
        with contextlib.suppress(RuntimeError):
            # The controllers, where they run, may have been faster.
            self.request("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
        return name

    def delete_namespace(self, name: str) -> None:
        self.request("DELETE", f"/api/v1/namespaces/{name}")
