"""Selectors of a list or watch as one predicate over an entry's labels and selectable fields. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery import errors, selectors
from apimachinery.resources import Resource
from apiserver import selectable
from apiserver.fanout import Predicate
from apiserver.options import ListOptions

# In events.k8s.io/v1 the same fields have other names.
_ALIASES = {"reportingController": "reportingComponent"}


@dataclass(frozen=True, slots=True)
class Selection:
    """`name` and `namespace` are what field selectors pin them to; `predicate` None selects everything else.

    `exact` is a (field, value) that the predicate implies. `nothing` is set where no object can match. `by_fields`:
    whether the predicate looks at fields, which each version may have otherwise.
    """

    predicate: Predicate | None = None
    name: str = ""
    namespace: str = ""
    exact: tuple[str, str] | None = None
    nothing: bool = False
    by_fields: bool = False


EVERYTHING = Selection()


def parse(resource: Resource, options: ListOptions, extra: tuple[str, ...] = ()) -> Selection:
    """The selection of `options`. Raises 400 for selectors that cannot be read or name unknown fields."""
    if not options.label_selector and not options.field_selector:
        return EVERYTHING
    try:
        labels = selectors.parse_labels(options.label_selector)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    try:
        requirements = selectors.parse_fields(options.field_selector)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    known = (*selectable.paths(resource), *extra)
    kept: list[selectors.FieldRequirement] = []
    name = namespace = ""
    exact: tuple[str, str] | None = None
    nothing = False
    for path, operator, value in requirements:
        path = _known(resource, path, known)
        if operator == selectors.EQUALS and path == "metadata.name" and value:
            nothing |= bool(name) and name != value
            name = value
        elif operator == selectors.EQUALS and path == "metadata.namespace" and value:
            nothing |= bool(namespace) and namespace != value
            namespace = value
        else:
            if (
                operator == selectors.EQUALS
                and exact is None
                and path not in ("metadata.name", "metadata.namespace")
            ):
                exact = (path, value)
            kept.append((path, operator, value))
    return Selection(_predicate(labels, tuple(kept)), name, namespace, exact, nothing, bool(kept))


def _known(resource: Resource, path: str, known: tuple[str, ...]) -> str:
    if path in ("metadata.name", "metadata.namespace") or path in known:
        if path == "metadata.namespace" and not resource.namespaced:
            raise errors.bad_request(f"field label not supported: {path}")
        return path
    if resource.group == "events.k8s.io":
        path = path.replace("regarding.", "involvedObject.", 1)
        path = _ALIASES.get(path, path)
        if path in known:
            return path
    raise errors.bad_request(f"field label not supported: {path}")


def _predicate(
    labels: selectors.Selector, fields: tuple[selectors.FieldRequirement, ...]
) -> Predicate | None:
    if labels.empty and not fields:
        return None
    if not fields:
        matches = labels.matches
        return lambda entry_labels, _: matches(entry_labels)
    if labels.empty:
        return lambda _, entry_fields: selectors.matches_fields(fields, entry_fields)
    return lambda entry_labels, entry_fields: (
        labels.matches(entry_labels) and selectors.matches_fields(fields, entry_fields)
    )
