"""The REST client: verbs on resources, retried where that is safe, so that a restart of the server is not seen."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote, urlencode

import orjson

from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from kubeclient.backoff import Backoff
from kubeclient.config import Config
from kubeclient.http import ConnectionLost, Connections, NotSent, Response, Stream
from kubeclient.refusals import error_of, patience, status_error

Object = dict[str, Any]
Objects = list[Object]
JSONPatch = list[Any]
PatchKind = Literal["merge", "json", "strategic", "apply"]

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_TOKEN_FILE_LIFETIME = 60.0  # seconds


class Client:
    """One server, one identity. Use as an async context manager.

    `retry_for` is how many seconds a request is tried again while the server cannot be reached or asks for
    patience (0: never; what a person waits at wants the error at once). A request that may have reached the server
    is repeated only if that is harmless: reads, updates, patches other than JSON ones, deletes, and creations of an
    object that has a name (the repeat may then answer AlreadyExists). `limit` bounds requests in flight.
    Errors: StatusError; ConnectionError or TimeoutError if no answer came.
    """

    def __init__(
        self,
        config: Config,
        *,
        user_agent: str = "pybernetes",
        retry_for: float = 30.0,
        timeout: float = 60.0,
        limit: int = 64,
    ) -> None:
        self.config = config
        self._retry_for = retry_for
        self._timeout = timeout
        host, port = config.address
        self._base = config.base_path
        shown = f"[{host}]" if ":" in host else host
        self._static = f" HTTP/1.1\r\nHost: {shown}:{port}\r\nUser-Agent: {user_agent}\r\n"
        if config.impersonate:
            self._static += f"Impersonate-User: {config.impersonate}\r\n"
            self._static += "".join(f"Impersonate-Group: {group}\r\n" for group in config.impersonate_groups)
        self._token = config.token
        self._token_read = 0.0
        self._limit = limit
        self._connections: Connections | None = None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every connection, streams too. The client may be used again."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None
            await asyncio.sleep(0)  # Lets the transports see it before the loop ends.

    def _pool(self) -> Connections:
        if self._connections is None:
            host, port = self.config.address
            context = self.config.ssl_context()
            self._connections = Connections(host, port, context, self.config.tls_server_name, self._limit)
        return self._connections

    def authorization(self) -> str:
        """The Authorization header's value, or empty (client certificates, anonymous)."""
        config = self.config
        if config.token_file and time.monotonic() - self._token_read > _TOKEN_FILE_LIFETIME:
            with open(config.token_file, encoding="ascii") as file:
                self._token = file.read().strip()
            self._token_read = time.monotonic()
        if self._token:
            return f"Bearer {self._token}"
        if config.username:
            return "Basic " + base64.b64encode(f"{config.username}:{config.password}".encode()).decode()
        return ""

    def _head(self, method: str, target: str, headers: Mapping[str, str], length: int | None) -> bytes:
        authorization = self.authorization()
        lines = [f"{method} {target}{self._static}"]
        if "Accept" not in headers:
            lines.append("Accept: application/json\r\n")
        if authorization:
            lines.append(f"Authorization: {authorization}\r\n")
        for name, value in headers.items():
            lines.append(f"{name}: {value}\r\n")
        if length is not None:
            lines.append(f"Content-Length: {length}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    def _target(self, path: str, params: Mapping[str, str] | None) -> str:
        target = self._base + quote(path, safe="/:?&=%~@!$'()*+,;[]")
        if params:
            target += ("&" if "?" in path else "?") + urlencode(params)
        return target

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | Object | JSONPatch | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        idempotent: bool | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Any request. A dict or list body is sent as JSON. Answers of 400 and above raise StatusError.

        `idempotent` (default: by the method) says whether it may be repeated after an unclear end.
        """
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = content_type
        length = len(data) if body is not None or method not in ("GET", "HEAD", "DELETE") else None
        target = self._target(path, params)
        if idempotent is None:
            idempotent = method in ("GET", "HEAD", "PUT", "DELETE")
        backoff = Backoff()
        deadline = time.monotonic() + self._retry_for
        wait: float | None
        while True:
            try:
                head = self._head(method, target, sent, length)
                response = await self._pool().request(head, data, timeout or self._timeout)
            except NotSent:
                wait = backoff.next()
                if time.monotonic() + wait > deadline:
                    raise
            except (ConnectionLost, TimeoutError):
                wait = backoff.next()
                if not idempotent or time.monotonic() + wait > deadline:
                    raise
            else:
                if response.status < 400:
                    return response
                wait = patience(response, idempotent, backoff)
                if wait is None or time.monotonic() + wait > deadline:
                    raise error_of(response.status, response.headers, response.body)
            await asyncio.sleep(wait)

    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """GET on a connection of its own, read as it comes; not retried. `timeout` is for the answer's head."""
        head = self._head("GET", self._target(path, params), headers or {}, None)
        stream = await self._pool().stream(head, b"", timeout or self._timeout)
        if stream.status >= 400:
            async with stream:
                raise error_of(stream.status, stream.headers, await stream.read())
        return stream

    async def get(self, resource: Resource, name: str, namespace: str = "", subresource: str = "") -> Object:
        response = await self.request("GET", resource.path(namespace, name, subresource))
        return _object(response)

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        resource_version: str = "",
    ) -> tuple[Objects, str]:
        """All matching objects and the list's resourceVersion; `limit` > 0 fetches them in pages of that size."""
        params = _selection(label_selector, field_selector)
        if resource_version:
            params["resourceVersion"] = resource_version
        if limit:
            params["limit"] = str(limit)
        items: Objects = []
        while True:
            try:
                body = _object(await self.request("GET", resource.path(namespace), params=params))
            except StatusError as error:
                if error.code == 410 and "continue" in params:
                    # The snapshot the pages came from was compacted: take all of it in one go.
                    params.pop("continue")
                    params.pop("limit", None)
                    items.clear()
                    continue
                raise
            items += body.get("items") or ()
            metadata = body.get("metadata") or {}
            if not metadata.get("continue"):
                break
            params["continue"] = metadata["continue"]
            params.pop("resourceVersion", None)
        for item in items:
            if "kind" not in item:
                item["apiVersion"] = resource.api_version
                item["kind"] = resource.kind
        return items, metadata.get("resourceVersion", "")

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """Creates `obj`, or with `name` and `subresource` posts to one (binding, eviction, token)."""
        metadata = obj.get("metadata") or {}
        path = resource.path(namespace or metadata.get("namespace", ""), name, subresource)
        params = {"fieldManager": field_manager} if field_manager else None
        response = await self.request(
            "POST", path, params=params, body=obj, idempotent=bool(metadata.get("name")) and not subresource
        )
        return _object(response)

    async def update(
        self, resource: Resource, obj: Object, subresource: str = "", *, field_manager: str = ""
    ) -> Object:
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        params = {"fieldManager": field_manager} if field_manager else None
        return _object(await self.request("PUT", path, params=params, body=obj))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Object | JSONPatch,
        namespace: str = "",
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        params: dict[str, str] = {}
        if field_manager:
            params["fieldManager"] = field_manager
        if force:
            params["force"] = "true"
        response = await self.request(
            "PATCH",
            resource.path(namespace, name, subresource),
            params=params,
            body=patch,
            content_type=_PATCH_TYPES[kind],
            idempotent=kind != "json",
        )
        return _object(response)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Returns the object that is going (it has a deletionTimestamp) or a Status, if it is gone already."""
        options: Object = {}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        preconditions = {"uid": uid} if uid else {}
        if resource_version:
            preconditions["resourceVersion"] = resource_version
        if preconditions:
            options["preconditions"] = preconditions
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options} if options else None
        return _object(await self.request("DELETE", resource.path(namespace, name), body=body))

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        *,
        bookmarks: bool = False,
        timeout_seconds: int = 0,
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[tuple[str, Object]]:
        """(type, object) of every change after `resource_version` (empty: what exists comes first, as ADDED).

        Ends when the server ends it. An ERROR event is raised as StatusError (410: list again); BOOKMARK events
        are handed on if asked for. `opened` is called once the server has agreed.
        """
        params = _selection(label_selector, field_selector)
        params["watch"] = "true"
        if resource_version:
            params["resourceVersion"] = resource_version
        if bookmarks:
            params["allowWatchBookmarks"] = "true"
        if timeout_seconds:
            params["timeoutSeconds"] = str(timeout_seconds)
        async with await self.stream(resource.path(namespace), params=params) as stream:
            if opened is not None:
                opened()
            partial: list[bytes] = []
            async for piece in stream:
                if not piece.endswith(b"\n") and b"\n" not in piece:
                    partial.append(piece)
                    continue
                if partial:
                    piece = b"".join((*partial, piece))
                    partial.clear()
                lines = piece.split(b"\n")
                if lines[-1]:
                    partial.append(lines[-1])
                for line in lines[:-1]:
                    if not line:
                        continue
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise status_error(event["object"], 500)
                    yield event["type"], event["object"]


def _object(response: Response) -> Object:
    body: Object = orjson.loads(response.body)
    return body


def _selection(label_selector: str, field_selector: str) -> dict[str, str]:
    params = {}
    if label_selector:
        params["labelSelector"] = label_selector
    if field_selector:
        params["fieldSelector"] = field_selector
    return params
