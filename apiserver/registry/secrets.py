"""Secrets: stringData is written in plain text and kept in data. Pure."""

from __future__ import annotations

import base64
from typing import Any

Object = dict[str, Any]


def prepare_create(new: Object) -> None:
    """Move stringData into data, base64-encoded; it wins over data."""
    texts = new.pop("stringData", None)
    if texts:
        data = dict(new.get("data") or {})
        data.update({key: base64.b64encode(text.encode()).decode() for key, text in texts.items()})
        new["data"] = data


def prepare_update(new: Object, old: Object) -> None:
    """As on creation; an update that leaves the type out keeps it."""
    prepare_create(new)
    if not new.get("type"):
        new["type"] = old.get("type", "Opaque")
