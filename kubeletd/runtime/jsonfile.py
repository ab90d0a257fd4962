"""The engine's json-file format: an entry a line, `{"log":"text\\n","stream":"stdout","time":"2006-01-02T15:04:05Z"}`.

Pure. Entries are decoded a block at a time: an entry that costs Python a microsecond by itself costs a fifth of that
in a block of a thousand. The engine cuts lines at 16 KiB: then only the last entry of a line ends with a newline.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from kubeletd.runtime.specs import LogOptions

Entry = dict[str, Any]

_WHOLE_TIME = len("2006-01-02T15:04:05.123456789Z")
_BEGIN = b'{"log":"'
_FRAME = rb'","stream":"std(?:out|err)","time":"[^"]*"\}\n'
"""What follows an entry's text. A quote of a text has a backslash before it, and a newline is never raw."""
_BETWEEN = re.compile(_FRAME + rb'\{"log":"')
_BETWEEN_LINES = re.compile(rb"\\n" + _FRAME + rb'\{"log":"')
_END_OF_LAST = re.compile(rb"(?:\\n)?" + _FRAME)


def decode(block: bytes) -> list[Entry]:
    """The entries of a block of whole lines. What is no entry (a crash can leave such) is left out."""
    try:
        found: list[Entry] = orjson.loads(b"[%b]" % block.rstrip(b"\n").replace(b"\n", b","))
    except orjson.JSONDecodeError:
        found = [entry for line in block.split(b"\n") if (entry := _decode_line(line)) is not None]
    return found


def _decode_line(line: bytes) -> Entry | None:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) else None


def comparable(seconds: float) -> str:
    """A time since the epoch as one that entries' times, without their Z, can be compared with as text."""
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".")


def stamp(time: str) -> str:
    """An entry's time with nanoseconds, as logs are shown: the engine leaves out zeros at the end."""
    if len(time) == _WHOLE_TIME:
        return time
    whole, _, fraction = time[:-1].partition(".")
    return f"{whole}.{fraction:0<9}Z"


def tail(lines: Sequence[bytes], wanted: int, seen: int) -> tuple[int, int]:
    """Looks back over raw entries (newest last) for the `wanted` last lines (> 0) of a log, of which `seen` have been
    found in newer entries. Gives how many of the raw entries belong to those lines, and how many lines are found now.

    A line is found with its last entry; it goes back to the entry before which another line ends.
    """
    for index in range(len(lines) - 1, -1, -1):
        entry = _decode_line(lines[index])
        if not seen or entry is None or entry.get("log", "").endswith("\n"):
            if seen == wanted:
                return len(lines) - 1 - index, seen
            seen += 1
    return len(lines), seen


def plain_lines(block: bytes) -> bytes | None:
    """The text of a block of whole entries, where each is a whole line without anything escaped; else None."""
    text = _BETWEEN_LINES.sub(b"\n", block)
    end = text.rfind(b'\\n","stream":"')
    if end < 0 or not text.startswith(_BEGIN) or not _END_OF_LAST.fullmatch(text, end):
        return None
    text = text[len(_BEGIN) : end]
    # All quotes of entries are gone, and those of texts would be escaped: so nothing else than lines is left.
    return None if b'"' in text or b"\\" in text else text + b"\n"


def escaped_text(block: bytes) -> bytes | None:
    """The text of a block of whole entries as one JSON string; None where the entries have more than they need."""
    text = _BETWEEN.sub(b"", block)
    end = text.rfind(b'","stream":"')
    if end < 0 or not text.startswith(_BEGIN) or not _END_OF_LAST.fullmatch(text, end):
        return None
    try:
        decoded: str = orjson.loads(text[len(_BEGIN) - 1 : end + 1])
    except orjson.JSONDecodeError:
        return None
    return decoded.encode()


class Decoder:
    """Blocks of whole entries to the text that `options` ask for; `follow` and `tail` are the reader's."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = comparable(options.since) if options.since else ""
        both = options.stdout and options.stderr
        self._stream = "" if both else "stdout" if options.stdout else "stderr" if options.stderr else "none"
        self._at_start = True  # of a line
        self._escapes = False  # there are some in this log

    def feed(self, block: bytes) -> bytes:
        """The text of a block that ends with a whole entry."""
        if not (self._since or self._stream or self._timestamps):
            text = None if self._escapes else plain_lines(block)
            if text is None:
                self._escapes = True
                text = escaped_text(block)
            if text is not None:
                return text
        elif self._since and self._too_old(block):
            return b""
        entries = decode(block)
        if self._since:
            entries = [e for e in entries if e.get("time", "")[:-1] >= self._since]
        if self._stream:
            entries = [e for e in entries if e.get("stream") == self._stream]
        if self._timestamps:
            return self._stamped(entries).encode()
        try:
            return "".join([entry["log"] for entry in entries]).encode()
        except KeyError:  # an entry without text has no such key
            return "".join([entry.get("log", "") for entry in entries]).encode()

    def _too_old(self, block: bytes) -> bool:
        """Whether both ends of a block are: then all of it is taken to be, without decoding it."""
        ends = block[: block.find(b"\n")], block[block.rfind(b"\n", 0, -1) + 1 :]
        return all((_decode_line(line) or {}).get("time", "Z")[:-1] < self._since for line in ends)

    def _stamped(self, entries: list[Entry]) -> str:
        shown = []
        for entry in entries:
            text = entry.get("log", "")
            shown.append(f"{stamp(entry.get('time', 'Z'))} {text}" if self._at_start else text)
            self._at_start = text.endswith("\n")
        return "".join(shown)
