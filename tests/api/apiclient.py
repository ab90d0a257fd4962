"""A plain HTTPS client for tests of the API server: requests in, status and JSON out, nothing in between."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import yaml

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass
class Answer:
    """`body` is the decoded JSON, or the text where it is none."""

    code: int
    body: Any
    headers: http.client.HTTPMessage
    raw: bytes

    @property
    def message(self) -> str:
        return str(self.body["message"])

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


class Api:
    """Talks to one server as one user: the kubeconfig's, or the bearer of `token`, or nobody."""

    def __init__(self, kubeconfig: Path, *, token: str = "", anonymous: bool = False) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.kubeconfig = kubeconfig
        self._address = urlsplit(cluster["server"])
        self._tls = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if not token and not anonymous:
            with tempfile.NamedTemporaryFile(suffix=".pem") as file:
                file.write(base64.b64decode(user["client-certificate-data"]))
                file.write(base64.b64decode(user["client-key-data"]))
                file.flush()
                self._tls.load_cert_chain(file.name)
        self._connection: http.client.HTTPSConnection | None = None

    def _connect(self, timeout: float = 30) -> http.client.HTTPSConnection:
        assert self._address.hostname
        return http.client.HTTPSConnection(
            self._address.hostname, self._address.port, context=self._tls, timeout=timeout
        )

    def request(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json", **headers: str
    ) -> Answer:
        """One request. A body that is no str or bytes is sent as JSON; with no `content` its type is not said.

        Header names take `_` for `-`.
        """
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        sent = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None and content:
            sent["Content-Type"] = content
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = self._connect()
            try:
                self._connection.request(method, path, body, sent)
                response = self._connection.getresponse()
                raw = response.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
                if attempt == 2:
                    raise
        try:
            decoded = json.loads(raw)
        except ValueError:
            decoded = raw.decode(errors="replace")
        return Answer(response.status, decoded, response.headers, raw)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any, **options: Any) -> Answer:
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any, **options: Any) -> Answer:
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any, content: str = MERGE, **options: Any) -> Answer:
        return self.request("PATCH", path, body, content=content, **options)

    def delete(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("DELETE", path, body, **options)

    @contextmanager
    def watch(self, path: str, seconds: int = 20, **headers: str) -> Iterator[Iterator[Object]]:
        """The events of a watch, as they come; ends when the server ends it."""
        connection = self._connect(timeout=seconds)
        mark = "&" if "?" in path else "?"
        connection.request("GET", f"{path}{mark}watch=true", headers={**self._headers, **headers})
        plug = connection.sock
        response = connection.getresponse()
        if response.status != 200:
            raise AssertionError(f"watch answered {response.status}: {response.read()!r}")
        try:
            yield (json.loads(line) for line in response)
        finally:
            # A thread that still reads would hold up the closing until the server says something.
            with suppress(OSError):
                plug.shutdown(socket.SHUT_RDWR)
            response.close()
            connection.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def selector(text: str) -> str:
    return quote(text, safe="")
