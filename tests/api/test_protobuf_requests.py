"""Requests as typed Go clients send them: the body in protobuf, the answer in JSON, for every built-in kind."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import Answer, Api, Object
from every_kind import STORED, example
from objects import deployment, pod
from protobuf_encoding import encode

from apimachinery.resources import Resource

PROTOBUF = "application/vnd.kubernetes.protobuf"
#: What client-go's typed clients accept.
ACCEPTED = f"{PROTOBUF},application/json"


def send(api: Api, method: str, path: str, obj: Object, accept: str = ACCEPTED) -> Answer:
    return api.request(method, path, encode(obj), content=PROTOBUF, Accept=accept)


def without_clock(answer: Answer) -> Any:
    """An object without what differs from one request to the next."""
    uid = answer["metadata"]["uid"]
    once = ("creationTimestamp", "time", "lastTransitionTime", "clusterIP", "clusterIPs")

    def stripped(value: Any) -> Any:
        if isinstance(value, list):
            return [stripped(item) for item in value]
        if isinstance(value, dict):
            return {key: stripped(item) for key, item in value.items() if key not in once}
        return "its uid" if value == uid else value

    return stripped(answer.body)


@pytest.mark.parametrize("resource", STORED, ids=lambda r: f"{r.plural}.{r.version}.{r.group}")
def test_every_kind_is_made_of_protobuf_as_of_json(api: Api, namespace: str, resource: Resource) -> None:
    obj = example(resource, namespace=namespace)
    path = resource.path(namespace) + "?dryRun=All"
    expected = api.post(path, obj)
    made = send(api, "POST", path, obj)
    assert (made.code, expected.code) == (201, 201), made.body
    assert made.headers["Content-Type"] == "application/json"
    assert without_clock(made) == without_clock(expected)


def test_updates_and_status(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = send(api, "POST", path, deployment())
    assert made.code == 201, made.body
    changed = {**made.body, "spec": {**made["spec"], "replicas": 0, "paused": True}}
    updated = send(api, "PUT", f"{path}/web", changed)
    assert updated.code == 200, updated.body
    assert (updated["spec"]["replicas"], updated["spec"]["paused"]) == (0, True)
    status = {"observedGeneration": 2, "replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}
    told = send(api, "PUT", f"{path}/web/status", {**updated.body, "status": status})
    assert told["status"]["replicas"] == 1
    assert send(api, "PUT", f"{path}/web", changed).code == 409


def test_scale(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment())
    scale = api.get(f"{path}/web/scale").body
    scaled = send(api, "PUT", f"{path}/web/scale", {**scale, "spec": {"replicas": 5}})
    assert (scaled.code, scaled["kind"], scaled["spec"]) == (200, "Scale", {"replicas": 5})
    none = send(api, "PUT", f"{path}/web/scale", {**scaled.body, "spec": {}})
    assert none.code == 200, none.body
    assert api.get(f"{path}/web")["spec"]["replicas"] == 0


def options(**fields: Any) -> Object:
    """DeleteOptions as a typed client of core/v1 names them."""
    return {"apiVersion": "v1", "kind": "DeleteOptions", **fields}


def test_options_of_deletions(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    uid = api.post(path, deployment())["metadata"]["uid"]
    of_apps = {**options(preconditions={"uid": "another"}), "apiVersion": "apps/v1"}
    refused = send(api, "DELETE", f"{path}/web", of_apps)
    assert refused.code == 409, refused.body
    assert "Precondition failed: UID in precondition: another, UID in object meta: " + uid in refused.message
    dry = send(api, "DELETE", f"{path}/web", options(dryRun=["All"]))
    assert dry.code == 200, dry.body
    kept = send(api, "DELETE", f"{path}/web", options(propagationPolicy="Foreground"))
    assert kept.code == 200, kept.body
    shown = api.get(f"{path}/web")["metadata"]
    assert (shown["finalizers"], shown["uid"]) == (["foregroundDeletion"], uid)


def test_a_pod_is_deleted_gracefully_or_at_once(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod())
    bind(api, path)
    graceful = send(api, "DELETE", f"{path}/web", options(gracePeriodSeconds=7))
    assert graceful["metadata"]["deletionGracePeriodSeconds"] == 7
    gone = send(api, "DELETE", f"{path}/web", options(gracePeriodSeconds=0))
    assert gone.code == 200, gone.body
    assert api.get(f"{path}/web").code == 404


def test_collections_are_deleted(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.post(path, {"metadata": {"name": "a"}})
    gone = send(api, "DELETE", path, options(gracePeriodSeconds=0))
    assert gone.code == 200, gone.body
    assert api.get(path)["items"] == []


def bind(api: Api, pods: str) -> None:
    target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
    bound = send(
        api,
        "POST",
        f"{pods}/web/binding",
        {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"}, "target": target},
    )
    assert (bound.code, bound["status"]) == (201, "Success")


def test_bindings_and_evictions(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod())
    bind(api, path)
    assert api.get(f"{path}/web")["spec"]["nodeName"] == "n1"
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "web", "namespace": namespace},
        "deleteOptions": {"gracePeriodSeconds": 3},
    }
    evicted = send(api, "POST", f"{path}/web/eviction", eviction)
    assert evicted.code == 201, evicted.body
    assert api.get(f"{path}/web")["metadata"]["deletionGracePeriodSeconds"] == 3


def test_ephemeral_containers_and_resizes(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    wanted = pod()
    wanted["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    made = api.post(path, wanted).body
    (container,) = made["spec"]["containers"]
    extra = {"name": "d", "image": "i", "targetContainerName": container["name"]}
    debugged = {**made, "spec": {**made["spec"], "ephemeralContainers": [extra]}}
    shown = send(api, "PUT", f"{path}/web/ephemeralcontainers", debugged)
    assert shown.code == 200, shown.body
    (added,) = shown["spec"]["ephemeralContainers"]
    assert (added["name"], added["targetContainerName"]) == ("d", container["name"])
    resources = {"requests": {"cpu": "200m"}}
    sized = {**shown.body, "spec": {**shown["spec"], "containers": [{**container, "resources": resources}]}}
    resized = send(api, "PUT", f"{path}/web/resize", sized)
    assert resized.code == 200, resized.body
    assert resized["spec"]["containers"][0]["resources"] == resources


def test_tokens_and_reviews(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.post(path, {"metadata": {"name": "robot"}})
    wanted = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["here"], "expirationSeconds": 1200},
    }
    made = send(api, "POST", f"{path}/robot/token", wanted)
    assert made.code == 201, made.body
    assert made["spec"]["audiences"] == ["here"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": namespace},
            "user": f"system:serviceaccount:{namespace}:robot",
            "extra": {"scopes": ["a", "b"]},
        },
    }
    answer = send(api, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer.code == 201, answer.body
    assert answer["status"]["allowed"] is False
    token = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": made["status"]["token"], "audiences": ["here"]},
    }
    known = send(api, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", token)
    assert known["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:robot"


def test_a_custom_resource_definition(api: Api) -> None:
    properties = {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 3},
                "tags": {"type": "array", "items": {"type": "string"}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "mode": {"type": "string", "enum": ["fast", "slow"]},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": schema,
        "subresources": {"status": {}},
    }
    names = {"plural": "plums", "singular": "plum", "kind": "Plum", "listKind": "PlumList"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "plums.plum.example.com"},
        "spec": {"group": "plum.example.com", "scope": "Cluster", "names": names, "versions": [version]},
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = send(api, "POST", path, definition)
    assert made.code == 201, made.body
    assert made["spec"]["versions"][0]["schema"] == schema
    plums = "/apis/plum.example.com/v1/plums"
    body = b"k8s\x00" + encode(options())[4:]
    refused = api.request("POST", plums, body, content=PROTOBUF, Accept=ACCEPTED)
    assert refused.code in (400, 415), refused.body
    plum = {
        "apiVersion": "plum.example.com/v1",
        "kind": "Plum",
        "metadata": {"name": "p"},
        "spec": {"size": 0},
    }
    assert api.post(plums, plum).code == 422
    assert send(api, "DELETE", f"{path}/plums.plum.example.com", options()).code == 200


@pytest.mark.parametrize("accept", [f"{PROTOBUF}, */*", f"{PROTOBUF},application/json", "*/*", ""])
def test_answers_are_json(api: Api, namespace: str, accept: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    shown = api.get(path, Accept=accept)
    assert (shown.code, shown.headers["Content-Type"], shown["kind"]) == (
        200,
        "application/json",
        "ConfigMapList",
    )


def test_nothing_is_answered_in_protobuf(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = send(
        api, "POST", path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}, PROTOBUF
    )
    assert made.code == 406
    assert made["reason"] == "NotAcceptable"
    assert api.get(f"{path}/a").code == 404
    assert api.get(path, Accept=PROTOBUF).code == 406
