"""What a URL is about: the path parsed by hand, since every request passes here.

The rules are Kubernetes's RequestInfo: `/api/<version>/...` and `/apis/<group>/<version>/...`, an optional `watch`
segment (the legacy watch paths), an optional `namespaces/<name>` scope, then resource, name, subresource, rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

_VERBS = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
}  # fmt: skip
_NAMESPACE_SUBRESOURCES = ("status", "finalize")

Query = dict[str, list[str]]


@dataclass(slots=True)
class RequestInfo:
    """`verb` as authorization sees it; for paths that are no resource it is the lower-case method.

    `prefix` is "api" or "apis" where the path is below one of them, else "". `legacy_watch` marks `/watch/` paths.
    `rest` is what follows the subresource (proxy paths).
    """

    path: str
    method: str
    verb: str
    query: Query
    prefix: str = ""
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    legacy_watch: bool = False

    @property
    def is_resource(self) -> bool:
        return bool(self.plural)


def parse(method: str, target: str) -> RequestInfo:
    """Parse the request line's target (raw path and query)."""
    raw, mark, raw_query = target.partition("?")
    query: Query = {}
    if mark and raw_query:
        for key, value in parse_qsl(raw_query, keep_blank_values=True):
            query.setdefault(key, []).append(value)
    info = RequestInfo(raw, method, method.lower(), query)
    parts = raw.split("/")
    if "%" in raw:
        info.path = unquote(raw)
        # An escaped slash is no separator: such a segment stays as it is and names nothing.
        parts = [part if "/" in (plain := unquote(part)) else plain for part in parts]
    if raw.endswith("/") or "//" in raw:
        parts = ["", *[part for part in parts if part]]
    if len(parts) < 2:
        return info
    if parts[1] == "api":
        info.prefix = "api"
        at = 3
        if len(parts) > 2:
            info.version = parts[2]
    elif parts[1] == "apis":
        info.prefix = "apis"
        at = 4
        if len(parts) > 2:
            info.group = parts[2]
        if len(parts) > 3:
            info.version = parts[3]
    else:
        return info
    if len(parts) > at:
        _resource(info, parts, at)
    return info


def _resource(info: RequestInfo, parts: list[str], at: int) -> None:
    count = len(parts)
    if parts[at] == "watch" and count > at + 1:
        info.legacy_watch = True
        at += 1
    if parts[at] == "namespaces":
        if count == at + 1:
            info.plural = "namespaces"
        elif count == at + 2 or (count == at + 3 and parts[at + 2] in _NAMESPACE_SUBRESOURCES):
            info.plural = "namespaces"
            info.name = info.namespace = parts[at + 1]
            info.subresource = parts[at + 2] if count == at + 3 else ""
        else:
            info.namespace = parts[at + 1]
            at += 2
            _leaf(info, parts, at)
    else:
        _leaf(info, parts, at)
    info.verb = _VERBS.get(info.method, info.method.lower())
    if info.legacy_watch:
        info.verb = "watch"
    elif not info.name:
        if info.verb == "get":
            info.verb = "watch" if _true(info.query, "watch") else "list"
        elif info.verb == "delete":
            info.verb = "deletecollection"


def _leaf(info: RequestInfo, parts: list[str], at: int) -> None:
    count = len(parts)
    info.plural = parts[at]
    if count > at + 1:
        info.name = parts[at + 1]
    if count > at + 2:
        info.subresource = parts[at + 2]
    if count > at + 3:
        info.rest = "/" + "/".join(parts[at + 3 :])


def _true(query: Query, key: str) -> bool:
    values = query.get(key)
    return values is not None and values[0].lower() not in ("0", "false")
