"""Links of a page seen through the proxy subresource stay behind the proxy."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.streams_rewrite import HtmlLinks, link

PREFIX = "/api/v1/namespaces/ns/pods/https:web:443/proxy"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("/a/b?x=1#f", f"{PREFIX}/a/b?x=1#f"),
        ("/", f"{PREFIX}/"),
        ("http://10.0.0.7:80/a", f"{PREFIX}/a"),
        ("http://elsewhere/a", "http://elsewhere/a"),
        ("a/b", "a/b"),
        ("#top", "#top"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
        ("http://[broken/a", "http://[broken/a"),
    ],
)
def test_links_to_the_proxied_server_lead_through_the_proxy(value: str, seen: str) -> None:
    assert link(value, "10.0.0.7:80", PREFIX) == seen


PAGE = b"""<html><a class="x" href="/rewriteme">test</a> 1 < 2 <IMG SRC='/i.png'><p title="/kept">/kept</p>
<form action="/f" method=post><a href="http://other/a"></form>"""
SEEN = (
    PAGE.replace(b'"/rewriteme"', b'"%s/rewriteme"' % PREFIX.encode())
    .replace(b"'/i.png'", b"'%s/i.png'" % PREFIX.encode())
    .replace(b'"/f"', b'"%s/f"' % PREFIX.encode())
)


@given(st.lists(st.integers(0, len(PAGE)), max_size=8))
def test_a_page_is_rewritten_the_same_however_it_is_cut(cuts: list[int]) -> None:
    at = [0, *sorted(cuts), len(PAGE)]
    links = HtmlLinks("10.0.0.7:80", PREFIX)
    seen = b"".join(links.feed(PAGE[a:b]) for a, b in itertools.pairwise(at)) + links.end()
    assert seen == SEEN
