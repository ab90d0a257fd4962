"""An HTTPS server on loopback that plays webhooks: one function a path, from review to review."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Object = dict[str, Any]
Answer = Callable[[Object], Object | None]
SERVICE = "hook.hooks.svc"


def certificate(directory: Path, host: str = SERVICE) -> tuple[Path, str]:
    """A self-signed serving certificate with its key in one file, and its PEM as a caBundle."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(host)]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "webhook.pem"
    path.write_bytes(private + pem)
    return path, base64.b64encode(pem).decode()


class WebhookServer:
    """`on(path, answer)`; `answer` gets the request of the review and gives the response, without its uid.

    None for an answer: hang until the server is closed. `seen` has the requests by path.
    """

    def __init__(self, directory: Path) -> None:
        path, self.bundle = certificate(directory)
        self.seen: dict[str, list[Object]] = {}
        self._answers: dict[str, Answer] = {}
        self._closing = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                owner._serve(self)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def on(self, path: str, answer: Answer) -> Object:
        """Answer at a path from now on; gives the clientConfig of a webhook there."""
        self._answers[path] = answer
        self.seen[path] = []
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}

    def _serve(self, http: BaseHTTPRequestHandler) -> None:
        review = json.loads(http.rfile.read(int(http.headers["Content-Length"])))
        path = http.path.partition("?")[0]
        request = review["request"]
        self.seen.setdefault(path, []).append(request)
        response = self._answers[path](request)
        if response is None:
            self._closing.wait(30)
            return
        review["response"] = {"uid": request["uid"], **response}
        del review["request"]
        body = json.dumps(review).encode()
        http.send_response(200)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


ALLOW: Object = {"allowed": True}


def allow(request: Object) -> Object:
    return ALLOW


def patching(*operations: Object) -> Answer:
    """Allow and patch."""
    encoded = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def refusing(message: str = "", **status: Any) -> Answer:
    if message:
        status["message"] = message
    return lambda request: {"allowed": False, **({"status": status} if status else {})}
