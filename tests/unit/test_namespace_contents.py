"""What a namespace is given, and what it says on its way out."""

from __future__ import annotations

import base64
from typing import Any

from clustermodel import START, ClusterModel

from apimachinery import resources
from controllermanager.plans import namespace as plans
from controllermanager.plans import serviceaccounts as accounts
from controllermanager.plans.actions import Create, Delete, Patch, Update

NAMESPACES = resources.get("namespaces")


def namespace(deleting: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "apps", "uid": "u", "resourceVersion": "1"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"finalizers": ["kubernetes", "other"]},
        "status": {"phase": "Active"},
    }


def test_an_empty_namespace_is_let_go_keeping_other_finalizers() -> None:
    (update,) = plans.plan(namespace(True), plans.Findings(), START)
    assert isinstance(update, Update)
    assert (update.subresource, update.obj["spec"]["finalizers"]) == ("finalize", ["other"])


def test_what_remains_is_said_and_said_once() -> None:
    model = ClusterModel()
    model.add(NAMESPACES, namespace(True))
    findings = plans.Findings(
        (("metrics/v1", "no answer"),),
        {"secrets": "forbidden"},
        {"configmaps": [["hold"], []], "pods": [["hold", "wait"]]},
    )
    model.carry_out(plans.plan(model.get(NAMESPACES, "apps"), findings, START))
    said = {
        c["type"]: (c["status"], c["message"]) for c in model.get(NAMESPACES, "apps")["status"]["conditions"]
    }
    assert said == {
        "NamespaceDeletionDiscoveryFailure": (
            "True",
            "Discovery failed for some groups, 1 failing: metrics/v1: no answer",
        ),
        "NamespaceDeletionGroupVersionParsingFailure": ("False", "All legacy kube types successfully parsed"),
        "NamespaceDeletionContentFailure": (
            "True",
            "Failed to delete all resource types, 1 remaining: forbidden",
        ),
        "NamespaceContentRemaining": (
            "True",
            "Some resources are remaining: configmaps has 2 resource instances, pods has 1 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "Some content in the namespace has finalizers remaining: hold in 2 resource instances, "
            "wait in 1 resource instances",
        ),
    }
    assert plans.plan(model.get(NAMESPACES, "apps"), findings, START) == []


def test_pods_are_deleted_before_what_they_use() -> None:
    order = [r.plural for r in plans.deletable(resources.BUILTIN)]
    assert order[0] == "pods"
    assert "configmaps" in order and "nodes" not in order and "bindings" not in order
    assert order.count("events") == 1


def test_a_namespace_is_given_its_account_and_ca() -> None:
    (create,) = accounts.plan_account(namespace(), None)
    assert isinstance(create, Create) and create.obj["metadata"] == {"name": "default", "namespace": "apps"}
    assert accounts.plan_account(namespace(True), None) == []
    assert accounts.plan_account(namespace(), {}) == []
    (create,) = accounts.plan_root_ca(namespace(), None, "CA")
    assert isinstance(create, Create) and create.obj["data"] == {"ca.crt": "CA"}
    (patch,) = accounts.plan_root_ca(namespace(), {"data": {"ca.crt": "old", "x": "y"}}, "CA")
    assert isinstance(patch, Patch) and patch.patch["data"] == {"ca.crt": "CA", "x": None}
    assert accounts.plan_root_ca(namespace(), {"data": {"ca.crt": "CA"}}, "CA") == []


def secret(**annotations: str) -> dict[str, Any]:
    notes = {"kubernetes.io/service-account.name": "robot", **annotations}
    metadata = {"name": "s", "namespace": "apps", "uid": "s", "resourceVersion": "1", "annotations": notes}
    return {"metadata": metadata, "type": "kubernetes.io/service-account-token"}


def test_a_token_secret_is_filled_once() -> None:
    account = {"metadata": {"uid": "a"}}
    assert accounts.plan_token(secret(), account, "CA").needs_token
    (patch,) = accounts.plan_token(secret(), account, "CA", "TOKEN").actions
    assert isinstance(patch, Patch)
    data = {key: base64.b64decode(value).decode() for key, value in patch.patch["data"].items()}
    assert data == {"ca.crt": "CA", "namespace": "apps", "token": "TOKEN"}
    filled = {**secret(**{"kubernetes.io/service-account.uid": "a"}), "data": patch.patch["data"]}
    assert accounts.plan_token(filled, account, "CA") == accounts.TokenPlan()
    for gone in (None, {"metadata": {"uid": "another"}}):
        (delete,) = accounts.plan_token(filled, gone, "CA").actions
        assert isinstance(delete, Delete)
