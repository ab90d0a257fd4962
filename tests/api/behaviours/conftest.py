"""Registrations of a test's own: webhooks, policies, definitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apiclient import Api
from registrations import Registered
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
