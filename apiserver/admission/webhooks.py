"""Dynamic admission: MutatingWebhookConfigurations and ValidatingWebhookConfigurations are called here.

Mutating webhooks are called one after the other, by the names of their configurations; validating ones all at once.
Nothing is called where nothing matches, which takes a look at a list.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery import errors, meta, patch, resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver.admission import webhook_review, webhook_rules
from apiserver.admission.plugin import NAMESPACES, Plugin, Step
from apiserver.admission.webhook_rules import EXEMPT, foreign
from apiserver.audit.annotations import annotate, annotating
from apiserver.request import AdmissionRequest, Reader
from apiserver.webhookclient import CallFailed, WebhookClient

logger = logging.getLogger(__name__)

Object = dict[str, Any]
_GROUP = "admissionregistration.k8s.io"
MUTATING = resources.get("mutatingwebhookconfigurations", _GROUP)
VALIDATING = resources.get("validatingwebhookconfigurations", _GROUP)
_DEFAULT_SECONDS = 10

Conditions = Callable[[Sequence[Object], AdmissionRequest, Object], bool]
"""Evaluates matchConditions over a request's attributes. Raises ValueError with what went wrong."""
Versions = Callable[[Resource], Sequence[Resource]]
"""The other versions a resource is served in."""
Convert = Callable[[Object, Resource], Awaitable[Object]]


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration, the resource version a request was matched in, and its place among all."""

    name: str
    spec: Object
    resource: Resource
    configuration: str
    place: int

    def in_round(self, number: int) -> str:
        """How audit annotations name a call; the second round is that of reinvocations."""
        return f"round_{number}_index_{self.place}"


class _Webhooks(Plugin):
    configurations = MUTATING

    def __init__(
        self,
        reader: Reader,
        client: WebhookClient,
        uid: Callable[[], str],
        conditions: Conditions,
        versions: Versions,
        convert: Convert,
    ) -> None:
        self._reader = reader
        self._client = client
        self._uid = uid
        self._conditions = conditions
        self._versions = versions
        self._convert = convert

    def _wanted(self, request: AdmissionRequest) -> list[Hook]:
        """The webhooks that want to see a request, in the order of their configurations' names."""
        resource = request.resource
        if (resource.group, resource.plural) in EXEMPT:
            return []
        found: list[Hook] = []
        place = 0
        for configuration in self._reader.list(self.configurations):
            for spec in configuration.get("webhooks") or ():
                matched = self._matched(spec, request)
                if matched is not None:
                    owner = configuration["metadata"]["name"]
                    found.append(Hook(str(spec.get("name")), spec, matched, owner, place))
                place += 1
        return found

    def _matched(self, spec: Object, request: AdmissionRequest) -> Resource | None:
        resource = self._by_rules(spec, request)
        if resource is None:
            return None
        selector = spec.get("namespaceSelector")
        if selector and not self._in_namespace(selector, request):
            return None
        if not webhook_rules.selects_object(spec.get("objectSelector"), request.object, request.old_object):
            return None
        return resource

    def _by_rules(self, spec: Object, request: AdmissionRequest) -> Resource | None:
        rules = spec.get("rules") or ()
        asked = request.asked or request.resource
        for rule in rules:
            if self._rule(rule, request, asked):
                return asked
        if spec.get("matchPolicy") == "Exact":
            return None
        for other in self._versions(request.resource):
            if other != asked and any(self._rule(rule, request, other) for rule in rules):
                return other
        return None

    @staticmethod
    def _rule(rule: Object, request: AdmissionRequest, resource: Resource) -> bool:
        return webhook_rules.matches_rule(
            rule, request.operation, resource, request.subresource, namespaced=resource.namespaced
        )

    def _in_namespace(self, selector: Object, request: AdmissionRequest) -> bool:
        """By the labels of the object's namespace, or of the namespace that the object is."""
        resource = request.resource
        if resource.plural == "namespaces" and not resource.group:
            return webhook_rules.selects_object(selector, request.object or request.old_object)
        if not resource.namespaced:
            return True
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        labels = (namespace or {}).get("metadata", {}).get("labels")
        return webhook_rules.selects(selector, labels)

    async def _ask(
        self, hook: Hook, request: AdmissionRequest, *, mutating: bool, turn: int = 0
    ) -> webhook_review.Verdict | None:
        """The verdict of a webhook; None where it has no say. Raises StatusError where it fails and may not."""
        spec = hook.spec
        try:
            obj, old = request.object, request.old_object
            if foreign(hook.resource, request):
                obj = await self._convert(copy.deepcopy(obj), hook.resource) if obj is not None else None
                old = await self._convert(copy.deepcopy(old), hook.resource) if old is not None else None
            uid = self._uid()
            review = webhook_review.review(request, uid, hook.resource, obj, old)
            if spec.get("matchConditions") and not self._conditions(
                spec["matchConditions"], request, review["request"]
            ):
                return None
            seconds = float(spec.get("timeoutSeconds") or _DEFAULT_SECONDS)
            answer = await self._client.post(spec.get("clientConfig") or {}, review, seconds)
            verdict = webhook_review.verdict(answer, uid, mutating=mutating)
        except (CallFailed, webhook_review.BadAnswer, ValueError) as error:
            if spec.get("failurePolicy") == "Ignore":
                logger.warning('failed calling webhook "%s", failing open: %s', hook.name, error)
                kind = "mutating" if mutating else "validating"
                annotate(f"failed-open.{kind}.webhook.admission.k8s.io/{hook.in_round(turn)}", hook.name)
                return None
            what = "failed to call webhook: " if isinstance(error, CallFailed) else ""
            raise errors.internal(f'failed calling webhook "{hook.name}": {what}{error}') from None
        request.warnings.extend(verdict.warnings)
        for key, value in verdict.annotations.items():
            annotate(f"{hook.name}/{key}", value)
        if not verdict.allowed:
            raise webhook_review.denied(hook.name, verdict.result)
        return verdict


class ValidatingAdmissionWebhook(_Webhooks):
    name = "ValidatingAdmissionWebhook"
    configurations = VALIDATING

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._check

    def _check(self, request: AdmissionRequest) -> Awaitable[None] | None:
        hooks = self._wanted(request)
        return self._check_all(hooks, request) if hooks else None

    async def _check_all(self, hooks: list[Hook], request: AdmissionRequest) -> None:
        answers = await asyncio.gather(
            *(self._ask(hook, request, mutating=False) for hook in hooks), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer


class MutatingAdmissionWebhook(_Webhooks):
    """Deletions and connections have nothing to change, but may be refused."""

    name = "MutatingAdmissionWebhook"

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._change

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._change if operation in ("DELETE", "CONNECT") else None

    def _change(self, request: AdmissionRequest) -> Awaitable[None] | None:
        hooks = self._wanted(request)
        return self._change_all(hooks, request) if hooks else None

    async def _change_all(self, hooks: list[Hook], request: AdmissionRequest) -> None:
        """Once through all, then again through those that want to see what later ones changed."""
        seen: dict[int, Object] = {}
        last = -1
        for index, hook in enumerate(hooks):
            if await self._change_by(hook, request, 0):
                last = index
            seen[index] = copy.deepcopy(request.object or {})
        for index, hook in enumerate(hooks):
            again = hook.spec.get("reinvocationPolicy") == "IfNeeded"
            if again and index < last and seen[index] != request.object and self._matched(hook.spec, request):
                await self._change_by(hook, request, 1)

    async def _change_by(self, hook: Hook, request: AdmissionRequest, turn: int) -> bool:
        """Call one webhook and apply its patch; says whether that changed anything."""
        verdict = await self._ask(hook, request, mutating=True, turn=turn)
        if verdict is None:
            return False
        changed = bool(verdict.patch) and await self._patched(hook, request, verdict.patch or [])
        if annotating():
            said = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
            annotate(f"mutation.webhook.admission.k8s.io/{hook.in_round(turn)}", orjson.dumps(said).decode())
        return changed

    async def _patched(self, hook: Hook, request: AdmissionRequest, operations: list[Any]) -> bool:
        obj = request.object
        if obj is None:
            return False
        before = copy.deepcopy(obj)
        try:
            if not foreign(hook.resource, request):
                after = patch.json_patch(obj, operations)
            else:
                there = await self._convert(copy.deepcopy(obj), hook.resource)
                after = await self._convert(patch.json_patch(there, operations), request.resource)
        except StatusError as error:
            raise errors.internal(error.message) from None
        if not isinstance(after, dict) or not isinstance(after.get("metadata"), dict):
            raise errors.internal(f'webhook "{hook.name}" left no object')
        if meta.name(after) != meta.name(before) and meta.name(before):
            after["metadata"]["name"] = meta.name(before)
        obj.clear()
        obj.update(after)
        if obj == before:
            return False
        request.mutated = True
        return True
