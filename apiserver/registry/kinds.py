"""Registries of kinds that need more than a strategy: the classes, by storage location."""

from __future__ import annotations

from apiserver.customresources.definitions import DefinitionRegistry
from apiserver.options import DeleteOptions
from apiserver.registry import certificates, deletion, namespaces
from apiserver.registry.call import Call
from apiserver.registry.registry import Object, Registry, Result
from apiserver.registry.services_registry import ServiceRegistry


class NamespaceRegistry(Registry):
    """Namespaces stay, Terminating, until their spec's finalizers are gone."""

    def plan_deletion(self, old: Object, options: DeleteOptions) -> deletion.Deletion:
        now = self.backend.identity.now()
        return namespaces.plan_deletion(old, self.strategy, options.propagation, now)

    def releasable(self, new: Object) -> bool:
        return not (new.get("spec") or {}).get("finalizers")


class CertificateSigningRequestRegistry(Registry):
    """Requests say who made them."""

    async def create(
        self, call: Call, namespace: str, obj: Object, name: str = "", *, track: bool = True
    ) -> Result:
        certificates.prepare_create(obj, call.user)
        return await super().create(call, namespace, obj, name, track=track)


KINDS: dict[tuple[str, str], type[Registry]] = {
    ("", "namespaces"): NamespaceRegistry,
    ("", "services"): ServiceRegistry,
    ("apiextensions.k8s.io", "customresourcedefinitions"): DefinitionRegistry,
    ("certificates.k8s.io", "certificatesigningrequests"): CertificateSigningRequestRegistry,
}
