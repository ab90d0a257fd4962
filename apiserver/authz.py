"""Authorization: superusers, then nodes by what runs on them, then roles (RBAC)."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery import resources
from apiserver.authz_node import NodeAuthorizer
from apiserver.rbac import GROUP, RoleIndex
from apiserver.request import Attributes, Object, Reader

SUPERUSERS = "system:masters"
CLUSTER_ROLES = resources.get("clusterroles", GROUP)
ROLES = resources.get("roles", GROUP)
CLUSTER_ROLE_BINDINGS = resources.get("clusterrolebindings", GROUP)
ROLE_BINDINGS = resources.get("rolebindings", GROUP)


def denial(a: Attributes, reason: str = "") -> str:
    """The text of a denial, without the `pods is forbidden: ` that `errors.forbidden` puts before it."""
    if a.path:
        text = f'User "{a.user.name}" cannot {a.verb} path "{a.path}"'
    else:
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        where = f'in the namespace "{a.namespace}"' if a.namespace else "at the cluster scope"
        text = f'User "{a.user.name}" cannot {a.verb} resource "{resource}" in API group "{a.group}" {where}'
    return f"{text}: {reason}" if reason else text


class Authorizer:
    """Decides whether a request may be made.

    `pods_of_node` gives the pods bound to a node; a cache with an index by spec.nodeName answers it cheaply.
    Call `invalidate` whenever a Role, ClusterRole or binding changes: the index is rebuilt at the next decision.
    """

    def __init__(self, reader: Reader, pods_of_node: Callable[[str], list[Object]] | None = None) -> None:
        self._reader = reader
        self._index: RoleIndex | None = None
        self._nodes = NodeAuthorizer(reader, pods_of_node)

    def invalidate(self) -> None:
        self._index = None

    @property
    def index(self) -> RoleIndex:
        """The rules as they are now."""
        index = self._index
        if index is None:
            listed = self._reader.list
            index = self._index = RoleIndex(
                listed(CLUSTER_ROLES), listed(ROLES), listed(CLUSTER_ROLE_BINDINGS), listed(ROLE_BINDINGS)
            )
        return index

    def authorize(self, attributes: Attributes) -> str | None:
        """None when allowed, else the text of the denial, in Kubernetes's words."""
        allowed, reason = self.decide(attributes)
        return None if allowed else denial(attributes, reason)

    def explain(self, attributes: Attributes) -> tuple[bool, str]:
        """Whether allowed, and why or why not (may be empty), as audit annotations say it."""
        allowed, reason = self.decide(attributes)
        if allowed and SUPERUSERS not in attributes.user.groups:
            reason = self.index.reason(attributes)
        return allowed, reason

    def decide(self, attributes: Attributes) -> tuple[bool, str]:
        """Whether allowed, and why not (may be empty)."""
        user = attributes.user
        if SUPERUSERS in user.groups:
            return True, ""
        allowed, node_reason = self._nodes.decide(attributes)
        if allowed or self.index.allows(attributes):
            return True, ""
        rbac_reason = "" if attributes.path else self.index.missing(user, attributes.namespace)
        return False, "\n".join(r for r in (node_reason, rbac_reason) if r)
