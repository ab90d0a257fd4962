"""pytest_pybernetes as a user's tests use it: the official client against a real API server."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

from pytest_pybernetes.servers import KubeServer


@pytest.fixture
def core(kube_server: KubeServer) -> Any:
    return client.CoreV1Api(config.new_client_from_config(str(kube_server.kubeconfig)))


def test_the_official_client_creates_reads_watches_and_deletes(core: Any, kube_namespace: str) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"k": "v"})
    created = core.create_namespaced_config_map(kube_namespace, body)
    assert core.read_namespaced_config_map("a", kube_namespace).data == {"k": "v"}
    core.patch_namespaced_config_map("a", kube_namespace, {"data": {"k": "w"}})
    events = watch.Watch().stream(
        core.list_namespaced_config_map,
        kube_namespace,
        resource_version=created.metadata.resource_version,
        timeout_seconds=5,
    )
    event = next(iter(events))
    assert (event["type"], event["object"].data) == ("MODIFIED", {"k": "w"})
    core.delete_namespaced_config_map("a", kube_namespace)
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_config_map("a", kube_namespace)
    assert caught.value.status == 404


def test_each_test_has_a_namespace_of_its_own(core: Any, kube_namespace: str) -> None:
    assert core.list_namespaced_config_map(kube_namespace).items == []


def test_a_server_starts_and_stops_cleanly(tmp_path: Any) -> None:
    server = KubeServer(tmp_path)
    server.start()
    server.stop()
    assert "Traceback" not in server.log("apiserver")
