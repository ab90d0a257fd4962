"""Area apimachinery: in which version, and as what, admission sees a request: matchPolicy, subresources."""

from __future__ import annotations

from typing import Any

from apiclient import APPLY, Api
from registrations import Registered, version
from webhookserver import WebhookServer, allow, patching, refusing

Object = dict[str, Any]
AUTOSCALING = "autoscaling"


def hpa(version: str) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec: Object = {"scaleTargetRef": target, "maxReplicas": 3}
    if version == "v1":
        spec["targetCPUUtilizationPercentage"] = 50
    return {"apiVersion": f"autoscaling/{version}", "metadata": {"name": f"by-{version}"}, "spec": spec}


def rules(versions: list[str], operations: list[str] | None = None) -> list[Object]:
    return [
        {
            "operations": operations or ["CREATE"],
            "apiGroups": [AUTOSCALING],
            "apiVersions": versions,
            "resources": ["horizontalpodautoscalers"],
        }
    ]


def test_requests_are_seen_in_the_version_a_webhook_asks_for(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    """matchPolicy Equivalent converts; the request's own version is told beside it."""
    registered.validating(
        registered.webhook(hooks.on("/equivalent", allow), rules=rules(["v1"]), matchPolicy="Equivalent"),
        registered.webhook(hooks.on("/exact", allow), rules=rules(["v1"]), matchPolicy="Exact"),
        registered.webhook(hooks.on("/any", allow), rules=rules(["*"])),
    )
    for name in ("v2", "v1"):
        path = f"/apis/autoscaling/{name}/namespaces/{namespace}/horizontalpodautoscalers"
        made = api.post(path, hpa(name))
        assert made.code == 201, made.body
    [second, first] = hooks.seen["/equivalent"]
    assert second["resource"]["version"] == first["resource"]["version"] == "v1"
    assert second["object"]["apiVersion"] == first["object"]["apiVersion"] == "autoscaling/v1"
    assert (second["requestKind"]["version"], first["requestKind"]["version"]) == ("v2", "v1")
    assert first["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    [exact] = hooks.seen["/exact"]
    assert exact["object"]["metadata"]["name"] == "by-v1"
    assert [asked["kind"]["version"] for asked in hooks.seen["/any"]] == ["v2", "v1"]


def test_patches_of_a_webhook_are_in_the_version_it_asked_for(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    change = patching({"op": "add", "path": "/spec/targetCPUUtilizationPercentage", "value": 70})
    registered.mutating(registered.webhook(hooks.on("/old", change), rules=rules(["v1"])))
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    made = api.post(path, hpa("v2"))
    assert made.code == 201, made.body
    [metric] = made["spec"]["metrics"]
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}


def test_policies_see_the_version_they_ask_for(api: Api, registered: Registered, namespace: str) -> None:
    match = {"resourceRules": rules(["v1"], ["CREATE", "UPDATE"])}
    old = {"expression": "!has(object.spec.targetCPUUtilizationPercentage) || request.kind.version == 'v2'"}
    registered.policy("validating", {"matchConstraints": match, "validations": [old]})
    for name in ("v1", "v2"):
        path = f"/apis/autoscaling/{name}/namespaces/{namespace}/horizontalpodautoscalers"
        body = hpa(name)
        if name == "v2":
            target = {"type": "Utilization", "averageUtilization": 60}
            body["spec"]["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        refused = api.post(path, body)
        assert refused.code == 422, refused.body
        assert "failed expression" in refused.message


def test_policies_mutate_in_the_version_they_ask_for(
    api: Api, registered: Registered, namespace: str
) -> None:
    match = {"resourceRules": rules(["v1"])}
    patch = "[JSONPatch{op: 'add', path: '/spec/targetCPUUtilizationPercentage', value: 65}]"
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}
    registered.policy("mutating", {"matchConstraints": match, "mutations": [mutation]})
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    made = api.post(path, hpa("v2"))
    assert made.code == 201, made.body
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 65


def test_events_are_one_thing_in_two_groups(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    rule = (["CREATE"], "events.k8s.io", ["events"])
    registered.validating(registered.webhook(hooks.on("/events", allow), rule))
    event = {
        "metadata": {"name": "e", "namespace": namespace},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace},
        "message": "hello",
        "reason": "Testing",
        "type": "Normal",
    }
    assert api.post(f"/api/v1/namespaces/{namespace}/events", event).code == 201
    [asked] = hooks.seen["/events"]
    assert asked["kind"] == {"group": "events.k8s.io", "version": "v1", "kind": "Event"}
    assert asked["requestKind"] == {"group": "", "version": "v1", "kind": "Event"}
    assert asked["object"]["note"] == "hello"
    assert asked["object"]["regarding"]["name"] == "p"


def test_a_binding_is_created(api: Api, hooks: WebhookServer, registered: Registered, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert api.post(pods, pod).code == 201
    rule = (["*"], "", ["pods/binding", "pods"])
    why = refusing("not there")
    answer = lambda r: (why if r["object"]["target"]["name"] == "bad" else allow)(r)  # noqa: E731
    registered.validating(registered.webhook(hooks.on("/binding", answer), rule))
    assert api.post(f"{pods}/p/binding", {"target": {"kind": "Node", "name": "bad"}}).code == 400
    assert api.post(f"{pods}/p/binding", {"target": {"kind": "Node", "name": "good"}}).code == 201
    assert len(hooks.seen["/binding"]) == 2
    asked = hooks.seen["/binding"][1]
    assert (asked["operation"], asked["subResource"], asked["name"]) == ("CREATE", "binding", "p")
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "Binding"}
    assert asked["object"]["kind"] == "Binding"
    assert asked["object"]["target"] == {"kind": "Node", "name": "good"}
    assert asked["oldObject"] is None
    assert asked["options"]["kind"] == "CreateOptions"


def test_an_eviction_is_created_and_deletes_without_asking_again(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert api.post(pods, pod).code == 201
    registered.validating(
        registered.webhook(hooks.on("/evictions", allow), (["*"], "", ["pods", "pods/eviction"]))
    )
    body = {"metadata": {"name": "p", "namespace": namespace}}
    assert api.post(f"{pods}/p/eviction", body).code == 201
    [asked] = hooks.seen["/evictions"]
    assert (asked["operation"], asked["subResource"]) == ("CREATE", "eviction")
    assert asked["kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}


def test_a_scale_is_seen_as_one(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    assert api.post(deployments, {"metadata": {"name": "d"}, "spec": spec}).code == 201
    rule = (["UPDATE"], "apps", ["deployments/scale"])
    bound = patching({"op": "replace", "path": "/spec/replicas", "value": 5})
    answer = lambda r: (bound if r["object"]["spec"]["replicas"] > 5 else allow)(r)  # noqa: E731
    registered.mutating(registered.webhook(hooks.on("/scale", answer), rule))
    seen = hooks.on("/scaled", allow)
    registered.validating(registered.webhook(seen, rule))
    scaled = api.patch(f"{deployments}/d/scale", {"spec": {"replicas": 9}})
    assert scaled.code == 200, scaled.body
    assert scaled["spec"]["replicas"] == 5
    assert api.get(f"{deployments}/d")["spec"]["replicas"] == 5
    [asked] = hooks.seen["/scaled"]
    assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert asked["resource"]["resource"] == "deployments"
    assert asked["subResource"] == "scale"
    assert asked["object"]["spec"] == {"replicas": 5}
    assert asked["oldObject"]["spec"] == {"replicas": 1}
    stated = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 8}}
    applied = api.patch(f"{deployments}/d/scale?fieldManager=m&force=true", stated, APPLY)
    assert applied.code == 200, applied.body
    assert applied["spec"]["replicas"] == 5


def test_a_scale_of_a_custom_resource_is_the_same_in_every_version(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    parts = {"scale": paths, "status": {}}
    foos = registered.define(
        version("v1", subresources=parts), version("v2", storage=False, subresources=parts)
    )
    assert api.post(foos.url(), foos.object(spec={"replicas": 1})).code == 201
    rule = {
        "operations": ["UPDATE"],
        "apiGroups": [foos.group],
        "apiVersions": ["v1"],
        "resources": ["foos/scale"],
    }
    registered.validating(registered.webhook(hooks.on("/custom-scale", allow), rules=[rule]))
    assert api.patch(f"{foos.url('a', 'v2')}/scale", {"spec": {"replicas": 2}}).code == 200
    [asked] = hooks.seen["/custom-scale"]
    assert asked["object"]["kind"] == "Scale"
    assert asked["object"]["spec"] == {"replicas": 2}
    assert (asked["resource"]["version"], asked["requestResource"]["version"]) == ("v1", "v2")
