"""What a CustomResourceDefinition comes to: its versions as resources with their schemas. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from apimachinery import schema
from apimachinery.decode_checkers import checker
from apimachinery.resources import ALL_VERBS, SCALE, STATUS, Resource
from apimachinery.structural import shape

Object = dict[str, Any]
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_TERMINATING_VERBS = tuple(verb for verb in ALL_VERBS if verb != "create")
_ANYTHING: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a custom resource. `raw` is its structural schema; `scale` its scale subresource's paths."""

    resource: Resource
    raw: Object
    schema: schema.Schema
    columns: tuple[Object, ...] = ()
    scale: Object | None = None
    served: bool = True
    warning: str = ""

    @property
    def name(self) -> str:
        return self.resource.version


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition whose names are accepted. `conversion` is the CRD's, strategy None or Webhook."""

    name: str
    versions: dict[str, Version]
    storage: Version
    conversion: Object = field(default_factory=dict)
    terminating: bool = False
    source: list[Any] = field(default_factory=list)
    """All of the CRD that matters: equal sources are equal definitions."""

    @property
    def remote(self) -> bool:
        """Whether a webhook converts between the versions."""
        return self.conversion.get("strategy") == "Webhook"

    @property
    def stored(self) -> Resource:
        """The resource as it is stored, with the selectable fields of every version: they are the same fields."""
        every = {path: None for version in self.versions.values() for path in version.resource.selectable}
        return replace(self.storage.resource, selectable=tuple(every))

    @property
    def stored_shape(self) -> list[Any]:
        """What decides how stored objects are shown: when it changes they are read anew."""
        resource = self.stored
        return [resource.api_version, resource.selectable, self.storage.raw, self.remote]


def condition(crd: Object, kind: str) -> Object | None:
    """A condition of the definition's status."""
    for found in (crd.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            return dict(found)
    return None


def is_true(crd: Object, kind: str) -> bool:
    found = condition(crd, kind)
    return found is not None and found.get("status") == "True"


def parse(crd: Object) -> Definition:
    """The definition in a CRD that passed validation."""
    spec = crd["spec"]
    terminating = bool(crd["metadata"].get("deletionTimestamp"))
    versions = {version["name"]: _version(crd, version, terminating) for version in spec["versions"]}
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    conversion = spec.get("conversion") or {"strategy": "None"}
    source = [spec, (crd.get("status") or {}).get("acceptedNames"), terminating]
    return Definition(crd["metadata"]["name"], versions, versions[storage], conversion, terminating, source)


def _version(crd: Object, version: Object, terminating: bool) -> Version:
    spec = crd["spec"]
    names = (crd.get("status") or {}).get("acceptedNames") or {}
    names = names if names.get("plural") else spec["names"]
    group, kind = spec["group"], names["kind"]
    parts = version.get("subresources") or {}
    subresources = []
    if parts.get("scale") is not None:
        subresources.append(SCALE)
    if parts.get("status") is not None:
        subresources.append(STATUS)
    selectable = tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ())
    resource = Resource(
        group=group,
        version=version["name"],
        plural=names["plural"],
        kind=kind,
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=_TERMINATING_VERBS if terminating else ALL_VERBS,
        subresources=tuple(subresources),
        singular=names.get("singular") or kind.lower(),
        list_kind=names.get("listKind") or kind + "List",
        storage=(group, names["plural"]),
        custom=True,
        selectable=selectable,
    )
    raw = (version.get("schema") or {}).get("openAPIV3Schema") or _ANYTHING
    if spec.get("preserveUnknownFields"):
        raw = {**raw, "x-kubernetes-preserve-unknown-fields": True}
    node = schema.from_openapi(shape.published(raw), resource.api_version, kind)
    metadata = checker(node.fields["metadata"])
    assert not isinstance(metadata, type)
    node.decoder = shape.checker(raw, metadata)
    warning = ""
    if version.get("deprecated"):
        warning = version.get("deprecationWarning") or f"{resource.api_version} {kind} is deprecated"
    return Version(
        resource,
        raw,
        node,
        tuple(version.get("additionalPrinterColumns") or ()),
        parts.get("scale"),
        bool(version.get("served")),
        warning,
    )
