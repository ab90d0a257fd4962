"""Audit policies: which requests are recorded at which level, and what is said of a policy that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver import requestinfo
from apiserver.audit import policy, record
from apiserver.audit.policy import LEVELS, PolicyError
from apiserver.request import User

Object = dict[str, Any]
ALICE = User("alice", groups=("dev", "system:authenticated"))


def parsed(*rules: Object, **fields: Any) -> policy.Policy:
    return policy.parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **fields})


def level(found: policy.Policy, method: str, target: str, user: User | None = ALICE) -> str:
    return LEVELS[found.decide(user, requestinfo.parse(method, target)).level]


@pytest.mark.parametrize(
    ("rule", "method", "target", "matches"),
    [
        ({}, "GET", "/healthz", True),
        ({"users": ["alice"]}, "GET", "/healthz", True),
        ({"users": ["bob"]}, "GET", "/healthz", False),
        ({"userGroups": ["ops", "dev"]}, "GET", "/healthz", True),
        ({"userGroups": ["ops"]}, "GET", "/healthz", False),
        ({"verbs": ["list"]}, "GET", "/api/v1/pods", True),
        ({"verbs": ["watch"]}, "GET", "/api/v1/pods", False),
        ({"verbs": ["watch"]}, "GET", "/api/v1/pods?watch=1", True),
        ({"namespaces": ["a"]}, "GET", "/api/v1/namespaces/a/pods", True),
        ({"namespaces": ["a"]}, "GET", "/api/v1/nodes", False),
        ({"namespaces": [""]}, "GET", "/api/v1/nodes", True),
        ({"namespaces": [""]}, "GET", "/version", False),
        ({"resources": [{"group": ""}]}, "GET", "/api/v1/nodes", True),
        ({"resources": [{"group": ""}]}, "GET", "/apis/apps/v1/deployments", False),
        ({"resources": [{"group": "apps", "resources": ["*"]}]}, "GET", "/apis/apps/v1/deployments", True),
        ({"resources": [{"resources": ["pods"]}]}, "GET", "/api/v1/namespaces/a/pods/p/log", False),
        ({"resources": [{"resources": ["pods/log"]}]}, "GET", "/api/v1/namespaces/a/pods/p/log", True),
        ({"resources": [{"resources": ["pods/*"]}]}, "GET", "/api/v1/namespaces/a/pods/p/log", True),
        ({"resources": [{"resources": ["pods/*"]}]}, "GET", "/api/v1/namespaces/a/pods/p", True),
        ({"resources": [{"resources": ["*/log"]}]}, "GET", "/api/v1/namespaces/a/pods/p/log", True),
        ({"resources": [{"resources": ["*"]}]}, "GET", "/api/v1/namespaces/a/pods/p/log", True),
        (
            {"resources": [{"resources": ["pods"], "resourceNames": ["q"]}]},
            "GET",
            "/api/v1/namespaces/a/pods/p",
            False,
        ),
        ({"nonResourceURLs": ["/healthz*"]}, "GET", "/healthz/ping", True),
        ({"nonResourceURLs": ["/healthz"]}, "GET", "/healthz/ping", False),
        ({"nonResourceURLs": ["*"]}, "GET", "/version", True),
        ({"nonResourceURLs": ["*"]}, "GET", "/api/v1/pods", False),
    ],
)
def test_what_a_rule_matches(rule: Object, method: str, target: str, matches: bool) -> None:
    found = parsed({"level": "Metadata", **rule})
    assert level(found, method, target) == ("Metadata" if matches else "None")


def test_the_first_rule_that_matches_decides() -> None:
    found = parsed({"level": "None", "verbs": ["get"]}, {"level": "Request"}, {"level": "RequestResponse"})
    assert level(found, "GET", "/version") == "None"
    assert level(found, "POST", "/version") == "Request"


def test_the_policy_of_the_guide_can_be_used() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs/guides/audit-log.md").read_text()
    found = policy.parse(yaml.safe_load(guide.split("```yaml\n")[1].split("```")[0]))
    assert found.warnings == ()
    assert level(found, "GET", "/readyz") == "None"
    assert level(found, "DELETE", "/api/v1/namespaces/production/pods/p") == "RequestResponse"


def test_nobody_is_no_user_and_in_no_group() -> None:
    found = parsed({"level": "Request", "userGroups": ["dev"]}, {"level": "Metadata"})
    assert level(found, "GET", "/version", None) == "Metadata"


def test_a_rule_adds_to_what_the_policy_omits() -> None:
    found = parsed(
        {"level": "Metadata", "omitStages": ["Panic"], "verbs": ["get"], "omitManagedFields": False},
        {"level": "Metadata"},
        omitStages=["RequestReceived"],
        omitManagedFields=True,
    )
    first = found.decide(ALICE, requestinfo.parse("GET", "/version"))
    second = found.decide(ALICE, requestinfo.parse("POST", "/version"))
    assert (set(first.omit_stages), first.omit_managed_fields) == ({"Panic", "RequestReceived"}, False)
    assert (set(second.omit_stages), second.omit_managed_fields) == ({"RequestReceived"}, True)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({}, "rules[0].level: Required value"),
        (
            {"level": "metadata"},
            'rules[0].level: Unsupported value: "metadata": supported values: "Metadata", "None", "Request", '
            '"RequestResponse"',
        ),
        ({"level": "None", "users": "alice"}, "rules[0].users: Invalid value"),
        ({"level": "None", "omitStages": ["Never"]}, "rules[0].omitStages[0]: Invalid value"),
        ({"level": "None", "omitManagedFields": "yes"}, "rules[0].omitManagedFields: Invalid value"),
        (
            {"level": "None", "nonResourceURLs": ["healthz"]},
            "rules[0].nonResourceURLs[0]: Invalid value: \"healthz\": non-resource URL rules must begin with a '/'",
        ),
        (
            {"level": "None", "nonResourceURLs": ["/a*b"]},
            "rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final",
        ),
        (
            {"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["b"]},
            "rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            {"level": "None", "resources": [{"resourceNames": ["a"]}]},
            "rules[0].resources[0].resourceNames: Invalid value",
        ),
        (
            {"level": "None", "resources": [{"group": "apps/v1"}]},
            'rules[0].resources[0].group: Invalid value: "apps/v1"',
        ),
        ({"level": "None", "resources": ["pods"]}, "rules[0].resources[0]: Invalid value"),
    ],
)
def test_a_policy_that_cannot_be_used(rule: Object, problem: str) -> None:
    with pytest.raises(PolicyError) as raised:
        parsed(rule)
    assert problem in str(raised.value)


def test_a_file_that_is_no_policy() -> None:
    documents: list[Any] = [
        None,
        [],
        {"kind": "Pod"},
        {"kind": "Policy", "apiVersion": "audit.k8s.io/v1beta1"},
    ]
    for document in documents:
        with pytest.raises(PolicyError):
            policy.parse(document)
    with pytest.raises(PolicyError, match="0 rules"):
        parsed()


def test_fields_that_mean_nothing_are_warned_of() -> None:
    found = parsed({"level": "None", "user": ["a"], "resources": [{"kind": "Pod"}]}, stages=[])
    assert found.warnings == (
        'unknown field "stages"',
        'unknown field "rules[0].user"',
        'unknown field "rules[0].resources[0].kind"',
    )


def test_managed_fields_are_left_out_of_objects_lists_and_tables() -> None:
    obj = {"metadata": {"name": "a", "managedFields": [{}]}, "data": {}}
    bare = {"metadata": {"name": "a"}, "data": {}}
    assert record.without_managed_fields(obj) == bare
    assert record.without_managed_fields({"items": [obj, obj]}) == {"items": [bare, bare]}
    table = {"kind": "Table", "rows": [{"cells": [1], "object": obj}]}
    assert record.without_managed_fields(table) == {"kind": "Table", "rows": [{"cells": [1], "object": bare}]}
    assert obj["metadata"] == {"name": "a", "managedFields": [{}]}
