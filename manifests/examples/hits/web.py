"""A web page that counts its visits in Redis. The greeting is configuration, the password a secret."""

import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def redis(*words: str) -> str:
    """One command to Redis, in its own protocol (RESP): the answer's first line, without its mark."""
    address = (os.environ["REDIS_HOST"], int(os.environ.get("REDIS_PORT_NUMBER", "6379")))
    with socket.create_connection(address, timeout=2) as connection, connection.makefile("rb") as answer:
        for command in (("AUTH", os.environ["REDIS_PASSWORD"]), words):
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
            connection.sendall(b"*%d\r\n" % len(command) + parts)
            line = answer.readline().decode().rstrip()
            if not line or line[0] == "-":
                raise ConnectionError(line or "Redis closed the connection")
        return line[1:]


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(200, "ok\n")
            return
        try:
            hits = redis("INCR", "hits")
        except OSError as error:
            self.answer(503, f"Redis does not answer: {error}\n")
            return
        seen = f"This page was seen {hits} times; {os.environ['POD_NAME']} answers."
        self.answer(200, f"{os.environ['GREETING']} {seen}\n")

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", 8080), Page).serve_forever()
