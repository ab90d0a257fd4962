"""Area apimachinery: discovery, aggregated and not, tables, and the server's version."""

from __future__ import annotations

import re
from typing import Any

import pytest
from apiclient import Api
from registrations import Registered, eventually, version

Object = dict[str, Any]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v={};g=meta.k8s.io"
BUILT_IN = [
    ("", "v1", "namespaces"),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "v1", "apiservices"),
    ("apps", "v1", "deployments"),
    ("authentication.k8s.io", "v1", "tokenreviews"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    ("autoscaling", "v1", "horizontalpodautoscalers"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("batch", "v1", "jobs"),
    ("certificates.k8s.io", "v1", "certificatesigningrequests"),
    ("coordination.k8s.io", "v1", "leases"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("events.k8s.io", "v1", "events"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("storage.k8s.io", "v1", "csinodes"),
]


def aggregated(api: Api, path: str, discovery: str = "v2") -> set[tuple[str, str, str]]:
    answer = api.get(path, Accept=AGGREGATED.format(discovery))
    assert answer.code == 200
    assert answer.headers["Content-Type"] == AGGREGATED.format(discovery)
    assert (answer["kind"], answer["apiVersion"]) == (
        "APIGroupDiscoveryList",
        f"apidiscovery.k8s.io/{discovery}",
    )
    return {
        (group["metadata"].get("name", ""), served["version"], resource["resource"])
        for group in answer["items"]
        for served in group["versions"]
        for resource in served["resources"]
    }


@pytest.mark.parametrize("discovery", ["v2", "v2beta1"])
def test_aggregated_discovery_endpoint_accept_headers(api: Api, discovery: str) -> None:
    found = aggregated(api, "/apis", discovery) | aggregated(api, "/api", discovery)
    assert set(BUILT_IN) <= found


def test_aggregated_discovery_endpoint_accept_headers_crds(api: Api, registered: Registered) -> None:
    crds = registered.define(version("v1"), plural="testcrds")
    eventually(lambda: (crds.group, "v1", "testcrds") in aggregated(api, "/apis"))
    assert api.delete(crds.path).code == 200
    eventually(lambda: (crds.group, "v1", "testcrds") not in aggregated(api, "/apis"))


def test_aggregated_discovery_interface(api: Api) -> None:
    """What client-go makes of it: every group version, with the resources in both forms."""
    accept = f"{AGGREGATED.format('v2')},{AGGREGATED.format('v2beta1')},application/json"
    for path in ("/api", "/apis"):
        for group in api.get(path, Accept=accept)["items"]:
            name = group["metadata"].get("name", "")
            for served in group["versions"]:
                assert served["freshness"] == "Current"
                base = f"/apis/{name}/{served['version']}" if name else f"/api/{served['version']}"
                plain = {r["name"]: r for r in api.get(base)["resources"]}
                for resource in served["resources"]:
                    legacy = plain[resource["resource"]]
                    assert legacy["verbs"] == resource["verbs"]
                    assert legacy["namespaced"] == (resource["scope"] == "Namespaced")
                    assert legacy["singularName"] == resource["singularResource"]
                    for sub in resource.get("subresources") or ():
                        assert f"{resource['resource']}/{sub['subresource']}" in plain


def test_aggregated_discovery_interface_crds(api: Api, registered: Registered) -> None:
    parts = {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}}
    crds = registered.define(version("v1", subresources=parts), version("v2", storage=False))

    def versions() -> list[Object]:
        items = api.get("/apis", Accept=AGGREGATED.format("v2"))["items"]
        return [v for item in items if item["metadata"]["name"] == crds.group for v in item["versions"]]

    found = eventually(versions)
    assert [served["version"] for served in found] == ["v2", "v1"]
    subresources = found[1]["resources"][0]["subresources"]
    assert [sub["subresource"] for sub in subresources] == ["scale", "status"]
    assert subresources[0]["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_discovery_confirm_the_preferredversion_for_each_api_group(api: Api) -> None:
    groups = api.get("/apis")["groups"]
    assert groups
    for group in groups:
        if group["name"].endswith("example.com"):
            continue
        one = api.get(f"/apis/{group['name']}").body
        assert one["kind"] == "APIGroup"
        versions = [v["groupVersion"] for v in one["versions"]]
        assert group["preferredVersion"]["groupVersion"] in versions
        assert one["preferredVersion"] == group["preferredVersion"]


def test_discovery_finds_the_group_version_kind_of_each_resource(api: Api) -> None:
    """Discovery: should accurately determine the resource of a kind, and its verbs."""
    for path in ("/api/v1", "/apis/apps/v1", "/apis/batch/v1", "/apis/apiregistration.k8s.io/v1"):
        listed = api.get(path)
        assert (listed["kind"], listed["groupVersion"]) == ("APIResourceList", path.split("/", 2)[2])
        for resource in listed["resources"]:
            assert resource["kind"]
            assert resource["verbs"]
            assert ("storageVersionHash" in resource) == (
                "/" not in resource["name"] and "list" in resource["verbs"]
            ) or resource["name"] == "componentstatuses"


def test_server_version(api: Api) -> None:
    """Kubernetes API server version: major and minor are numbers, a minor maybe with a plus."""
    found = api.get("/version")
    assert found["major"] == "1"
    assert re.fullmatch(r"\d+\+?", found["minor"])
    assert found["gitVersion"].startswith(f"v1.{found['minor'].rstrip('+')}.")


@pytest.mark.parametrize("form", ["v1", "v1beta1"])
def test_api_metadata_http_return(api: Api, form: str) -> None:
    """A backend that does not implement metadata has no tables: 406, unless something else would do too."""
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    refused = api.post(path, review, Accept=TABLE.format(form))
    assert (refused.code, refused["reason"]) == (406, "NotAcceptable")
    assert refused.message.startswith("only the following media types are accepted: ")
    either = api.post(path, review, Accept=f"{TABLE.format(form)},application/json")
    assert either.code == 201
    assert either["kind"] == "SelfSubjectAccessReview"
    partial = f"application/json;as=PartialObjectMetadata;v={form};g=meta.k8s.io"
    assert api.post(path, review, Accept=partial).code == 406


@pytest.mark.parametrize("form", ["v1", "v1beta1"])
def test_tables_of_pods_and_in_chunks(api: Api, namespace: str, form: str) -> None:
    """Servers with support for Table transformation."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "pod-1"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert api.post(pods, pod).code == 201
    table = api.get(f"{pods}/pod-1", Accept=TABLE.format(form))
    assert (table["kind"], table["apiVersion"]) == ("Table", f"meta.k8s.io/{form}")
    assert len(table["columnDefinitions"]) > 2
    assert table["columnDefinitions"][0]["name"] == "Name"
    [row] = table["rows"]
    assert len(row["cells"]) == len(table["columnDefinitions"])
    assert row["cells"][0] == "pod-1"
    assert row["object"]["kind"] == "PartialObjectMetadata"
    templates = f"/api/v1/namespaces/{namespace}/podtemplates"
    for number in range(5):
        body = {"metadata": {"name": f"template-{number:04}"}, "template": {"spec": pod["spec"]}}
        assert api.post(templates, body).code == 201
    page = api.get(f"{templates}?limit=2", Accept=TABLE.format(form))
    assert [row["cells"][0] for row in page["rows"]] == ["template-0000", "template-0001"]
    assert page["metadata"]["resourceVersion"]
    rest = api.get(f"{templates}?continue={page['metadata']['continue']}", Accept=TABLE.format(form))
    assert rest["rows"][0]["cells"][0] == "template-0002"


def test_tables_of_subresources(api: Api, namespace: str) -> None:
    """A Scale has a table; a Binding and an Eviction have none."""
    labels = {"app": "d"}
    pod = {"containers": [{"name": "c", "image": "i"}]}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert api.post(deployments, {"metadata": {"name": "d"}, "spec": spec}).code == 201
    table = api.get(f"{deployments}/d/scale", Accept=TABLE.format("v1"))
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "Desired",
        "Available",
        "Age",
    ]
    assert table["rows"][0]["cells"][:3] == ["d", 2, 0]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert api.post(pods, {"metadata": {"name": "p"}, "spec": pod}).code == 201
    for sub in ("binding", "eviction"):
        refused = api.post(f"{pods}/p/{sub}", {"metadata": {"name": "p"}}, Accept=TABLE.format("v1"))
        assert refused.code == 406
