"""All registries of a server: found by API group, version and plural, and read by admission and authorization."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence

from apimachinery import meta, resources
from apimachinery.resources import Resource
from apimachinery.schema import Schema
from apiserver.cachers import Cachers
from apiserver.entry import Entry
from apiserver.registry.call import Backend, system_call
from apiserver.registry.kinds import KINDS
from apiserver.registry.registry import Registry, Result, replacement
from apiserver.request import Object
from apiserver.view import View

#: Small kinds that admission reads with nearly every request, and how many of their objects stay decoded.
_OFTEN_READ = frozenset(
    {
        ("", "namespaces"),
        ("", "limitranges"),
        ("", "serviceaccounts"),
        ("node.k8s.io", "runtimeclasses"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("storage.k8s.io", "storageclasses"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    }
)
_MOST_DECODED = 512


class Registries:
    """Made once the cachers run. Implements `request.Reader`."""

    def __init__(self, backend: Backend, cachers: Cachers) -> None:
        self.backend = backend
        self.cachers = cachers
        self._registries: dict[tuple[str, str], Registry] = {}
        self._views: dict[tuple[str, str, str], View] = {}
        self._decoded: dict[str, tuple[Entry, Object]] = {}
        #: openAPIV3Schemas of the custom resources served, by apiVersion and kind; `generation` counts the changes.
        self.custom_schemas: dict[tuple[str, str], Object] = {}
        self.generation = 0
        #: What other servers serve, behind APIServices: for discovery.
        self.aggregated: builtins.list[Resource] = []
        #: What this server computes, beyond the built-in resources, in groups that nobody else serves.
        self.computed: builtins.list[Resource] = []
        backend.find = self.registry
        backend.schema_of = self._schema_of
        backend.schema_of_kind = self._schema_of_kind
        for resource in resources.stored():
            self.add(resource)
        for resource in resources.BUILTIN:
            if not resource.virtual:
                self._views[resource.group, resource.version, resource.plural] = View(
                    resource, self._registries[resource.storage]
                )

    def add(self, resource: Resource) -> Registry:
        """A registry for one more storage location, whose cacher is there already."""
        made = KINDS.get(resource.storage, Registry)(resource, self.cachers[resource], self.backend)
        self._registries[resource.storage] = made
        return made

    def serve(
        self,
        resource: Resource,
        stored: Registry,
        views: Sequence[View],
        schemas: dict[tuple[str, str], Object],
    ) -> None:
        """Serve a custom resource, or serve it otherwise than before. `stored` is its storage version's registry."""
        self.withdraw(resource)
        self._registries[resource.storage] = stored
        for view in views:
            found = view.resource
            self._views[found.group, found.version, found.plural] = view
        self.custom_schemas |= schemas

    def withdraw(self, resource: Resource) -> None:
        """Serve a custom resource no more."""
        self.generation += 1
        self._registries.pop(resource.storage, None)
        for key in [k for k, view in self._views.items() if view.resource.storage == resource.storage]:
            gone = self._views.pop(key).resource
            self.custom_schemas.pop((gone.api_version, gone.kind), None)

    def stored(self, resource: Resource) -> Registry:
        """The registry of a resource's storage version. KeyError where it is not served."""
        return self._registries[resource.storage]

    def versions(self, resource: Resource) -> builtins.list[Resource]:
        """The versions a resource is served in."""
        return [view.resource for view in self._views.values() if view.resource.storage == resource.storage]

    async def convert(self, obj: Object, resource: Resource) -> Object:
        """An object of another version of a resource in this one. Raises StatusError."""
        view = self._views[resource.group, resource.version, resource.plural]
        if not resource.custom:
            given = obj.get("apiVersion")
            for source in self.versions(resource):
                if source.api_version == given:
                    stored = self._views[source.group, source.version, source.plural].stored(obj)
                    return view.converted(stored)
        return (await view.fetched([obj]))[0]

    def custom(self) -> builtins.list[Resource]:
        """The versions of custom resources that are served."""
        return [view.resource for view in self._views.values() if view.resource.custom]

    def _schema_of(self, group: str, version: str, plural: str) -> tuple[str, Schema] | None:
        view = self.view(group, version, plural)
        return (view.resource.kind, view.schema) if view is not None else None

    def _schema_of_kind(self, api_version: str, kind: str) -> Schema | None:
        for view in self._views.values():
            if view.resource.kind == kind and view.resource.api_version == api_version:
                return view.schema
        return None

    def view(self, group: str, version: str, plural: str) -> View | None:
        """The resource in one API version, None where it is not served."""
        return self._views.get((group, version, plural))

    def registry(self, plural: str, group: str = "") -> Registry:
        """The registry of a built-in resource. KeyError where there is none."""
        return self._registries[resources.get(plural, group).storage]

    # For metrics

    def watchers(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for registry in builtins.list(self._registries.values()):
            yield (registry.resource.group, registry.resource.plural), registry.cacher.watchers

    def objects(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for registry in builtins.list(self._registries.values()):
            yield (registry.resource.qualified,), registry.cacher.count

    # request.Reader

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        entry = self.cachers[resource].get(namespace, name)
        return self._object(resource, entry) if entry is not None else None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [self._object(resource, entry) for entry in self.cachers[resource].entries(namespace)]

    def _object(self, resource: Resource, entry: Entry) -> Object:
        """The decoded object; of the few kinds that every admission looks at, decoded once."""
        if resource.storage not in _OFTEN_READ:
            return entry.object()
        known = self._decoded.get(entry.key)
        if known is not None and known[0] is entry:
            return known[1]
        obj = entry.object()
        if len(self._decoded) >= _MOST_DECODED:
            self._decoded.clear()
        self._decoded[entry.key] = (entry, obj)
        return obj

    def pods_of_node(self, node: str) -> builtins.list[Object]:
        """The pods bound to a node: for authorizing its agent."""
        pods = self.cachers[resources.get("pods")]
        return [entry.object() for entry in pods.having("spec.nodeName", node)]


class InternalWriter:
    """Implements `request.Writer`."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    async def create(self, resource: Resource, obj: Object) -> Object:
        registry = self._registries.registry(resource.plural, resource.group)
        return _object(await registry.create(system_call(), meta.namespace(obj), obj))

    async def update(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        registry = self._registries.registry(resource.plural, resource.group)
        result, _ = await registry.update(
            system_call(), meta.namespace(obj), meta.name(obj), replacement(obj), subresource=subresource
        )
        return _object(result)


def _object(result: Result) -> Object:
    return result.object() if isinstance(result, Entry) else result
