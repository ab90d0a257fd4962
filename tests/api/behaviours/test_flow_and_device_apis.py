"""Area apimachinery (priority and fairness) and dra: flow schemas, priority levels, claims, slices as objects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apiclient import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api
from lifecycle import LifeCycle, check_discovery, covers, fine

Object = dict[str, Any]
FLOW = "flowcontrol.apiserver.k8s.io/v1"
DRA = "resource.k8s.io/v1"

# Flow control

FLOW_SCHEMA: Object = {
    "apiVersion": FLOW,
    "kind": "FlowSchema",
    "spec": {
        "matchingPrecedence": 10000,
        "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }
        ],
    },
}
LEVEL: Object = {
    "apiVersion": FLOW,
    "kind": "PriorityLevelConfiguration",
    "spec": {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}},
    },
}


def _condition(reason: str, kind: str = "PatchStatusFailed") -> Object:
    return {"type": kind, "status": "False", "reason": reason, "message": "Set from an e2e test"}


def _flow_status(life: LifeCycle) -> None:
    """Conditions can be written by anyone; a controller may add others at any time."""
    name = life.make()["metadata"]["name"]
    check_discovery(life.api, life.resource, "status")
    read = life.get(name, "status")
    assert (read["apiVersion"], read["kind"]) == (FLOW, life.resource.kind)
    patched = fine(life.api.patch(life.at(name, "status"), {"status": {"conditions": [_condition("e2e")]}}))
    assert "PatchStatusFailed" in [c["type"] for c in patched["status"]["conditions"]]
    for _ in range(5):
        obj = life.get(name)
        obj["status"]["conditions"].append(_condition("E2E", "StatusUpdateFailed"))
        answer = life.api.put(life.at(name, "status"), obj)
        if answer.code != 409:
            break
    assert "StatusUpdateFailed" in [c["type"] for c in fine(answer)["status"]["conditions"]]
    fine(life.api.delete(life.path + life.query))


def test_priority_and_fairness_flowschema_api(api: Api) -> None:
    life = LifeCycle(api, FLOW_SCHEMA)
    life.run({"spec": {"matchingPrecedence": 9999}})
    _flow_status(life)


def test_priority_and_fairness_prioritylevelconfiguration_api(api: Api) -> None:
    life = LifeCycle(api, LEVEL)
    life.run({"spec": {"limited": {"nominalConcurrencyShares": 4}}})
    _flow_status(life)


# Dynamic resource allocation

_REQUESTS: Object = {
    "devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "no-such-class"}}]}
}


def test_crud_operations_for_resourceclaims(api: Api, namespace: str) -> None:
    life = LifeCycle(api, {"apiVersion": DRA, "kind": "ResourceClaim", "spec": _REQUESTS}, namespace)
    made = life.make("claim")
    assert made["spec"]["devices"]["requests"][0]["exactly"]["allocationMode"] == "ExactCount"
    assert made["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1
    life.run()
    check_discovery(api, life.resource, "status")
    device = {"driver": "dra.example.com", "pool": "pool", "device": "dev-1", "request": "gpu"}
    allocation = {"devices": {"results": [device]}}
    claim = life.get("claim")
    allocated = fine(api.put(life.at("claim", "status"), {**claim, "status": {"allocation": allocation}}))
    assert covers(allocated["status"]["allocation"], allocation)
    ready = {"type": "Ready", "status": "True", "reason": "Testing", "message": ""}
    reported = {
        "driver": "dra.example.com", "pool": "pool", "device": "dev-1",
        "conditions": [{**ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }  # fmt: skip
    patched = fine(api.patch(life.at("claim", "status"), {"status": {"devices": [reported]}}))
    assert patched["status"]["devices"] == [reported]
    assert patched["spec"] == made["spec"]


def test_crud_operations_for_resourceclaimtemplates(api: Api, namespace: str) -> None:
    body = {"apiVersion": DRA, "kind": "ResourceClaimTemplate", "spec": {"spec": _REQUESTS}}
    LifeCycle(api, body, namespace).run()


def test_crud_operations_for_resoureslices(api: Api) -> None:
    spec = {
        "driver": "dra.example.com",
        "nodeName": "n1",
        "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "dev-1"}],
    }
    life = LifeCycle(api, {"apiVersion": DRA, "kind": "ResourceSlice", "spec": spec})
    life.run({"spec": {"devices": [{"name": "dev-2"}]}})


def test_crud_operations_for_deviceclasses(api: Api) -> None:
    """CRUD operations for deviceclasses."""
    expression = {"cel": {"expression": 'device.driver == "dra.example.com"'}}
    LifeCycle(api, {"apiVersion": DRA, "kind": "DeviceClass", "spec": {"selectors": [expression]}}).run()


# Every way to change an object

STATUS_OF_CLAIM: Object = {
    "allocation": {
        "devices": {
            "results": [{"driver": "dra.example.com", "pool": "pool", "device": "dev-1", "request": "gpu"}]
        }
    }
}
CHANGED: list[tuple[str, Object, Object | None]] = [
    ("ResourceClaim", {"spec": _REQUESTS}, STATUS_OF_CLAIM),
    ("ResourceClaimTemplate", {"spec": {"spec": _REQUESTS}}, None),
    (
        "ResourceSlice",
        {
            "spec": {
                "driver": "dra.example.com",
                "allNodes": True,
                "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "dev-1"}],
            }
        },
        None,
    ),
    ("DeviceClass", {"spec": {}}, None),
]


@pytest.mark.parametrize(("kind", "body", "status"), CHANGED, ids=[kind for kind, *_ in CHANGED])
def test_every_kind_of_patch_gives_the_same(
    api: Api, namespace: str, kind: str, body: Object, status: Object | None
) -> None:
    """CRUD operations: patches of four types, strict, each on a new object, with the object's own uid in them."""
    life = LifeCycle(api, {"apiVersion": DRA, "kind": kind, **body}, namespace)
    name = f"patched-{kind.lower()}-{namespace}"
    types: list[tuple[str, str]] = [
        (STRATEGIC, ""),
        (MERGE, ""),
        (APPLY, "&fieldManager=test-apply&force=true"),
        (JSON_PATCH, ""),
    ]
    for content, query in types:
        made = life.make(name)
        identity = {"name": name, "uid": made["metadata"]["uid"]}
        if life.namespace:
            identity["namespace"] = namespace
        head = {"apiVersion": DRA, "kind": kind}
        patch: Any = {**head, "metadata": {**identity, "labels": {"apiserver-test": "patched"}}}
        if content == JSON_PATCH:
            patch = [{"op": "add", "path": "/metadata/labels/apiserver-test", "value": "patched"}]
        changed = fine(
            api.patch(f"{life.at(name)}?fieldValidation=Strict{query}", json.dumps(patch), content)
        )
        assert changed["metadata"]["labels"]["apiserver-test"] == "patched"
        assert changed["metadata"]["uid"] == made["metadata"]["uid"]
        assert {**changed, "metadata": 0} == {**made, "metadata": 0}
        if status is not None:
            patch = {**head, "metadata": identity, "status": status}
            if content == JSON_PATCH:
                patch = [{"op": "add", "path": "/status", "value": status}]
            at = f"{life.at(name, 'status')}?fieldValidation=Strict{query}"
            told = fine(api.patch(at, json.dumps(patch), content))
            assert covers(told["status"], status)
            assert told["spec"] == changed["spec"]
        # Another object's uid in a patch is a conflict.
        if content != JSON_PATCH:
            patch["metadata"] = {**identity, "uid": "somebody-else"}
            refused = api.patch(f"{life.at(name)}?fieldValidation=Strict{query}", json.dumps(patch), content)
            assert refused.code == 409, refused.body
        fine(api.delete(life.at(name)))
        assert api.get(life.at(name)).code == 404
