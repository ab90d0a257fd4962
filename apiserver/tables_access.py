"""Tables of access and admission: RBAC bindings, certificates, webhooks, policies, API services, flow control."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apiserver.tables_format import (
    NONE,
    Printer,
    condition,
    created,
    human_duration,
    is_true,
    name,
    printer,
)

Object = dict[str, Any]


def _binding(obj: Object, now: datetime) -> list[Any]:
    role = obj.get("roleRef") or {}
    subjects = obj.get("subjects") or ()

    def of(kind: str) -> str:
        found = (s for s in subjects if s.get("kind") == kind)
        if kind == "ServiceAccount":
            return ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in found)
        return ", ".join(s.get("name", "") for s in found)

    return [
        name(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        created(obj, now),
        of("User"),
        of("Group"),
        of("ServiceAccount"),
    ]


def _signing_request(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    seconds = spec.get("expirationSeconds")
    words = [
        word
        for kind, word in (("Approved", "Approved"), ("Denied", "Denied"), ("Failed", "Failed"))
        if condition(obj, kind) is not None
    ]
    if status.get("certificate"):
        words.append("Issued")
    return [
        name(obj),
        created(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if seconds is None else human_duration(seconds),
        ",".join(words) or "Pending",
    ]


def _webhooks(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("webhooks") or ()), created(obj, now)]


def _parameter_kind(spec: Object) -> str:
    kind = spec.get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"


def _validating_policy(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [name(obj), len(spec.get("validations") or ()), _parameter_kind(spec), created(obj, now)]


def _mutating_policy(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [name(obj), len(spec.get("mutations") or ()), _parameter_kind(spec), created(obj, now)]


def _policy_binding(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    reference = spec.get("paramRef")
    shown = "<unset>"
    if reference:
        found = reference.get("name") or ("*" if reference.get("selector") is not None else "")
        space = reference.get("namespace")
        shown = f"{space}/{found}" if space else found
    return [name(obj), spec.get("policyName", ""), shown, created(obj, now)]


def _api_service(obj: Object, now: datetime) -> list[Any]:
    service = (obj.get("spec") or {}).get("service")
    available = condition(obj, "Available")
    words = "Unknown"
    if available is not None:
        words = available.get("status", "Unknown")
        if not is_true(available) and available.get("reason"):
            words += f" ({available['reason']})"
    shown = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [name(obj), shown, words, created(obj, now)]


def _flow_schema(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    dangling = condition(obj, "Dangling")
    return [
        name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name") or NONE,
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        created(obj, now),
        "?" if dangling is None else str(dangling.get("status", "?")),
    ]


def _priority_level(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    limited = spec.get("limited") or spec.get("exempt") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    shown = [queuing.get(key, NONE) for key in ("queues", "handSize", "queueLengthLimit")]
    shares = limited.get("nominalConcurrencyShares", NONE)
    return [name(obj), spec.get("type", ""), shares, *shown, created(obj, now)]


def _trust_bundle(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), (obj.get("spec") or {}).get("signerName") or "<none>"]


_RBAC, _ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_BINDING = printer("Name|Role|Age|+Users|+Groups|+ServiceAccounts", _binding)
_WEBHOOKS = printer("Name|Webhooks#|Age", _webhooks)
_POLICY_BINDING = printer("Name|PolicyName|ParamRef|Age", _policy_binding)
PRINTERS: dict[tuple[str, str], Printer] = {
    (_RBAC, "rolebindings"): _BINDING,
    (_RBAC, "clusterrolebindings"): _BINDING,
    ("certificates.k8s.io", "certificatesigningrequests"): printer(
        "Name|Age|SignerName|Requestor|RequestedDuration|Condition", _signing_request
    ),
    ("certificates.k8s.io", "clustertrustbundles"): printer("Name|SignerName", _trust_bundle),
    (_ADMISSION, "mutatingwebhookconfigurations"): _WEBHOOKS,
    (_ADMISSION, "validatingwebhookconfigurations"): _WEBHOOKS,
    (_ADMISSION, "validatingadmissionpolicies"): printer(
        "Name|Validations#|ParamKind|Age", _validating_policy
    ),
    (_ADMISSION, "mutatingadmissionpolicies"): printer("Name|Mutations#|ParamKind|Age", _mutating_policy),
    (_ADMISSION, "validatingadmissionpolicybindings"): _POLICY_BINDING,
    (_ADMISSION, "mutatingadmissionpolicybindings"): _POLICY_BINDING,
    ("apiregistration.k8s.io", "apiservices"): printer("Name|Service|Available|Age", _api_service),
    (_FLOW, "flowschemas"): printer(
        "Name|PriorityLevel|MatchingPrecedence#|DistinguisherMethod|Age|MissingPL", _flow_schema
    ),
    (_FLOW, "prioritylevelconfigurations"): printer(
        "Name|Type|NominalConcurrencyShares#|Queues#|HandSize#|QueueLengthLimit#|Age", _priority_level
    ),
}
