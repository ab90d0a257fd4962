"""What a namespace uses of its quota, written down; admission raises it, and this alone lowers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from apimachinery import quantities, quotausage, resources
from apimachinery.quantities import Quantities
from apimachinery.quantity import Quantity
from apimachinery.quotausage import RESOURCE_QUOTAS, ZERO
from apimachinery.resources import Resource
from controllermanager.plans.actions import Action, RequeueAfter, Update

Object = dict[str, Any]

# Admission charges a quota a moment before the object exists. What seems to be used no more is believed only when
# no charge was made for so many seconds.
QUIET_SECONDS = 1.0


def hard(quota: Object) -> Mapping[str, str]:
    return (quota.get("spec") or {}).get("hard") or {}


def is_scoped(quota: Object) -> bool:
    spec = quota.get("spec") or {}
    return bool(spec.get("scopes") or (spec.get("scopeSelector") or {}).get("matchExpressions"))


def measured(quota: Object) -> list[Resource]:
    """The resources whose objects count for the quota."""
    names = set(hard(quota))
    return [r for r in resources.stored() if r.namespaced and quotausage.measures(r, names)]


def only_counts(resource: Resource, quota: Object) -> bool:
    """Whether the number of objects is enough to know, whatever is in them."""
    if is_scoped(quota):
        return False
    counted = set(quotausage.count_names(resource))
    return not quotausage.measures(resource, set(hard(quota)) - counted)


def counted(resource: Resource, number: int, names: Set[str]) -> Quantities:
    """The usage of so many objects of which nothing but their number matters."""
    amount = Quantity.from_int(number)
    return {name: amount for name in quotausage.count_names(resource) if name in names}


def total(resource: Resource, objects: Iterable[Object], quota: Object) -> Quantities:
    """The usage of these objects."""
    names = set(hard(quota))
    used: Quantities = {}
    for obj in objects:
        if quotausage.in_scope(resource, obj, quota):
            own = {n: v for n, v in quotausage.usage(resource, obj).items() if n in names}
            used = quantities.add(used, own)
    return used


def plan(quota: Object, used: Quantities, quiet: bool) -> list[Action]:
    """`used` is what exists counts for; `quiet`: nothing was charged within QUIET_SECONDS before it was counted."""
    if quota["metadata"].get("deletionTimestamp"):
        return []
    wanted = hard(quota)
    status = quota.get("status") or {}
    old = quantities.parse(status.get("used"))
    new = {name: used.get(name, ZERO) for name in wanted}
    if not quiet:
        new = {name: max(value, old.get(name, ZERO)) for name, value in new.items()}
    actions: list[Action] = []
    if old != new or quantities.parse(status.get("hard")) != quantities.parse(wanted):
        shown = {name: str(value) for name, value in sorted(new.items())}
        changed = {**quota, "status": {"hard": dict(wanted), "used": shown}}
        actions.append(Update(RESOURCE_QUOTAS, changed, "status"))
    if any(new[name] != used.get(name, ZERO) for name in wanted):
        actions.append(RequeueAfter(QUIET_SECONDS))
    return actions
