"""What admission adds to audit events: webhooks, policies and pod security."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiclient import Api
from auditlog import Log, auditing
from webhookserver import WebhookServer, allow, patching


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Log]]:
    with auditing(tmp_path_factory.mktemp("audit")) as made:
        yield made


def test_webhooks_annotate_events(audited: tuple[Api, Log], tmp_path: Path) -> None:
    api, log = audited
    hooks = WebhookServer(tmp_path)
    annotations = {"why": "because"}
    config = hooks.on("/annotate", lambda request: {"allowed": True, "auditAnnotations": annotations})
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    webhook = {
        "name": "annotate.example.com",
        "clientConfig": config,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}
        ],
    }
    try:
        assert api.post(path, {"metadata": {"name": "annotate"}, "webhooks": [webhook]}).code == 201
        made = api.post("/api/v1/namespaces/half/secrets", {"metadata": {"name": "annotated"}})
        assert made.code == 201, made.body
        (event,) = log.of(made.headers["Audit-Id"], 1)
        assert event["annotations"]["annotate.example.com/why"] == "because"
    finally:
        api.delete(f"{path}/annotate")
        hooks.close()


def test_events_say_what_mutating_webhooks_did(audited: tuple[Api, Log], tmp_path: Path) -> None:
    api, log = audited
    hooks = WebhookServer(tmp_path)
    adds = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    rules = [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}]
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    gone = {"url": "https://127.0.0.1:1/gone", "caBundle": hooks.bundle}
    configs = {
        "changes": (hooks.on("/change", patching(*adds)), "Fail"),
        "looks": (hooks.on("/look", allow), "Fail"),
        "sleeps": (gone, "Ignore"),
    }
    try:
        for name, (config, policy) in configs.items():
            webhook = {
                "name": f"{name}.example.com",
                "clientConfig": config,
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": policy,
                "rules": rules,
            }
            assert api.post(path, {"metadata": {"name": name}, "webhooks": [webhook]}).code == 201
        made = api.post("/api/v1/namespaces/half/secrets", {"metadata": {"name": "changed"}})
        assert made.code == 201, made.body
        (event,) = log.of(made.headers["Audit-Id"], 1)
        said = event["annotations"]
        prefix = "mutation.webhook.admission.k8s.io/round_0_index_"
        assert [json.loads(said[f"{prefix}{i}"]) for i in (0, 1)] == [
            {"configuration": "changes", "webhook": "changes.example.com", "mutated": True},
            {"configuration": "looks", "webhook": "looks.example.com", "mutated": False},
        ]
        failed = "failed-open.mutating.webhook.admission.k8s.io/round_0_index_2"
        assert said[failed] == "sleeps.example.com"
    finally:
        for name in configs:
            api.delete(f"{path}/{name}")
        hooks.close()


def test_pod_security_annotates_events(audited: tuple[Api, Log]) -> None:
    api, log = audited
    prefix = "pod-security.kubernetes.io/"
    labels = {f"{prefix}enforce": "baseline", f"{prefix}audit": "restricted"}
    assert api.post("/api/v1/namespaces", {"metadata": {"name": "secure", "labels": labels}}).code == 201
    account = {"metadata": {"name": "default"}}
    assert api.post("/api/v1/namespaces/secure/serviceaccounts", account).code == 201
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = api.post("/api/v1/namespaces/secure/pods", pod)
    assert made.code == 201, made.body
    (event,) = log.of(made.headers["Audit-Id"], 1)
    assert event["annotations"][f"{prefix}enforce-policy"] == "baseline:latest"
    violations = event["annotations"][f"{prefix}audit-violations"]
    assert violations.startswith(
        'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    )


def test_policies_annotate_events(audited: tuple[Api, Log]) -> None:
    api, log = audited
    base = "/apis/admissionregistration.k8s.io/v1"
    policies, bindings = f"{base}/validatingadmissionpolicies", f"{base}/validatingadmissionpolicybindings"
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [
            {"expression": "true"},
            {"expression": "object.metadata.name == 'right'", "message": "no"},
        ],
        "auditAnnotations": [
            {"key": "named", "valueExpression": "'it is ' + object.metadata.name"},
            {"key": "never", "valueExpression": "null"},
        ],
    }
    try:
        assert api.post(policies, {"metadata": {"name": "say"}, "spec": spec}).code == 201
        binding = {"policyName": "say", "validationActions": ["Audit"]}
        assert api.post(bindings, {"metadata": {"name": "it"}, "spec": binding}).code == 201
        made = api.post("/api/v1/namespaces/half/secrets", {"metadata": {"name": "wrong"}})
        assert made.code == 201, made.body
        (event,) = log.of(made.headers["Audit-Id"], 1)
        annotations = event["annotations"]
        assert annotations["say/named"] == "it is wrong"
        assert "say/never" not in annotations
        assert json.loads(annotations["validation.policy.admission.k8s.io/validation_failure"]) == [
            {
                "message": "no",
                "policy": "say",
                "binding": "it",
                "expressionIndex": 1,
                "validationActions": ["Audit"],
            }
        ]
    finally:
        api.delete(f"{bindings}/it")
        api.delete(f"{policies}/say")
