"""What ValidatingAdmissionPolicies say in the audit events of a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from apiserver.audit.annotations import CURRENT

Object = dict[str, Any]

FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_LONGEST = 10 << 10


def failed(policy: str, binding: str, message: str, index: int, actions: Sequence[str]) -> None:
    """A validation that has failed, where the binding's action is Audit: one more in the list of the request's."""
    annotations = CURRENT.get()
    if annotations is None:
        return
    failures = orjson.loads(annotations.get(FAILURE, "[]"))
    failures.append(
        {
            "message": message,
            "policy": policy,
            "binding": binding,
            "expressionIndex": index,
            "validationActions": list(actions),
        }
    )
    annotations[FAILURE] = orjson.dumps(failures).decode()


def annotate(policy: Object, evaluate: Callable[[str], Any]) -> None:
    """The annotations of a policy. They are evaluated whether anybody audits or not, as one that fails may refuse.

    Raises ValueError where one fails.
    """
    annotations = CURRENT.get()
    for given in policy["spec"].get("auditAnnotations") or ():
        value = evaluate(given["valueExpression"])
        if value is None:
            continue
        if not isinstance(value, str):
            raise ValueError(
                f"valueExpression '{given['valueExpression'].strip()}' resulted in unsupported return type: "
                f"{type(value).__name__}. Return type must be either string or null."
            )
        text = value.strip()[:_LONGEST]
        if annotations is None or not text:
            continue
        key = f"{policy['metadata']['name']}/{given['key']}"
        # A policy with several params may say several things.
        said = annotations.get(key)
        if said is None:
            annotations[key] = text
        elif text not in said.split(", "):
            annotations[key] = f"{said}, {text}"
