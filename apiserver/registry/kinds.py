"""Registries of kinds that need more than a strategy: the classes, by storage location."""

from __future__ import annotations

from apimachinery import resources, validation
from apimachinery.errors import FieldError
from apiserver.customresources.definitions import DefinitionRegistry
from apiserver.options import DeleteOptions
from apiserver.registry import certificates, conversion, deletion, namespaces
from apiserver.registry.call import Call
from apiserver.registry.policies import ValidatingAdmissionPolicyRegistry
from apiserver.registry.registry import Registry, Result
from apiserver.registry.services_registry import ServiceRegistry
from apiserver.registry.writing import Object


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


class EventRegistry(Registry):
    """Events are stored as v1 has them; who writes them by the newer API has more to say, and changes less."""

    newer = resources.get("events", "events.k8s.io")

    def check_new(self, call: Call, obj: Object) -> list[FieldError]:
        if call.api_version != self.newer.api_version:
            return super().check_new(call, obj)
        return validation.create(self.newer, conversion.event_from_core(obj))

    def check_changed(self, call: Call, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if call.api_version != self.newer.api_version:
            return super().check_changed(call, new, old, subresource)
        after, before = conversion.event_from_core(new), conversion.event_from_core(old)
        return validation.update(self.newer, after, before)


KINDS: dict[tuple[str, str], type[Registry]] = {
    ("", "events"): EventRegistry,
    ("", "namespaces"): NamespaceRegistry,
    ("", "services"): ServiceRegistry,
    ("apiextensions.k8s.io", "customresourcedefinitions"): DefinitionRegistry,
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): ValidatingAdmissionPolicyRegistry,
    ("certificates.k8s.io", "certificatesigningrequests"): CertificateSigningRequestRegistry,
}
