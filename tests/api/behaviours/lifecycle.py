"""The life cycle of an API that most behaviours ask for: discovered, made, read, listed, watched, changed, deleted."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from apiclient import APPLY, MERGE, STRATEGIC, Answer, Api, selector

from apimachinery import resources
from apimachinery.resources import Resource

Object = dict[str, Any]
VERBS = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
_numbers = count()


def fine(answer: Answer, code: int = 200) -> Object:
    """The body of an answer that must be good."""
    assert answer.code == code, answer.body
    return dict(answer.body)


def until(events: Iterator[Object], *types: str, name: str = "", **wanted: Any) -> Object:
    """The object of the next event of one of these types; `wanted` annotations must be on it."""
    for event in events:
        metadata = event["object"]["metadata"]
        annotations = metadata.get("annotations") or {}
        if name and metadata.get("name") != name:
            continue
        if event["type"] in types and all(annotations.get(key) == value for key, value in wanted.items()):
            return dict(event["object"])
    raise AssertionError(f"the watch ended without {types} of {name} {wanted}")


def check_discovery(api: Api, resource: Resource, *subresources: str) -> None:
    """The group, its version, the resource with all its verbs and the subresources are in the documents."""
    if resource.group:
        groups = {group["name"]: group for group in fine(api.get("/apis"))["groups"]}
        versions = [version["version"] for version in groups[resource.group]["versions"]]
        assert resource.version in versions
        group = fine(api.get(f"/apis/{resource.group}"))
        assert group["kind"] == "APIGroup"
        assert resource.version in [version["version"] for version in group["versions"]]
    document = fine(api.get(resource.base_path))
    assert (document["kind"], document["groupVersion"]) == ("APIResourceList", resource.api_version)
    found = {entry["name"]: entry for entry in document["resources"]}
    entry = found[resource.plural]
    assert entry["kind"] == resource.kind
    assert entry["namespaced"] is resource.namespaced
    assert set(entry["verbs"]) == set(resource.verbs)
    for subresource in subresources:
        assert f"{resource.plural}/{subresource}" in found


class LifeCycle:
    """One kind's API: objects like `template` in `namespace` (where the kind has namespaces), told by a label."""

    def __init__(self, api: Api, template: Object, namespace: str = "", plural: str = "") -> None:
        found = resources.by_kind(template["apiVersion"], template["kind"])
        assert found is not None
        self.api = api
        self.resource = found
        self.namespace = namespace if found.namespaced else ""
        self.template = copy.deepcopy(template)
        self._relabel()
        self.path = found.path(self.namespace)
        self.everywhere = found.path()

    def _relabel(self) -> None:
        value = f"behaviour-{next(_numbers)}"
        self.template.setdefault("metadata", {}).setdefault("labels", {})["lifecycle-test"] = value
        self.query = "?labelSelector=" + selector(f"lifecycle-test={value}")

    def at(self, name: str, subresource: str = "") -> str:
        return self.resource.path(self.namespace, name, subresource)

    def make(self, name: str = "") -> Object:
        """A new object, with this name or one of the server's choice."""
        obj = copy.deepcopy(self.template)
        if name:
            obj["metadata"]["name"] = name
        elif "name" not in obj["metadata"]:
            obj["metadata"]["generateName"] = "lifecycle-"
        made = fine(self.api.post(self.path, obj), 201)
        metadata = made["metadata"]
        assert metadata["uid"]
        assert metadata["creationTimestamp"]
        assert (made["apiVersion"], made["kind"]) == (self.resource.api_version, self.resource.kind)
        return made

    def get(self, name: str, subresource: str = "") -> Object:
        return fine(self.api.get(self.at(name, subresource)))

    def list(self, path: str = "") -> list[Object]:
        listed = fine(self.api.get((path or self.path) + self.query))
        assert listed["kind"] == self.resource.list_kind
        return list(listed["items"])

    def update(self, name: str, subresource: str = "", **annotations: str) -> Object:
        """A PUT that adds annotations."""
        obj = self.get(name)
        obj["metadata"].setdefault("annotations", {}).update(annotations)
        return fine(self.api.put(self.at(name, subresource), obj))

    def run(self, patch: Object | None = None, *, generated: bool = True) -> None:
        """Everything: discovery to deletion of a collection. `patch` is a merge patch that must be seen to work."""
        check_discovery(self.api, self.resource)
        self._relabel()
        first = self.make("" if generated else "lifecycle-0")
        others = [self.make("" if generated else f"lifecycle-{n}") for n in (1, 2)]
        name = first["metadata"]["name"]
        read = self.get(name)
        assert read["metadata"]["uid"] == first["metadata"]["uid"]
        # A controller may have said something in the status already.
        assert {**read, "metadata": 0, "status": 0} == {**first, "metadata": 0, "status": 0}
        assert len(self.list()) == 3
        if self.resource.namespaced:
            assert len(self.list(self.everywhere)) == 3
        version = fine(self.api.get(self.path + self.query))["metadata"]["resourceVersion"]
        with self.api.watch(f"{self.everywhere}{self.query}&resourceVersion={version}") as events:
            self._change(name, first, patch or {})
            seen = until(events, "MODIFIED", name=name, patched="true")
            assert seen["metadata"]["uid"] == first["metadata"]["uid"]
            until(events, "MODIFIED", name=name, patched="true", updated="true")
            deleted = self.api.delete(f"{self.at(name)}?propagationPolicy=Background")
            assert deleted.code == 200, deleted.body
            assert self.api.get(self.at(name)).code == 404
            until(events, "DELETED", name=name)
        assert {o["metadata"]["name"] for o in self.list()} == {o["metadata"]["name"] for o in others}
        fine(self.api.delete(f"{self.path}{self.query}&propagationPolicy=Background"))
        assert self.list() == []

    def _change(self, name: str, first: Object, patch: Object) -> None:
        patch = merged(patch, {"metadata": {"annotations": {"patched": "true"}}})
        changed = fine(self.api.patch(self.at(name), patch))
        assert covers(changed, patch)
        assert int(changed["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
        assert changed["metadata"]["uid"] == first["metadata"]["uid"]
        updated = self.update(name, updated="true")
        assert covers(updated["metadata"]["annotations"], {"patched": "true", "updated": "true"})
        assert covers(updated, patch)
        again = fine(self.api.patch(self.at(name), {"metadata": {"labels": {"more": "yes"}}}, STRATEGIC))
        assert again["metadata"]["labels"]["more"] == "yes"

    def check_status(self, name: str, patch: Object, update: Object) -> Object:
        """The status subresource is read, patched and updated, and nothing else changes with it."""
        check_discovery(self.api, self.resource, "status")
        before = self.get(name)
        read = self.get(name, "status")
        assert (read["apiVersion"], read["kind"]) == (self.resource.api_version, self.resource.kind)
        assert read["metadata"]["uid"] == before["metadata"]["uid"]
        body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": patch}
        patched = fine(self.api.patch(self.at(name, "status"), body, MERGE))
        assert covers(patched["status"], patch), patched["status"]
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
        assert patched.get("spec") == before.get("spec")
        body = self.get(name)
        body["status"] = {**(body.get("status") or {}), **update}
        updated = fine(self.api.put(self.at(name, "status"), body))
        assert covers(updated["status"], update), updated["status"]
        assert self.get(name)["status"] == updated["status"]
        # Through the object itself the status does not change.
        kept = fine(self.api.patch(self.at(name), {"status": {"conditions": None}}))
        assert kept["status"] == updated["status"]
        return updated


def apply(api: Api, path: str, obj: Object, manager: str = "behaviours", force: bool = False) -> Answer:
    """Server-side apply."""
    query = f"?fieldManager={manager}" + ("&force=true" if force else "")
    return api.patch(path + query, json.dumps(obj), APPLY)


def merged(left: Any, right: Any) -> Any:
    if not isinstance(left, dict) or not isinstance(right, dict):
        return right
    return {**left, **{key: merged(left.get(key, {}), value) for key, value in right.items()}}


def covers(value: Any, wanted: Any) -> bool:
    """Whether all of `wanted` is in `value`; an object may have more."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            covers(value.get(key), inner) if inner is not None else key not in value
            for key, inner in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and len(value) == len(wanted) and all(map(covers, value, wanted))
    return bool(value == wanted)
