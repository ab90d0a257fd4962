"""Lists: which objects, at which revision, in which chunks.

A list is read from the cache at one revision. Further pages (continue tokens) show that same revision, told from
the ring of recent changes or read from the store; when it is compacted away, 410 carries a token to go on with.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver import selection
from apiserver.cacher import Cacher
from apiserver.entry import Entry
from apiserver.fanout import Predicate
from apiserver.options import ListOptions
from apiserver.storage.interface import CompactedError, FutureRevisionError, Store

#: Seconds to wait for a revision that this server has not seen yet.
WAIT_FOR_REVISION = 3.0
_NO_KEY = "/registry/.pybernetes/nothing"
_TOKEN_VERSION = "meta.k8s.io/v1"
_INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


Matching = Callable[[Sequence[Entry], Predicate], Awaitable[list[Entry]]]


class ContinueExpired(StatusError):
    """410 for a continue token whose revision is gone, with a token that goes on with what there is now."""

    def __init__(self, continue_token: str) -> None:
        super().__init__(410, "Expired", _INCONSISTENT)
        self.continue_token = continue_token

    def to_status(self) -> dict[str, Any]:
        return {**super().to_status(), "metadata": {"continue": self.continue_token}}


@dataclass(frozen=True, slots=True)
class Page:
    """What a list answers with. `remaining` is None where it is not told (selectors, or the last page)."""

    entries: Sequence[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    """`revision` -1: go on with what is there now."""

    revision: int
    start: str


def parse_revision(text: str) -> int:
    """A resourceVersion parameter as a number. Raises the error Kubernetes gives for one that is none."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0 or not text.isascii():
        raise errors.invalid(
            "ListOptions",
            "",
            [errors.invalid_value("resourceVersion", text, _not_a_number(text))],
            "meta.k8s.io",
        )
    return value


def _not_a_number(text: str) -> str:
    return f'strconv.ParseUint: parsing "{text}": invalid syntax'


def _decode(token: str) -> _Token:
    try:
        padded = token + "=" * (-len(token) % 4)
        value = orjson.loads(base64.urlsafe_b64decode(padded))
        if value.get("v") != _TOKEN_VERSION:
            raise errors.bad_request(
                f'continue key is not valid: server does not recognize this encoded version "{value.get("v")}"'
            )
        revision, start = int(value["rv"]), str(value["start"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise errors.bad_request(f"continue key is not valid: {error}") from None
    if not start or "\x00/" in start or ".." in start.split("/"):
        raise errors.bad_request(f'continue key is not valid: "{start}"')
    return _Token(revision, start)


def _encode(revision: int, start: str) -> str:
    value = orjson.dumps({"v": _TOKEN_VERSION, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


async def page(
    resource: Resource,
    cacher: Cacher,
    store: Store,
    namespace: str,
    options: ListOptions,
    matching: Matching | None = None,
) -> Page:
    """Answer a list. `resource` may be any version of what the cacher holds.

    `matching` finds the entries that a predicate on fields takes, where the fields are not those of the entries.
    """
    chosen = selection.parse(resource, options)
    if chosen.namespace:
        if namespace and namespace != chosen.namespace:
            chosen = selection.Selection(nothing=True)
        namespace = chosen.namespace
    token = _decode(options.continue_token) if options.continue_token else None
    if token is not None and options.resource_version not in ("", "0"):
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    if token is not None and token.revision > 0:
        entries, revision = await _continued(cacher, store, namespace, token)
    else:
        entries, revision = await _current(cacher, store, namespace, options, token, chosen.name)
    if token is not None:
        start = cacher.resource.key_prefix + token.start
        if cacher.resource.namespaced and namespace:
            start = f"{cacher.resource.key_prefix}{namespace}/{token.start}"
        entries = [entry for entry in entries if entry.key >= start]
    if chosen.nothing:
        entries = []
    elif chosen.name:
        entries = [entry for entry in entries if entry.name == chosen.name]
    if chosen.predicate is not None:
        wanted = chosen.predicate
        if matching is not None and chosen.by_fields:
            entries = await matching(entries, wanted)
        else:
            entries = [entry for entry in entries if wanted(entry.labels, entry.fields)]
    # As in Kubernetes, "any version will do" gets all there is: informers ask so and page only if they must.
    whole = options.resource_version == "0" and token is None
    if not options.limit or whole or len(entries) <= options.limit:
        return Page(entries, revision)
    shown = entries[: options.limit]
    skip = len(cacher.resource.key_prefix) + (
        len(namespace) + 1 if cacher.resource.namespaced and namespace else 0
    )
    following = _encode(revision, shown[-1].key[skip:] + "\0")
    selective = chosen.predicate is not None or chosen.name
    return Page(shown, revision, following, None if selective else len(entries) - len(shown))


async def _current(
    cacher: Cacher, store: Store, namespace: str, options: ListOptions, token: _Token | None, name: str
) -> tuple[Sequence[Entry], int]:
    text = options.resource_version
    if not text or token is not None:
        await cacher.fresh()
    elif text != "0":
        wanted = parse_revision(text)
        await at_least(cacher, wanted)
        # A limit with a resourceVersion and no match means that very revision (the legacy rule).
        if options.match == "Exact" or (options.limit and not options.match):
            return await _exactly(cacher, store, namespace, wanted), wanted
    if name and (namespace or not cacher.resource.namespaced):
        one = cacher.get(namespace, name)
        return ([one] if one is not None else []), cacher.revision
    return cacher.entries(namespace), cacher.revision


async def at_least(cacher: Cacher, revision: int) -> None:
    """Wait a little for a revision this server has not seen. Raises 504 with the cause clients look for."""
    if revision <= cacher.revision:
        return
    try:
        async with asyncio.timeout(WAIT_FOR_REVISION):
            await cacher.fresh()
            if revision > cacher.revision:
                await cacher.wait_for(revision)
    except TimeoutError:
        message = f"Too large resource version: {revision}, current: {cacher.revision}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        raise StatusError(
            504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1}, {"Retry-After": "1"}
        ) from None


async def _exactly(cacher: Cacher, store: Store, namespace: str, revision: int) -> Sequence[Entry]:
    """The objects as they were at `revision`. Raises 410."""
    known = cacher.entries_at(revision, namespace)
    if known is not None:
        return known
    prefix = cacher.resource.key_prefix
    if namespace and cacher.resource.namespaced:
        prefix = f"{prefix}{namespace}/"
    try:
        result = await store.range(prefix, revision=revision)
    except (CompactedError, FutureRevisionError):
        raise errors.expired("The resourceVersion for the provided list is too old.") from None
    return [entry for kv in result.kvs if (entry := cacher.entry_of(kv, present=False)) is not None]


async def _continued(
    cacher: Cacher, store: Store, namespace: str, token: _Token
) -> tuple[Sequence[Entry], int]:
    try:
        # The cache may know a revision for long: it is too old for all servers at once, when history ends.
        await store.get(_NO_KEY, revision=min(token.revision, cacher.revision))
        return await _exactly(cacher, store, namespace, token.revision), token.revision
    except CompactedError:
        raise ContinueExpired(_encode(-1, token.start)) from None
    except StatusError as error:
        if error.reason != "Expired":
            raise
        raise ContinueExpired(_encode(-1, token.start)) from None
