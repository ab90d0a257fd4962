"""The proxy subresources: HTTP to pods, and a node's own documents."""

from __future__ import annotations

import aiohttp
import aiohttp.web
from fakeagent import FakeAgent
from servers import Server
from streamclient import PODS, Client


async def test_the_nodes_documents(agent: FakeAgent, client: Client) -> None:
    node = f"{client.url}/api/v1/nodes/n1/proxy"
    async with client.session.get(f"{node}/stats/summary?only_cpu_and_memory=true") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await answer.json() == {"node": {}}
    async with client.session.get(f"{node}/nothing") as answer:
        assert answer.status == 404


async def test_http_through_the_proxy(agent: FakeAgent, streaming: Server, client: Client) -> None:
    async def echo(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        body = await request.text()
        return aiohttp.web.Response(text=f"{request.method} {request.path_qs} {body}", status=203)

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(echo))
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    url = f"{client.url}{PODS}/p:{port}/proxy/a/b%20c?d=e"
    async with client.session.post(url, data="hi") as answer:
        assert (answer.status, await answer.text()) == (203, "POST /a/b%20c?d=e hi")
    for method in ("GET", "HEAD"):
        bare = f"{PODS}/p:{port}/proxy"
        async with client.session.request(method, f"{client.url}{bare}?d=e", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"{bare}/?d=e")
    await runner.cleanup()
    async with client.session.get(url) as answer:
        assert answer.status == 503
        assert "error trying to reach service" in (await answer.json())["message"]
