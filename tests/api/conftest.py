"""A real API server on each storage engine, one process a run, and a namespace for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from apiclient import Api
from customresources import CRDS, Define, Kind, version
from servers import Server, serving

AUDIT_ALL = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: RequestResponse}]
"""
_numbers = count()


@pytest.fixture(scope="session", params=["sqlite", "etcd"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """No controllers run, so nobody makes service accounts: pods are admitted without.

    One of the two audits all it is asked, so that every request of the tests is one that can be audited.
    """
    flags = ["--disable-admission-plugins", "ServiceAccount"]
    if request.param == "sqlite":
        policy = tmp_path_factory.mktemp("audit") / "policy.yaml"
        policy.write_text(AUDIT_ALL)
        flags += ["--audit-policy-file", str(policy), "--audit-log-path", "/dev/null"]
    if request.param == "etcd":
        flags += ["--storage", "etcd"]
        for endpoint in request.getfixturevalue("etcd").endpoints:
            flags += ["--etcd-servers", endpoint]
    with serving(tmp_path_factory.mktemp("apiserver") / request.param, *flags) as started:
        yield started


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[Api]:
    """The server as its administrator sees it."""
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def namespace(api: Api) -> str:
    """A namespace of the test's own."""
    name = f"test-{next(_numbers)}"
    made = api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    assert made.code == 201, made.body
    return name


@pytest.fixture
def define(api: Api, namespace: str) -> Iterator[Define]:
    made: list[Kind] = []

    def make(*versions: dict[str, Any], **spec: Any) -> Kind:
        made.append(Kind(api, namespace, list(versions) or [version()], **spec))
        return made[-1]

    yield make
    for kind in made:
        api.delete(f"{CRDS}/{kind.name}")


@pytest.fixture
def widgets(define: Define) -> Kind:
    return define()
