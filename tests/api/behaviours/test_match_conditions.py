"""Area apimachinery: matchConditions of mutating and validating webhooks."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import Api
from registrations import ADMISSION, Registered, unique
from webhookserver import WebhookServer, allow, patching

Object = dict[str, Any]
BROKEN = [{"name": "invalid-expression-1", "expression": "... [] bad expression"}]
FIRST = [{"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}]
SECOND = [
    {"name": "expression-1", "expression": "object.metadata.namespace == 'production'"},
    {"name": "expression-2", "expression": "object.metadata.namespace == 'staging'"},
]


def _stored_and_updated(api: Api, path: str) -> None:
    configuration = api.get(path).body
    assert configuration["webhooks"][0]["matchConditions"] == FIRST
    configuration["webhooks"][0]["matchConditions"] = SECOND
    assert api.put(path, configuration).code == 200
    assert api.get(path)["webhooks"][0]["matchConditions"] == SECOND


def test_validating_admission_webhook_create_and_update_validating_webhook_configuration_with_matchconditions(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    hook = registered.webhook(hooks.on("/conditions", allow), matchConditions=FIRST)
    _stored_and_updated(api, registered.validating(hook))


def test_mutating_admission_webhook_create_and_update_mutating_webhook_configuration_with_matchconditions(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    hook = registered.webhook(hooks.on("/conditions", allow), matchConditions=FIRST)
    _stored_and_updated(api, registered.mutating(hook))


def _refused_unless_it_compiles(api: Api, hook: Object, kind: str) -> None:
    body = {"metadata": {"name": unique("invalid")}, "webhooks": [hook]}
    refused = api.post(f"{ADMISSION}/{kind}webhookconfigurations", body)
    assert refused.code == 422
    assert "compilation failed" in refused.message


def test_validing_admission_webhook_reject_validating_webhook_configurations_with_invalid_matchconditions(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    hook = registered.webhook(hooks.on("/invalid", allow), matchConditions=BROKEN)
    _refused_unless_it_compiles(api, hook, "validating")


def test_mutating_admission_webhook_reject_mutating_webhook_configurations_with_invalid_matchconditions(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    hook = registered.webhook(hooks.on("/invalid", allow), matchConditions=BROKEN)
    _refused_unless_it_compiles(api, hook, "mutating")


def test_mutating_admission_webhook_mutating_webhook_excluding_object_with_specific_name(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    change = patching({"op": "add", "path": "/data/mutation-stage-1", "value": "yes"})
    conditions = [{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]
    registered.mutating(registered.webhook(hooks.on("/skip", change), matchConditions=conditions))
    start = {"mutation-start": "yes"}
    skipped = api.post(configmaps, {"metadata": {"name": "skip-me"}, "data": start})
    assert skipped["data"] == start
    other = api.post(configmaps, {"metadata": {"name": "other"}, "data": start})
    assert other["data"] == {**start, "mutation-stage-1": "yes"}
    assert len(hooks.seen["/skip"]) == 1


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("request.kind.group == 'apps' && nobody", "undeclared reference to 'nobody'"),
        ("'a' + 1 == 'a1'", "found no matching overload for '_+_' applied to '(string, int)'"),
        ("object.metadata.name", None),
        ("request.nothing == ''", "undefined field 'nothing'"),
        ("'text'", "must evaluate to bool"),
    ],
)
def test_conditions_are_type_checked(
    api: Api, hooks: WebhookServer, registered: Registered, expression: str, problem: str | None
) -> None:
    """`object` may be anything; the request is known."""
    hook = registered.webhook(
        hooks.on("/typed", allow), matchConditions=[{"name": "typed", "expression": expression}]
    )
    collection = f"{ADMISSION}/validatingwebhookconfigurations?dryRun=All"
    answer = api.post(collection, {"metadata": {"name": unique("typed")}, "webhooks": [hook]})
    assert answer.code == (422 if problem else 201)
    if problem:
        assert problem in answer.message
