"""Nobody grants with a role or a binding what he may not do himself (verbs `escalate` and `bind` excepted)."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.resources import Resource
from apiserver import rbac
from apiserver.admission.plugin import Object, Plugin, Step, forbid
from apiserver.authz import SUPERUSERS, Authorizer
from apiserver.rbac import ALL, Rule
from apiserver.request import AdmissionRequest, Attributes

_EVERYTHING = (
    Rule(frozenset((ALL,)), frozenset((ALL,)), frozenset((ALL,))),
    Rule(frozenset((ALL,)), paths=frozenset((ALL,))),
)


class PrivilegeEscalation(Plugin):
    """What Kubernetes's RBAC storage checks."""

    name = "PrivilegeEscalation"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if resource.group != rbac.GROUP or operation not in ("CREATE", "UPDATE"):
            return None
        return self._binding if resource.kind.endswith("Binding") else self._role

    def _authorized(self, request: AdmissionRequest, verb: str, resource: str, name: str) -> bool:
        attributes = Attributes(
            request.user, verb, rbac.GROUP, "v1", resource, namespace=request.namespace, name=name
        )
        return self._authorizer.authorize(attributes) is None

    def _role(self, request: AdmissionRequest) -> None:
        new, old = request.object or {}, request.old_object
        if SUPERUSERS in request.user.groups or (old is not None and _same_rights(new, old)):
            return
        name = request.name or new["metadata"].get("name", "")
        if self._authorized(request, "escalate", request.resource.plural, name):
            return
        if new.get("aggregationRule") and rbac.covers(self._own(request), _EVERYTHING):
            raise forbid(request, "must have cluster-admin privileges to use the aggregationRule")
        self._confirm(request, rbac.rules_of(new))

    def _binding(self, request: AdmissionRequest) -> None:
        new, old = request.object or {}, request.old_object
        if SUPERUSERS in request.user.groups:
            return
        if old is not None and all(new.get(key) == old.get(key) for key in ("roleRef", "subjects")):
            return
        reference = new.get("roleRef") or {}
        resource = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        if self._authorized(request, "bind", resource, reference.get("name", "")):
            return
        rules = self._authorizer.index.rules_of_ref(request.namespace, reference)
        if rules is None:
            raise errors.not_found(resource[:-1], reference.get("name", ""), rbac.GROUP)
        self._confirm(request, rules)

    def _own(self, request: AdmissionRequest) -> list[Rule]:
        return list(self._authorizer.index.rules(request.user, request.namespace))

    def _confirm(self, request: AdmissionRequest, rules: tuple[Rule, ...]) -> None:
        missing = rbac.covers(self._own(request), rules)
        if missing:
            groups = " ".join(f'"{group}"' for group in request.user.groups)
            raise forbid(
                request,
                f'user "{request.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not '
                f"currently held:\n{rbac.compact(missing)}",
            )


def _same_rights(new: Object, old: Object) -> bool:
    return all((new.get(key) or None) == (old.get(key) or None) for key in ("rules", "aggregationRule"))
