"""API errors: `StatusError`, which becomes a `Status` object on the wire, and `FieldError`, one wrong field.

The wording is Kubernetes's, since clients and people parse it (apimachinery's api/errors and util/validation/field).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field. `reason` is a cause reason such as FieldValueRequired; str() is `field: message`."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def _shown(value: Any) -> str:
    """A value as Kubernetes quotes it: strings quoted, numbers bare, the rest as JSON."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {detail}")


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, "FieldValueTypeInvalid", f"Invalid value: {_shown(value)}: {detail}")


def not_supported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    listed = ", ".join(_shown(s) for s in sorted(supported))
    message = f"Unsupported value: {_shown(value)}" + (f": supported values: {listed}" if listed else "")
    return FieldError(field, "FieldValueNotSupported", message)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def not_found_value(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueNotFound", f"Not found: {_shown(value)}")


def too_long(field: str, max_length: int) -> FieldError:
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {max_length} bytes")


def too_many(field: str, actual: int, maximum: int) -> FieldError:
    items = "item" if maximum == 1 else "items"
    return FieldError(field, "FieldValueTooMany", f"Too many: {actual}: must have at most {maximum} {items}")


class StatusError(Exception):
    """An API error: HTTP `code`, machine `reason`, human `message`, and optional StatusDetails."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def to_status(self) -> dict[str, Any]:
        """The `Status` object (meta/v1) that answers the request."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            status["details"] = self.details
        status["code"] = self.code
        return status


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _details(resource: str, group: str, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    return details


def not_found(resource: str, name: str, group: str = "") -> StatusError:
    """`resource` is the plural, as everywhere below but in `invalid`."""
    return StatusError(
        404, "NotFound", f'{_qualified(resource, group)} "{name}" not found', _details(resource, group, name)
    )


def path_not_found() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: str, name: str, group: str = "") -> StatusError:
    message = f'{_qualified(resource, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _details(resource, group, name))


def conflict(resource: str, name: str, why: str, group: str = "") -> StatusError:
    message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(resource, group, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def apply_conflict(causes: Sequence[dict[str, str]], message: str) -> StatusError:
    """A server-side apply conflict; `causes` are StatusCauses with reason FieldManagerConflict."""
    return StatusError(409, "Conflict", message, {"causes": list(causes)})


def invalid(kind: str, name: str, errors: Sequence[FieldError], group: str = "") -> StatusError:
    """422 with one cause a field. `kind` is the Kind, not the plural."""
    seen: dict[str, None] = dict.fromkeys(str(e) for e in errors)
    text = next(iter(seen)) if len(seen) == 1 else "[" + ", ".join(seen) + "]"
    details = _details(kind, group, name)
    details["causes"] = [{"reason": e.reason, "message": e.message, "field": e.field} for e in errors]
    return StatusError(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: str, name: str, why: str, group: str = "") -> StatusError:
    """`why` is for instance `User "x" cannot list resource "pods" in API group "" in the namespace "y"`."""
    if not resource:
        return StatusError(403, "Forbidden", f"forbidden: {why}", {})
    subject = f'{_qualified(resource, group)} "{name}"' if name else _qualified(resource, group)
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(resource, group, name))


def method_not_supported(resource: str, verb: str, group: str = "") -> StatusError:
    message = f'{verb} is not supported on resources of kind "{_qualified(resource, group)}"'
    return StatusError(405, "MethodNotAllowed", message, _details(resource, group, ""))


def not_acceptable(message: str) -> StatusError:
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(message: str) -> StatusError:
    return StatusError(415, "UnsupportedMediaType", message)


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def too_large(message: str) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", message)


def too_many_requests(
    message: str, retry_after: int = 1, causes: Sequence[dict[str, str]] = ()
) -> StatusError:
    details: dict[str, Any] = {"retryAfterSeconds": retry_after} if retry_after else {}
    if causes:
        details["causes"] = list(causes)
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return StatusError(429, "TooManyRequests", message, details, headers)


def internal(message: str) -> StatusError:
    return StatusError(
        500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]}
    )


def timeout(message: str, retry_after: int = 0) -> StatusError:
    details = {"retryAfterSeconds": retry_after} if retry_after else None
    return StatusError(504, "Timeout", f"Timeout: {message}", details)


def service_unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)
