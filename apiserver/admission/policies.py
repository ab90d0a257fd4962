"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy (KEP-3488, KEP-3962): admission by CEL, without webhooks."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import apply_merge, patch, resources, schema
from apimachinery.cel.expressions import of_policy
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver.admission import cel_authorizer, match_conditions, policy_audit, webhook_review, webhook_rules
from apiserver.admission.plugin import NAMESPACES, Plugin, Step, forbid
from apiserver.admission.policy_params import ParamMissing, params_of
from apiserver.admission.webhook_rules import EXEMPT, foreign
from apiserver.authz import Authorizer
from apiserver.registry.registries import Registries
from apiserver.request import AdmissionRequest

Object = dict[str, Any]
Conditions = Callable[[Sequence[Object], AdmissionRequest, Object, Object], bool]

_GROUP = "admissionregistration.k8s.io"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Bound:
    """A policy and a binding that a request concerns, and the version they want to see it in."""

    policy: Object
    binding: Object
    resource: Resource


@dataclass(slots=True)
class Seen:
    """A request's objects in one version."""

    obj: Object | None
    old: Object | None


@dataclass(frozen=True, slots=True)
class Use:
    """A policy as a binding uses it, with one of its params."""

    policy: Object
    binding: Object
    params: Object | None

    @property
    def names(self) -> tuple[str, str]:
        return self.policy["metadata"]["name"], self.binding["metadata"]["name"]


class Evaluation:
    """Evaluates a policy's expressions for a request. Raises ValueError where one fails."""

    def __init__(
        self, use: Use, request: AdmissionRequest, seen: Object, functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self._spec = use.policy["spec"]
        self._known = of_policy(self._spec)
        self._functions = functions
        self._seen = dict(seen)
        if use.params is not None or self._spec.get("paramKind") is not None:
            self._seen["params"] = use.params
        self._seen["variables"] = {}
        for variable in self._spec.get("variables") or ():
            self._seen["variables"][variable["name"]] = self(variable["expression"])

    def __call__(self, expression: str) -> Any:
        from apimachinery.cel.program import compile_expression

        try:
            program = compile_expression(expression.strip(), self._known)
            return program.evaluate(self._seen, self._functions)
        except ValueError as error:
            raise ValueError(f"expression '{expression.strip()}' resulted in error: {error}") from None


class _Policies(Plugin):
    policies: Resource
    bindings: Resource

    def __init__(self, registries: Registries, authorizer: Authorizer, conditions: Conditions) -> None:
        self._registries = registries
        self._authorizer = authorizer
        self._conditions = conditions

    def _bound(self, request: AdmissionRequest) -> list[Bound]:
        """The policies and bindings that a request concerns."""
        resource = request.resource
        if (resource.group, resource.plural) in EXEMPT:
            return []
        found: list[Bound] = []
        policies: dict[str, Object] | None = None
        for binding in self._registries.list(self.bindings):
            if policies is None:
                policies = {
                    policy["metadata"]["name"]: policy for policy in self._registries.list(self.policies)
                }
            policy = policies.get(binding["spec"].get("policyName"))
            if policy is None:
                continue
            seen = self._matches(policy["spec"].get("matchConstraints"), request)
            if seen is not None and self._matches(binding["spec"].get("matchResources"), request) is not None:
                found.append(Bound(policy, binding, seen))
        return found

    def _matches(self, match: Object | None, request: AdmissionRequest) -> Resource | None:
        """The version in which MatchResources take a request, or None; without rules they take every resource."""
        found: Resource | None = request.asked or request.resource
        if match is None:
            return found
        rules = match.get("resourceRules")
        if rules:
            found = next((seen for rule in rules if (seen := self._rule(rule, request, match))), None)
        if found is None or any(
            self._rule(rule, request, match) for rule in match.get("excludeResourceRules") or ()
        ):
            return None
        return found if self._selects(match, request) else None

    def _selects(self, match: Object, request: AdmissionRequest) -> bool:
        selector = match.get("namespaceSelector")
        resource = request.resource
        if selector:
            if resource.plural == "namespaces" and not resource.group:
                if not webhook_rules.selects_object(selector, request.object or request.old_object):
                    return False
            elif resource.namespaced:
                labels = (self._namespace(request) or {}).get("metadata", {}).get("labels")
                if not webhook_rules.selects(selector, labels):
                    return False
        return webhook_rules.selects_object(match.get("objectSelector"), request.object, request.old_object)

    def _rule(self, rule: Object, request: AdmissionRequest, match: Object) -> Resource | None:
        named = rule.get("resourceNames")
        if named and request.name not in named:
            return None
        versions = [request.asked or request.resource]
        if match.get("matchPolicy") != "Exact":
            versions += self._registries.versions(request.resource)
        for version in versions:
            if webhook_rules.matches_rule(
                rule, request.operation, version, request.subresource, namespaced=version.namespaced
            ):
                return version
        return None

    async def _converted(self, bound: Bound, request: AdmissionRequest) -> Seen:
        """The objects in the version a policy wants to see. Raises StatusError."""
        obj, old = request.object, request.old_object
        if not foreign(bound.resource, request):
            return Seen(obj, old)
        convert = self._registries.convert
        return Seen(
            await convert(copy.deepcopy(obj), bound.resource) if obj is not None else None,
            await convert(copy.deepcopy(old), bound.resource) if old is not None else None,
        )

    def _namespace(self, request: AdmissionRequest) -> Object | None:
        if not request.namespace:
            return None
        return self._registries.get(NAMESPACES, "", request.namespace)

    def _evaluations(
        self, bound: Bound, request: AdmissionRequest, objects: Seen
    ) -> Iterator[tuple[Use, Evaluation | ValueError]]:
        """What there is to evaluate, one after the other: a policy with each of its params."""
        policy, binding = bound.policy, bound.binding
        attributes = webhook_review.attributes(request, bound.resource)
        attributes |= {"object": objects.obj, "oldObject": objects.old}
        functions = cel_authorizer.functions(self._authorizer, request.user)
        conditions = policy["spec"].get("matchConditions")
        try:
            for params in params_of(self._registries, policy, binding, request.namespace):
                use = Use(policy, binding, params)
                more: Object = {"namespaceObject": self._namespace(request)}
                if params is not None or policy["spec"].get("paramKind") is not None:
                    more["params"] = params
                try:
                    if conditions and not self._conditions(conditions, request, attributes, more):
                        continue
                    seen = {**match_conditions.variables(request, attributes), **more}
                    yield use, Evaluation(use, request, seen, functions)
                except ValueError as error:
                    yield use, error
        except ParamMissing as error:
            yield Use(policy, binding, None), ValueError(str(error))

    @staticmethod
    def _tolerates(use: Use) -> bool:
        return bool(use.policy["spec"].get("failurePolicy") == "Ignore")


class ValidatingAdmissionPolicy(_Policies):
    name = "ValidatingAdmissionPolicy"
    policies = resources.get("validatingadmissionpolicies", _GROUP)
    bindings = resources.get("validatingadmissionpolicybindings", _GROUP)

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._check

    def _check(self, request: AdmissionRequest) -> Awaitable[None] | None:
        found = self._bound(request)
        if any(foreign(bound.resource, request) for bound in found):
            return self._check_converted(found, request)
        for bound in found:
            self._check_one(bound, request, Seen(request.object, request.old_object))
        return None

    async def _check_converted(self, found: list[Bound], request: AdmissionRequest) -> None:
        for bound in found:
            self._check_one(bound, request, await self._converted(bound, request))

    def _check_one(self, bound: Bound, request: AdmissionRequest, objects: Seen) -> None:
        for use, evaluation in self._evaluations(bound, request, objects):
            if isinstance(evaluation, ValueError):
                if not self._tolerates(use):
                    self._act(use, request, str(evaluation), "")
                continue
            try:
                policy_audit.annotate(use.policy, evaluation)
            except ValueError as error:
                if not self._tolerates(use):
                    self._act(use, request, str(error), "")
            for index, validation in enumerate(use.policy["spec"].get("validations") or ()):
                self._validate(use, evaluation, validation, index, request)

    def _validate(
        self, use: Use, evaluation: Evaluation, validation: Object, index: int, request: AdmissionRequest
    ) -> None:
        try:
            if evaluation(validation["expression"]) is True:
                return
            message = _message(evaluation, validation)
        except ValueError as error:
            if self._tolerates(use):
                return
            message = str(error)
        self._act(use, request, message, validation.get("reason") or "", index)

    def _act(self, use: Use, request: AdmissionRequest, message: str, reason: str, index: int = 0) -> None:
        """Refuse, warn or audit, as the binding says."""
        policy, binding = use.names
        actions = use.binding["spec"].get("validationActions") or ()
        if "Warn" in actions:
            request.warnings.append(
                f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {message}"
            )
        if "Audit" in actions:
            policy_audit.failed(policy, binding, message, index, actions)
        if "Deny" in actions:
            text = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}"
            raise _refusal(request, text, reason or "Invalid")


def _message(evaluation: Evaluation, validation: Object) -> str:
    if validation.get("messageExpression"):
        try:
            found = evaluation(validation["messageExpression"])
        except ValueError:
            found = None
        if isinstance(found, str) and found.strip() and "\n" not in found:
            return found.strip()
    return (
        str(validation.get("message") or "").strip()
        or f"failed expression: {validation['expression'].strip()}"
    )


def _refusal(request: AdmissionRequest, message: str, reason: str) -> StatusError:
    error = forbid(request, message)
    error.reason = reason
    error.code = _CODES.get(reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error


class MutatingAdmissionPolicy(_Policies):
    name = "MutatingAdmissionPolicy"
    policies = resources.get("mutatingadmissionpolicies", _GROUP)
    bindings = resources.get("mutatingadmissionpolicybindings", _GROUP)

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._change if operation in ("CREATE", "UPDATE") else None

    def _change(self, request: AdmissionRequest) -> Awaitable[None] | None:
        found = self._bound(request)
        return self._change_all(found, request) if found and request.object is not None else None

    async def _change_all(self, found: list[Bound], request: AdmissionRequest) -> None:
        before = copy.deepcopy(request.object)
        for bound in found:
            await self._run(bound, request)
        if request.object == before:
            return
        request.mutated = True
        for bound in found:
            if bound.policy["spec"].get("reinvocationPolicy") == "IfNeeded":
                await self._run(bound, request)

    async def _run(self, bound: Bound, request: AdmissionRequest) -> None:
        objects = await self._converted(bound, request)
        shown, obj = objects.obj, request.object
        assert shown is not None
        assert obj is not None
        before = None if shown is obj else copy.deepcopy(shown)
        self._apply(bound, request, objects)
        if before is not None and shown != before:
            after = await self._registries.convert(shown, request.resource)
            obj.clear()
            obj.update(after)

    def _apply(self, bound: Bound, request: AdmissionRequest, objects: Seen) -> None:
        """The mutations of a policy, with each of its params, to the objects shown; in place."""
        for use, evaluation in self._evaluations(bound, request, objects):
            try:
                if isinstance(evaluation, ValueError):
                    raise evaluation
                self._mutate(use, evaluation, bound, objects.obj or {})
            except (ValueError, StatusError) as error:
                if not self._tolerates(use):
                    policy, binding = use.names
                    text = f"policy '{policy}' with binding '{binding}' denied request: {error}"
                    raise _refusal(request, text, "Invalid") from None

    def _mutate(self, use: Use, evaluation: Evaluation, bound: Bound, obj: Object) -> None:
        for mutation in use.policy["spec"].get("mutations") or ():
            if mutation.get("patchType") == "JSONPatch":
                operations = evaluation(mutation["jsonPatch"]["expression"])
                changed = patch.json_patch(obj, operations)
            else:
                applied = evaluation(mutation["applyConfiguration"]["expression"])
                if not isinstance(applied, dict):
                    raise ValueError("the expression must evaluate to an object")
                stated = {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), **applied}
                changed = apply_merge.merge(obj, stated, self._schema(bound.resource))
            if changed is not obj:  # which it is where nothing was to be done
                obj.clear()
                obj.update(changed)

    def _schema(self, resource: Resource) -> schema.Schema:
        view = self._registries.view(resource.group, resource.version, resource.plural)
        return view.schema if view is not None else schema.for_resource(resource)
