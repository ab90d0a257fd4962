"""APIServices of local group versions: who keeps which, and how."""

from typing import Any

from apimachinery import resources
from apiserver.aggregation.registration import ALWAYS, MANAGED, ON_START, api_service, builtin, plan, served

Object = dict[str, Any]


def by_name(*services: Object) -> dict[str, Object]:
    return {service["metadata"]["name"]: service for service in services}


def test_every_built_in_group_version_but_their_own_has_one() -> None:
    names = {service["metadata"]["name"] for service in builtin()}
    places = {f"{r.version}.{r.group}" for r in resources.BUILTIN}
    assert names == places - {"v1.apiregistration.k8s.io"}
    core = by_name(*builtin())["v1."]
    assert core["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert core["metadata"]["labels"] == {MANAGED: "onstart"}


def test_those_of_custom_resources() -> None:
    versions = [
        {"name": "v2", "served": True},
        {"name": "v1", "served": True},
        {"name": "v0", "served": False},
    ]
    definition = {"spec": {"group": "example.com", "versions": versions}}
    assert served(definition) == [("example.com", "v2"), ("example.com", "v1")]
    assert api_service(("example.com", "v2"), ALWAYS) == {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v2.example.com", "labels": {MANAGED: "true"}},
        "spec": {
            "group": "example.com",
            "version": "v2",
            "groupPriorityMinimum": 1000,
            "versionPriority": 100,
        },
    }


def test_what_is_missing_is_made_and_what_was_changed_is_put_right() -> None:
    kept = api_service(("a.com", "v1"), ALWAYS)
    changed = {**kept, "spec": {**kept["spec"], "versionPriority": 3}}
    new = api_service(("b.com", "v1"), ALWAYS)
    assert plan(by_name(changed), [kept, new], ALWAYS) == ([new], [kept], [])
    assert plan(by_name(kept, new), [kept, new], ALWAYS) == ([], [], [])


def test_what_is_served_no_more_goes_and_others_stay() -> None:
    old, builtin_one = api_service(("a.com", "v1"), ALWAYS), api_service(("apps", "v1"), ON_START)
    users = api_service(("c.com", "v1"), ALWAYS)
    users["metadata"] = {"name": "v1.c.com"}
    users["spec"]["service"] = {"name": "s", "namespace": "n"}
    existing = by_name(old, builtin_one, users)
    assert plan(existing, [], ALWAYS) == ([], [], ["v1.a.com"])
    assert plan(existing, [api_service(("c.com", "v1"), ALWAYS)], ALWAYS).update == []
    assert plan(existing, [], ON_START).delete == ["v1.apps"]
