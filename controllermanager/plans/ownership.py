"""Who controls what: adopting what matches a selector and has no controller, releasing what no longer matches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from apimachinery import meta
from apimachinery.resources import Resource
from apimachinery.selectors import Selector
from controllermanager.plans.actions import Action, Guard, Patch
from controllermanager.plans.views import Owner

Object = dict[str, Any]


class Claimable(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def deleting(self) -> str: ...
    @property
    def controller(self) -> Owner | None: ...


Item = TypeVar("Item", bound=Claimable)


def claim(
    owner: Object, owner_resource: Resource, resource: Resource, items: Iterable[Item], selector: Selector
) -> tuple[list[Item], list[Action]]:
    """(what the owner controls once the actions are done, the actions).

    `items` are the candidates of the owner's namespace: what it controls and what nobody does. Adoption is guarded
    by a live read of the owner, so that a stale copy of a deleted owner adopts nothing.
    """
    uid = owner["metadata"]["uid"]
    deleting = bool(owner["metadata"].get("deletionTimestamp"))
    claimed: list[Item] = []
    actions: list[Action] = []
    for item in items:
        controller = item.controller
        matches = selector.matches(item.labels)
        if controller is not None:
            if controller.uid != uid:
                continue
            if matches:
                claimed.append(item)
            elif not deleting:
                actions.append(release(owner, resource, item))
        elif matches and not deleting and not item.deleting:
            claimed.append(item)
            actions.append(adopt(owner, owner_resource, resource, item))
    return claimed, actions


def adopt(owner: Object, owner_resource: Resource, resource: Resource, item: Claimable) -> Patch:
    metadata = owner["metadata"]
    guard = Guard(owner_resource, metadata.get("namespace", ""), metadata["name"], metadata["uid"])
    patch = {"metadata": {"uid": item.uid, "ownerReferences": [reference(owner, owner_resource)]}}
    return Patch(resource, item.namespace, item.name, patch, kind="strategic", guard=guard, missing_ok=True)


def release(owner: Object, resource: Resource, item: Claimable) -> Patch:
    reference = {"$patch": "delete", "uid": owner["metadata"]["uid"]}
    patch = {"metadata": {"uid": item.uid, "ownerReferences": [reference]}}
    return Patch(resource, item.namespace, item.name, patch, kind="strategic", missing_ok=True)


def reference(owner: Object, owner_resource: Resource) -> Object:
    """The controlling ownerReference to `owner`, whose apiVersion and kind may be missing in a list's items."""
    typed = {**owner, "apiVersion": owner_resource.api_version, "kind": owner_resource.kind}
    return meta.owner_reference(typed)
