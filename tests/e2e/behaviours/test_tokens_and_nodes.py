"""Areas auth and node, one behaviour of each: the token a pod finds, and a node that is only an object."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from localcluster import LocalCluster, until
from podset import FOREVER, Pods
from volumefacts import Fact, check, facts, facts_now, mounting

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"


def token(**more: Any) -> Object:
    source = {"path": "token", "expirationSeconds": 3607, **more}
    return {"projected": {"sources": [{"serviceAccountToken": source}]}}


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    until(lambda: pods.core.list_namespaced_service_account(pods.namespace).items)
    pods.core.create_namespaced_service_account(pods.namespace, {"metadata": {"name": "mine"}})
    mounting(pods, "root", {"token": token()}, FOREVER, serviceAccountName="mine")
    mounting(pods, "user", {"token": token()}, user=1000)
    mounting(pods, "group", {"token": token()}, user=1000, fs_group=10000)
    mounting(pods, "for-others", {"token": token(audience="others")}, FOREVER)


def reviewed(pods: Pods, text: str, **more: Any) -> Any:
    reviews = client.AuthenticationV1Api(pods.core.api_client)
    return reviews.create_token_review({"spec": {"token": text, **more}}).status


def test_tokenrequestprojection_should_mount_a_projected_volume_with_token_using_tokenrequest_api(
    pods: Pods,
) -> None:
    pod = pods.ready("root")
    found: dict[str, Fact] = facts_now(pods, "root")
    check(found["token/token"], "-rw-r--r--", found["token/token"].text)
    status = reviewed(pods, found["token/token"].text)
    assert status.authenticated and not status.error
    assert status.user.username == f"system:serviceaccount:{pods.namespace}:mine"
    assert set(status.user.groups) == {
        "system:serviceaccounts", f"system:serviceaccounts:{pods.namespace}", "system:authenticated",
    }  # fmt: skip
    extra = status.user.extra
    assert extra["authentication.kubernetes.io/pod-name"] == ["root"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
    # What every pod is given besides: the same account's token, the authority's certificate, its namespace.
    read = f"cat {MOUNTED}/namespace; echo; cat {MOUNTED}/ca.crt"
    namespace, _, authority = pods.exec("root", read).partition("\n")
    assert namespace == pods.namespace
    published = pods.core.read_namespaced_config_map("kube-root-ca.crt", pods.namespace).data["ca.crt"]
    assert authority == published
    own = pods.exec("root", f"cat {MOUNTED}/token")
    assert reviewed(pods, own).user.username == status.user.username


def test_tokens_are_readable_by_the_user_and_the_group_of_the_pod(pods: Pods) -> None:
    """One user's token is that user's alone; with an fsGroup it is the group's too."""
    own = facts(pods, "user")["token/token"]
    assert (own.mode, own.user) == ("-rw-------", 1000) and own.text
    shared = facts(pods, "group")["token/token"]
    assert (shared.mode, shared.group) == ("-rw-r-----", 10000) and shared.text


def test_tokens_are_for_the_audience_that_was_asked_for(pods: Pods) -> None:
    pods.ready("for-others")
    text = facts_now(pods, "for-others")["token/token"].text
    assert not reviewed(pods, text).authenticated
    assert reviewed(pods, text, audiences=["others"]).authenticated


def test_node_resource_lifecycle(cluster: LocalCluster) -> None:
    core, name = cluster.core, "e2e-object-only"
    chosen = f"{name}=found"
    conditions = [{"type": "Ready", "status": "True", "reason": "Created", "message": "an object"}]
    address = {"type": "InternalIP", "address": "192.0.2.1"}
    status = {"conditions": conditions, "capacity": {"cpu": "4", "memory": "8Gi"}, "addresses": [address]}
    # No pod of any other test shall find its way to it.
    body = {"metadata": {"name": name}, "spec": {"unschedulable": True}, "status": status}
    made = core.create_node(body)
    assert made.metadata.name == name
    assert core.read_node(name).metadata.name == name
    assert core.read_node(name).status.addresses[0].address == "192.0.2.1"
    patched = core.patch_node(name, {"metadata": {"labels": {name: "found"}}})
    assert patched.metadata.labels[name] == "found"
    assert [each.metadata.name for each in core.list_node(label_selector=chosen).items] == [name]

    def updated() -> bool:
        node = core.read_node(name)  # which controllers write to as well
        node.metadata.labels[name] = "updated"
        try:
            return bool(core.replace_node(name, node).metadata.labels[name] == "updated")
        except ApiException as error:
            if error.status != 409:
                raise
            return False

    until(updated)
    core.delete_node(name)
    until(lambda: not core.list_node(field_selector=f"metadata.name={name}").items)
    assert core.list_node(label_selector=f"{name}=updated").items == []
