"""What a client makes of an answer that is not what it asked for: an error, or a reason to ask again. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.errors import StatusError
from kubeclient.backoff import Backoff
from kubeclient.http import Response


def patience(response: Response, idempotent: bool, backoff: Backoff) -> float | None:
    """Seconds to wait before a refused request is sent again; None: the answer stands.

    Retry-After on 429 and 5xx says that nothing was done, whatever the method. 502 and 503 without it come from a
    server on its way up or down.
    """
    retry_after = response.headers.get("retry-after", "")
    if retry_after.isdigit() and (response.status == 429 or response.status >= 500):
        return max(float(retry_after), backoff.next())
    if idempotent and response.status in (502, 503):
        return backoff.next()
    return None


def error_of(code: int, headers: dict[str, str], body: bytes) -> StatusError:
    """The error an answer of 400 or more tells of, also where its body is not a Status."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        error = status_error(status, code)
        error.headers = headers
        return error
    text = body.decode("utf-8", "replace").strip()
    message = text or "the server answered without a message"
    return StatusError(code, "Unknown", message, headers=headers)


def status_error(status: dict[str, Any], code: int) -> StatusError:
    """The error that a Status object tells of."""
    return StatusError(
        status.get("code") or code,
        status.get("reason") or "Unknown",
        status.get("message") or "",
        status.get("details"),
    )
