"""AdmissionReview: what webhooks are asked and what their answers mean. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver.request import AdmissionRequest

Object = dict[str, Any]

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_CONNECT_KINDS = {
    "attach": "PodAttachOptions",
    "exec": "PodExecOptions",
    "portforward": "PodPortForwardOptions",
}


class BadAnswer(Exception):
    """An answer that is not to be understood; str() says why."""


def kind_of(request: AdmissionRequest, resource: Resource) -> Object:
    """The kind of the request's object: a subresource's own where it has one."""
    sub = resource.subresource(request.subresource) if request.subresource else None
    kind, api_version = resource.kind, resource.api_version
    if sub is not None and sub.kind:
        kind, api_version = sub.kind, sub.api_version
    if request.operation == "CONNECT":
        api_version = "v1"
        kind = _CONNECT_KINDS.get(request.subresource) or f"{resource.kind}ProxyOptions"
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version, "kind": kind}


def attributes(request: AdmissionRequest, resource: Resource | None = None) -> Object:
    """The AdmissionRequest without objects, as policies and match conditions see it. `resource`: as matched."""
    asked = request.asked or request.resource
    shown = resource or asked
    described: Object = {
        "kind": kind_of(request, shown),
        "resource": {"group": shown.group, "version": shown.version, "resource": shown.plural},
        "requestKind": kind_of(request, asked),
        "requestResource": {"group": asked.group, "version": asked.version, "resource": asked.plural},
        "name": request.name or _named(request),
        "operation": request.operation,
        "userInfo": request.user.info(),
        "dryRun": request.dry_run,
        "options": _options(request),
    }
    if request.namespace:
        described["namespace"] = request.namespace
    if request.subresource:
        described["subResource"] = described["requestSubResource"] = request.subresource
    return described


def _named(request: AdmissionRequest) -> str:
    return str(((request.object or {}).get("metadata") or {}).get("name") or "")


def _options(request: AdmissionRequest) -> Object | None:
    kind = _OPTIONS.get(request.operation)
    if kind is None:
        return None
    options: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if request.operation == "DELETE":
        options |= {k: v for k, v in request.options.items() if k not in ("kind", "apiVersion")}
    if request.dry_run:
        options["dryRun"] = ["All"]
    return options


def review(
    request: AdmissionRequest, uid: str, resource: Resource, obj: Object | None, old: Object | None
) -> Object:
    """The AdmissionReview to send, with the objects in the version of `resource`."""
    asked = {"uid": uid, **attributes(request, resource), "object": obj, "oldObject": old}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": asked}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`result` is the Status of a refusal; `patch` the operations of a JSON patch."""

    allowed: bool
    result: Object
    patch: list[Any] | None
    warnings: tuple[str, ...]
    annotations: dict[str, str]


def verdict(answer: Object, uid: str, *, mutating: bool) -> Verdict:
    """What a webhook answered. Raises BadAnswer."""
    version, kind = answer.get("apiVersion"), answer.get("kind")
    if kind != "AdmissionReview" or version not in ("admission.k8s.io/v1", "admission.k8s.io/v1beta1"):
        group, _, short = str(version or "").rpartition("/")
        raise BadAnswer(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got "
            f"{group}/{short}, Kind={kind or ''}"
        )
    response = answer.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if response.get("uid") != uid and version == "admission.k8s.io/v1":
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    patch = _patch(response) if mutating else None
    warnings = tuple(str(text) for text in response.get("warnings") or ())
    annotations = {str(k): str(v) for k, v in (response.get("auditAnnotations") or {}).items()}
    return Verdict(bool(response.get("allowed")), response.get("status") or {}, patch, warnings, annotations)


def _patch(response: Object) -> list[Any] | None:
    given = response.get("patch")
    if not given:
        if response.get("patchType"):
            raise BadAnswer("webhook response.patch not provided")
        return None
    kind = response.get("patchType")
    if kind is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if kind != "JSONPatch":
        raise BadAnswer(f'invalid response.patchType "{kind}", must be "JSONPatch"')
    try:
        operations = orjson.loads(base64.b64decode(given))
    except (ValueError, TypeError, binascii.Error) as error:
        raise BadAnswer(f"webhook response.patch is not a JSON patch: {error}") from None
    if not isinstance(operations, list):
        raise BadAnswer("webhook response.patch is not a JSON patch")
    return operations


def denied(name: str, result: Object) -> StatusError:
    """The refusal of a webhook as the client sees it."""
    start = f'admission webhook "{name}" denied the request'
    code = int(result.get("code") or 0)
    reason = str(result.get("reason") or "")
    if result.get("message"):
        message = f"{start}: {result['message']}"
    else:
        message = f"{start}: {reason}" if reason else f"{start} without explanation"
    return StatusError(code if code >= 400 else 400, reason, message, result.get("details"))
