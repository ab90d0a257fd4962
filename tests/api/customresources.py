"""Custom resources of the tests: a definition that is established, and the URLs of its objects."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from apiclient import Api

Object = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_numbers = count()

SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["color"],
            "properties": {
                "color": {"type": "string", "enum": ["red", "blue"]},
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "port": {"x-kubernetes-int-or-string": True},
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                "note": {"type": "string", "nullable": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                    },
                },
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
        },
    },
}
PARTS: Object = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}


def eventually(check: Callable[[], Any], seconds: float = 10) -> Any:
    """What `check` gives once that is true."""
    give_up = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < give_up, "it did not come to be"
        time.sleep(0.005)
    return found


class Kind:
    """A definition of the test's own, established, and the URLs of its objects."""

    def __init__(self, api: Api, namespace: str, versions: list[Object], **spec: Any) -> None:
        self.api = api
        self.group = f"g{next(_numbers)}.example.com"
        names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}
        self.name = f"widgets.{self.group}"
        self.crd: Object = {
            "metadata": {"name": self.name},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": names,
                "versions": versions,
                **spec,
            },
        }
        self.namespace = namespace
        made = api.post(CRDS, self.crd)
        assert made.code == 201, made.body
        eventually(lambda: self.condition("Established") == "True")

    def url(self, name: str = "", version: str = "v1") -> str:
        scope = f"/namespaces/{self.namespace}" if self.crd["spec"]["scope"] == "Namespaced" else ""
        return f"/apis/{self.group}/{version}{scope}/widgets" + (f"/{name}" if name else "")

    def object(self, name: str = "a", version: str = "v1", **fields: Any) -> Object:
        kind = {"apiVersion": f"{self.group}/{version}", "kind": "Widget"}
        return {**kind, "metadata": {"name": name}, **fields}

    def condition(self, kind: str) -> str:
        found = self.api.get(f"{CRDS}/{self.name}").body.get("status", {}).get("conditions") or ()
        return next((str(c["status"]) for c in found if c["type"] == kind), "")

    def change(self, change: Callable[[Object], None]) -> None:
        """Update the definition."""
        crd = copy.deepcopy(self.api.get(f"{CRDS}/{self.name}").body)
        change(crd["spec"])
        assert self.api.put(f"{CRDS}/{self.name}", crd).code == 200


def version(name: str = "v1", *, storage: bool = True, schema: Object = SCHEMA, **fields: Any) -> Object:
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": PARTS,
        **fields,
    }


Define = Callable[..., Kind]
