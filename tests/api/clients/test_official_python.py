"""The official Python client: typed and dynamic, watches, every kind of patch, server-side apply, errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

from pytest_pybernetes.servers import KubeServer

SECONDS = 30


@pytest.fixture
def api(kube_cluster: KubeServer) -> Iterator[client.ApiClient]:
    made = config.new_client_from_config(str(kube_cluster.kubeconfig))
    yield made
    made.close()


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


def deployment(replicas: int = 1) -> client.V1Deployment:
    container = client.V1Container(
        name="c", image="nginx:1", ports=[client.V1ContainerPort(container_port=80)]
    )
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "web"}),
        spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=0),
    )
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1DeploymentSpec(
            replicas=replicas, selector=client.V1LabelSelector(match_labels={"app": "web"}), template=template
        ),
    )


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def test_a_deployment_from_creation_to_deletion(
    api: client.ApiClient, core: client.CoreV1Api, kube_cluster_namespace: str
) -> None:
    apps, space = client.AppsV1Api(api), kube_cluster_namespace
    made = apps.create_namespaced_deployment(space, deployment())
    assert made.spec.strategy.rolling_update.max_surge == "25%"
    for event in watch.Watch().stream(
        apps.list_namespaced_deployment,
        space,
        resource_version=made.metadata.resource_version,
        timeout_seconds=SECONDS,
    ):
        if (event["object"].status.ready_replicas or 0) == 1:
            break
    else:
        raise AssertionError("no pod became ready")
    [pod] = core.list_namespaced_pod(space, label_selector="app=web").items
    assert pod.status.phase == "Running"
    assert pod.metadata.owner_references[0].kind == "ReplicaSet"
    scale = apps.read_namespaced_deployment_scale("web", space)
    assert scale.status.selector == "app=web"
    scale.spec.replicas = 0
    apps.replace_namespaced_deployment_scale("web", space, scale)
    assert apps.read_namespaced_deployment("web", space).spec.replicas == 0
    before = apps.list_namespaced_deployment(space).metadata.resource_version
    apps.delete_namespaced_deployment("web", space, propagation_policy="Foreground")
    changes = watch.Watch().stream(
        apps.list_namespaced_deployment, space, resource_version=before, timeout_seconds=SECONDS
    )
    assert any(event["type"] == "DELETED" for event in changes)
    assert core.list_namespaced_pod(space).items == []


def test_patches(api: client.ApiClient, core: client.CoreV1Api, kube_cluster_namespace: str) -> None:
    space = kube_cluster_namespace
    core.create_namespaced_config_map(space, config_map("c", a="1"))
    for content_type, body, expected in (
        ("application/strategic-merge-patch+json", {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
        ("application/merge-patch+json", {"data": {"b": None}}, {"a": "1"}),
        (
            "application/json-patch+json",
            [{"op": "add", "path": "/data/c", "value": "3"}],
            {"a": "1", "c": "3"},
        ),
    ):
        patched = core.patch_namespaced_config_map("c", space, body, _content_type=content_type)
        assert patched.data == expected
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "9"}}
    apply: dict[str, Any] = {"field_manager": "tester", "_content_type": "application/apply-patch+yaml"}
    with pytest.raises(ApiException) as conflict:
        core.patch_namespaced_config_map("c", space, applied, **apply)
    assert (conflict.value.status, json.loads(conflict.value.body)["reason"]) == (409, "Conflict")
    assert core.patch_namespaced_config_map("c", space, applied, force=True, **apply).data["a"] == "9"


def test_errors_are_statuses(core: client.CoreV1Api, kube_cluster_namespace: str) -> None:
    space = kube_cluster_namespace
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_pod("none", space)
    status = json.loads(missing.value.body)
    assert (missing.value.status, missing.value.reason) == (404, "Not Found")
    assert (status["kind"], status["reason"]) == ("Status", "NotFound")
    assert status["details"] == {"name": "none", "kind": "pods"}
    made = core.create_namespaced_config_map(space, config_map("c", a="1"))
    with pytest.raises(ApiException) as again:
        core.create_namespaced_config_map(space, config_map("c"))
    assert json.loads(again.value.body)["reason"] == "AlreadyExists"
    core.patch_namespaced_config_map("c", space, {"data": {"a": "2"}})
    made.data = {"a": "3"}
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("c", space, made)
    assert "the object has been modified" in json.loads(stale.value.body)["message"]


def test_a_watch_over_a_list_goes_on_where_the_list_ended(
    core: client.CoreV1Api, kube_cluster_namespace: str
) -> None:
    space = kube_cluster_namespace
    for number in range(5):
        core.create_namespaced_config_map(space, config_map(f"c{number}"))
    page = core.list_namespaced_config_map(space, limit=2)
    names = [item.metadata.name for item in page.items]
    assert page.metadata.remaining_item_count >= 3
    while page.metadata._continue:
        page = core.list_namespaced_config_map(space, limit=2, _continue=page.metadata._continue)
        names += [item.metadata.name for item in page.items]
    assert sorted(set(names) - {"kube-root-ca.crt"}) == [f"c{number}" for number in range(5)]
    core.delete_namespaced_config_map("c0", space)
    events = watch.Watch().stream(
        core.list_namespaced_config_map,
        space,
        resource_version=page.metadata.resource_version,
        field_selector="metadata.name=c0",
        timeout_seconds=SECONDS,
    )
    event = next(events)
    assert (event["type"], event["object"].metadata.name) == ("DELETED", "c0")
    events.close()


def test_the_dynamic_client(api: client.ApiClient, kube_cluster_namespace: str) -> None:
    found, space = dynamic.DynamicClient(api), kube_cluster_namespace
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"a": "1"}}
    made = maps.create(body=body, namespace=space)
    assert made.metadata.uid
    seen: list[tuple[str, str]] = []
    ready, watcher = threading.Event(), watch.Watch()

    def look() -> None:
        events = maps.watch(
            namespace=space, resource_version=made.metadata.resourceVersion, timeout=SECONDS, watcher=watcher
        )
        for event in events:
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 2:
                break
        ready.set()

    looking = threading.Thread(target=look)
    looking.start()
    applied = maps.server_side_apply(
        body={**body, "data": {"b": "2"}}, namespace=space, field_manager="tester", force_conflicts=True
    )
    assert applied.data.to_dict() == {"a": "1", "b": "2"}
    with pytest.raises(ConflictError):
        maps.server_side_apply(body={**body, "data": {"b": "3"}}, namespace=space, field_manager="other")
    maps.delete(name="d", namespace=space)
    assert ready.wait(SECONDS)
    looking.join()
    assert seen == [("MODIFIED", "d"), ("DELETED", "d")]
    with pytest.raises(NotFoundError):
        maps.get(name="d", namespace=space)
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.subresources["scale"].kind == "Scale"
    assert {resource.kind for resource in found.resources.search(group="batch")} >= {"Job", "CronJob"}


def test_access_reviews_tokens_and_versions(api: client.ApiClient, kube_cluster_namespace: str) -> None:
    attributes = client.V1ResourceAttributes(verb="get", resource="pods", namespace=kube_cluster_namespace)
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    assert answer.status.allowed is True
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=["a"], expiration_seconds=600)
    )
    token = client.CoreV1Api(api).create_namespaced_service_account_token(
        "default", kube_cluster_namespace, request
    )
    assert token.status.token.count(".") == 2
    reviewed = client.AuthenticationV1Api(api).create_token_review(
        client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token.status.token, audiences=["a"]))
    )
    assert reviewed.status.user.username == f"system:serviceaccount:{kube_cluster_namespace}:default"
    assert client.VersionApi(api).get_code().minor == "36"
    assert "apps" in {group.name for group in client.ApisApi(api).get_api_versions().groups}
