"""ComponentStatuses: whether the parts of the control plane are there. Deprecated in Kubernetes, and still asked for.

Kubernetes asks ports of its own machine. Here a component counts as healthy while it is connected to this server, or
holds its lease in kube-system (where it is connected to another one).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from apimachinery import errors, meta, resources
from apimachinery.resources import Resource
from apimachinery.warnings import DEPRECATED
from apiserver import respond
from apiserver.connection import Connection
from apiserver.negotiation import Media
from apiserver.request import User
from apiserver.requestinfo import RequestInfo

if TYPE_CHECKING:
    from apiserver.dispatch import Dispatcher

Object = dict[str, Any]

LEASES = resources.get("leases", "coordination.k8s.io")
#: By a component's name here: its user, and its lease.
COMPONENTS = {
    "controller-manager": ("system:kube-controller-manager", "kube-controller-manager"),
    "scheduler": ("system:kube-scheduler", "kube-scheduler"),
}


def statuses(users: Collection[str], leases: Mapping[str, Object], now: datetime) -> list[Object]:
    """The objects, by name. `users` are those connected; `leases` those of kube-system by name."""
    found = [_status("controller-manager", ""), _status("etcd-0", ""), _status("scheduler", "")]
    for status in found:
        user, lease = COMPONENTS.get(status["metadata"]["name"], ("", ""))
        if user and user not in users and not _held(leases.get(lease), now):
            found[found.index(status)] = _status(
                status["metadata"]["name"],
                f"{user} is not connected to this server and holds no lease",
            )
    return found


def _status(name: str, problem: str) -> Object:
    condition = {"type": "Healthy", "status": "False" if problem else "True", "message": problem or "ok"}
    return {
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "conditions": [condition],
    }


def _held(lease: Object | None, now: datetime) -> bool:
    spec = (lease or {}).get("spec") or {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return False
    return meta.parse_time(spec["renewTime"]) + timedelta(seconds=spec.get("leaseDurationSeconds") or 0) > now


def install(dispatcher: Dispatcher) -> None:
    """Put the handler into the dispatcher's table."""

    async def components(
        request: web.BaseRequest, info: RequestInfo, resource: Resource, user: User, media: Media
    ) -> web.StreamResponse:
        registries = dispatcher.registries
        leases = {meta.name(lease): lease for lease in registries.list(LEASES, "kube-system")}
        connection = request.protocol
        users = connection.all_users() if isinstance(connection, Connection) else set()
        items = statuses(users, leases, registries.backend.identity.now())
        if info.name:
            items = [item for item in items if item["metadata"] == {"name": info.name}]
            if not items:
                raise errors.not_found("componentstatuses", info.name)
        if media.kind == "Table":
            from apiserver.tables import table  # loaded with the first table

            body = table(resource, items, version=media.version, revision="")
        elif info.name:
            body = items[0]
        else:
            body = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items}
        response = respond.plain_object(body, media)
        respond.warnings(response, [DEPRECATED["", "v1", "componentstatuses"]])
        return response

    dispatcher.virtual["", "componentstatuses"] = components
