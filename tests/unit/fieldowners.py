"""Objects written by several managers, for tests of who owns which field."""

import copy
from typing import Any

from apimachinery import apply, fieldset, schema

DEPLOYMENT = schema.for_kind("apps/v1", "Deployment")
assert DEPLOYMENT is not None

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
Object = dict[str, Any]


def deployment(**spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }


def containers(*items: Object) -> Object:
    return {"template": {"spec": {"containers": list(items)}}}


def ssa(
    live: Object | None,
    applied: Object,
    manager: str = "a",
    *,
    force: bool = False,
    now: str = EARLY,
    sub: str = "",
) -> Object:
    kind = schema.for_kind(applied["apiVersion"], applied["kind"])
    assert kind is not None
    before = copy.deepcopy((live, applied))
    try:
        return apply.server_side_apply(
            live,
            applied,
            manager=manager,
            force=force,
            schema=kind,
            api_version=applied["apiVersion"],
            now=now,
            subresource=sub,
        )
    finally:
        assert (live, applied) == before


def update(
    live: Object | None, new: Object, manager: str = "u", *, now: str = EARLY, sub: str = ""
) -> Object:
    kind = schema.for_kind(new["apiVersion"], new["kind"])
    assert kind is not None
    new = copy.deepcopy(new)
    before = copy.deepcopy(live)
    apply.track(
        live, new, manager=manager, schema=kind, api_version=new["apiVersion"], now=now, subresource=sub
    )
    assert live == before
    return new


def owners(obj: Object) -> dict[tuple[str, str], list[str]]:
    return {
        (e["manager"], e["operation"]): fieldset.paths(e["fieldsV1"])
        for e in obj["metadata"].get("managedFields", [])
    }
