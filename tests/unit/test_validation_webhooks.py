"""What is wrong with webhook configurations, in Kubernetes's words."""

from __future__ import annotations

from typing import Any

import pytest
from validated import META, assert_says, changed, create_errors

Object = dict[str, Any]

KIND, GROUP = "validatingwebhookconfigurations", "admissionregistration.k8s.io"
WEBHOOKS: Object = {
    "metadata": META,
    "webhooks": [
        {
            "name": "a.b.c",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://a/b"},
            "rules": [
                {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
            ],
        }
    ],
}


def test_webhooks_that_are_fine() -> None:
    assert create_errors(KIND, WEBHOOKS, GROUP) == []
    for resources in (
        ["*"],
        ["*/*"],
        ["*", "pods/exec"],
        ["*", "*/status"],
        ["pods", "pods/*"],
        ["a/*", "*/b"],
    ):
        assert (
            create_errors(KIND, changed(WEBHOOKS, {"webhooks.0.rules.0.resources": resources}), GROUP) == []
        )
    for path in ("/", "/a/b", "/a/"):
        service = {"service": {"name": "a", "namespace": "a", "path": path}}
        assert create_errors(KIND, changed(WEBHOOKS, {"webhooks.0.clientConfig": service}), GROUP) == []


@pytest.mark.parametrize(
    ("resources", "error"),
    [
        (["*/*", "pods"], """: Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other resources"""),
        (["*", "pods"],
         """: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"""),
        (["pods/*", "pods/status"],
         """[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status"""),
        (["*/scale", "a/scale"], """[1]: Invalid value: "a/scale": if '*/scale' is present, must not specify a/sca"""),
        (["a", ""], "[1]: Required value"),
    ],
)  # fmt: skip
def test_resources_of_rules(resources: list[str], error: str) -> None:
    wrong = changed(WEBHOOKS, {"webhooks.0.rules.0.resources": resources})
    assert_says(create_errors(KIND, wrong, GROUP), f"webhooks[0].rules[0].resources{error}")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://a", "\"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]"),
        ("https:///a", '"": host must be specified; desired format: https://host[/path]'),
        ("https://u:p@a", '"u:p": user information is not permitted in the URL'),
        ("https://a#f", '"f": fragments are not permitted in the URL'),
        ("https://a?b", '"b": query parameters are not permitted in the URL'),
    ],
)
def test_urls(url: str, error: str) -> None:
    wrong = changed(WEBHOOKS, {"webhooks.0.clientConfig.url": url})
    assert_says(create_errors(KIND, wrong, GROUP), f"webhooks[0].clientConfig.url: Invalid value: {error}")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("x", "\"x\": must start with a '/'"),
        ("//", '"//": segment[0] may not be empty'),
        ("/a//b", '"/a//b": segment[1] may not be empty'),
        ("/a/B", '"/a/B": segment[1]: a lowercase RFC 1123 subdomain'),
    ],
)
def test_paths_of_services(path: str, error: str) -> None:
    service = {"service": {"name": "a", "namespace": "a", "path": path}}
    wrong = changed(WEBHOOKS, {"webhooks.0.clientConfig": service})
    assert_says(
        create_errors(KIND, wrong, GROUP), f"webhooks[0].clientConfig.service.path: Invalid value: {error}"
    )


@pytest.mark.parametrize(
    ("versions", "error"),
    [
        ([], ": Required value: must specify one of v1, v1beta1"),
        (["v2"], ': Invalid value: ["v2"]: must include at least one of v1, v1beta1'),
        (["v1", "v1"], '[1]: Invalid value: "v1": duplicate version'),
        (["v1", "1"], '[1]: Invalid value: "1": a DNS-1035 label'),
    ],
)
def test_versions_of_reviews(versions: list[str], error: str) -> None:
    wrong = changed(WEBHOOKS, {"webhooks.0.admissionReviewVersions": versions})
    assert_says(create_errors(KIND, wrong, GROUP), f"webhooks[0].admissionReviewVersions{error}")
