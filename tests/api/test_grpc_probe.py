"""kubeletd.probes against a real gRPC health service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest

from kubeletd.probes import attempt
from kubeletd.runtime.interface import Runtime

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
CONTAINER: dict[str, Any] = {"name": "c"}


class Health(grpc.GenericRpcHandler):  # type: ignore[misc]
    """grpc.health.v1.Health with two services: "" serves, "db" does not."""

    def service(self, details: Any) -> Any:
        async def check(request: bytes, context: Any) -> bytes:
            return NOT_SERVING if b"db" in request else SERVING

        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(check)
        return None


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Health(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def probe(port: int, service: str = "") -> Any:
    action = {"grpc": {"port": port, "service": service}, "timeoutSeconds": 2}
    return await attempt(cast(Runtime, None), action, CONTAINER, "id", "127.0.0.1")


async def test_a_serving_service_passes(port: int) -> None:
    assert (await probe(port)).ok


async def test_one_that_does_not_serve_fails_and_says_so(port: int) -> None:
    outcome = await probe(port, "db")
    assert not outcome.ok
    assert outcome.message == 'service unhealthy (responded with "NOT_SERVING")'


async def test_nobody_there_fails_within_the_timeout(unused_tcp_port: int) -> None:
    outcome = await probe(unused_tcp_port)
    assert not outcome.ok
    assert "within 2s" in outcome.message
