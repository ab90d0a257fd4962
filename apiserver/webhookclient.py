"""Calls to webhooks: admission and conversion. HTTPS to a URL or to a Service of the cluster.

A Service is reached at its ready endpoints, which is where its cluster address leads; so it works also where this
process cannot reach cluster addresses.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import socket
import ssl
from typing import TYPE_CHECKING, Any

import orjson

from apimachinery import resources
from apiserver.request import Reader

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import ResolveResult

Object = dict[str, Any]

SERVICES = resources.get("services")
SLICES = resources.get("endpointslices", "discovery.k8s.io")
SERVICE_NAME = "kubernetes.io/service-name"
#: The largest answer read from a webhook.
MAX_ANSWER = 16 << 20
_TRUSTS_KEPT = 64


class CallFailed(Exception):
    """A webhook could not be called or did not answer as it should; str() says why, in Go's words where they matter."""


class Unresolved(OSError):
    """A Service that is not there, or that nothing stands behind."""


def url_of(config: Object) -> str:
    """The URL of a WebhookClientConfig."""
    service = config.get("service")
    if service is None:
        return str(config.get("url") or "")
    path = str(service.get("path") or "").lstrip("/")
    return f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}/{path}"


def endpoints(reader: Reader, namespace: str, name: str, port: int) -> list[tuple[str, int]]:
    """(address, port) of what is ready behind a Service's port. Raises Unresolved."""
    service = reader.get(SERVICES, namespace, name)
    if service is None:
        raise Unresolved(f'service "{name}" not found')
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return [(str(spec.get("externalName")), port)]
    wanted = next((p for p in spec.get("ports") or () if p.get("port") == port), None)
    if wanted is None:
        raise Unresolved(f'no service port {port} found for service "{name}"')
    found: list[tuple[str, int]] = []
    for piece in reader.list(SLICES, namespace):
        if (piece["metadata"].get("labels") or {}).get(SERVICE_NAME) != name:
            continue
        numbers = [
            p["port"] for p in piece.get("ports") or () if (p.get("name") or "") == (wanted.get("name") or "")
        ]
        for endpoint in piece.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                found += [(address, number) for address in endpoint["addresses"] for number in numbers]
    if not found:
        raise Unresolved(f'no endpoints available for service "{name}"')
    return found


class WebhookClient:
    """Keeps its connections. `close` it when the server stops."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._session: aiohttp.ClientSession | None = None
        self._trusts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, config: Object, body: Object, seconds: float) -> Object:
        """Send a review to a webhook and give back what it answers. Raises CallFailed."""
        import aiohttp

        url = url_of(config)
        shown = f'Post "{url}?timeout={seconds:g}s"'
        try:
            trust = self._trust(str(config.get("caBundle") or ""))
            async with asyncio.timeout(seconds):
                async with self._open().post(
                    url,
                    params={"timeout": f"{seconds:g}s"},
                    data=orjson.dumps(body),
                    headers={"Content-Type": "application/json", "Accept": "application/json, */*"},
                    ssl=trust,
                    allow_redirects=False,
                ) as answer:
                    text = await answer.content.read(MAX_ANSWER)
                    code, reason = answer.status, answer.reason or ""
        except TimeoutError:
            raise CallFailed(f"{shown}: context deadline exceeded") from None
        except aiohttp.ClientConnectorCertificateError as error:
            why = error.certificate_error
            raise CallFailed(
                f"{shown}: tls: failed to verify certificate: x509: {_verification(why)}"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(f"{shown}: {_why(error)}") from None
        if code != 200:
            raise CallFailed(_refused(code, reason, text))
        try:
            found = orjson.loads(text)
        except ValueError as error:
            raise CallFailed(f"couldn't get version/kind; json parse error: {error}") from None
        if not isinstance(found, dict):
            raise CallFailed("the answer is not an object")
        return found

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            connector = aiohttp.TCPConnector(
                resolver=service_resolver(self._reader), use_dns_cache=False, limit=100, limit_per_host=25
            )
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(None))
        return self._session

    def _trust(self, bundle: str) -> ssl.SSLContext:
        """What certificates are accepted: those of the bundle (base64 of PEM), or the machine's own."""
        found = self._trusts.get(bundle)
        if found is None:
            if not bundle:
                found = ssl.create_default_context()
            else:
                try:
                    found = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
                except (binascii.Error, UnicodeDecodeError, ssl.SSLError):
                    raise ValueError(
                        "unable to load root certificates: unable to parse bytes as PEM block"
                    ) from None
            if len(self._trusts) >= _TRUSTS_KEPT:
                self._trusts.clear()
            self._trusts[bundle] = found
        return found


def service_resolver(reader: Reader) -> Any:
    """Names of Services by what is behind them; every other name as the machine knows it."""
    from aiohttp import ThreadedResolver
    from aiohttp.abc import AbstractResolver

    class ServiceResolver(AbstractResolver):
        def __init__(self) -> None:
            self._others = ThreadedResolver()

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            parts = host.split(".")
            if len(parts) != 3 or parts[2] != "svc":
                return await self._others.resolve(host, port, family)
            found = endpoints(reader, parts[1], parts[0], port)
            random.shuffle(found)
            if not _numeric(found[0][0]):
                return await self._others.resolve(found[0][0], found[0][1], family)  # an ExternalName
            return [
                {
                    "hostname": host,
                    "host": address,
                    "port": number,
                    "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
                for address, number in found
            ]

        async def close(self) -> None:
            await self._others.close()

    return ServiceResolver()


def _numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


def _verification(error: Exception) -> str:
    """Why a certificate was not accepted, in Go's words for the usual reasons."""
    text = str(error)
    if "hostname" in text.lower() or "ip address" in text.lower():
        return f"certificate is not valid for the name asked for: {text}"
    if "expired" in text:
        return "certificate has expired or is not yet valid"
    return "certificate signed by unknown authority"


def _why(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Unresolved):
            return str(cause)
        if isinstance(cause, ConnectionRefusedError):
            return "dial tcp: connect: connection refused"
        cause = getattr(cause, "os_error", None) or cause.__cause__
    return str(error) or type(error).__name__


def _refused(code: int, reason: str, text: bytes) -> str:
    """What a code other than 200 means: the message of a Status in the body, or the usual words."""
    try:
        body = orjson.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("kind") == "Status" and body.get("message"):
        return str(body["message"])
    if code == 404:
        return "the server could not find the requested resource"
    if code >= 500:
        return (
            f"an error on the server ({text[:512].decode(errors='replace').strip() or reason!r}) has prevented the "
            "request from succeeding"
        )
    return f"the server rejected our request: {code} {reason}"
