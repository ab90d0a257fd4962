"""Scale, binding, eviction, approval, tokens, reviews, and kinds served in two versions."""

from __future__ import annotations

from apiclient import APPLY, Api, Object
from objects import deployment, pod


def test_scale(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment())
    shown = api.get(f"{path}/web/scale")
    assert shown["kind"] == "Scale"
    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"] == {"replicas": 2}
    assert shown["status"] == {"replicas": 0, "selector": "app=web"}
    scaled = api.put(f"{path}/web/scale", {**shown.body, "spec": {"replicas": 4}})
    assert scaled.code == 200, scaled.body
    assert api.get(f"{path}/web")["spec"]["replicas"] == 4
    assert api.put(f"{path}/web/scale", {**shown.body, "spec": {"replicas": 5}}).code == 409
    assert api.patch(f"{path}/web/scale", {"spec": {"replicas": 6}})["spec"] == {"replicas": 6}
    assert api.patch(f"{path}/web/scale", {"spec": {"replicas": -1}}).code == 422
    wanted = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web"},
        "spec": {"replicas": 8},
    }
    refused = api.patch(f"{path}/web/scale?fieldManager=hpa", wanted, APPLY)
    assert refused.code == 409, refused.body
    assert ".spec.replicas" in refused.message
    forced = api.patch(f"{path}/web/scale?fieldManager=hpa&force=true", wanted, APPLY)
    assert forced["spec"] == {"replicas": 8}
    owners = api.get(f"{path}/web")["metadata"]["managedFields"]
    assert [(o["manager"], o["operation"]) for o in owners if o.get("subresource") == "scale"] == [
        ("hpa", "Apply")
    ]


def binding(node: str, name: str = "web") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def test_binding(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod())
    assert api.post(f"{path}/web/binding", binding("")).code == 422
    bound = api.post(f"{path}/web/binding", binding("n1"))
    assert bound.code == 201
    assert bound["status"] == "Success"
    shown = api.get(f"{path}/web")
    assert shown["spec"]["nodeName"] == "n1"
    assert shown["status"]["conditions"][0]["type"] == "PodScheduled"
    assert shown["metadata"]["generation"] == 1
    again = api.post(f"/api/v1/namespaces/{namespace}/bindings", binding("n2"))
    assert again.code == 409
    assert 'pod web is already assigned to node "n1"' in again.message


def test_eviction_asks_the_budget(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
    api.post(path, pod(nodeName="n1"))
    ready = [{"type": "Ready", "status": "True"}]
    api.patch(f"{path}/web/status", {"status": {"phase": "Running", "conditions": ready}})
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    budget = {
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    assert api.post(budgets, budget).code == 201
    status = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1}
    api.patch(f"{budgets}/b/status", {"status": {**status, "expectedPods": 1}})
    refused = api.post(f"{path}/web/eviction", eviction)
    assert refused.code == 429
    assert refused["reason"] == "TooManyRequests"
    assert refused.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget b needs 1 healthy pods and has 1 currently",
        }
    ]
    api.patch(f"{budgets}/b/status", {"status": {"disruptionsAllowed": 1, "currentHealthy": 2}})
    assert api.post(f"{path}/web/eviction", eviction).code == 201
    evicted = api.get(f"{path}/web")
    assert evicted["metadata"]["deletionTimestamp"]
    said = {c["type"]: (c["status"], c.get("reason")) for c in evicted["status"]["conditions"]}
    assert said["DisruptionTarget"] == ("True", "EvictionByEvictionAPI")
    assert said["Ready"][0] == "True"
    left = api.get(f"{budgets}/b")["status"]
    assert left["disruptionsAllowed"] == 0
    assert list(left["disruptedPods"]) == ["web"]


def test_an_eviction_with_preconditions(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = api.post(path, pod(nodeName="n1"))["metadata"]

    def evict(**preconditions: str) -> int:
        chosen = {"preconditions": preconditions}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
        return int(api.post(f"{path}/web/eviction", {**body, "deleteOptions": chosen}).code)

    assert evict(resourceVersion="1") == 409
    assert evict(uid="another") == 409
    conditions = api.get(f"{path}/web")["status"].get("conditions") or ()
    assert "DisruptionTarget" not in [c["type"] for c in conditions]
    assert evict(uid=made["uid"], resourceVersion=made["resourceVersion"]) == 201
    assert api.get(f"{path}/web")["metadata"]["deletionTimestamp"]


def test_ephemeral_containers_only_through_their_subresource(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod())
    debug = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}}
    strategic = "application/strategic-merge-patch+json"
    assert api.patch(f"{path}/web", debug, strategic).code == 422
    added = api.patch(f"{path}/web/ephemeralcontainers", debug, strategic)
    assert added.code == 200, added.body
    assert added["spec"]["ephemeralContainers"][0]["name"] == "debug"


def test_tokens_for_service_accounts(server: object, api: Api, namespace: str) -> None:
    from conftest import Server

    assert isinstance(server, Server)
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert api.post(accounts, {"metadata": {"name": "bob"}}).code == 201
    answer = api.post(f"{accounts}/bob/token", {"spec": {"expirationSeconds": 3600}})
    assert answer.code == 201, answer.body
    bob = server.client(token=answer["status"]["token"])
    review = bob.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert review.code == 201
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:bob"
    may = {"spec": {"resourceAttributes": {"verb": "list", "resource": "secrets", "namespace": namespace}}}
    allowed = bob.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", may)
    assert allowed["status"]["allowed"] is False


def test_events_in_both_of_their_versions(api: Api, namespace: str) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": namespace},
        "reason": "Started",
        "message": "it started",
        "type": "Normal",
        "source": {"component": "kubelet"},
        "count": 2,
        "firstTimestamp": "2024-01-01T00:00:00Z",
        "lastTimestamp": "2024-01-01T00:00:00Z",
    }
    made = api.post(f"/api/v1/namespaces/{namespace}/events", event)
    assert made.code == 201, made.body
    newer = api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/e")
    assert newer["apiVersion"] == "events.k8s.io/v1"
    assert newer["regarding"]["name"] == "web"
    assert newer["note"] == "it started"
    assert newer["deprecatedCount"] == 2
    listed = api.get(
        f"/apis/events.k8s.io/v1/namespaces/{namespace}/events?fieldSelector=regarding.name%3Dweb"
    )
    assert [item["metadata"]["name"] for item in listed["items"]] == ["e"]
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events?timeoutSeconds=1"
    with api.watch(path) as events:
        assert next(events)["object"]["note"] == "it started"


def test_autoscalers_in_both_of_their_versions(api: Api, namespace: str) -> None:
    old = {
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 5,
            "targetCPUUtilizationPercentage": 70,
        },
    }
    made = api.post(f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers", old)
    assert made.code == 201, made.body
    assert made["apiVersion"] == "autoscaling/v1"
    assert made["spec"]["targetCPUUtilizationPercentage"] == 70
    new = api.get(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/h")
    assert new["spec"]["metrics"] == [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
        }
    ]


def test_approval_of_certificate_requests(api: Api, namespace: str) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"request": "LS0tLS1CRUdJTg==", "signerName": "example.com/mine", "usages": ["client auth"]}
    made = api.post(
        path, {"metadata": {"name": f"csr-{namespace}"}, "spec": {**spec, "username": "somebody"}}
    )
    if made.code == 422:
        assert "spec.request" in made.message
        return
    assert made.code == 201, made.body
    assert made["spec"]["username"] != "somebody"


def test_jobs_select_their_own_pods(api: Api, namespace: str) -> None:
    job = {
        "metadata": {"name": "j"},
        "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
        },
    }
    made = api.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    assert made.code == 201, made.body
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid": uid}
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["job-name"] == "j"
    assert labels["controller-uid"] == uid


def test_tables_and_metadata_only(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, pod())
    table = api.get(path, Accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert table["kind"] == "Table"
    assert [c["name"] for c in table["columnDefinitions"]][:3] == ["Name", "Ready", "Status"]
    assert table["rows"][0]["cells"][:3] == ["web", "0/1", "Pending"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    partial = api.get(path, Accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
    assert partial["kind"] == "PartialObjectMetadataList"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    with api.watch(f"{path}?timeoutSeconds=1", Accept=accept) as events:
        assert next(events)["object"]["kind"] == "Table"
