"""PEM blocks (RFC 7468), as Kubernetes reads them: text around them and lines that are not base64 are passed over."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(
    r"^-----BEGIN (?P<kind>[^\n]*?)-----[ \t]*\r?\n(?P<body>.*?)^-----END (?P=kind)-----[ \t]*\r?$",
    re.M | re.S,
)
_HEADER = re.compile(r"[^:\n]*:")


@dataclass(frozen=True, slots=True)
class Block:
    """`kind` is what stands after BEGIN, `headers` whether it has any, `data` what the base64 says."""

    kind: str
    headers: bool
    data: bytes


def blocks(text: str) -> Iterator[Block]:
    """The blocks that can be read."""
    for match in _BLOCK.finditer(text):
        lines = match["body"].splitlines()
        count = 0
        while count < len(lines) and _HEADER.match(lines[count]):
            count += 1
        encoded = "".join("".join(lines[count:]).split())
        try:
            yield Block(match["kind"], count > 0, base64.b64decode(encoded, validate=True))
        except binascii.Error:
            continue


def encode(kind: str, data: bytes) -> str:
    """One block, without headers."""
    encoded = base64.b64encode(data).decode()
    lines = [encoded[i : i + 64] for i in range(0, len(encoded), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])
