"""Area apimachinery: the aggregator: an API server of a user's own behind an APIService, and APIServices as API."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from apiclient import MERGE, Api, selector
from registrations import Registered, eventually, unique
from servers import Server
from webhookserver import certificate

Object = dict[str, Any]
GROUP = "wardle.example.com"
BASE = f"/apis/{GROUP}/v1alpha1"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
LISTED: Object = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/v1alpha1",
    "resources": [
        {
            "name": "flunders",
            "singularName": "flunder",
            "namespaced": True,
            "kind": "Flunder",
            "verbs": ["create", "delete", "get", "list"],
        }
    ],
}


class Wardle:
    """A server of flunders, in memory. It takes JSON where no content type is said, and refuses what is no JSON."""

    def __init__(self, directory: Path, authority: Path, service: str) -> None:
        path, self.bundle = certificate(directory, service)
        self.flunders: dict[str, Object] = {}
        self.content_types: list[str | None] = []
        self.users: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                owner._serve(self)

            do_GET = do_POST = do_DELETE = _do

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _serve(self, http: BaseHTTPRequestHandler) -> None:
        self.users.append(http.headers.get("X-Remote-User", ""))
        content = http.headers.get("Content-Type")
        if "Transfer-Encoding" in http.headers:
            sent = b""
            while size := int(http.rfile.readline(), 16):
                sent += http.rfile.read(size)
                http.rfile.readline()
            http.rfile.readline()
        else:
            sent = http.rfile.read(int(http.headers.get("Content-Length") or 0))
        code, answer = self._answer(http.command, http.path, content, sent)
        body = json.dumps(answer).encode()
        http.send_response(code)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    def _answer(self, method: str, path: str, content: str | None, sent: bytes) -> tuple[int, Object]:
        name = path.rpartition("/")[2]
        if path == BASE:
            return 200, LISTED
        if path.startswith(f"/openapi/v3{BASE}"):
            return 200, {"openapi": "3.0.0", "components": {"schemas": {"com.example.wardle.Flunder": {}}}}
        if method == "POST":
            self.content_types.append(content)
            if content not in (None, "application/json"):
                return 415, {"kind": "Status", "status": "Failure", "code": 415}
            flunder = json.loads(sent)
            self.flunders[flunder["metadata"]["name"]] = flunder
            return 201, flunder
        if method == "DELETE":
            return 200, self.flunders.pop(name)
        return 200, {
            "kind": "FlunderList",
            "apiVersion": f"{GROUP}/v1alpha1",
            "metadata": {},
            "items": list(self.flunders.values()),
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def wardle(server: Server, namespace: str, tmp_path: Path) -> Iterator[Wardle]:
    made = Wardle(tmp_path, server.data / "pki" / "ca.crt", f"sample-api.{namespace}.svc")
    yield made
    made.close()


def available(api: Api, path: str) -> str:
    status = api.get(path).body.get("status") or {}
    return next((c["status"] for c in status.get("conditions") or () if c["type"] == "Available"), "")


def test_aggregator_supports_the_sample_api_server(
    api: Api, registered: Registered, wardle: Wardle, namespace: str
) -> None:
    """aggregator-supports-the-sample-apiserver"""
    service = {
        "metadata": {"name": "sample-api"},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1", "ports": [{"port": wardle.port}]},
    }
    assert api.post(f"/api/v1/namespaces/{namespace}/services", service).code == 201
    name, label = f"v1alpha1.{GROUP}", unique("aggregator")
    spec = {
        "group": GROUP,
        "version": "v1alpha1",
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
        "caBundle": wardle.bundle,
        "service": {"name": "sample-api", "namespace": namespace, "port": wardle.port},
    }
    registered.make(SERVICES, {"metadata": {"name": name, "labels": {"by": label}}, "spec": spec})
    path = f"{SERVICES}/{name}"
    eventually(lambda: available(api, path) == "True", 20)

    flunders = f"{BASE}/namespaces/{namespace}/flunders"
    flunder = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "Flunder",
        "metadata": {"name": "test-flunder", "labels": {"sample-label": "true"}},
    }
    made = api.request("POST", flunders, json.dumps(flunder), content="")
    assert made.code == 201, made.body
    assert wardle.content_types == [None] or wardle.content_types == [""]
    assert api.post(flunders, {**flunder, "metadata": {"name": "second"}}).code == 201
    assert wardle.content_types[1] == "application/json"
    assert len(api.get(flunders)["items"]) == 2
    assert "kubernetes-admin" in wardle.users
    for deleted in ("test-flunder", "second"):
        assert api.delete(f"{flunders}/{deleted}").code == 200
    assert api.get(flunders)["items"] == []
    [group] = [g for g in api.get("/apis")["groups"] if g["name"] == GROUP]
    assert group["preferredVersion"]["version"] == "v1alpha1"
    assert api.get(BASE).body == LISTED

    place = BASE.strip("/")
    described = api.get("/openapi/v3")["paths"][place]["serverRelativeURL"]
    assert "com.example.wardle.Flunder" in api.get(described)["components"]["schemas"]

    status = api.get(f"{path}/status").body
    assert available(api, path) == "True"
    changed = api.patch(
        path, {"spec": {"versionPriority": 400}, "metadata": {"labels": {"patched": "yes"}}}, MERGE
    )
    assert changed["spec"]["versionPriority"] == 400
    assert changed["metadata"]["labels"] == {"by": label, "patched": "yes"}
    updated = api.get(f"{path}/status").body
    condition = {
        "type": "StatusUpdated",
        "status": "True",
        "reason": "E2E",
        "message": "Set by e2e test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    updated["status"]["conditions"] = [*status["status"]["conditions"], condition]
    put = api.put(f"{path}/status", updated)
    assert put.code == 200, put.body
    assert condition in put["status"]["conditions"]
    listed = api.get(SERVICES)["items"]
    assert name in [found["metadata"]["name"] for found in listed]
    assert api.delete(f"{SERVICES}?labelSelector={selector(f'by={label}')}").code == 200
    eventually(lambda: api.get(path).code == 404)
    eventually(lambda: api.get(flunders).code == 404)
    assert GROUP not in [g["name"] for g in api.get("/apis")["groups"]]
