"""What bumps an object's generation: changes of what is wanted of it, and nothing else; and what stays as it was.

The facts are those of Kubernetes's strategies: kinds that count generations start with 1, count changes of the spec
(or of what stands for one), and neither labels nor status. Some kinds have none.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from apiclient import Api
from every_kind import STORED, Object, example

from apimachinery.resources import Resource

#: Kinds without a generation.
NONE = {
    "configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes", "persistentvolumeclaims",
    "persistentvolumes", "resourcequotas", "secrets", "serviceaccounts", "services", "apiservices",
    "controllerrevisions", "certificatesigningrequests", "leases", "ipaddresses", "servicecidrs", "runtimeclasses",
    "clusterrolebindings", "clusterroles", "rolebindings", "roles", "resourceclaims", "resourceclaimtemplates",
    "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments", "volumeattributesclasses",
    "horizontalpodautoscalers", "clustertrustbundles",
}  # fmt: skip
#: A change of what is wanted, as a merge patch, of kinds that count them.
CHANGES: dict[str, Object] = {
    "csidrivers": {"spec": {"requiresRepublish": True}},
    "pods": {"spec": {"activeDeadlineSeconds": 100}},
    "podtemplates": {"template": {"metadata": {"labels": {"new": "label"}}}},
    "replicationcontrollers": {"spec": {"replicas": 7}},
    "mutatingadmissionpolicies": {"spec": {"failurePolicy": "Fail"}},
    "mutatingadmissionpolicybindings": {"spec": {"policyName": "q"}},
    "mutatingwebhookconfigurations": {"webhooks": []},
    "validatingadmissionpolicies": {"spec": {"failurePolicy": "Fail"}},
    "validatingadmissionpolicybindings": {"spec": {"policyName": "q"}},
    "validatingwebhookconfigurations": {"webhooks": []},
    "customresourcedefinitions": {"spec": {"names": {"categories": ["all"]}}},
    "daemonsets": {"spec": {"minReadySeconds": 5}},
    "deployments": {"spec": {"replicas": 7}},
    "replicasets": {"spec": {"replicas": 7}},
    "statefulsets": {"spec": {"replicas": 7}},
    "cronjobs": {"spec": {"suspend": True}},
    "jobs": {"spec": {"parallelism": 7}},
    "endpointslices": {"endpoints": []},
    "flowschemas": {"spec": {"matchingPrecedence": 77}},
    "prioritylevelconfigurations": {"spec": {"limited": {"nominalConcurrencyShares": 7}}},
    "ingressclasses": {"spec": {"parameters": {"kind": "K", "name": "n"}}},
    "ingresses": {"spec": {"ingressClassName": "c"}},
    "networkpolicies": {"spec": {"policyTypes": ["Egress", "Ingress"]}},
    "poddisruptionbudgets": {"spec": {"minAvailable": 7}},
    "deviceclasses": {"spec": {"selectors": []}},
    "resourceslices": {"spec": {"pool": {"generation": 2}}},
}
#: Kinds whose labels or annotations are a part of what is wanted.
COUNT_METADATA = {"deployments": "annotations", "endpointslices": "labels"}
_numbers = itertools.count()


def made(api: Api, resource: Resource, namespace: str) -> tuple[str, Any]:
    number = next(_numbers)
    body = example(resource, namespace=namespace, name=f"gen-{number}")
    if resource.kind == "CustomResourceDefinition":
        group = f"gen{number}.example.com"
        body["metadata"]["name"] = f"things.{group}"
        body["spec"]["group"] = group
    answer = api.post(resource.path(namespace), body)
    if answer.code == 409:  # a name that follows from the rest
        api.delete(resource.path(namespace, body["metadata"]["name"]))
        answer = api.post(resource.path(namespace), body)
    assert answer.code == 201, answer.body
    return resource.path(namespace, body["metadata"]["name"]), answer.body


def generation(obj: Any) -> int | None:
    found: int | None = obj["metadata"].get("generation")
    return found


@pytest.mark.parametrize("resource", STORED, ids=lambda r: f"{r.plural}.{r.version}.{r.group}")
def test_generations(api: Api, namespace: str, resource: Resource) -> None:
    path, first = made(api, resource, namespace)
    try:
        name = resource.plural
        counts = name not in NONE
        assert generation(first) == (1 if counts else None)
        labelled = api.patch(path, {"metadata": {"labels": {"a": "b"}}})
        assert labelled.code == 200, labelled.body
        expected = 2 if COUNT_METADATA.get(name) == "labels" else 1
        assert generation(labelled.body) == (expected if counts else None)
        noted = api.patch(path, {"metadata": {"annotations": {"example.com/a": "b"}}})
        expected += COUNT_METADATA.get(name) == "annotations"
        assert generation(noted.body) == (expected if counts else None)
        same = api.patch(path, {"metadata": {"annotations": {"example.com/a": "b"}}})
        assert same["metadata"]["resourceVersion"] == noted["metadata"]["resourceVersion"]
        if resource.subresource("status"):
            status = api.patch(f"{path}/status", {"metadata": {"annotations": {"example.com/status": "b"}}})
            assert status.code == 200, status.body
            # What stands for a spec changes through the object only.
            assert generation(status.body) in ((expected, expected + 1) if counts else (None,))
            expected = generation(status.body) or expected
        if not counts or name == "priorityclasses":  # these have the first only
            return
        changed = api.patch(path, CHANGES[name])
        assert changed.code == 200, changed.body
        assert generation(changed.body) == expected + 1
        lied = api.patch(path, {"metadata": {"generation": 99}})
        assert generation(lied.body) == expected + 1
    finally:
        api.delete(path, {"gracePeriodSeconds": 0})


@pytest.mark.parametrize("resource", STORED, ids=lambda r: f"{r.plural}.{r.version}.{r.group}")
def test_what_a_server_writes_stays(api: Api, namespace: str, resource: Resource) -> None:
    path, first = made(api, resource, namespace)
    try:
        metadata = first["metadata"]
        assert metadata["uid"] and metadata["creationTimestamp"]
        if resource.subresource("status") and resource.plural != "nodes":
            sent = {**first, "status": {"conditions": [{"type": "Made", "status": "True"}]}}
            answer = api.put(path, sent)
            if answer.code == 200:
                assert answer.body.get("status") == first.get("status")
        other = api.patch(path, {"metadata": {"uid": "other"}})
        assert other.code == 409, other.body
        for field, value in (
            ("creationTimestamp", "2020-01-01T00:00:00Z"),
            ("deletionTimestamp", "2020-01-01T00:00:00Z"),
        ):
            kept = api.patch(path, {"metadata": {field: value}})
            assert kept.code == 200, kept.body
            assert kept["metadata"].get(field) == metadata.get(field)
    finally:
        api.delete(path, {"gracePeriodSeconds": 0})


#: Kinds whose updates must name the version they are of.
CONDITIONAL = {
    "customresourcedefinitions", "apiservices", "leases", "flowschemas", "prioritylevelconfigurations",
    "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations",
    "validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations",
    "poddisruptionbudgets", "runtimeclasses", "csidrivers", "csinodes", "csistoragecapacities", "volumeattachments",
}  # fmt: skip


@pytest.mark.parametrize("resource", STORED, ids=lambda r: f"{r.plural}.{r.version}.{r.group}")
def test_updates_that_name_no_version(api: Api, namespace: str, resource: Resource) -> None:
    path, first = made(api, resource, namespace)
    try:
        body = {**first, "metadata": {k: v for k, v in first["metadata"].items() if k != "resourceVersion"}}
        answer = api.put(path, body)
        if resource.plural in CONDITIONAL:
            assert answer.code == 422, answer.body
            text = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
            assert text in answer.message
        else:
            assert answer.code == 200, answer.body
        stale = api.put(path, {**first, "metadata": {**first["metadata"], "resourceVersion": "1"}})
        assert stale.code == 409, stale.body
    finally:
        api.delete(path, {"gracePeriodSeconds": 0})
