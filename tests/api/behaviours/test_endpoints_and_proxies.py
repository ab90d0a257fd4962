"""Area network: the endpoints of Services, and HTTP through the API server, with the pods' nodes played by hand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from apiclient import Api
from hands import NODE, Hands
from lifecycle import fine
from registrations import eventually

Object = dict[str, Any]
VERBS = ("DELETE", "OPTIONS", "PATCH", "POST", "PUT")
SERVICE_NAME = "kubernetes.io/service-name"


class Net:
    """Services and pods of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.hands = Hands(api, namespace)
        self.base = f"/api/v1/namespaces/{namespace}"
        self.slices_path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._addresses = 0

    def service(self, name: str, *ports: Object, **spec: Any) -> Object:
        spec = {"selector": {"app": name}, "ports": list(ports), **spec}
        return fine(self.api.post(f"{self.base}/services", {"metadata": {"name": name}, "spec": spec}), 201)

    def pod(self, name: str, app: str, *ports: Object, ip: str = "") -> str:
        """A ready pod. Returns its address."""
        body = {
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {
                "nodeName": NODE,
                "containers": [{"name": "main", "image": "app", "ports": list(ports)}],
            },
        }
        fine(self.api.post(f"{self.base}/pods", body), 201)
        self._addresses += 1
        address = ip or f"10.7.0.{self._addresses}"
        status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
        fine(self.api.patch(f"{self.base}/pods/{name}/status", status))
        self.hands.run(name)
        return address

    def end(self, name: str) -> None:
        fine(self.api.delete(f"{self.base}/pods/{name}?gracePeriodSeconds=0"))

    def endpoints(self, name: str) -> dict[str, set[int]] | None:
        """The ports of each ready address as the Endpoints have them; None where there are none."""
        answer = self.api.get(f"{self.base}/endpoints/{name}")
        if answer.code == 404:
            return None
        found: dict[str, set[int]] = {}
        for subset in answer.body.get("subsets") or ():
            for address in subset.get("addresses") or ():
                ports = {port["port"] for port in subset.get("ports") or ()}
                found.setdefault(address["ip"], set()).update(ports)
        return found

    def slices(self, name: str) -> dict[str, set[int]] | None:
        """The same as the EndpointSlices have it."""
        items = fine(self.api.get(f"{self.slices_path}?labelSelector={SERVICE_NAME}%3D{name}"))["items"]
        found: dict[str, set[int]] = {}
        for item in items:
            for endpoint in item.get("endpoints") or ():
                if endpoint["conditions"]["ready"]:
                    for address in endpoint["addresses"]:
                        found.setdefault(address, set()).update(p["port"] for p in item.get("ports") or ())
        return found if items else None

    def shows(self, name: str, wanted: dict[str, set[int]] | None) -> None:
        """Endpoints and EndpointSlices come to say this."""
        eventually(lambda: self.endpoints(name) == self.slices(name) == wanted, 20)


@pytest.fixture
def net(cluster: Api, space: str) -> Net:
    return Net(cluster, space)


def test_service_endpoints(net: Net) -> None:
    net.service("test2", {"port": 80, "targetPort": 80})
    net.shows("test2", {})
    first = net.pod("pod1", "test2", {"containerPort": 80})
    net.shows("test2", {first: {80}})
    second = net.pod("pod2", "test2", {"containerPort": 80})
    net.shows("test2", {first: {80}, second: {80}})
    net.end("pod1")
    net.shows("test2", {second: {80}})
    net.end("pod2")
    net.shows("test2", {})


def test_service_endpoints_with_multiple_ports(net: Net) -> None:
    ports = [
        {"name": f"portname{n}", "port": 79 + n, "targetPort": name} for n, name in ((1, "svc1"), (2, "svc2"))
    ]
    net.service("multi", *ports)
    net.shows("multi", {})
    first = net.pod("pod1", "multi", {"name": "svc1", "containerPort": 100})
    net.shows("multi", {first: {100}})
    second = net.pod("pod2", "multi", {"name": "svc2", "containerPort": 101})
    net.shows("multi", {first: {100}, second: {101}})
    net.end("pod1")
    net.shows("multi", {second: {101}})
    net.end("pod2")
    net.shows("multi", {})


def test_endpoints_creation_deletion(net: Net) -> None:
    """A Service's Endpoints hold the pods it selects, named ports resolved, and go with it."""
    first = net.pod("pod1", "pods", {"name": "example-name", "containerPort": 3000})
    second = net.pod("pod2", "pods", {"name": "example-name", "containerPort": 3001})
    ports = [
        {"name": "example", "port": 80, "targetPort": "example-name"},
        {"name": "other", "port": 90, "targetPort": 3002},
    ]
    net.service("pods", *ports)
    net.shows("pods", {first: {3000, 3002}, second: {3001, 3002}})
    found = fine(net.api.get(f"{net.base}/endpoints/pods"))
    address = found["subsets"][0]["addresses"][0]
    assert (address["targetRef"]["kind"], address["nodeName"]) == ("Pod", NODE)
    net.hands.run("pod2", ready=False)
    net.shows("pods", {first: {3000, 3002}})
    not_ready = [
        a["ip"]
        for subset in fine(net.api.get(f"{net.base}/endpoints/pods"))["subsets"]
        for a in subset.get("notReadyAddresses") or ()
    ]
    assert second in not_ready
    fine(net.api.delete(f"{net.base}/services/pods"))
    net.shows("pods", None)


def test_endpoints_empty_service(net: Net) -> None:
    """A Service that matches no pods has Endpoints without any, as long as it is there."""
    net.service("example-empty-selector", {"name": "example", "port": 80, "protocol": "TCP"})
    net.shows("example-empty-selector", {})
    assert "subsets" not in fine(net.api.get(f"{net.base}/endpoints/example-empty-selector"))
    fine(net.api.delete(f"{net.base}/services/example-empty-selector"))
    net.shows("example-empty-selector", None)


def test_service_endpoint_latency_thresholds(net: Net) -> None:
    """A hundred Services, one after the other, for a pod that runs: how long until each has its endpoint."""
    address = net.pod("svc-latency-rc", "latency", {"containerPort": 80})
    took = []
    with net.api.watch(f"{net.base}/endpoints", seconds=120) as events:
        for number in range(100):
            name, began = f"latency-svc-{number}", time.monotonic()
            net.service(name, {"port": 80}, selector={"app": "latency"})
            for event in events:
                obj = event["object"]
                if obj["metadata"]["name"] == name and obj.get("subsets"):
                    assert obj["subsets"][0]["addresses"][0]["ip"] == address
                    break
            took.append(time.monotonic() - began)
    took.sort()
    assert took[49] < 20
    assert took[89] < 50


class Echo(BaseHTTPRequestHandler):
    """Says what it was asked; redirects, pages with links, and who it is."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = {"Method": self.command, "Path": self.path, "Body": body, "Port": self.server.server_port}  # type: ignore[attr-defined]
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_DELETE = do_OPTIONS = do_PATCH = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def echoes() -> Iterator[list[int]]:
    """The ports of two servers on this machine."""
    servers = [ThreadingHTTPServer((own_address(), 0), Echo) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield [server.server_port for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def own_address() -> str:
    """An address of this machine that may be an endpoint's: none of the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def _served(net: Net, port: int) -> tuple[str, str]:
    """Where a pod and a Service before it are reached through the API server."""
    net.pod("agnhost", "test-service", {"containerPort": port}, ip=own_address())
    net.service("test-service", {"port": 80, "targetPort": port})
    net.shows("test-service", {own_address(): {port}})
    return f"{net.base}/pods/agnhost/proxy", f"{net.base}/services/test-service/proxy"


def test_proxy_validate_proxy_responses(net: Net, echoes: list[int]) -> None:
    for path in _served(net, echoes[0]):
        for verb in VERBS:
            answer = net.api.request(verb, f"{path}?method={verb}")
            assert (answer.code, answer["Method"], answer["Path"]) == (200, verb, f"/?method={verb}")
        # Pages below would be looked for in the wrong place without the slash.
        for verb in ("GET", "HEAD"):
            answer = net.api.request(verb, f"{path}?method={verb}")
            assert (answer.code, answer.headers["Location"]) == (301, f"{path}/?method={verb}")


def test_proxy_validate_proxywithpath_responses(net: Net, echoes: list[int]) -> None:
    for path in _served(net, echoes[0]):
        for verb in (*VERBS, "GET"):
            answer = net.api.request(verb, f"{path}/some/path/with/{verb}")
            assert (answer.code, answer["Method"], answer["Path"]) == (200, verb, f"/some/path/with/{verb}")
        answer = net.api.request("HEAD", f"{path}/some/path/with/HEAD")
        assert (answer.code, answer.raw) == (200, b"")
        answer = net.api.post(f"{path}/a%20b/?c=d%2Fe", "body")
        assert (answer["Path"], answer["Body"]) == ("/a%20b/?c=d%2Fe", "body")


def test_proxy_through_apiserver_to_a_service(net: Net, echoes: list[int]) -> None:
    """By the number and the name of each of its ports, and of a pod's."""
    first, second = echoes
    ports = [{"name": "dest1", "containerPort": first}, {"name": "dest2", "containerPort": second}]
    net.pod("proxy-service", "proxy-service", *ports, ip=own_address())
    net.service(
        "proxy-service",
        {"name": "portname1", "port": 80, "targetPort": "dest1"},
        {"name": "portname2", "port": 81, "targetPort": second},
    )
    net.shows("proxy-service", {own_address(): {first, second}})
    names = {
        "services/proxy-service:portname1": first,
        "services/proxy-service:portname2": second,
        "services/proxy-service:80": first,
        "services/proxy-service:81": second,
        "services/http:proxy-service:portname1": first,
        "services/http:proxy-service:81": second,
        f"pods/proxy-service:{first}": first,
        f"pods/http:proxy-service:{second}": second,
        "pods/proxy-service": first,
    }
    for name, port in names.items():
        answer = net.api.get(f"{net.base}/{name}/proxy/")
        assert (answer.code, answer["Port"]) == (200, port), name
    assert net.api.get(f"{net.base}/services/proxy-service:nothing/proxy/").code == 503
    assert net.api.get(f"{net.base}/services/nothing/proxy/").code == 404
