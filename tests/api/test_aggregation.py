"""APIServices: another server behind this one's address."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from apiclient import Api
from servers import Server
from webhookserver import certificate

Object = dict[str, Any]
GROUP = "fruit.example.com"
BASE = f"/apis/{GROUP}/v1"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
LISTED: Object = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/v1",
    "resources": [
        {
            "name": "apples",
            "singularName": "apple",
            "namespaced": True,
            "kind": "Apple",
            "verbs": ["get", "list"],
        },
        {"name": "apples/status", "singularName": "", "namespaced": True, "kind": "Apple", "verbs": ["get"]},
    ],
}


def eventually(check: Callable[[], Any], seconds: float = 15) -> Any:
    give_up = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < give_up, "it did not come to be"
        time.sleep(0.02)
    return found


class Extension:
    """A server that answers with what it was asked. It trusts the API server's client certificate alone."""

    def __init__(self, directory: Path, authority: Path) -> None:
        path, self.bundle = certificate(directory, "fruit.shop.svc")
        self.seen: list[dict[str, str]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                owner.seen.append({key.lower(): value for key, value in self.headers.items()})
                length = int(self.headers.get("Content-Length") or 0)
                sent = self.rfile.read(length).decode()
                asked = {"path": self.path, "method": self.command, "body": sent}
                body = json.dumps(LISTED if self.path == BASE else asked).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer

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

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def extension(server: Server, tmp_path: Path) -> Iterator[Extension]:
    made = Extension(tmp_path, server.data / "pki" / "ca.crt")
    yield made
    made.close()


@pytest.fixture
def apiservice(api: Api, extension: Extension) -> Iterator[str]:
    spec = {
        "group": GROUP,
        "version": "v1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 15,
        "caBundle": extension.bundle,
        "service": {"name": "fruit", "namespace": "shop", "port": extension.port},
    }
    assert api.post("/api/v1/namespaces", {"metadata": {"name": "shop"}}).code in (201, 409)
    assert api.post(SERVICES, {"metadata": {"name": f"v1.{GROUP}"}, "spec": spec}).code == 201
    yield f"{SERVICES}/v1.{GROUP}"
    api.delete(f"{SERVICES}/v1.{GROUP}")
    api.delete("/api/v1/namespaces/shop/services/fruit")


def condition(api: Api, path: str) -> tuple[str, str]:
    found = (api.get(path).body.get("status") or {}).get("conditions") or [{}]
    return found[0].get("status", ""), found[0].get("reason", "")


def test_requests_go_to_the_server_behind_an_apiservice(
    api: Api, apiservice: str, extension: Extension
) -> None:
    eventually(lambda: condition(api, apiservice) == ("False", "ServiceNotFound"))
    assert api.get(f"{BASE}/apples").code == 503
    service = {
        "metadata": {"name": "fruit"},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1", "ports": [{"port": extension.port}]},
    }
    assert api.post("/api/v1/namespaces/shop/services", service).code == 201
    eventually(lambda: condition(api, apiservice) == ("True", "Passed"))

    asked = api.get(f"{BASE}/namespaces/x/apples?labelSelector=a%3Db")
    assert asked.body == {
        "path": f"{BASE}/namespaces/x/apples?labelSelector=a%3Db",
        "method": "GET",
        "body": "",
    }
    posted = api.post(f"{BASE}/namespaces/x/apples", {"kind": "Apple"}, X_Remote_User="somebody")
    assert json.loads(posted["body"]) == {"kind": "Apple"}
    assert extension.seen[-1]["x-remote-user"] == "kubernetes-admin"
    assert "authorization" not in extension.seen[-1]

    assert api.get(BASE).body == LISTED
    assert GROUP in [group["name"] for group in api.get("/apis")["groups"]]
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = {item["metadata"]["name"]: item for item in api.get("/apis", Accept=accept)["items"]}
    apples = found[GROUP]["versions"][0]["resources"][0]
    assert (apples["resource"], apples["scope"], apples["verbs"]) == ("apples", "Namespaced", ["get", "list"])
    assert api.get("/openapi/v2").code == 200

    assert api.delete("/api/v1/namespaces/shop/services/fruit").code == 200
    eventually(lambda: condition(api, apiservice) == ("False", "ServiceNotFound"), 20)
    assert api.get(f"{BASE}/apples").code == 503
    assert api.delete(apiservice).code == 200
    eventually(lambda: api.get(f"{BASE}/apples").code == 404)
    assert GROUP not in [group["name"] for group in api.get("/apis")["groups"]]


def test_nobody_takes_a_built_in_group(api: Api) -> None:
    spec = {"group": "apps", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}
    assert api.post(SERVICES, {"metadata": {"name": "v1.apps"}, "spec": spec}).code == 409
    spec["service"] = {"name": "fruit", "namespace": "shop"}
    assert api.patch(f"{SERVICES}/v1.apps", {"spec": spec}).code == 200
    eventually(lambda: condition(api, f"{SERVICES}/v1.apps") == ("True", "Local"))
    assert api.get("/apis/apps/v1/deployments").code == 200
    restored = {"groupPriorityMinimum": 17800, "service": None}
    assert api.patch(f"{SERVICES}/v1.apps", {"spec": restored}).code == 200


def test_other_servers_are_told_how_to_know_this_one(api: Api) -> None:
    found = api.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")["data"]
    assert found["requestheader-username-headers"] == '["X-Remote-User"]'
    assert found["requestheader-client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")


LOCAL_LABEL = "kube-aggregator.kubernetes.io/automanaged"


def test_local_group_versions_have_apiservices(api: Api) -> None:
    found = {item["metadata"]["name"]: item for item in api.get(SERVICES)["items"]}
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.rbac.authorization.k8s.io"} <= found.keys()
    assert found["v1.apps"]["metadata"]["labels"] == {LOCAL_LABEL: "onstart"}
    assert found["v1.apps"]["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    assert condition(api, f"{SERVICES}/v1.") == ("True", "Local")
    assert api.get(f"{SERVICES}/v1.", Accept="application/json;as=Table;g=meta.k8s.io;v=v1")["rows"][0][
        "cells"
    ][:3] == ["v1.", "Local", "True"]


def test_apiservices_of_custom_resources_come_and_go(api: Api) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"plural": "pears", "singular": "pear", "kind": "Pear", "listKind": "PearList"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v3", "served": True, "storage": True, "schema": schema}
    spec = {"group": "pear.example.com", "scope": "Cluster", "names": names, "versions": [version]}
    assert api.post(definitions, {"metadata": {"name": "pears.pear.example.com"}, "spec": spec}).code == 201
    path = f"{SERVICES}/v3.pear.example.com"
    made = eventually(lambda: api.get(path).code == 200 and api.get(path))
    assert made["metadata"]["labels"] == {LOCAL_LABEL: "true"}
    assert condition(api, path) == ("True", "Local")
    assert api.get("/apis/pear.example.com/v3/pears").code == 200
    assert api.delete(path).code == 200
    again = eventually(lambda: api.get(path).code == 200 and api.get(path))
    assert again["metadata"]["uid"] != made["metadata"]["uid"]
    changed = {"spec": {"versionPriority": 7}}
    assert api.patch(path, changed).code == 200
    eventually(lambda: api.get(path)["spec"]["versionPriority"] == 100)
    assert api.delete(f"{definitions}/pears.pear.example.com").code == 200
    eventually(lambda: api.get(path).code == 404)
