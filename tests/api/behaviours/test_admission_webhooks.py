"""Area apimachinery: admission webhooks that deny and mutate, and how their failures count."""

from __future__ import annotations

from typing import Any

from apiclient import APPLY, JSON_PATCH, STRATEGIC, Api, selector
from registrations import ADMISSION, CRDS, Registered, eventually, unique, version
from webhookserver import WebhookServer, allow, patching, refusing

Object = dict[str, Any]


def configmap(name: str = "a", **data: str) -> Object:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str, **metadata: Any) -> Object:
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "example", "image": "example.com/pause:1"}]},
    }


def adding(number: int) -> Any:
    """Answers with what joins the data of an object once the step before it is there."""
    change = patching({"op": "add", "path": f"/data/mutation-stage-{number}", "value": "yes"})
    before = "mutation-start" if number == 1 else f"mutation-stage-{number - 1}"
    return lambda request: (change if before in request["object"]["data"] else allow)(request)


def test_admission_webhook_deny_create(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    pods, configmaps = f"/api/v1/namespaces/{namespace}/pods", f"/api/v1/namespaces/{namespace}/configmaps"

    def judge_pod(request: Object) -> Object | None:
        if request["object"]["metadata"]["name"] == "hanging-pod":
            return None
        reasons = ["the pod contains unwanted container name", "the pod contains unwanted label"]
        bad = (request["object"]["metadata"].get("labels") or {}).get("webhook-e2e-test")
        return refusing("; ".join(reasons))(request) if bad else allow(request)

    def judge_data(request: Object) -> Object:
        bad = "disallow" in (request["object"].get("data") or {}).values()
        return (
            refusing("the configmap contains unwanted key and value")(request) if bad else {"allowed": True}
        )

    skip = {"matchExpressions": [{"key": "skip", "operator": "NotIn", "values": ["yes"]}]}
    owner = {"matchLabels": {"owner": namespace}}
    assert api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"owner": namespace}}})
    unreachable = {"url": "https://127.0.0.1:1/", "caBundle": hooks.bundle}
    data_hook = registered.webhook(
        hooks.on("/deny-data", judge_data), (["CREATE", "UPDATE"], "", ["configmaps"])
    )
    registered.validating(
        registered.webhook(hooks.on("/deny-pod", judge_pod), (["CREATE"], "", ["pods"]), timeoutSeconds=1),
        {**data_hook, "namespaceSelector": {**skip, **owner}},
        registered.webhook(unreachable, failurePolicy="Ignore"),
    )
    refused = api.post(pods, pod("bad", labels={"webhook-e2e-test": "disallow"}))
    assert "the pod contains unwanted container name" in refused.message
    assert "the pod contains unwanted label" in refused.message
    hanging = api.post(pods, pod("hanging-pod"))
    assert "webhook" in hanging.message
    assert "deadline" in hanging.message
    assert api.get(f"{pods}/hanging-pod").code == 404
    unwanted = "the configmap contains unwanted key and value"
    assert unwanted in api.post(configmaps, configmap("bad", key="disallow")).message
    assert api.post(configmaps, configmap("good", admit="this")).code == 201
    good = api.get(f"{configmaps}/good").body
    changed = {**good, "data": {"key": "disallow"}}
    assert unwanted in api.put(f"{configmaps}/good", changed).message
    assert unwanted in api.patch(f"{configmaps}/good", {"data": {"k": "disallow"}}, STRATEGIC).message
    skipped = unique("exempted")
    labels = {"skip": "yes", "owner": namespace}
    registered.make("/api/v1/namespaces", {"metadata": {"name": skipped, "labels": labels}})
    elsewhere = f"/api/v1/namespaces/{skipped}/configmaps"
    assert api.post(elsewhere, configmap("bad", key="disallow")).code == 201


def test_admission_webhook_deny_attach(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert api.post(pods, pod("p")).code == 201
    config = hooks.on("/no-attach", refusing("attaching to pod 'p' is not allowed"))
    registered.validating(registered.webhook(config, (["CONNECT"], "", ["pods/attach"])))
    refused = api.post(f"{pods}/p/attach?stdin=true&stdout=true&container=example", "")
    assert refused.code == 400
    assert "attaching to pod 'p' is not allowed" in refused.message
    asked = hooks.seen["/no-attach"][0]
    assert (asked["operation"], asked["subResource"], asked["name"]) == ("CONNECT", "attach", "p")
    assert asked["object"] == {
        "kind": "PodAttachOptions",
        "apiVersion": "v1",
        "stdin": True,
        "stdout": True,
        "container": "example",
    }


def test_admission_webhook_deny_custom_resource_create_update_and_delete(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    foos = registered.define()

    def judge(request: Object) -> Object:
        if request["operation"] == "DELETE":
            data = request["oldObject"]["data"]
            bad = data.get("test") == "nondeletable"
            why = "the custom resource cannot be deleted because it contains unwanted key and value"
        else:
            bad = request["object"]["data"].get("test") == "disallow"
            why = "the custom resource contains unwanted data"
        return refusing(why)(request) if bad else {"allowed": True}

    operations = ["CREATE", "UPDATE", "DELETE"]
    config = hooks.on("/deny-custom", judge)
    registered.validating(registered.webhook(config, (operations, foos.group, ["foos"])))
    unwanted = "the custom resource contains unwanted data"
    assert unwanted in api.post(foos.url(), foos.object("one", data={"test": "disallow"})).message
    made = api.post(foos.url(), foos.object("two", data={"test": "nondeletable"}))
    assert made.code == 201
    assert unwanted in api.put(foos.url("two"), {**made.body, "data": {"test": "disallow"}}).message
    assert "cannot be deleted because" in api.delete(foos.url("two")).message
    assert api.put(foos.url("two"), {**made.body, "data": {"test": "allow"}}).code == 200
    assert api.delete(foos.url("two")).code == 200


def test_admission_webhook_fail_closed(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    config = hooks.on("/closed", allow)
    registered.validating(registered.webhook({"url": config["url"]}, failurePolicy="Fail"))
    failed = api.post(f"/api/v1/namespaces/{namespace}/configmaps", configmap())
    assert (failed.code, failed["reason"]) == (500, "InternalError")
    assert hooks.seen["/closed"] == []


def test_admission_webhook_ordered_mutation(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    registered.mutating(
        registered.webhook(hooks.on("/stage-1", adding(1))),
        registered.webhook(hooks.on("/stage-2", adding(2))),
    )
    made = api.post(f"/api/v1/namespaces/{namespace}/configmaps", configmap("a", **{"mutation-start": "yes"}))
    assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


def test_admission_webhook_mutation_with_defaulting(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    container = {"name": "webhook-added-init-container", "image": "example.com/init:1", "resources": {}}
    config = hooks.on("/init", patching({"op": "add", "path": "/spec/initContainers", "value": [container]}))
    registered.mutating(registered.webhook(config, (["CREATE"], "", ["pods"])))
    made = api.post(f"/api/v1/namespaces/{namespace}/pods", pod("webhook-to-be-mutated"))
    [added] = made["spec"]["initContainers"]
    assert added["name"] == "webhook-added-init-container"
    assert added["terminationMessagePolicy"] == "File"


def test_admission_webhook_mutate_custom_resource(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    foos = registered.define()
    rule = (["CREATE"], foos.group, ["foos"])
    registered.mutating(
        registered.webhook(hooks.on("/custom-1", adding(1)), rule),
        registered.webhook(hooks.on("/custom-2", adding(2)), rule),
    )
    made = api.post(foos.url(), foos.object(data={"mutation-start": "yes"}))
    assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


def test_admission_webhook_mutate_custom_resource_with_pruning(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    kept = {name: {"type": "string"} for name in ("mutation-start", "mutation-stage-1")}
    schema = {"type": "object", "properties": {"data": {"type": "object", "properties": kept}}}
    foos = registered.define(version("v1", schema))
    rule = (["CREATE"], foos.group, ["foos"])
    registered.mutating(
        registered.webhook(hooks.on("/pruned-1", adding(1)), rule),
        registered.webhook(hooks.on("/pruned-2", adding(2)), rule),
    )
    made = api.post(foos.url(), foos.object(data={"mutation-start": "yes"}))
    assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes"}


def test_admission_webhook_mutate_custom_resource_with_different_stored_version(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    foos = registered.define(version("v1"), version("v2", storage=False))
    rule = (["CREATE", "UPDATE"], foos.group, ["foos"])
    registered.mutating(
        registered.webhook(hooks.on("/versions-1", adding(1)), rule),
        registered.webhook(hooks.on("/versions-2", adding(2)), rule),
    )
    assert api.post(foos.url(), foos.object(data={"mutation-start": "yes"})).code == 201
    versions = [version("v1", storage=False), version("v2")]
    patched = api.patch(foos.path, {"spec": {"versions": versions}}, STRATEGIC)
    assert patched.code == 200
    changed = api.patch(foos.url("a", "v2"), [{"op": "add", "path": "/dummy", "value": "test"}], JSON_PATCH)
    assert changed.code == 200
    assert changed["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}
    assert changed["dummy"] == "test"
    assert changed["apiVersion"] == f"{foos.group}/v2"


def test_admission_webhook_deny_custom_resource_definition(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    why = "the custom resource definition contains unwanted label"

    def judge(request: Object) -> Object:
        bad = (request["object"]["metadata"].get("labels") or {}).get("webhook") == "disallow"
        return refusing(why)(request) if bad else {"allowed": True}

    label = {"matchLabels": {"webhook": "disallow"}}
    rule = (["CREATE"], "apiextensions.k8s.io", ["customresourcedefinitions"])
    hook = registered.webhook(hooks.on("/deny-crd", judge), rule, objectSelector=label, namespaceSelector={})
    registered.validating(hook)
    group = f"{unique('group')}.example.com"
    crd = {
        "metadata": {"name": f"bars.{group}", "labels": {"webhook": "disallow"}},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": "bars", "kind": "Bar"},
            "versions": [version()],
        },
    }
    assert why in api.post(CRDS, crd).message
    assert api.get(f"{CRDS}/bars.{group}").code == 404


def test_admission_webhook_admission_control_not_allowed_on_webhook_configuration_objects(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    kinds = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"]
    group = "admissionregistration.k8s.io"
    labelling = patching({"op": "add", "path": "/metadata/labels", "value": {"touched": "yes"}})
    denied = registered.webhook(
        hooks.on("/deny-hooks", refusing("denied")), (["DELETE"], group, kinds), namespaceSelector={}
    )
    touched = registered.webhook(
        hooks.on("/label-hooks", labelling), (["CREATE"], group, kinds), namespaceSelector={}
    )
    registered.validating(denied)
    registered.mutating(touched)
    dummy = registered.webhook(hooks.on("/dummy", allow), (["CREATE"], "", ["invalid"]))
    for make in (registered.validating, registered.mutating):
        path = make(dummy)
        assert "labels" not in api.get(path)["metadata"]
        assert api.delete(path).code == 200
        assert api.get(path).code == 404


def test_admission_webhook_honor_timeout(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"

    def register(answers: Any, policy: str, **seconds: int) -> str:
        hook = registered.webhook(hooks.on("/slow", answers), failurePolicy=policy, **seconds)
        return registered.validating(hook)

    path = register(lambda request: None, "Fail", timeoutSeconds=1)
    failed = api.post(configmaps, configmap("late"))
    assert failed.code == 500
    assert "context deadline exceeded" in failed.message
    api.delete(path)
    path = register(lambda request: None, "Ignore", timeoutSeconds=1)
    assert api.post(configmaps, configmap("ignored")).code == 201
    api.delete(path)
    path = register(allow, "Fail", timeoutSeconds=10)
    assert api.post(configmaps, configmap("in-time")).code == 201
    api.delete(path)
    path = register(allow, "Fail")
    assert api.get(path)["webhooks"][0]["timeoutSeconds"] == 10
    assert api.post(configmaps, configmap("by-default")).code == 201


def test_admission_webhook_update_validating_webhook(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    path = registered.validating(registered.webhook(hooks.on("/update-v", refusing("unwanted"))))
    assert "denied the request" in api.post(configmaps, configmap()).message
    configuration = api.get(path).body
    configuration["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    assert api.put(path, configuration).code == 200
    assert api.post(configmaps, configmap("allowed")).code == 201
    operation = {"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}
    assert api.patch(path, [operation], JSON_PATCH).code == 200
    assert "denied the request" in api.post(configmaps, configmap("refused")).message


def test_admission_webhook_update_mutating_webhook(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    path = registered.mutating(registered.webhook(hooks.on("/update-m", adding(1))))
    configuration = api.get(path).body
    configuration["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    assert api.put(path, configuration).code == 200
    start = {"mutation-start": "yes"}
    assert api.post(configmaps, configmap("a", **start))["data"] == start
    operation = {"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}
    assert api.patch(path, [operation], JSON_PATCH).code == 200
    assert api.post(configmaps, configmap("b", **start))["data"] == {**start, "mutation-stage-1": "yes"}


def test_admission_webhook_list_validating_webhooks(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    label = unique("list")
    for number in range(10):
        hook = registered.webhook(hooks.on(f"/list-v{number}", refusing("unwanted")))
        registered.validating(hook, labels={"list": label})
    chosen = f"{ADMISSION}/validatingwebhookconfigurations?labelSelector={selector(f'list={label}')}"
    assert len(api.get(chosen)["items"]) == 10
    assert "denied the request" in api.post(configmaps, configmap()).message
    assert api.delete(chosen).code == 200
    assert api.get(chosen)["items"] == []
    assert api.post(configmaps, configmap()).code == 201


def test_admission_webhook_list_mutating_webhooks(
    api: Api, hooks: WebhookServer, registered: Registered, namespace: str
) -> None:
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    label = unique("list")
    for number in range(10):
        hook = registered.webhook(hooks.on(f"/list-m{number}", adding(1)))
        registered.mutating(hook, labels={"list": label})
    chosen = f"{ADMISSION}/mutatingwebhookconfigurations?labelSelector={selector(f'list={label}')}"
    assert len(api.get(chosen)["items"]) == 10
    start = {"mutation-start": "yes"}
    assert api.post(configmaps, configmap("a", **start))["data"] == {**start, "mutation-stage-1": "yes"}
    assert api.delete(chosen).code == 200
    assert api.get(chosen)["items"] == []
    assert api.post(configmaps, configmap("b", **start))["data"] == start


def test_admission_webhook_discovery_document(api: Api) -> None:
    group = "admissionregistration.k8s.io"
    [found] = [g for g in api.get("/apis")["groups"] if g["name"] == group]
    assert f"{group}/v1" in [v["groupVersion"] for v in found["versions"]]
    versions = api.get(f"/apis/{group}")["versions"]
    assert {"groupVersion": f"{group}/v1", "version": "v1"} in versions
    names = {r["name"] for r in api.get(ADMISSION)["resources"]}
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= names


def test_webhook_configurations_can_be_applied(
    api: Api, hooks: WebhookServer, registered: Registered
) -> None:
    path = registered.validating(registered.webhook(hooks.on("/applied", allow)))
    name = path.rsplit("/", 1)[1]
    stated = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {"applied": "yes"}},
    }
    assert api.patch(f"{path}?fieldManager=test", stated, APPLY).code == 200
    assert eventually(lambda: api.get(path)["metadata"]["labels"]) == {"applied": "yes"}
