"""What Kubernetes says of flow schemas and priority levels that it does not accept."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import FieldError
from apimachinery.validation import flowcontrol

Object = dict[str, Any]
RULE: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
USER: Object = {"kind": "User", "user": {"name": "u"}}


def said_of_schema(name: str = "s", rule: Object | None = None, **spec: Any) -> list[str]:
    errs: list[FieldError] = []
    full = {
        "matchingPrecedence": 100,
        "priorityLevelConfiguration": {"name": "l"},
        "rules": [{"subjects": [USER], "resourceRules": [RULE]} | (rule or {})],
    } | spec
    flowcontrol.flow_schema(errs, {"metadata": {"name": name}, "spec": full})
    return [str(e) for e in errs]


def said_of_level(
    name: str = "l", kind: str = "Limited", queuing: Object | None = None, **limited: Any
) -> list[str]:
    errs: list[FieldError] = []
    response: Object = {"type": "Queue", "queuing": queuing} if queuing else {"type": "Reject"}
    spec: Object = {"type": kind}
    if kind == "Limited":
        spec["limited"] = {"nominalConcurrencyShares": 1, "limitResponse": response} | limited
    flowcontrol.priority_level(errs, {"metadata": {"name": name}, "spec": spec})
    return [str(e) for e in errs]


def test_what_is_right_is_accepted() -> None:
    assert said_of_schema() == said_of_level() == said_of_level("exempt", "Exempt") == []
    assert said_of_schema("exempt", matchingPrecedence=1) == []
    for subject in (
        {"kind": "Group", "group": {"name": "g"}},
        {"kind": "ServiceAccount", "serviceAccount": {"namespace": "n", "name": "*"}},
    ):
        assert said_of_schema(rule={"subjects": [subject]}) == []
    for url in ("*", "/", "/healthz", "/healthz/*"):
        assert said_of_schema(rule={"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": [url]}]}) == []
    assert said_of_level(queuing={"queues": 64, "handSize": 6, "queueLengthLimit": 50}) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"matchingPrecedence": 1},
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            {"matchingPrecedence": 10001},
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            {"priorityLevelConfiguration": {}},
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
    ],
)
def test_schemas(spec: Object, expected: str) -> None:
    assert said_of_schema(**spec) == [expected]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"subjects": []}, ".subjects: Required value: subjects must contain at least one value"),
        (
            {"resourceRules": []},
            ": Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ),
        (
            {"subjects": [{"kind": "Robot"}]},
            '.subjects[0].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"',
        ),
        (
            {"subjects": [{"kind": "User"}]},
            ".subjects[0].user: Required value: user is required when subject kind is 'User'",
        ),
        ({"subjects": [{"kind": "User", "user": {}}]}, ".subjects[0].user.name: Required value"),
        (
            {"subjects": [USER | {"group": {"name": "g"}}]},
            ".subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ),
        (
            {"subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": "a"}}]},
            ".subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account",
        ),
        (
            {"resourceRules": [RULE | {"verbs": ["get", "*"]}]},
            '.resourceRules[0].verbs: Invalid value: ["get","*"]: if \'*\' is present, must not specify other verbs',
        ),
        (
            {"resourceRules": [RULE | {"namespaces": []}]},
            ".resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at "
            "least one namespace",
        ),
        (
            {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/a*"]}]},
            '.nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a*": wildcard can only do suffix matching',
        ),
    ],
)
def test_rules(rule: Object, expected: str) -> None:
    assert said_of_schema(rule=rule) == [f"spec.rules[0]{expected}"]


def test_levels() -> None:
    exclusive = "type must be 'Exempt' if and only if name is 'exempt'"
    assert said_of_level("other", "Exempt") == [f'spec.type: Invalid value: "Exempt": {exclusive}']
    assert said_of_level("exempt", "Limited") == [f'spec.type: Invalid value: "Limited": {exclusive}']
    assert said_of_level(lendablePercent=101) == [
        "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"
    ]
    assert said_of_level(borrowingLimitPercent=-1) == [
        "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer"
    ]
    here = "spec.limited.limitResponse.queuing"
    assert said_of_level(queuing={"queues": 2, "handSize": 3, "queueLengthLimit": 1}) == [
        f"{here}.handSize: Invalid value: 3: should not be greater than queues (2)"
    ]
    assert said_of_level(queuing={"queues": 512, "handSize": 8, "queueLengthLimit": 1}) == [
        f"{here}.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be "
        "greater than 60"
    ]
