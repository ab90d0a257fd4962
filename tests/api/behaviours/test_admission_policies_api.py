"""Area apimachinery: ValidatingAdmissionPolicy and MutatingAdmissionPolicy, as API and at work."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import Api, selector
from registrations import ADMISSION, Registered, unique, version

Object = dict[str, Any]
GROUP = "admissionregistration.k8s.io"


def deployment(name: str, replicas: int = 1, **metadata: Any) -> Object:
    labels = {"app": "nginx"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels, **metadata}, "spec": spec}


DEPLOYMENTS = [
    {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
]
MATCH = {"resourceRules": DEPLOYMENTS}
KINDS: dict[str, Object] = {
    "validatingadmissionpolicies": {
        "matchConstraints": MATCH,
        "validations": [{"expression": "object.spec.replicas <= 100"}],
    },
    "validatingadmissionpolicybindings": {
        "policyName": "replicalimit-policy.example.com",
        "validationActions": ["Deny"],
    },
    "mutatingadmissionpolicies": {
        "reinvocationPolicy": "Never",
        "matchConstraints": MATCH,
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {
                    "expression": "Object{metadata: Object.metadata{annotations: {'my-foo-annotation': 'myValue'}}}"
                },
            }
        ],
    },
    "mutatingadmissionpolicybindings": {"policyName": "replicalimit-policy.example.com"},
}


def test_validatingadmissionpolicy_api(api: Api) -> None:
    _discovered_with_all_verbs(api, "validatingadmissionpolicies")


def test_validatingadmissionpolicybinding_api(api: Api) -> None:
    _discovered_with_all_verbs(api, "validatingadmissionpolicybindings")


def test_mutatingadmissionpolicy_api(api: Api) -> None:
    _discovered_with_all_verbs(api, "mutatingadmissionpolicies")


def test_mutatingadmissionpolicybinding_api(api: Api) -> None:
    _discovered_with_all_verbs(api, "mutatingadmissionpolicybindings")


def _discovered_with_all_verbs(api: Api, plural: str) -> None:
    [found] = [g for g in api.get("/apis")["groups"] if g["name"] == GROUP]
    assert {"groupVersion": f"{GROUP}/v1", "version": "v1"} in found["versions"]
    assert {"groupVersion": f"{GROUP}/v1", "version": "v1"} in api.get(f"/apis/{GROUP}")["versions"]
    listed = {r["name"]: r for r in api.get(ADMISSION)["resources"]}
    verbs = {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}
    assert verbs <= set(listed[plural]["verbs"])
    if plural == "validatingadmissionpolicies":
        assert f"{plural}/status" in listed
    path, label = f"{ADMISSION}/{plural}", unique("label")
    policy = not plural.endswith("bindings")
    body = {"metadata": {"generateName": "e2e-", "labels": {"by": label}}, "spec": KINDS[plural]}
    made = [api.post(path, body) for _ in range(3)]
    assert [answer.code for answer in made] == [201] * 3, made[0].body
    name = made[2]["metadata"]["name"]
    read = api.get(f"{path}/{name}")
    assert read["metadata"]["uid"] == made[2]["metadata"]["uid"]
    chosen = f"{path}?labelSelector={selector(f'by={label}')}"
    since = api.get(chosen)["metadata"]["resourceVersion"]
    with api.watch(f"{chosen}&resourceVersion={since}") as events:
        patch: Object = {"metadata": {"annotations": {"patched": "true"}}}
        if policy:
            patch["spec"] = {"failurePolicy": "Ignore"}
        patched = api.patch(f"{path}/{name}", patch)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        if policy:
            assert patched["spec"]["failurePolicy"] == "Ignore"
        updated = patched.body
        updated["metadata"]["annotations"]["updated"] = "true"
        if policy:
            updated["spec"]["failurePolicy"] = "Fail"
        answer = api.put(f"{path}/{name}", updated)
        assert answer["metadata"]["annotations"]["updated"] == "true"
        event = next(events)
        assert (event["type"], event["object"]["metadata"]["annotations"]) == (
            "MODIFIED",
            {"patched": "true"},
        )
    if plural == "validatingadmissionpolicies":
        status = api.get(f"{path}/{name}/status").body
        condition = {
            "type": "StatusUpdate",
            "status": "True",
            "reason": "E2E",
            "message": "Set from e2e test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status["status"]["conditions"] = [condition]
        assert api.put(f"{path}/{name}/status", status)["status"]["conditions"] == [condition]
        patched = api.patch(f"{path}/{name}/status", {"metadata": {"annotations": {"patchedstatus": "true"}}})
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    assert api.delete(f"{path}/{name}").code == 200
    assert api.get(f"{path}/{name}").code == 404
    assert len(api.get(chosen)["items"]) == 2
    assert api.delete(chosen).code == 200
    assert api.get(chosen)["items"] == []


def test_validatingadmissionpolicy(api: Api, registered: Registered, namespace: str) -> None:
    """Validates against a Deployment, its expressions with a variable, and nothing else."""
    registered.policy(
        "validating",
        {
            "variables": [
                {"name": "replicas", "expression": "object.spec.replicas"},
                {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
            ],
            "validations": [
                {
                    "expression": "variables.replicas > 1",
                    "messageExpression": "'wants replicas > 1, got ' + string(variables.replicas)",
                },
                {"expression": "variables.oddReplicas"},
            ],
        },
    )
    path = f"/apis/apps/v1/namespaces/{namespace}"
    marker = api.post(f"{path}/deployments", deployment("marker", 1))
    assert (marker.code, marker["reason"]) == (422, "Invalid")
    assert "wants replicas > 1, got 1" in marker.message
    assert api.post(f"{path}/deployments", deployment("replicated", 3)).code == 201
    even = api.post(f"{path}/deployments", deployment("even", 2))
    assert even.code == 422
    assert "failed expression: variables.oddReplicas" in even.message
    assert api.post(f"{path}/replicasets", deployment("non-replicated", 1)).code == 201


def checked(api: Api, name: str) -> list[Object]:
    status = api.get(f"{ADMISSION}/validatingadmissionpolicies/{name}")["status"]
    assert "typeChecking" in status
    assert status["observedGeneration"] == 1
    return list(status["typeChecking"].get("expressionWarnings") or [])


def test_validatingadmissionpolicy_type_checks_validation_expressions(
    api: Api, registered: Registered
) -> None:
    correct = registered.policy("validating", {"validations": [{"expression": "object.spec.replicas > 1"}]})
    assert checked(api, correct) == []
    confused = registered.policy(
        "validating",
        {
            "validations": [
                {
                    "expression": "object.spec.replicas > '1'",
                    "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
                }
            ]
        },
    )
    [first, second] = checked(api, confused)
    assert first["fieldRef"] == "spec.validations[0].expression"
    assert first["warning"].startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:22: ")
    assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
    assert second["fieldRef"] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in second["warning"]


def test_validatingadmissionpolicy_type_checks_a_crd(api: Api, registered: Registered) -> None:
    spec = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    foos = registered.define(version("v1", {"type": "object", "properties": {"spec": spec}}))
    rule = (["CREATE"], foos.group, ["foos"])
    correct = {"validations": [{"expression": "object.spec.replicas > 1"}]}
    assert checked(api, registered.policy("validating", correct, rule=rule)) == []
    wrong = {"validations": [{"expression": "object.spec.replicas > '1'"}, {"expression": "object.foo == 1"}]}
    [first, second] = checked(api, registered.policy("validating", wrong, rule=rule))
    assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
    assert f"{foos.group}/v1, Kind=Foo" in first["warning"]
    assert second["fieldRef"] == "spec.validations[1].expression"
    assert "undefined field 'foo'" in second["warning"]


@pytest.mark.parametrize(
    ("validation", "problem"),
    [
        ({"expression": "object.spec.replicas + 1"}, "must evaluate to bool"),
        ({"expression": "true", "messageExpression": "1 + 1"}, "must evaluate to string"),
        ({"expression": "variables.none"}, "undefined field 'none'"),
        ({"expression": "request.userInfo.name == 'x'"}, "undefined field 'name'"),
        ({"expression": "object.a ==== 1"}, "Syntax error"),
    ],
)
def test_validatingadmissionpolicy_expressions_are_checked_when_written(
    api: Api, validation: Object, problem: str
) -> None:
    spec = {"matchConstraints": MATCH, "validations": [validation]}
    path = f"{ADMISSION}/validatingadmissionpolicies?dryRun=All"
    refused = api.post(path, {"metadata": {"name": unique("checked")}, "spec": spec})
    assert refused.code == 422
    assert problem in refused.message


def test_mutatingadmissionpolicy_adds_annotations(api: Api, registered: Registered, namespace: str) -> None:
    expression = """
        Object{
            metadata: Object.metadata{
                annotations: {
                    "mutated-by": "admission-policy"
                }
            }
        }"""
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    registered.policy("mutating", {"mutations": [mutation]})
    made = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("d"))
    assert made["metadata"]["annotations"]["mutated-by"] == "admission-policy"


def test_mutatingadmissionpolicy_mutates_as_the_expression_says(
    api: Api, registered: Registered, namespace: str
) -> None:
    apply = "Object{spec: Object.spec{replicas: object.spec.replicas + int(variables.more)}}"
    patch = "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"
    registered.policy(
        "mutating",
        {
            "variables": [{"name": "more", "expression": "'2'"}],
            "matchConditions": [{"name": "named", "expression": "object.metadata.name.startsWith('more')"}],
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": apply}},
                {"patchType": "JSONPatch", "jsonPatch": {"expression": patch}},
            ],
        },
    )
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = api.post(deployments, deployment("more"))
    assert made.code == 201, made.body
    assert made["spec"]["replicas"] == 3
    assert made["metadata"]["labels"] == {"app": "nginx", "a/b": "c"}
    assert api.post(deployments, deployment("less"))["spec"]["replicas"] == 1


def test_mutatingadmissionpolicy_may_have_nothing_to_change(
    api: Api, registered: Registered, namespace: str
) -> None:
    nothing = "object.spec.replicas > 100 ? [JSONPatch{op: 'remove', path: '/spec/replicas'}] : []"
    mutations = [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": nothing}},
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}},
    ]
    registered.policy("mutating", {"mutations": mutations})
    made = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("d"))
    assert made.code == 201, made.body
    assert made["spec"]["replicas"] == 1


def test_mutatingadmissionpolicy_expressions_are_checked_when_written(api: Api) -> None:
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": "'no list'"}}
    spec = {"reinvocationPolicy": "Never", "matchConstraints": MATCH, "mutations": [mutation]}
    path = f"{ADMISSION}/mutatingadmissionpolicies?dryRun=All"
    refused = api.post(path, {"metadata": {"name": unique("checked")}, "spec": spec})
    assert refused.code == 422
    assert "must evaluate to" in refused.message
