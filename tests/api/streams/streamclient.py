"""A client of the streaming subresources, with the administrator's certificate."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64decode
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from servers import Server

PODS = "/api/v1/namespaces/default/pods"
SECONDS = 20
FLAGS = ("--storage", "memory", "--disable-admission-plugins", "ServiceAccount")


class Client:
    """An aiohttp session with the administrator's certificate."""

    def __init__(self, server: Server, tmp_path: Path) -> None:
        config = yaml.safe_load((server.data / "admin.conf").read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        tls = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        (tmp_path / "admin.pem").write_bytes(
            b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"])
        )
        tls.load_cert_chain(tmp_path / "admin.pem")
        self.url: str = cluster["server"]
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))

    def websocket(self, path: str, *protocols: str) -> Any:
        return self.session.ws_connect(f"{self.url}{PODS}/{path}", protocols=protocols, max_msg_size=0)

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}{PODS}/{path}") as answer:
            text = await answer.text()
            return answer.status, json.loads(text)["message"] if answer.status >= 400 else text


async def messages(ws: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All there is on each channel, to the end."""
    found: dict[int, list[bytes]] = {}
    async with asyncio.timeout(SECONDS):
        async for message in ws:
            found.setdefault(message.data[0], []).append(message.data[1:])
    return {channel: b"".join(parts) for channel, parts in found.items()}
