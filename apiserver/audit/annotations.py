"""Annotations that parts of the server add to the audit events of the request being served."""

from __future__ import annotations

from contextvars import ContextVar

#: The annotations of the request that the present task serves; None where it is not audited.
CURRENT: ContextVar[dict[str, str] | None] = ContextVar("audit_annotations", default=None)


def annotating() -> bool:
    """Whether anybody will see annotations of the request."""
    return CURRENT.get() is not None


def annotate(key: str, value: str) -> None:
    """Annotate the request's events, where there are any. What was said first stays."""
    annotations = CURRENT.get()
    if annotations is not None:
        annotations.setdefault(key, value)
