"""Area apimachinery: namespaces: their status, their finalizers, and how they end."""

from __future__ import annotations

import threading
from typing import Any

from apiclient import STRATEGIC, Api
from lifecycle import LifeCycle, apply, fine, until
from registrations import eventually, unique
from servers import Server

Object = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
POD: Object = {"metadata": {"name": "test-pod"}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}


def _make(api: Api, prefix: str) -> str:
    name = unique(prefix)
    made = fine(api.post(NAMESPACES, {"metadata": {"name": name}}), 201)
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}
    return name


def _gone(api: Api, path: str) -> bool:
    return eventually(lambda: api.get(path).code == 404) is True


def _service_account(api: Api, name: str) -> None:
    eventually(lambda: api.get(f"{NAMESPACES}/{name}/serviceaccounts/default").code == 200)


def _conditions(namespace: Object) -> dict[str, Object]:
    return {c["type"]: c for c in namespace["status"].get("conditions") or ()}


def test_namespace_apply_changes_to_a_namespace_status(api: Api) -> None:
    name = _make(api, "status")
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "Namespace"})
    assert life.get(name, "status")["status"]["phase"] == "Active"
    condition = {
        "type": "StatusPatch",
        "status": "True",
        "reason": "E2E",
        "message": "Patched by an e2e test",
    }
    fine(api.patch(life.at(name, "status"), {"status": {"conditions": [condition]}}, STRATEGIC))
    other = {**condition, "type": "StatusUpdate", "message": "Updated by an e2e test"}
    life.check_status(name, {"conditions": [condition]}, {"conditions": [condition, other]})
    assert life.get(name)["status"]["phase"] == "Active"


def test_namespace_apply_finalizer_to_a_namespace(cluster: Api) -> None:
    name = _make(cluster, "finalizer")
    fake = "e2e.example.com/fakeFinalizer"
    path = f"{NAMESPACES}/{name}/finalize"
    namespace = fine(cluster.get(f"{NAMESPACES}/{name}"))
    namespace["spec"]["finalizers"].append(fake)
    assert fake in fine(cluster.put(path, namespace))["spec"]["finalizers"]
    namespace = fine(cluster.get(f"{NAMESPACES}/{name}"))
    assert fake in namespace["spec"]["finalizers"]
    namespace["spec"]["finalizers"].remove(fake)
    assert fine(cluster.put(path, namespace))["spec"]["finalizers"] == ["kubernetes"]
    fine(cluster.delete(f"{NAMESPACES}/{name}"))
    assert _gone(cluster, f"{NAMESPACES}/{name}")


def test_namespace_with_a_foreign_finalizer_waits_for_it(cluster: Api) -> None:
    name = _make(cluster, "held")
    path = f"{NAMESPACES}/{name}"
    namespace = fine(cluster.get(path))
    namespace["spec"]["finalizers"].append("example.com/mine")
    fine(cluster.put(f"{path}/finalize", namespace))
    fine(cluster.delete(path))
    eventually(lambda: fine(cluster.get(path))["spec"]["finalizers"] == ["example.com/mine"])
    namespace = fine(cluster.get(path))
    assert namespace["status"]["phase"] == "Terminating"
    namespace["spec"]["finalizers"] = []
    fine(cluster.put(f"{path}/finalize", namespace))
    assert _gone(cluster, path)


def test_namespace_apply_update_to_a_namespace(api: Api) -> None:
    name = _make(api, "update")
    namespace = fine(api.get(f"{NAMESPACES}/{name}"))
    namespace["metadata"]["labels"][name] = "updated"
    assert fine(api.put(f"{NAMESPACES}/{name}", namespace))["metadata"]["labels"][name] == "updated"


def test_namespace_patching(api: Api) -> None:
    """Namespace patching."""
    name = _make(api, "patch")
    fine(api.patch(f"{NAMESPACES}/{name}", {"metadata": {"labels": {"testLabel": "testValue"}}}, STRATEGIC))
    assert fine(api.get(f"{NAMESPACES}/{name}"))["metadata"]["labels"]["testLabel"] == "testValue"


def test_a_namespace_of_nothing_but_a_name_is_applied_again_and_again(api: Api) -> None:
    name = unique("applied")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    first = fine(apply(api, f"{NAMESPACES}/{name}", body), 201)
    second = fine(apply(api, f"{NAMESPACES}/{name}", body))
    assert second == first
    managers = [entry["manager"] for entry in second["metadata"].get("managedFields", [])]
    assert "before-first-apply" not in managers


def _end(cluster: Api, name: str) -> None:
    fine(cluster.delete(f"{NAMESPACES}/{name}"))
    assert _gone(cluster, f"{NAMESPACES}/{name}")


def test_namespace_deletion_removes_pods(cluster: Api) -> None:
    name = _make(cluster, "nsdeletetest")
    _service_account(cluster, name)
    fine(cluster.post(f"{NAMESPACES}/{name}/pods", POD), 201)
    _end(cluster, name)
    fine(cluster.post(NAMESPACES, {"metadata": {"name": name}}), 201)
    assert cluster.get(f"{NAMESPACES}/{name}/pods/test-pod").code == 404
    assert fine(cluster.get(f"{NAMESPACES}/{name}/pods"))["items"] == []


def test_namespace_deletion_removes_services(cluster: Api) -> None:
    name = _make(cluster, "nsdeletetest")
    _service_account(cluster, name)
    spec = {"selector": {"foo": "bar", "baz": "blah"}, "ports": [{"port": 80, "targetPort": 80}]}
    path = f"{NAMESPACES}/{name}/services"
    made = fine(cluster.post(path, {"metadata": {"name": "test-service"}, "spec": spec}), 201)
    _end(cluster, name)
    fine(cluster.post(NAMESPACES, {"metadata": {"name": name}}), 201)
    assert cluster.get(f"{path}/test-service").code == 404
    address = f"/apis/networking.k8s.io/v1/ipaddresses/{made['spec']['clusterIP']}"
    assert cluster.get(address).code == 404


def test_a_namespace_that_ends_takes_nothing_new(cluster: Api) -> None:
    name = _make(cluster, "ending")
    path = f"{NAMESPACES}/{name}/configmaps"
    held = {"metadata": {"name": "held", "finalizers": ["example.com/mine"]}}
    fine(cluster.post(path, held), 201)
    answer = fine(cluster.delete(f"{NAMESPACES}/{name}"))
    assert answer["status"]["phase"] == "Terminating"
    refused = cluster.post(path, {"metadata": {"name": "late"}})
    assert (refused.code, refused["reason"]) == (403, "Forbidden")
    assert "because it is being terminated" in refused.message
    assert refused["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    eventually(
        lambda: _conditions(fine(cluster.get(f"{NAMESPACES}/{name}"))).get("NamespaceFinalizersRemaining")
    )
    found = _conditions(fine(cluster.get(f"{NAMESPACES}/{name}")))
    assert found["NamespaceContentRemaining"]["status"] == "True"
    assert "configmaps. has 1 resource instances" in found["NamespaceContentRemaining"]["message"]
    assert "example.com/mine in 1 resource instances" in found["NamespaceFinalizersRemaining"]["message"]
    fine(cluster.patch(f"{path}/held", {"metadata": {"finalizers": None}}))
    assert _gone(cluster, f"{NAMESPACES}/{name}")


def test_ordered_namespace_deletion(cluster: Api) -> None:
    name = _make(cluster, "nsdeletetest")
    _service_account(cluster, name)
    pods, configmaps = f"{NAMESPACES}/{name}/pods", f"{NAMESPACES}/{name}/configmaps"
    finalizer = "e2e.example.com/finalizer"
    body = {**POD, "metadata": {"name": "test-pod", "finalizers": [finalizer]}}
    fine(cluster.post(pods, body), 201)
    fine(cluster.post(configmaps, {"metadata": {"name": "test-configmap"}}), 201)
    fine(cluster.delete(f"{NAMESPACES}/{name}"))
    eventually(lambda: fine(cluster.get(f"{pods}/test-pod"))["metadata"].get("deletionTimestamp"))

    def says_so() -> bool:
        found = _conditions(fine(cluster.get(f"{NAMESPACES}/{name}")))
        return found.get("NamespaceContentRemaining", {}).get("status") == "True"

    eventually(says_so)
    condition = _conditions(fine(cluster.get(f"{NAMESPACES}/{name}")))["NamespaceContentRemaining"]
    assert "pods. has 1 resource instances" in condition["message"]
    assert "NamespaceDeletionContentFailure" in _conditions(fine(cluster.get(f"{NAMESPACES}/{name}")))
    # The pod's configuration is there as long as the pod.
    configmap = fine(cluster.get(f"{configmaps}/test-configmap"))
    assert "deletionTimestamp" not in configmap["metadata"]
    order: list[str] = []
    with cluster.watch(f"{pods}?timeoutSeconds=15") as gone, cluster.watch(configmaps) as others:

        def note() -> None:
            until(others, "DELETED", name="test-configmap")
            order.append("configmap")

        thread = threading.Thread(target=note)
        thread.start()
        fine(cluster.patch(f"{pods}/test-pod", {"metadata": {"finalizers": None}}))
        until(gone, "DELETED", name="test-pod")
        order.append("pod")
        thread.join(15)
    assert order == ["pod", "configmap"]
    assert _gone(cluster, f"{NAMESPACES}/{name}")


def test_many_namespaces_end_at_once(controlled: Server) -> None:
    """Namespaces should be deleted fast enough: many at once, with what every namespace has."""
    cluster = controlled.client()
    names = [_make(cluster, "nslifetest") for _ in range(25)]
    for name in names:
        _service_account(cluster, name)
    for name in names:
        fine(cluster.delete(f"{NAMESPACES}/{name}"))
    for name in names:
        assert _gone(cluster, f"{NAMESPACES}/{name}")
    cluster.close()
