"""Area common/node: probes that fail and that do not, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import grpc
import pytest
from localcluster import until
from podset import FOREVER, SERVE, WEB, Pods, condition, restarts, running, shell

pytestmark = pytest.mark.e2e
SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse{status: SERVING}
OFTEN = {"periodSeconds": 1, "failureThreshold": 1}
CHECKS = 5  # this many good answers say that the next will be good too


class Health(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The gRPC health service; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def service(self, call: Any) -> Any:
        if call.method != "/grpc.health.v1.Health/Check":
            return None

        def check(request: bytes, context: Any) -> bytes:
            self.asked += 1
            return SERVING

        return grpc.unary_unary_rpc_method_handler(check)


@pytest.fixture(scope="module")
def health() -> Iterator[tuple[Health, int]]:
    """A health service on this machine, which pods on the nodes' own network have at their address."""
    server, handler = grpc.server(ThreadPoolExecutor(2)), Health()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("0.0.0.0:0")
    server.start()
    yield handler, port
    server.stop(None)


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, health: tuple[Health, int]) -> None:
    always = {"restartPolicy": "Always"}
    page = {"httpGet": {"path": "/health.txt", "port": 8080}, **OFTEN}
    counted = {"httpGet": {"path": "/cgi-bin/hit?probe", "port": 8080}, **OFTEN}
    pods.create("http", shell(SERVE, livenessProbe={**counted, "initialDelaySeconds": 1}), **always)
    failing = SERVE.replace("exec httpd", "(sleep 2; rm /www/health.txt) & exec httpd")
    pods.create("http-fails", shell(failing, livenessProbe=page), **always)
    command = {"exec": {"command": ["sh", "-c", "cat /tmp/health && echo checked >> /tmp/checks"]}, **OFTEN}
    pods.create("file", shell(f"echo ok > /tmp/health; {FOREVER}", livenessProbe=command), **always)
    removed = {"exec": {"command": ["cat", "/tmp/health"]}, **OFTEN}
    pods.create(
        "file-fails", shell(f"echo ok > /tmp/health; (sleep 2; rm /tmp/health) & {FOREVER}", livenessProbe=removed),
        **always,
    )  # fmt: skip
    socket = {"tcpSocket": {"port": 8080}, **OFTEN, "initialDelaySeconds": 1}
    pods.create(
        "socket",
        shell(WEB + "rm /www/health.txt; exec httpd -f -p 8080 -h /www", livenessProbe=socket),
        **always,
    )
    never = {"exec": {"command": ["sh", "-c", "echo asked >> /tmp/asked; false"]}, "periodSeconds": 1}
    pods.create("never-ready", shell(FOREVER, readinessProbe=never), **always)
    good = {"grpc": {"port": health[1]}, **OFTEN, "initialDelaySeconds": 1}
    pods.create("grpc", shell(FOREVER, livenessProbe=good), hostNetwork=True, **always)
    wrong = {"grpc": {"port": 1}, **OFTEN, "initialDelaySeconds": 1}
    pods.create("grpc-fails", shell(FOREVER, livenessProbe=wrong), hostNetwork=True, **always)


def checked(pods: Pods, name: str, file: str) -> bool:
    return len(pods.exec(name, f"cat {file} || true").splitlines()) >= CHECKS


def test_pod_liveness_probe_using_http_endpoint_failure(pods: Pods) -> None:
    """By its name the probe fails; by what the behaviour says, it does not."""
    pods.ready("http")
    until(lambda: checked(pods, "http", "/tmp/hits"), 60, "probes")
    assert restarts(pods.get("http")) == 0


def test_pod_liveness_probe_using_http_endpoint_restart(pods: Pods) -> None:
    pods.wait("http-fails", lambda pod: restarts(pod) >= 1)
    assert any("Liveness probe failed" in text for text in pods.events("http-fails", "Unhealthy"))


def test_pod_liveness_probe_using_local_file_no_restart(pods: Pods) -> None:
    pods.ready("file")
    until(lambda: checked(pods, "file", "/tmp/checks"), 60, "probes")
    assert restarts(pods.get("file")) == 0


def test_pod_liveness_probe_using_local_file_restart(pods: Pods) -> None:
    pods.wait("file-fails", lambda pod: restarts(pod) >= 1)


def test_pod_liveness_probe_using_tcp_socket_no_restart(pods: Pods) -> None:
    pods.ready("socket")
    assert "404" in pods.exec("socket", "wget -qO- http://127.0.0.1:8080/health.txt")
    # As many checks as another pod has had since.
    pods.exec("file", "rm /tmp/checks")
    until(lambda: checked(pods, "file", "/tmp/checks"), 60, "probes of the pod beside it")
    assert restarts(pods.get("socket")) == 0


def test_pod_liveness_probe_using_grpc_call_success(pods: Pods, health: tuple[Health, int]) -> None:
    pods.ready("grpc")
    until(lambda: health[0].asked >= CHECKS, 60, "probes")
    assert restarts(pods.get("grpc")) == 0


def test_pod_liveness_probe_using_grpc_call_failure(pods: Pods) -> None:
    pods.wait("grpc-fails", lambda pod: restarts(pod) >= 1)


def test_pod_readiness_probe_failure(pods: Pods) -> None:
    pods.wait("never-ready", running)
    until(lambda: checked(pods, "never-ready", "/tmp/asked"), 60, "probes")
    pod = pods.get("never-ready")
    assert condition(pod, "Ready") == "False" and restarts(pod) == 0
    assert any("Readiness probe failed" in text for text in pods.events("never-ready", "Unhealthy"))


@pytest.mark.slow
def test_pod_liveness_probe_using_http_endpoint_multiple_restarts_slow(slow_pods: Pods) -> None:
    """Begun before all other tests: the fifth restart is held back for more than a minute."""
    counts: list[int] = []

    def five(pod: Any) -> bool:
        if not counts or restarts(pod) != counts[-1]:
            counts.append(restarts(pod))
        return counts[-1] >= 5

    slow_pods.wait("five-restarts", five, 300)
    assert counts == sorted(counts)
    assert all(after - before == 1 for before, after in pairwise(counts))
