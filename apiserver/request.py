"""What a request is about, who makes it, and what admission sees of it: the types every layer shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from apimachinery.resources import Resource

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity. Anonymous is `system:anonymous` in group `system:unauthenticated`."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def info(self) -> Object:
        """The UserInfo of authentication/v1: how reviews, admission webhooks and the audit log show a user."""
        info: Object = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


@dataclass(frozen=True, slots=True)
class Attributes:
    """What authorization decides on. For non-resource requests `resource` is empty and `path` is set.

    `verb`: get list watch create update patch delete deletecollection, or for a non-resource path the
    lower-case HTTP method. A list, watch or deletecollection whose `field_selector` fixes metadata.name has that
    as its `name`.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""


@dataclass(slots=True)
class AdmissionRequest:
    """One write on its way to storage. Mutating plugins change `object` in place.

    `resource` is the version the objects are in; `asked` the one the client speaks, where it is another.
    """

    operation: str  # CREATE UPDATE DELETE CONNECT
    resource: Resource
    subresource: str
    namespace: str
    name: str
    object: Object | None
    old_object: Object | None
    user: User
    dry_run: bool = False
    options: Object = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    asked: Resource | None = None
    mutated: bool = False  # set by whoever changed `object` in ways its schema may not know


class Reader(Protocol):
    """Read access to current objects from the cache, for admission and authorization. Never mutate results."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects, of one namespace or (empty) of all."""


class Writer(Protocol):
    """Writes the apiserver makes on its own behalf (default roles, quota usage): no authorization, no admission."""

    async def create(self, resource: Resource, obj: Object) -> Object:
        """The object as stored. Raises StatusError AlreadyExists."""

    async def update(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        """Replace an object at its metadata.resourceVersion. Raises StatusError Conflict when it has moved on."""
