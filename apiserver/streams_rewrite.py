"""Links in what a proxied server answers, rewritten so that a browser stays behind the proxy. Pure.

Absolute paths, and addresses of the proxied server itself, get the proxy's path in front: in the attributes of HTML
that hold addresses, and in the Location of redirects.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_TAG = re.compile(rb"<[a-zA-Z][^<>]*>")
#: The attributes of HTML 4 and 5 whose values are addresses.
_ATTRIBUTE = re.compile(
    rb"""(?P<start>\s(?:action|archive|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest
    |poster|profile|src|usemap)\s*=\s*)(?P<quote>["'])(?P<value>[^"']*)(?P=quote)""",
    re.IGNORECASE | re.VERBOSE,
)


def link(value: str, authority: str, prefix: str) -> str:
    """`value` as seen through a proxy at the path `prefix` of the server at `authority` (host or host:port)."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return value
    elsewhere = parts.netloc and parts.netloc != authority
    if elsewhere or not parts.path.startswith("/") or parts.path.startswith(prefix + "/"):
        return value
    return urlunsplit(("", "", prefix + parts.path, parts.query, parts.fragment))


class HtmlLinks:
    """Rewrites a page that comes in pieces; what may be the half of a tag waits for the next piece."""

    def __init__(self, authority: str, prefix: str) -> None:
        self._authority = authority
        self._prefix = prefix
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        data = self._rest + piece
        open_tag = data.rfind(b"<")
        cut = open_tag if open_tag > data.rfind(b">") else len(data)
        self._rest = data[cut:]
        return self._rewrite(data[:cut])

    def end(self) -> bytes:
        """What was waiting, as the page is over."""
        rest, self._rest = self._rest, b""
        return rest

    def _rewrite(self, data: bytes) -> bytes:
        return _TAG.sub(lambda tag: _ATTRIBUTE.sub(self._attribute, tag[0]), data)

    def _attribute(self, found: re.Match[bytes]) -> bytes:
        value = found["value"].decode("utf-8", "surrogateescape")
        new = link(value, self._authority, self._prefix).encode("utf-8", "surrogateescape")
        return found["start"] + found["quote"] + new + found["quote"]
