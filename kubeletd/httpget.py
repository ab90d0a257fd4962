"""HTTP GET as probes and lifecycle hooks do it: one connection, the answer's status, nothing kept."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from kubeletd.interfaces import Container

_MAX_REDIRECTS = 10
_MAX_BODY = 10 * 1024
_USER_AGENT = "kube-probe/1.36"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    redirected_to: str = ""  # another host, which is not followed


def port_number(port: int | str, container: Container) -> int:
    """A port given by number or by the name of one of the container's ports. Raises ValueError."""
    if isinstance(port, int):
        return port
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    if port.isdigit():
        return int(port)
    raise ValueError(f"port {port} was not found in container {container['name']}")


def _unverified() -> ssl.SSLContext:
    # Probes check that something answers, not who: kubelets skip verification too.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def get(action: Mapping[str, Any], container: Container, pod_ip: str) -> Answer:
    """Performs an HTTPGetAction. Raises OSError, ValueError, or what the connection raises; the caller limits time."""
    host = action.get("host") or pod_ip
    port = port_number(action["port"], container)
    scheme = (action.get("scheme") or "HTTP").lower()
    bracketed = f"[{host}]" if ":" in host else host
    path = action.get("path") or "/"
    url = f"{scheme}://{bracketed}:{port}{path if path.startswith('/') else '/' + path}"
    headers = [(h["name"], h.get("value", "")) for h in action.get("httpHeaders") or ()]
    for _ in range(_MAX_REDIRECTS):
        status, location, body = await _fetch(url, headers)
        if not 300 <= status < 400 or not location:
            return Answer(status, body)
        target = urljoin(url, location)
        if urlsplit(target).hostname != urlsplit(url).hostname:
            return Answer(status, body, redirected_to=target)
        url = target
    raise OSError(f"stopped after {_MAX_REDIRECTS} redirects")


async def _fetch(url: str, headers: list[tuple[str, str]]) -> tuple[int, str, str]:
    parts = urlsplit(url)
    context = _unverified() if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        names = {name.lower() for name, _ in headers}
        lines = [f"GET {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1"]
        if "host" not in names:
            lines.append(f"Host: {parts.netloc}")
        if "user-agent" not in names:
            lines.append(f"User-Agent: {_USER_AGENT}")
        if "accept" not in names:
            lines.append("Accept: */*")
        lines += [f"{name}: {value}" for name, value in headers] + ["Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode())
        await writer.drain()
        words = (await reader.readline()).split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise OSError("malformed HTTP response")
        location, length = "", _MAX_BODY
        while (line := await reader.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "location":
                location = value.strip()
            elif name.lower() == "content-length" and value.strip().isdigit():
                length = min(length, int(value))
        body = await reader.read(length) if length else b""
        return int(words[1]), location, body.decode(errors="replace")
    finally:
        writer.close()
