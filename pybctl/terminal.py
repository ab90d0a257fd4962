"""What people see: colours and a spinner where a person looks, plain lines where a pipe does."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_GOOD = frozenset(
    ("Running", "Ready", "Active", "Bound", "Completed", "Succeeded", "True", "Available", "Normal")
)
_BUSY = frozenset(("Pending", "ContainerCreating", "PodInitializing", "Terminating", "Unknown", "NotReady"))


def is_person(stream: TextIO = sys.stdout) -> bool:
    """Whether `stream` is a terminal that shows colours (NO_COLOR and TERM=dumb say no)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str, stream: TextIO = sys.stdout) -> str:
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if is_person(stream) else text


def status_colour(status: str) -> str:
    """The colour for a STATUS cell, empty for none."""
    if status in _GOOD:
        return "green"
    if status in _BUSY or status.startswith("Init:"):
        return "yellow"
    if "Error" in status or "BackOff" in status or status in ("Failed", "OOMKilled", "Evicted", "Warning"):
        return "red"
    return ""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, headers: bool = True) -> str:
    """Aligned columns, three spaces apart, as kubectl prints them; statuses in colour for a person."""
    shown = [list(columns), *(list(row) for row in rows)] if headers else [list(row) for row in rows]
    if not shown:
        return ""
    widths = [max(len(row[i]) for row in shown) for i in range(len(columns))]
    coloured_columns = {i for i, c in enumerate(columns) if c in ("STATUS", "READY", "TYPE", "AVAILABLE")}
    person = is_person()
    lines = []
    for number, row in enumerate(shown):
        cells = []
        for i, cell in enumerate(row):
            padded = cell if i == len(row) - 1 else cell.ljust(widths[i])
            if person and headers and number == 0:
                padded = coloured(padded, "bold")
            elif person and i in coloured_columns and (colour := status_colour(cell)):
                padded = coloured(padded, colour)
            cells.append(padded)
        lines.append("   ".join(cells).rstrip() + "\n")
    return "".join(lines)


class Progress:
    """Steps of something that takes a while, each with its time."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._person = is_person(stream)
        self._text = ""
        self._began = 0.0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def step(self, text: str) -> None:
        """Ends the step before, begins the next."""
        self._end(ok=True)
        self._text, self._began = text, time.monotonic()
        if self._person:
            self._done = threading.Event()
            self._thread = threading.Thread(target=self._spin, args=(self._done,), daemon=True)
            self._thread.start()

    def _spin(self, done: threading.Event) -> None:
        for frame in itertools.cycle("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"):
            self._stream.write(f"\r {coloured(frame, 'cyan', self._stream)} {self._text} ")
            self._stream.flush()
            if done.wait(0.08):
                return

    def _end(self, *, ok: bool) -> None:
        if not self._text:
            return
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None
        mark = coloured("✓", "green", self._stream) if ok else coloured("✗", "red", self._stream)
        seconds = coloured(f"({time.monotonic() - self._began:.1f} s)", "dim", self._stream)
        start = "\r\x1b[K " if self._person else " "
        self._stream.write(f"{start}{mark} {self._text} {seconds}\n")
        self._stream.flush()
        self._text = ""


@contextmanager
def progress() -> Iterator[Progress]:
    """A Progress whose last step is marked failed where the block raises."""
    shown = Progress()
    try:
        yield shown
    except BaseException:
        shown._end(ok=False)
        raise
    shown._end(ok=True)
