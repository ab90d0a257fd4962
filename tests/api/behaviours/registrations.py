"""What tests of admission and of custom resources register with the server, and take away again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from apiclient import Api

Object = dict[str, Any]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_numbers = count()


def unique(prefix: str) -> str:
    """A name nobody else has in this run."""
    return f"{prefix}-{next(_numbers)}"


def eventually(check: Callable[[], Any], seconds: float = 10) -> Any:
    """What `check` gives once that is true."""
    give_up = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < give_up, "it did not come to be"
        time.sleep(0.005)
    return found


class Registered:
    """Objects of the whole cluster that a test made: taken away at its end, the newest first."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._paths: list[str] = []

    def make(self, collection: str, obj: Object) -> Object:
        made = self.api.post(collection, obj)
        assert made.code == 201, made.body
        self._paths.append(f"{collection}/{made['metadata']['name']}")
        return dict(made.body)

    def close(self) -> None:
        for path in reversed(self._paths):
            self.api.delete(path)

    # Admission

    def webhook(self, config: Object, rule: Sequence[Any] = (), **fields: Any) -> Object:
        """A webhook for the test's namespace. `rule`: (operations, group, resources)."""
        operations, group, plurals = rule or (["CREATE"], "", ["configmaps"])
        return {
            "name": f"{unique('hook')}.example.com",
            "clientConfig": config,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "rules": [
                {"operations": operations, "apiGroups": [group], "apiVersions": ["*"], "resources": plurals}
            ],
            "namespaceSelector": self.selector,
            **fields,
        }

    @property
    def selector(self) -> Object:
        return {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}

    def mutating(self, *webhooks: Object, **metadata: Any) -> str:
        return self._configuration("mutating", webhooks, metadata)

    def validating(self, *webhooks: Object, **metadata: Any) -> str:
        return self._configuration("validating", webhooks, metadata)

    def _configuration(self, kind: str, webhooks: Sequence[Object], metadata: Object) -> str:
        """The path of a new configuration."""
        collection = f"{ADMISSION}/{kind}webhookconfigurations"
        name = unique("webhooks")
        self.make(collection, {"metadata": {"name": name, **metadata}, "webhooks": list(webhooks)})
        return f"{collection}/{name}"

    def policy(self, kind: str, spec: Object, *, rule: Sequence[Any] = (), **binding: Any) -> str:
        """A policy and its binding to the test's namespace; gives their name."""
        operations, group, plurals = rule or (["CREATE", "UPDATE"], "apps", ["deployments"])
        match = {
            "resourceRules": [
                {"operations": operations, "apiGroups": [group], "apiVersions": ["v1"], "resources": plurals}
            ]
        }
        name = unique("policy")
        if kind == "validating":
            binding.setdefault("validationActions", ["Deny"])
        else:
            spec = {"reinvocationPolicy": "Never", **spec}
        self.make(
            f"{ADMISSION}/{kind}admissionpolicies",
            {"metadata": {"name": name}, "spec": {"matchConstraints": match, **spec}},
        )
        bound = {"policyName": name, "matchResources": {"namespaceSelector": self.selector}, **binding}
        self.make(f"{ADMISSION}/{kind}admissionpolicybindings", {"metadata": {"name": name}, "spec": bound})
        return name

    # Custom resources

    def define(self, *versions: Object, plural: str = "foos", **spec: Any) -> Kind:
        """A definition, once it is established."""
        kind = Kind(self, list(versions) or [version()], plural, spec)
        eventually(lambda: kind.condition("Established") == "True")
        return kind


def version(name: str = "v1", schema: Object | None = None, *, storage: bool = True, **fields: Any) -> Object:
    """A version of a definition; without a schema it takes anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema or anything},
        **fields,
    }


class Kind:
    """A custom resource of a test: its definition and the URLs of its objects."""

    def __init__(self, registered: Registered, versions: list[Object], plural: str, spec: Object) -> None:
        self._registered = registered
        self.api = registered.api
        self.plural = plural
        self.group = spec.pop("group", None) or f"{unique('group')}.example.com"
        self.kind = plural.removesuffix("s").capitalize()
        self.path = f"{CRDS}/{plural}.{self.group}"
        self.namespaced = spec.get("scope", "Namespaced") == "Namespaced"
        metadata = {"name": f"{plural}.{self.group}", "labels": spec.pop("labels", {})}
        body = {
            "group": self.group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": self.kind},
            "versions": versions,
            **spec,
        }
        registered.make(CRDS, {"metadata": metadata, "spec": body})

    def condition(self, kind: str) -> str:
        found = self.api.get(self.path).body.get("status", {}).get("conditions") or ()
        return next((str(c["status"]) for c in found if c["type"] == kind), "")

    def url(self, name: str = "", version: str = "v1") -> str:
        scope = f"/namespaces/{self._registered.namespace}" if self.namespaced else ""
        return f"/apis/{self.group}/{version}{scope}/{self.plural}" + (f"/{name}" if name else "")

    def object(self, name: str = "a", version: str = "v1", **fields: Any) -> Object:
        return {
            "apiVersion": f"{self.group}/{version}",
            "kind": self.kind,
            "metadata": {"name": name},
            **fields,
        }

    def change(self, change: Callable[[Object], None]) -> None:
        """Update the definition's spec."""
        crd = self.api.get(self.path).body
        change(crd["spec"])
        updated = self.api.put(self.path, crd)
        assert updated.code == 200, updated.body
