"""Create, get, update, patch and delete one object, over HTTP on both storage engines."""

from __future__ import annotations

import json

from apiclient import APPLY, JSON_PATCH, STRATEGIC, Api
from objects import config, deployment, pod


def test_create_fills_what_the_server_sets(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = api.post(path, pod())
    assert made.code == 201
    metadata = made["metadata"]
    assert metadata["namespace"] == namespace
    assert (
        metadata["uid"] and metadata["creationTimestamp"].endswith("Z") and int(metadata["resourceVersion"])
    )
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["spec"]["restartPolicy"] == "Always"
    assert metadata["managedFields"][0]["operation"] == "Update"
    assert api.get(f"{path}/web").body == made.body


def test_create_twice_is_already_exists(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert api.post(path, config()).code == 201
    again = api.post(path, config())
    assert again.code == 409
    assert again["reason"] == "AlreadyExists"
    assert again.message == 'configmaps "c" already exists'
    assert again["details"] == {"name": "c", "kind": "configmaps"}


def test_generate_name_adds_five_characters(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    names = set()
    for _ in range(3):
        body = config()
        body["metadata"] = {"generateName": "job-"}
        made = api.post(path, body)
        assert made.code == 201
        assert made["metadata"]["generateName"] == "job-"
        names.add(made["metadata"]["name"])
    assert len(names) == 3
    assert all(name.startswith("job-") and len(name) == 9 for name in names)


def test_create_in_a_missing_namespace_is_not_found(api: Api, namespace: str) -> None:
    answer = api.post("/api/v1/namespaces/nowhere/configmaps", config())
    assert answer.code == 404
    assert answer.message == 'namespaces "nowhere" not found'


def test_names_must_match_the_url(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    other = config()
    other["metadata"]["namespace"] = "default"
    answer = api.post(path, other)
    assert answer.code == 400
    assert (
        answer.message
        == "the namespace of the provided object does not match the namespace sent on the request"
    )
    api.post(path, config())
    answer = api.put(f"{path}/c", config("d"))
    assert answer.code == 400
    assert answer.message == "the name of the object (d) does not match the name on the URL (c)"


def test_get_of_nothing_is_not_found(api: Api, namespace: str) -> None:
    answer = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/none")
    assert answer.code == 404
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


def test_update_needs_the_latest_version(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = api.post(path, config(a="1")).body
    second = api.put(f"{path}/c", {**first, "data": {"a": "2"}})
    assert second.code == 200
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    stale = api.put(f"{path}/c", {**first, "data": {"a": "3"}})
    assert stale.code == 409
    assert stale["reason"] == "Conflict"
    assert stale.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert api.put(f"{path}/c", config(a="4")).code == 200, "without a version the update is unconditional"


def test_update_that_changes_nothing_is_not_written(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = api.post(path, config(a="1")).body
    again = api.put(f"{path}/c", first)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_update_keeps_identity(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = api.post(path, config(a="1")).body
    body = config(a="2")
    body["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555"
    assert api.put(f"{path}/c", body).code == 409
    body["metadata"] = {"name": "c", "creationTimestamp": "2001-01-01T00:00:00Z"}
    second = api.put(f"{path}/c", body)
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]


def test_generation_counts_changes_of_the_spec(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = api.post(path, deployment()).body
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {}
    labelled = api.patch(f"{path}/web", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    scaled = api.patch(f"{path}/web", {"spec": {"replicas": 5}})
    assert scaled["metadata"]["generation"] == 2
    status = api.patch(f"{path}/web/status", {"status": {"replicas": 3}, "spec": {"replicas": 9}})
    assert status["metadata"]["generation"] == 2
    assert status["spec"]["replicas"] == 5
    assert status["status"] == {"replicas": 3}
    body = api.get(f"{path}/web").body
    body["status"] = {"replicas": 77}
    assert api.put(f"{path}/web", body)["status"] == {"replicas": 3}


def test_patches_of_three_types(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment())
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "redis"}]}}}}
    strategic = api.patch(f"{path}/web", change, STRATEGIC)
    assert strategic.code == 200
    assert strategic["spec"]["template"]["spec"]["containers"][0]["image"] == "redis"
    assert strategic["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    ops = [
        {"op": "test", "path": "/spec/replicas", "value": 2},
        {"op": "replace", "path": "/spec/replicas", "value": 7},
    ]
    assert api.patch(f"{path}/web", ops, JSON_PATCH)["spec"]["replicas"] == 7
    assert api.patch(f"{path}/web", ops, JSON_PATCH).code == 422
    merged = api.patch(f"{path}/web", {"metadata": {"annotations": {"x": "y"}}})
    assert merged["metadata"]["annotations"] == {"x": "y"}
    assert (
        api.patch(f"{path}/web", {"metadata": {"annotations": None}})["metadata"].get("annotations") is None
    )


def test_patch_with_a_stale_version_conflicts(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = api.post(path, config(a="1")).body
    api.patch(f"{path}/c", {"data": {"a": "2"}})
    change = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
    assert api.patch(f"{path}/c", change).code == 409


def test_unknown_patch_type(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.post(path, config())
    answer = api.patch(f"{path}/c", "{}", "application/json")
    assert answer.code == 415
    assert answer.message.startswith(
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json"
    )


def test_server_side_apply_creates_owns_and_conflicts(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    made = api.patch(f"{path}?fieldManager=one", json.dumps(config(a="1")), APPLY)
    assert made.code == 201
    again = api.patch(f"{path}?fieldManager=one", json.dumps(config(a="1")), APPLY)
    assert again.code == 200
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    refused = api.patch(f"{path}?fieldManager=two", json.dumps(config(a="2")), APPLY)
    assert refused.code == 409
    assert refused.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert refused["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    ]
    forced = api.patch(f"{path}?fieldManager=two&force=true", json.dumps(config(a="2")), APPLY)
    assert forced.code == 200
    owners = {entry["manager"] for entry in forced["metadata"]["managedFields"]}
    assert owners == {"two"} or owners == {"one", "two"}
    assert api.patch(path, json.dumps(config(a="2")), APPLY).code == 422, "apply needs a fieldManager"


def test_dry_run_stores_nothing(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    tried = api.post(f"{path}?dryRun=All", config())
    assert tried.code == 201
    assert tried["metadata"]["uid"]
    assert api.get(f"{path}/c").code == 404
    first = api.post(path, config(a="1")).body
    assert api.patch(f"{path}/c?dryRun=All", {"data": {"a": "2"}})["data"] == {"a": "2"}
    assert api.put(f"{path}/c?dryRun=All", {**first, "data": {"a": "3"}}).code == 200
    assert api.delete(f"{path}/c?dryRun=All").code == 200
    assert api.get(f"{path}/c").body == first
    wrong = api.post(f"{path}?dryRun=Some", config("d"))
    assert wrong.code == 422
    assert api.get(f"{path}/d").code == 404


def test_update_may_create_leases_but_not_config_maps(api: Api, namespace: str) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    assert api.put(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/l", lease).code == 201
    assert api.put(f"/api/v1/namespaces/{namespace}/configmaps/c", config()).code == 404


def test_secrets_take_plain_text(api: Api, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
    made = api.post(f"/api/v1/namespaces/{namespace}/secrets", body)
    assert made["data"] == {"a": "Yg=="}
    assert "stringData" not in made.body
    assert made["type"] == "Opaque"
