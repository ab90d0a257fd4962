"""Discovery: legacy lists, aggregated documents, orders and hashes, as Kubernetes answers them."""

import orjson
import pytest

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver.discovery import Discovery, aggregated_version, storage_version_hash, version_order

WIDGETS = Resource("example.com", "v1", "widgets", "Widget", True, singular="widget", list_kind="WidgetList",
                   storage=("example.com", "widgets"), custom=True)  # fmt: skip
DISCOVERY = Discovery((*resources.BUILTIN, WIDGETS), "127.0.0.1:6443")
V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v2", "v2beta1")


def test_api_lists_the_core_version() -> None:
    assert DISCOVERY.legacy("/api") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
    }


def test_groups_come_in_kubernetes_order_and_custom_ones_last() -> None:
    answer = DISCOVERY.legacy("/apis")
    assert answer is not None
    names = [group["name"] for group in answer["groups"]]
    assert names[:3] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]
    assert names[-1] == "example.com"
    autoscaling = next(group for group in answer["groups"] if group["name"] == "autoscaling")
    assert autoscaling["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert [v["version"] for v in autoscaling["versions"]] == ["v2", "v1"]
    assert DISCOVERY.legacy("/apis/autoscaling") == {"kind": "APIGroup", "apiVersion": "v1", **autoscaling}


def test_resource_lists_name_everything_about_a_resource() -> None:
    answer = DISCOVERY.legacy("/api/v1")
    assert answer is not None
    assert (answer["kind"], answer["groupVersion"], "apiVersion" in answer) == (
        "APIResourceList",
        "v1",
        False,
    )
    names = [entry["name"] for entry in answer["resources"]]
    assert names == sorted(names)
    by_name = {entry["name"]: entry for entry in answer["resources"]}
    assert by_name["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert by_name["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }
    assert "group" not in by_name["pods/binding"]
    assert "storageVersionHash" not in by_name["bindings"]


def test_versions_that_share_storage_share_the_hash() -> None:
    assert storage_version_hash("", "v1", "Event") == "r2yiGXH7wu8="
    for path in ("/api/v1", "/apis/events.k8s.io/v1"):
        answer = DISCOVERY.legacy(path)
        assert answer is not None
        event = next(entry for entry in answer["resources"] if entry["name"] == "events")
        assert event["storageVersionHash"] == "r2yiGXH7wu8="


@pytest.mark.parametrize("path", ["/apis/nope", "/apis/apps/v9", "/api/v2", "/apis/apps/v1/deployments", "/"])
def test_what_is_not_served_is_not_found(path: str) -> None:
    assert DISCOVERY.legacy(path) is None


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (V2 + "," + V2BETA1 + ",application/json", "v2"),
        (V2BETA1 + ",application/json", "v2beta1"),
        ("application/json," + V2, ""),
        ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList," + V2BETA1, "v2beta1"),
        ("*/*", ""),
        ("", ""),
    ],
)
def test_aggregated_discovery_is_negotiated(accept: str, version: str) -> None:
    assert aggregated_version(accept) == version


def test_aggregated_documents() -> None:
    core = DISCOVERY.aggregated("/api", V2)
    assert core is not None
    assert core.content_type == V2
    assert len(core.etag) == 128
    listed = orjson.loads(core.body)
    assert (listed["kind"], listed["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    pods = next(r for r in listed["items"][0]["versions"][0]["resources"] if r["resource"] == "pods")
    assert pods["responseKind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert pods["scope"] == "Namespaced"
    eviction = next(s for s in pods["subresources"] if s["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    old = DISCOVERY.aggregated("/apis", V2BETA1)
    assert old is not None
    groups = orjson.loads(old.body)
    assert groups["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert [item["metadata"]["name"] for item in groups["items"]] == DISCOVERY.groups()
    assert DISCOVERY.aggregated("/apis", "application/json") is None
    assert DISCOVERY.aggregated("/apis/apps", V2) is None


def test_the_etag_follows_the_resources() -> None:
    without = Discovery(resources.BUILTIN).aggregated("/apis", V2)
    again = Discovery(resources.BUILTIN).aggregated("/apis", V2)
    with_widgets = DISCOVERY.aggregated("/apis", V2)
    assert without is not None
    assert again is not None
    assert with_widgets is not None
    assert without.etag == again.etag != with_widgets.etag


def test_versions_sort_by_maturity() -> None:
    versions = ["v1alpha1", "foo", "v2beta1", "v1", "v10", "v1beta1", "v1beta2", "v2"]
    assert sorted(versions, key=version_order) == [
        "v10", "v2", "v1", "v2beta1", "v1beta2", "v1beta1", "v1alpha1", "foo",
    ]  # fmt: skip
