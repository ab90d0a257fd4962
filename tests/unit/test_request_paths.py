"""URLs become verbs on resources as Kubernetes reads them."""

from __future__ import annotations

import pytest

from apiserver.requestinfo import parse


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods?watch=true", ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods?watch=0", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/p", ("get", "", "v1", "pods", "a", "p", "")),
        ("GET", "/api/v1/namespaces/a/pods/p?watch=1", ("get", "", "v1", "pods", "a", "p", "")),
        ("HEAD", "/api/v1/nodes/n", ("get", "", "v1", "nodes", "", "n", "")),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", ("create", "apps", "v1", "deployments", "a", "", "")),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/d/scale",
         ("update", "apps", "v1", "deployments", "a", "d", "scale")),
        ("DELETE", "/api/v1/namespaces/a/pods", ("deletecollection", "", "v1", "pods", "a", "", "")),
        ("GET", "/api/v1/namespaces", ("list", "", "v1", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "", "v1", "namespaces", "a", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "v1", "namespaces", "a", "a", "finalize")),
        ("GET", "/api/v1/watch/namespaces/a/pods", ("watch", "", "v1", "pods", "a", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/we%62", ("get", "", "v1", "pods", "a", "web", "")),
        ("GET", "/api/v1//namespaces/a/pods/", ("list", "", "v1", "pods", "a", "", "")),
        ("GET", "/healthz", ("get", "", "", "", "", "", "")),
        ("GET", "/apis/apps/v1", ("get", "apps", "v1", "", "", "", "")),
    ],
)  # fmt: skip
def test_paths(method: str, target: str, expected: tuple[str, ...]) -> None:
    info = parse(method, target)
    found = (info.verb, info.group, info.version, info.plural, info.namespace, info.name, info.subresource)
    assert found == expected


def test_proxy_paths_keep_their_rest() -> None:
    info = parse("GET", "/api/v1/namespaces/a/services/s:80/proxy/x/y?q=1")
    assert (info.name, info.subresource, info.rest) == ("s:80", "proxy", "/x/y")
    assert info.query == {"q": ["1"]}


def test_an_escaped_slash_separates_nothing() -> None:
    info = parse("GET", "/api/v1/namespaces/a%2Fb/secrets/x%2f..%2fy")
    assert (info.namespace, info.name) == ("a%2Fb", "x%2f..%2fy")
