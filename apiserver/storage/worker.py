"""A thread for what blocks: functions run one after another, their outcomes come back to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

Done = Callable[[Any, BaseException | None], None]
"""Called on the loop with a function's result, or with what it raised."""


class Worker:
    """One thread. It hands the interpreter's lock over less often than an executor does, which is what those cost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._queue: SimpleQueue[tuple[Done, Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        # SQLite's files survive whatever moment the process ends at.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, done: Done, function: Callable[..., Any], *arguments: Any) -> None:
        self._queue.put((done, function, arguments))

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        waiting: asyncio.Future[T] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if waiting.done():
                return
            if error is None:
                waiting.set_result(result)
            else:
                waiting.set_exception(error)

        self.submit(done, function, *arguments)
        return await waiting

    def shutdown(self) -> None:
        """Return once everything submitted is done."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            done, function, arguments = item
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as raised:  # noqa: BLE001 - it is for who waits
                error = raised
            if self._loop.is_closed():
                return
            self._loop.call_soon_threadsafe(done, result, error)
            del item, done, function, arguments, result, error
