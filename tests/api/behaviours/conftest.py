"""Registrations of a test's own: webhooks, policies, definitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apiclient import Api
from controllercluster import controlling, free_port
from quotas import Quotas
from registrations import Registered
from servers import Server, serving
from webhookserver import WebhookServer


@pytest.fixture(scope="session")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """A server that plays webhooks."""
    server = WebhookServer(tmp_path_factory.mktemp("webhook"))
    yield server
    server.close()


@pytest.fixture
def registered(api: Api, namespace: str) -> Iterator[Registered]:
    made = Registered(api, namespace)
    yield made
    made.close()


@pytest.fixture(scope="session")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the controllers beside it, and no nodes."""
    path = tmp_path_factory.mktemp("controlled") / "data"
    signing = [
        f"--cluster-signing-{kind}-file={path}/pki/ca.{end}"
        for kind, end in (("cert", "crt"), ("key", "key"))
    ]
    with serving(path, "--secure-port", str(free_port())) as server, controlling(path, *signing):
        yield server


@pytest.fixture(scope="session")
def cluster(controlled: Server) -> Iterator[Api]:
    """The server with controllers as its administrator sees it."""
    client = controlled.client()
    yield client
    client.close()


@pytest.fixture
def space(cluster: Api) -> str:
    """A namespace of the test's own where there are controllers."""
    made = cluster.post("/api/v1/namespaces", {"metadata": {"generateName": "space-"}})
    assert made.code == 201, made.body
    return str(made["metadata"]["name"])


@pytest.fixture
def quotas(cluster: Api, space: str) -> Quotas:
    """A namespace of the test's own that is ready to be limited."""
    return Quotas(cluster, space)
