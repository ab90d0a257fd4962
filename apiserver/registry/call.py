"""What travels with one request through the registries, and what all registries share."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from apimachinery import meta, names
from apimachinery.schema import Schema
from apiserver.options import WriteOptions
from apiserver.request import AdmissionRequest, User
from apiserver.storage.interface import Store

if TYPE_CHECKING:
    from apiserver.registry.registry import Registry

Object = dict[str, Any]

_PAIRS = [first + second for first in names.SUFFIX_ALPHABET for second in names.SUFFIX_ALPHABET]

#: The server itself: its writes pass no admission.
SYSTEM = User("system:apiserver", groups=("system:masters",))
MANAGER = "pybernetes-apiserver"


@dataclass(slots=True)
class Call:
    """One request's identity, options and the warnings it has earned (sent as Warning headers).

    `api_version` is the one the client speaks, which need not be the one that is stored; "" for the server itself.
    """

    user: User
    options: WriteOptions = field(default_factory=WriteOptions)
    warnings: list[str] = field(default_factory=list)
    api_version: str = ""


class Admission(Protocol):
    """Admission as registries see it; both may raise StatusError."""

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


def _unset(plural: str, group: str = "") -> Registry:
    raise LookupError("the registries are not made yet")


class Identity:
    """The clock and the randomness of the server, in one place so that tests can fix them."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def timestamp(self) -> str:
        return meta.rfc3339(self.now())

    def uid(self) -> str:
        value = bytearray(os.urandom(16))
        # Version 4, RFC 4122 variant; uuid.uuid4() takes ten times as long to say the same.
        value[6] = value[6] & 0x0F | 0x40
        value[8] = value[8] & 0x3F | 0x80
        text = value.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def suffix(self) -> str:
        """Five characters for generateName."""
        pairs = _PAIRS
        many = len(pairs)
        drawn = int(random.random() * (many * many * len(names.SUFFIX_ALPHABET)))
        drawn, first = divmod(drawn, many)
        third, second = divmod(drawn, many)
        return pairs[first] + pairs[second] + names.SUFFIX_ALPHABET[third]


@dataclass(slots=True)
class Backend:
    """What all registries share.

    `find(plural, group)` gives another registry; `schema_of(group, version, plural)` the kind and the schema of what
    is served, custom or not, and `schema_of_kind(api_version, kind)` the schema; `admission` is set once the chain,
    which reads registries, is built.
    """

    store: Store
    identity: Identity
    admission: Admission | None = None
    service_cidr: str = "10.96.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    find: Callable[..., Registry] = _unset
    schema_of: Callable[[str, str, str], tuple[str, Schema] | None] = lambda group, version, plural: None
    schema_of_kind: Callable[[str, str], Schema | None] = lambda api_version, kind: None


def system_call() -> Call:
    """A call by the server on its own behalf."""
    return Call(SYSTEM, WriteOptions(field_manager=MANAGER))
