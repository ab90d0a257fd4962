"""An API server, a node whose agent is made up, and pods there, on other nodes and on none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakeagent import FakeAgent, serve
from servers import Server, serving
from streamclient import FLAGS, PODS, Client


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("streams") / "data"
    with serving(data, *FLAGS) as server:
        api = server.client()
        for name in ("n1", "impostor", "nowhere"):
            assert api.post("/api/v1/nodes", {"metadata": {"name": name}}).code == 201
        for name, node, containers in (
            ("p", "n1", ["c"]), ("two", "n1", ["a", "b"]), ("quiet", "n1", ["silent"]), ("lost", "nowhere", ["c"]),
            ("taken", "impostor", ["c"]), ("pending", "", ["c"]),
        ):  # fmt: skip
            spec: dict[str, Any] = {"containers": [{"name": c, "image": "i"} for c in containers]}
            if node:
                spec["nodeName"] = node
            assert api.post(PODS, {"metadata": {"name": name}, "spec": spec}).code == 201
        waiting = {"name": "silent", "state": {"waiting": {"reason": "ContainerCreating"}}, "ready": False,
                   "restartCount": 0, "image": "i", "imageID": ""}  # fmt: skip
        status = {"phase": "Pending", "containerStatuses": [waiting]}
        assert api.patch(f"{PODS}/quiet/status", {"status": status}).code == 200
        running = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        assert api.patch(f"{PODS}/p/status", {"status": running}).code == 200
        api.close()
        yield server


@pytest.fixture
async def agent(streaming: Server) -> AsyncIterator[FakeAgent]:
    """The agent of n1; the node called impostor points at it too."""
    made = FakeAgent()
    server, endpoint = await serve(made, streaming.data / "pki", "n1")
    api = streaming.client()
    for name in ("n1", "impostor"):
        note = {"metadata": {"annotations": {"pybernetes.io/agent-endpoint": endpoint}}}
        assert api.patch(f"/api/v1/nodes/{name}", note).code == 200
    api.close()
    yield made
    await server.stop(None)


@pytest.fixture
async def client(streaming: Server, tmp_path: Path) -> AsyncIterator[Client]:
    made = Client(streaming, tmp_path)
    yield made
    await made.session.close()
