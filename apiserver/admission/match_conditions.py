"""matchConditions of webhooks and policies: CEL over the request and its objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.cel.expressions import CONDITIONS
from apiserver.admission import cel_authorizer
from apiserver.authz import Authorizer
from apiserver.request import AdmissionRequest

Object = dict[str, Any]


def variables(request: AdmissionRequest, attributes: Object) -> Object:
    """What every expression of admission may look at. `attributes` are those of the AdmissionReview."""
    about = {key: value for key, value in attributes.items() if key not in ("object", "oldObject")}
    for key, empty in (("namespace", ""), ("subResource", ""), ("requestSubResource", "")):
        about.setdefault(key, empty)
    return {
        "object": attributes.get("object", request.object),
        "oldObject": attributes.get("oldObject", request.old_object),
        "request": about,
        "authorizer": cel_authorizer.variable(request),
    }


class MatchConditions:
    """Calling it says whether all conditions of a webhook or policy are true for a request."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def __call__(
        self,
        conditions: Sequence[Object],
        request: AdmissionRequest,
        attributes: Object,
        more: Object | None = None,
    ) -> bool:
        """One condition that is false decides, whatever others fail. Raises ValueError where one fails.

        `more`: what conditions of a policy may look at besides.
        """
        from apimachinery.cel.program import compile_expression

        seen = {**variables(request, attributes), **(more or {})}
        known = frozenset((*CONDITIONS, *(more or {})))
        functions = cel_authorizer.functions(self._authorizer, request.user)
        failures: list[str] = []
        for condition in conditions:
            try:
                program = compile_expression(str(condition["expression"]).strip(), known)
                if program.evaluate(seen, functions) is not True:
                    return False
            except ValueError as error:
                failures.append(f"expression '{condition.get('expression')}' resulted in error: {error}")
        if failures:
            raise ValueError(", ".join(failures))
        return True
