"""What volumes show is watched for as long as it may change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from kubeletd import sources as sources_module
from kubeletd.sources import TRUST_BUNDLES, ApiSources

Object = dict[str, Any]
KEY = ("ConfigMap", "n", "c")


def config_map(value: str, **more: Any) -> Object:
    metadata = {"namespace": "n", "name": "c", "resourceVersion": value}
    return {"metadata": metadata, "data": {"k": value}, **more}


class Client:
    """Lists `now`, and gives watchers what is put into `events`."""

    def __init__(self, *now: Object) -> None:
        self.now = list(now)
        self.events: asyncio.Queue[tuple[str, Object]] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.asked: list[str] = []

    async def list(self, resource: Any, *arguments: Any) -> tuple[list[Object], str]:
        self.asked.append(resource.plural)
        return self.now, "1"

    async def watch(self, *arguments: Any, opened: Callable[[], None], **more: Any) -> AsyncIterator[Any]:
        opened()
        try:
            while True:
                yield await self.events.get()
        finally:
            self.closed.set()


def pairs(sources: ApiSources) -> asyncio.Queue[str]:
    told: asyncio.Queue[str] = asyncio.Queue()
    sources.changed = told.put_nowait
    return told


async def test_an_object_that_became_immutable_is_watched_no_more() -> None:
    client = Client(config_map("1"))
    sources = ApiSources(client)  # type: ignore[arg-type]
    told = pairs(sources)
    sources.retain("pod", [KEY])
    assert await told.get() == "pod"
    client.events.put_nowait(("MODIFIED", config_map("2", immutable=True)))
    assert await told.get() == "pod"
    async with asyncio.timeout(30):
        await client.closed.wait()
    client.now = [config_map("3")]
    sources.retain("another", [KEY])
    found = await sources.get(*KEY)  # type: ignore[arg-type]
    assert found is not None and found["data"] == {"k": "2"}
    sources.release("pod")
    sources.release("another")
    sources.retain("third", [KEY])
    assert await told.get() == "third"
    found = await sources.get(*KEY)  # type: ignore[arg-type]
    assert found is not None and found["data"] == {"k": "3"}, "nobody showed it in between"
    sources.release("third")


async def test_a_token_is_renewed_when_a_fifth_of_its_life_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    now = [1000.0]

    class Issuer:
        async def create(self, resource: Any, request: Object, *arguments: Any, **more: Any) -> Object:
            asked.append(request["spec"]["expirationSeconds"])
            granted = {**request["spec"], "expirationSeconds": 600}  # not what was asked for
            return {"spec": granted, "status": {"token": f"token-{len(asked)}"}}

    monkeypatch.setattr(
        sources_module, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0])
    )
    sources = ApiSources(Issuer())  # type: ignore[arg-type]
    pod = {"metadata": {"name": "p", "uid": "u"}}

    async def token() -> str:
        return (await sources.token("n", "default", "", 3600, pod))[0]

    assert [await token(), await token()] == ["token-1", "token-1"]
    now[0] += 0.8 * 600 - 1
    assert await token() == "token-1"
    now[0] += 1
    assert await token() == "token-2"
    assert asked == [3600, 3600]
    sources.release("u")
    assert await token() == "token-3"


async def test_trust_bundles_are_watched_for_the_pods_that_show_some() -> None:
    client = Client({"metadata": {"name": "b", "resourceVersion": "1"}, "spec": {"trustBundle": ""}})
    sources = ApiSources(client)  # type: ignore[arg-type]
    told = pairs(sources)
    sources.retain("pod", [TRUST_BUNDLES])
    assert await told.get() == "pod"
    assert [bundle["metadata"]["name"] for bundle in await sources.trust_bundles()] == ["b"]
    assert client.asked == ["clustertrustbundles"]
    sources.release("pod")
