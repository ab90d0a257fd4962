"""Discovery: which groups, versions and resources are served, as old and new clients ask for it.

Pure: a `Discovery` is made from resources (built-in and custom together) and answers from what it made once. When
the resources change, make a new one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery.resources import Resource, Subresource

Object = dict[str, Any]

#: The order of the built-in groups in /apis; groups that are not here follow, by name.
GROUP_ORDER = (
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)
_GROUP_PLACE = {group: place for place, group in enumerate(GROUP_ORDER)}
_VERSION = re.compile(r"^v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?$")
_STAGES = {None: 0, "beta": 1, "alpha": 2}


def version_order(version: str) -> tuple[Any, ...]:
    """Sort key of API versions: v2, v1, v1beta2, v1beta1, v1alpha1, then whatever else by name."""
    match = _VERSION.match(version)
    if match is None:
        return (1, version)
    major, stage, minor = match.groups()
    return (0, _STAGES[stage], -int(major), -int(minor or 0))


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """What tells clients that objects are stored in another version than before."""
    digest = hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


@dataclass(frozen=True, slots=True)
class Document:
    """An answer ready to send. `etag` is without quotes."""

    body: bytes
    content_type: str
    etag: str


def document(obj: Object, content_type: str) -> Document:
    body = orjson.dumps(obj)
    return Document(body, content_type, hashlib.sha512(body).hexdigest().upper())


_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


def aggregated_version(accept: str) -> str:
    """`v2` or `v2beta1` if the Accept header asks for aggregated discovery before plain JSON, else empty."""
    for clause in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in clause.split(";"))
        if media_type != "application/json":
            continue
        given = dict(part.partition("=")[::2] for part in parameters)
        if given.get("as") is None:
            return ""
        wanted = (given.get("g"), given.get("as"))
        if wanted == ("apidiscovery.k8s.io", "apigroupdiscoverylist") and given.get("v") in ("v2", "v2beta1"):
            return given["v"]
    return ""


class Discovery:
    """The discovery documents of a set of resources."""

    def __init__(self, resources: Iterable[Resource], server_address: str = "") -> None:
        """`server_address` is the host:port clients outside find the server at."""
        self._address = server_address
        self._groups: dict[str, dict[str, list[Resource]]] = {}
        everything = list(resources)
        for resource in everything:
            self._groups.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        self._stored: dict[tuple[str, str], Resource] = {}
        for resource in sorted(everything, key=lambda r: version_order(r.version)):
            if not resource.virtual and resource.storage == (resource.group, resource.plural):
                self._stored.setdefault(resource.storage, resource)
        self._aggregated: dict[tuple[str, str], Document] = {}
        self._legacy: dict[str, Object] = {}

    def groups(self) -> list[str]:
        """The named groups, in the order of /apis."""
        named = (group for group in self._groups if group)
        return sorted(named, key=lambda group: (_GROUP_PLACE.get(group, len(_GROUP_PLACE)), group))

    def versions(self, group: str) -> list[str]:
        """The group's versions, preferred first."""
        return sorted(self._groups.get(group, ()), key=version_order)

    def resources(self, group: str, version: str) -> list[Resource]:
        return sorted(self._groups.get(group, {}).get(version, ()), key=lambda r: r.plural)

    def legacy(self, path: str) -> Object | None:
        """The object that answers /api, /apis, /api/v1, /apis/<group> or /apis/<group>/<version>; None: no such."""
        path = path.rstrip("/")
        answer = self._legacy.get(path)
        if answer is None:
            answer = self._make(path)
            if answer is not None:
                self._legacy[path] = answer
        return answer

    def _make(self, path: str) -> Object | None:
        parts = path.strip("/").split("/")
        if parts == ["api"]:
            return self._api_versions()
        if parts == ["apis"]:
            groups = [self._group(group) for group in self.groups()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if parts[0] == "apis" and len(parts) == 2 and parts[1] in self._groups:
            return {"kind": "APIGroup", "apiVersion": "v1", **self._group(parts[1])}
        if parts[0] == "apis" and len(parts) == 3:
            return self._resource_list(parts[1], parts[2])
        if parts[0] == "api" and len(parts) == 2:
            return self._resource_list("", parts[1])
        return None

    def aggregated(self, path: str, accept: str) -> Document | None:
        """Aggregated discovery of /api or /apis, if the Accept header asks for it; None: answer with `legacy`."""
        version = aggregated_version(accept)
        path = path.rstrip("/")
        if not version or path not in ("/api", "/apis"):
            return None
        answer = self._aggregated.get((path, version))
        if answer is None:
            groups = [""] if path == "/api" else self.groups()
            items = [self._group_discovery(group) for group in groups if group in self._groups]
            listed = {
                "kind": "APIGroupDiscoveryList",
                "apiVersion": f"apidiscovery.k8s.io/{version}",
                "metadata": {},
                "items": items,
            }
            answer = self._aggregated[path, version] = document(listed, _AGGREGATED.format(version))
        return answer

    def _api_versions(self) -> Object:
        cidr = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}
        return {"kind": "APIVersions", "versions": self.versions(""), "serverAddressByClientCIDRs": [cidr]}

    def _group(self, group: str) -> Object:
        versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in self.versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resource_list(self, group: str, version: str) -> Object | None:
        found = self.resources(group, version)
        if not found:
            return None
        entries = [entry for resource in found for entry in self._entries(resource)]
        result: Object = {"kind": "APIResourceList"}
        if group:
            result["apiVersion"] = "v1"
        result["groupVersion"] = found[0].api_version
        result["resources"] = sorted(entries, key=lambda entry: str(entry["name"]))
        return result

    def _entries(self, resource: Resource) -> list[Object]:
        entry: Object = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": sorted(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        if not resource.virtual:
            stored = self._stored.get(resource.storage, resource)
            entry["storageVersionHash"] = storage_version_hash(stored.group, stored.version, stored.kind)
        return [entry, *(_subresource_entry(resource, sub) for sub in resource.subresources)]

    def _group_discovery(self, group: str) -> Object:
        versions = [
            {
                "version": version,
                "resources": [_resource_discovery(r) for r in self.resources(group, version)],
                "freshness": "Current",
            }
            for version in self.versions(group)
        ]
        metadata = {"name": group} if group else {}
        return {"metadata": {**metadata, "creationTimestamp": None}, "versions": versions}


def _body_of(resource: Resource, sub: Subresource) -> tuple[str, str, str]:
    """(group, version, kind) of what a subresource takes and answers."""
    group, _, version = (sub.api_version or resource.api_version).rpartition("/")
    return group, version, sub.kind or resource.kind


def _subresource_entry(resource: Resource, sub: Subresource) -> Object:
    group, version, kind = _body_of(resource, sub)
    entry: Object = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if (group, version) != (resource.group, resource.version):
        entry |= {"group": group, "version": version}
    return entry | {"kind": kind, "verbs": sorted(sub.verbs)}


def _gvk(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}


def _resource_discovery(resource: Resource) -> Object:
    result: Object = {
        "resource": resource.plural,
        "responseKind": _gvk(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        result["shortNames"] = list(resource.short_names)
    if resource.categories:
        result["categories"] = list(resource.categories)
    if resource.subresources:
        result["subresources"] = _subresource_discovery(resource, resource.subresources)
    return result


def _subresource_discovery(resource: Resource, subresources: Sequence[Subresource]) -> list[Object]:
    return [
        {"subresource": sub.name, "responseKind": _gvk(*_body_of(resource, sub)), "verbs": sorted(sub.verbs)}
        for sub in sorted(subresources, key=lambda s: s.name)
    ]
