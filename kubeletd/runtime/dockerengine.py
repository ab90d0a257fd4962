"""Calls to the Docker Engine API that are answered at once: the SDK's client in a bounded pool of threads."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

from kubeletd.runtime.dockerstream import Endpoint, EngineError
from kubeletd.runtime.interface import (
    ContainerNotFound,
    ContainerNotRunning,
    EngineUnavailable,
    RuntimeFailure,
)

NEWEST_API = (1, 47)  # the newest this code was written for; an older engine's own is taken
_THREADS = 8
_TIMEOUT = 180  # seconds: an engine busy starting dozens of containers answers late


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def spoken(newest: str, oldest: str) -> str:
    """The API version to speak to an engine that knows those from `oldest` ("" for any) to `newest`. Pure."""
    wanted = min(NEWEST_API, _parts(newest))
    # An engine that has forgotten the one we were written for may still mean the same by what we say.
    return ".".join(map(str, max(wanted, _parts(oldest)) if oldest else wanted))


@contextmanager
def _nothing_guessed() -> Iterator[None]:
    """While the SDK is loaded, its HTTP library finds nothing to guess the encoding of texts with.

    It does without. What guesses takes 3 MB, and engines answer in JSON.
    """
    guesser = "charset_normalizer"
    loaded = guesser in sys.modules
    sys.modules.setdefault(guesser, None)  # type: ignore[arg-type]  # None: an import fails
    try:
        with warnings.catch_warnings(action="ignore"):  # that there is none
            yield
    finally:
        if not loaded:
            del sys.modules[guesser]


def failure(error: EngineError, what: str) -> RuntimeFailure:
    """An error about one container, as the interface has it; `what` names it."""
    if error.status == 404:
        return ContainerNotFound(error.message)
    if error.status == 409:
        return ContainerNotRunning(error.message)
    return RuntimeFailure(f"{what}: {error.message}")


class Engine:
    """`base_url` "" means what DOCKER_HOST says, or the engine of this machine."""

    def __init__(self, base_url: str = "") -> None:
        self._base_url = base_url
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="engine")
        self._client: Any = None
        self._numbers = itertools.count()
        self._under_way: dict[int, float] = {}  # when each call was made, oldest first
        self.endpoint = Endpoint("", "")

    async def open(self) -> None:
        """Connects and agrees on an API version. Raises EngineUnavailable."""
        loop = asyncio.get_running_loop()
        self._client, self.endpoint = await loop.run_in_executor(self._pool, self._connect)

    def _connect(self) -> tuple[Any, Endpoint]:
        # Imported here: nodes of the simulated runtime have no use for it.
        with _nothing_guessed():
            from docker.api.client import APIClient
            from docker.errors import DockerException
            from docker.utils import kwargs_from_env

        settings: dict[str, Any] = dict(kwargs_from_env())
        if self._base_url:
            settings["base_url"] = self._base_url
        url = settings.setdefault("base_url", "unix:///var/run/docker.sock")
        try:
            client = APIClient(version="auto", timeout=_TIMEOUT, max_pool_size=_THREADS, **settings)
        except DockerException as error:
            raise EngineUnavailable(f"cannot connect to the Docker Engine at {url}: {error}") from error
        # Proxies and ~/.netrc are not for the engine, and looking them up costs each call a millisecond.
        client.trust_env = False
        version = client.api_version
        if _parts(version) > NEWEST_API:
            version = spoken(version, client.version(api_version=False).get("MinAPIVersion") or "")
        tls = settings.get("tls")
        context = _tls_context(os.environ.get("DOCKER_CERT_PATH", "")) if tls else None
        shown = url.replace("https://", "tcp://").replace("http://", "tcp://")
        return client, Endpoint(shown, version, context)

    async def call(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None, data: bytes = b""
    ) -> Any:
        """The answer's JSON, None if there is none. Raises EngineError, EngineUnavailable."""
        if self._client is None:
            await self.open()
        work = functools.partial(self._request, method, path, query, body, data)
        with self._counted():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def ask(self, method: Literal["GET", "POST"], path: str, body: Any = None) -> Any:
        """`call` for what somebody sits and waits for: on the event loop, which takes a third of a thread's time."""
        if self._client is None:
            await self.open()
        with self._counted():
            try:
                async with asyncio.timeout(_TIMEOUT):
                    reader, writer = await self.endpoint.open(method, path, body=body)
                    try:
                        content = await reader.read()
                    finally:
                        writer.close()
            except OSError as error:  # TimeoutError too
                raise EngineUnavailable(f"the Docker Engine does not answer: {error}") from error
        return json.loads(content) if content else None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        number = next(self._numbers)
        self._under_way[number] = time.monotonic()
        try:
            yield
        finally:
            del self._under_way[number]

    def busy_for(self) -> float:
        """Seconds since the oldest call under way was made, those that wait for a thread too; 0 without any."""
        oldest = next(iter(self._under_way.values()), 0.0)
        return time.monotonic() - oldest if oldest else 0.0

    async def ping(self, patience: float) -> None:
        """Not by the pool, whose threads an engine that hangs keeps. Raises EngineUnavailable."""
        try:
            async with asyncio.timeout(patience):
                _, writer = await self.endpoint.open("GET", "/_ping")
                writer.close()
        except TimeoutError as error:
            raise EngineUnavailable(f"the Docker Engine has not answered for {patience:.0f} s") from error
        except EngineError as error:
            raise EngineUnavailable(f"the Docker Engine is not well: {error.message}") from error

    def _request(self, method: str, path: str, query: dict[str, Any] | None, body: Any, data: bytes) -> Any:
        from requests.exceptions import RequestException

        headers = {"Content-Type": "application/x-tar" if data else "application/json"}
        try:
            response = self._client.request(
                method,
                f"{self._client.base_url}/v{self.endpoint.version}{path}",
                params=query,
                data=data or (json.dumps(body).encode() if body is not None else None),
                headers=headers,
                timeout=_TIMEOUT,
            )
        except (RequestException, OSError) as error:
            raise EngineUnavailable(f"the Docker Engine does not answer: {error}") from error
        content = response.content
        if response.status_code >= 400:
            try:
                message = str(json.loads(content)["message"])
            except (ValueError, KeyError, TypeError):
                message = content.decode(errors="replace").strip()
            raise EngineError(response.status_code, message)
        if not content or not response.headers.get("Content-Type", "").startswith("application/json"):
            return None
        # A load answers with several JSON objects, a line each; nobody reads them.
        return json.loads(content) if not data else None

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()


def _tls_context(directory: str) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=os.path.join(directory, "ca.pem"))
    context.load_cert_chain(os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem"))
    return context
