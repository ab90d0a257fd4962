"""The server behind an APIService: requests are passed on to it, with who makes them in headers.

It trusts those headers from whoever shows the API server's client certificate, as the ConfigMap
`extension-apiserver-authentication` tells it.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict

from apimachinery import errors
from apiserver.pki_files import ClusterFiles
from apiserver.request import Reader, User
from apiserver.streams_proxy import ADDED, HOP_BY_HOP, chunks, relay
from apiserver.webhookclient import service_resolver

Object = dict[str, Any]
_CONNECT_SECONDS = 10.0
_CHECK_SECONDS = 5.0
_MAX_LIST = 4 << 20


class Backends:
    """The connections to all servers behind APIServices."""

    def __init__(self, reader: Reader, files: ClusterFiles) -> None:
        self._reader = reader
        self._files = files
        self._session: ClientSession | None = None
        self._trusts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def resources(self, spec: Object) -> Object:
        """The APIResourceList of the server, asked for as the API server itself. Raises ValueError."""
        url = f"{_origin(spec)}/apis/{spec['group']}/{spec['version']}"
        headers = {"X-Remote-User": "system:kube-aggregator", "X-Remote-Group": "system:masters"}
        start = f"failing or missing response from {url}"
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                async with self._open().get(url, headers=headers, ssl=self._trust(spec)) as answer:
                    body = await answer.content.read(_MAX_LIST)
                    if answer.status != 200:
                        raise ValueError(f"{start}: bad status from {url}: {answer.status}")
        except TimeoutError:
            raise ValueError(f'{start}: Get "{url}": context deadline exceeded') from None
        except (ClientError, OSError) as error:
            raise ValueError(f'{start}: Get "{url}": {error}') from None
        listed = orjson.loads(body)
        if not isinstance(listed, dict):
            raise ValueError(f"{start}: not an object")
        return listed

    async def forward(self, request: web.BaseRequest, spec: Object, user: User) -> web.StreamResponse:
        """Pass a request on. Raises 503 where the server cannot be reached."""
        from yarl import URL

        headers: CIMultiDict[str] = CIMultiDict()
        for key, value in request.headers.items():
            lowered = key.lower()
            if lowered not in HOP_BY_HOP and not lowered.startswith(("impersonate-", "x-remote-")):
                headers.add(key, value)
        _identify(headers, user)
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        body = chunks(request) if request.body_exists else None
        try:
            async with self._open().request(
                request.method,
                URL(_origin(spec) + request.raw_path, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                skip_auto_headers=ADDED,
                ssl=self._trust(spec),
            ) as answer:
                return await relay(request, answer)
        except (ClientError, TimeoutError, OSError) as error:
            if isinstance(error, ConnectionError) and request.transport is None:
                raise
            raise errors.service_unavailable(f"error trying to reach service: {error}") from error

    def _open(self) -> ClientSession:
        if self._session is None:
            connector = TCPConnector(resolver=service_resolver(self._reader), use_dns_cache=False, limit=0)
            timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
            self._session = ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        return self._session

    def _trust(self, spec: Object) -> ssl.SSLContext:
        key = "insecure" if spec.get("insecureSkipTLSVerify") else str(spec.get("caBundle") or "")
        found = self._trusts.get(key)
        if found is None:
            if key == "insecure":
                found = ssl.create_default_context()
                found.check_hostname = False
                found.verify_mode = ssl.CERT_NONE
            else:
                found = ssl.create_default_context(cadata=base64.b64decode(key).decode() if key else None)
            found.load_cert_chain(self._files.node_client_cert, self._files.node_client_key)
            self._trusts[key] = found
        return found


def _origin(spec: Object) -> str:
    service = spec["service"]
    return f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}"


def _identify(headers: CIMultiDict[str], user: User) -> None:
    headers["X-Remote-User"] = user.name
    if user.uid:
        headers["X-Remote-Uid"] = user.uid
    for group in user.groups:
        headers.add("X-Remote-Group", group)
    for key, values in user.extra.items():
        for value in values:
            headers.add(f"X-Remote-Extra-{quote(key, safe='')}", value)
