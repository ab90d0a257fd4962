"""matchConditions of webhooks and policies: CEL over the request and its objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apiserver.request import AdmissionRequest

Object = dict[str, Any]


def hold(conditions: Sequence[Object], request: AdmissionRequest, attributes: Object) -> bool:
    """Whether all conditions are true. One that is false decides, whatever fails; raises ValueError where one fails."""
    return True
