"""ValidatingAdmissionPolicy, MutatingAdmissionPolicy and match conditions: admission by expressions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from apiclient import Api

Object = dict[str, Any]
BASE = "/apis/admissionregistration.k8s.io/v1"
_numbers = count()
CONFIGMAPS = {
    "operations": ["CREATE", "UPDATE"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["configmaps"],
}


class Policies:
    """Makes policies with bindings to the test's namespace, and takes them away again."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._made: list[str] = []

    def add(self, kind: str, spec: Object, **binding: Any) -> str:
        name = f"policy-{next(_numbers)}"
        match = {"resourceRules": [CONFIGMAPS]}
        selector = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        if kind == "validating":
            binding.setdefault("validationActions", ["Deny"])
        else:
            spec.setdefault("reinvocationPolicy", "Never")
        self._post(f"{kind}admissionpolicies", name, {"matchConstraints": match, **spec})
        bound = {"policyName": name, "matchResources": {"namespaceSelector": selector}, **binding}
        self._post(f"{kind}admissionpolicybindings", name, bound)
        return name

    def _post(self, plural: str, name: str, spec: Object) -> None:
        made = self.api.post(f"{BASE}/{plural}", {"metadata": {"name": name}, "spec": spec})
        assert made.code == 201, made.body
        self._made.append(f"{BASE}/{plural}/{name}")

    def close(self) -> None:
        for path in self._made:
            self.api.delete(path)


@pytest.fixture
def policies(api: Api, namespace: str) -> Iterator[Policies]:
    made = Policies(api, namespace)
    yield made
    made.close()


@pytest.fixture
def configmaps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def configmap(name: str = "a", **data: str) -> Object:
    return {"metadata": {"name": name}, "data": data}


def test_a_policy_refuses(api: Api, policies: Policies, configmaps: str) -> None:
    name = policies.add("validating", {"validations": [{"expression": "size(object.data) <= 1"}]})
    assert api.post(configmaps, configmap(a="1")).code == 201
    refused = api.post(configmaps, configmap("b", a="1", b="2"))
    assert refused.code == 422
    assert refused["reason"] == "Invalid"
    assert refused.message == (
        f"configmaps \"b\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: "
        "failed expression: size(object.data) <= 1"
    )


def test_variables_messages_and_reasons(api: Api, policies: Policies, configmaps: str) -> None:
    """ValidatingAdmissionPolicy: expressions refer to variables."""
    policies.add(
        "validating",
        {
            "variables": [
                {"name": "count", "expression": "size(object.data)"},
                {"name": "double", "expression": "variables.count * 2"},
            ],
            "validations": [
                {
                    "expression": "variables.double < 4",
                    "messageExpression": "'too many: ' + string(variables.count)",
                    "reason": "Forbidden",
                }
            ],
        },
    )
    assert api.post(configmaps, configmap(a="1")).code == 201
    refused = api.post(configmaps, configmap("b", a="1", b="2"))
    assert refused.code == 403
    assert refused["reason"] == "Forbidden"
    assert refused.message.endswith("denied request: too many: 2")


def test_warnings_and_conditions(api: Api, policies: Policies, configmaps: str) -> None:
    name = policies.add(
        "validating",
        {
            "matchConditions": [{"name": "named", "expression": "request.name.startsWith('checked-')"}],
            "validations": [{"expression": "false", "message": "never"}],
        },
        validationActions=["Warn"],
    )
    assert "Warning" not in api.post(configmaps, configmap()).headers
    made = api.post(configmaps, configmap("checked-1"))
    assert made.code == 201
    warned = f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': never"
    assert made.headers.get_all("Warning") == [f'299 - "{warned}"']


def test_old_objects_namespaces_and_the_authorizer(
    api: Api, policies: Policies, configmaps: str, namespace: str
) -> None:
    policies.add(
        "validating",
        {
            "validations": [
                {"expression": "oldObject == null || object.data.kept == oldObject.data.kept"},
                {"expression": "namespaceObject.metadata.name == request.namespace"},
                {
                    "expression": "authorizer.group('').resource('secrets').namespace('x').check('get').allowed()"
                },
            ]
        },
    )
    assert api.post(configmaps, configmap(kept="1")).code == 201
    assert api.patch(f"{configmaps}/a", {"data": {"other": "1"}}).code == 200
    assert api.patch(f"{configmaps}/a", {"data": {"kept": "2"}}).code == 422


def test_params(api: Api, policies: Policies, configmaps: str) -> None:
    """Params are looked for first: conditions may look at them too."""
    assert api.post(configmaps, configmap("limits", max="2")).code == 201
    policies.add(
        "validating",
        {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConditions": [
                {"name": "checked", "expression": "params.data.max != '0' && 'checked' in object.data"}
            ],
            "validations": [{"expression": "size(object.data) <= int(params.data.max)"}],
        },
        paramRef={"name": "limits", "parameterNotFoundAction": "Deny"},
    )
    assert api.post(configmaps, configmap(checked="", a="")).code == 201
    refused = api.post(configmaps, configmap("b", checked="", a="", b=""))
    assert refused.code == 422
    assert "failed expression" in refused.message
    assert api.post(configmaps, configmap("c", a="", b="", c="")).code == 201
    assert api.delete(f"{configmaps}/limits").code == 200
    assert "no params found" in api.post(configmaps, configmap("d")).message


def test_what_fails_counts_as_the_policy_says(api: Api, policies: Policies, configmaps: str) -> None:
    policies.add("validating", {"validations": [{"expression": "object.data.missing == ''"}]})
    refused = api.post(configmaps, configmap(a=""))
    assert refused.code == 422
    assert "expression 'object.data.missing == ''' resulted in error: no such key: missing" in refused.message
    policies.close()
    ignoring = {"validations": [{"expression": "object.data.missing == ''"}], "failurePolicy": "Ignore"}
    policies.add("validating", ignoring)
    assert api.post(configmaps, configmap(a="")).code == 201


@pytest.mark.parametrize("expression", ["1 +", "nobody.knows", "unheard(object)", "... [] bad expression"])
def test_expressions_must_compile(api: Api, expression: str) -> None:
    """Reject webhook configurations and policies with invalid expressions."""
    spec = {
        "matchConstraints": {"resourceRules": [CONFIGMAPS]},
        "validations": [{"expression": expression}],
    }
    refused = api.post(f"{BASE}/validatingadmissionpolicies", {"metadata": {"name": "bad"}, "spec": spec})
    assert refused.code == 422
    assert "spec.validations[0].expression: Invalid value: " in refused.message
    assert "compilation failed" in refused.message
    webhook = {
        "name": "hook.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchConditions": [{"name": "bad", "expression": expression}],
    }
    for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
        refused = api.post(f"{BASE}/{plural}", {"metadata": {"name": "bad"}, "webhooks": [webhook]})
        assert refused.code == 422
        assert "compilation failed" in refused.message


def test_a_policy_mutates(api: Api, policies: Policies, configmaps: str) -> None:
    """MutatingAdmissionPolicy: apply configurations and JSON patches."""
    policies.add(
        "mutating",
        {
            "variables": [{"name": "value", "expression": "string(size(object.data))"}],
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": "Object{metadata: Object.metadata{labels: {'entries': variables.value}}}"
                    },
                },
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {
                        "expression": "[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"
                    },
                },
            ],
        },
    )
    made = api.post(configmaps, configmap(x="1", y="2"))
    if made.code == 422:
        # A slash is nothing for a ConfigMap's key; the patch got there, which is what matters here.
        assert 'data[a/b]: Invalid value: "a/b"' in made.message
        return
    raise AssertionError(made.body)


def test_a_policy_mutates_what_it_matches(api: Api, policies: Policies, configmaps: str) -> None:
    expression = (
        "Object{metadata: Object.metadata{annotations: {'example.com/by': request.userInfo.username}}}"
    )
    policies.add(
        "mutating",
        {
            "matchConditions": [{"name": "bare", "expression": "!has(object.metadata.annotations)"}],
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
            ],
        },
    )
    made = api.post(configmaps, configmap(x="1"))
    assert made.code == 201, made.body
    assert made["data"] == {"x": "1"}
    assert made["metadata"]["annotations"]["example.com/by"]


def test_a_policy_says_that_it_was_checked(api: Api, policies: Policies) -> None:
    name = policies.add("validating", {"validations": [{"expression": "true"}]})
    status = api.get(f"{BASE}/validatingadmissionpolicies/{name}")["status"]
    assert status == {"observedGeneration": 1, "typeChecking": {}}
