"""Plugins make themselves known by a socket in `plugins_registry`, and are forgotten when it goes."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery.errors import StatusError
from kubeletd.csi import requests
from kubeletd.csi.errors import DriverError, RegistrationError
from kubeletd.csi.model import Driver
from kubeletd.inotify import DirectoryWatch

if TYPE_CHECKING:
    from kubeletd.csi.client import DriverClient

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 0.5, 30.0  # seconds
_TROUBLES = (DriverError, RegistrationError, StatusError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Registered:
    """A driver that may be asked; `socket` is the one it registered by."""

    driver: Driver
    client: DriverClient
    socket: Path


class Registry:
    """The plugins of one node. `added(driver)` is awaited before a driver may be used and is told that it is
    registered; `removed(name)` when it is gone."""

    def __init__(
        self,
        root: Path,
        added: Callable[[Driver], Awaitable[None]],
        removed: Callable[[str], Awaitable[None]],
    ) -> None:
        self._root = root
        self._directory = root / "plugins_registry"
        self._added = added
        self._removed = removed
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._tried: dict[Path, asyncio.Event] = {}
        self.drivers: dict[str, Registered] = {}
        self.looked = asyncio.Event()  # every socket that was there at the start has been tried

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self._watch()
                except OSError as error:
                    log.error("plugins cannot register: %s", error)
                    self.looked.set()
                    await asyncio.sleep(_LAST_RETRY)
        finally:
            await self._close()

    async def _watch(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        with DirectoryWatch(self._directory) as watch:
            self._look()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._looked())
                async for change in watch:
                    path = self._directory / change.name
                    if not change.name:
                        self._look()
                    elif change.here:
                        self._come(path)
                    else:
                        await self._go(path)

    def _look(self) -> None:
        for path in sorted(self._directory.iterdir()):
            self._come(path)

    async def _looked(self) -> None:
        for tried in list(self._tried.values()):
            await tried.wait()
        self.looked.set()

    def _come(self, path: Path) -> None:
        if path.name.startswith(".") or path in self._tasks:
            return
        try:
            if not stat.S_ISSOCK(path.stat().st_mode):
                return
        except FileNotFoundError:
            return
        self._tried[path] = asyncio.Event()
        self._tasks[path] = asyncio.create_task(self._keep(path), name=f"plugin {path.name}")

    async def _go(self, path: Path) -> None:
        task = self._tasks.pop(path, None)
        self._tried.pop(path, None)
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for name, registered in list(self.drivers.items()):
            if registered.socket == path:
                log.info("CSI driver %s is gone from this node", name)
                del self.drivers[name]
                await registered.client.close()
                try:
                    await self._removed(name)
                except _TROUBLES as error:
                    log.warning("CSI driver %s is not signed off: %s", name, error)

    async def _keep(self, path: Path) -> None:
        """Registers what is behind a socket, however often that takes."""
        pause = _FIRST_RETRY
        try:
            while True:
                try:
                    await self._register(path)
                    return
                except _TROUBLES as error:
                    log.warning("plugin %s is not registered: %s", path.name, error)
                except Exception:
                    # Whatever a plugin answers, the others and the agent go on.
                    log.exception("plugin %s is not registered", path.name)
                self._tried[path].set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LAST_RETRY)
        finally:
            if path in self._tried:
                self._tried[path].set()

    async def _register(self, path: Path) -> None:
        from kubeletd.csi.client import Registrar

        registrar = Registrar(path)
        try:
            info = await registrar.info()
            try:
                registered = await self._driver(path, info)
            except _TROUBLES as error:
                await registrar.notify(str(error))
                raise
            earlier = self.drivers.get(info.name)
            self.drivers[info.name] = registered
            if earlier is not None:
                await earlier.client.close()
            await registrar.notify("")
            log.info("CSI driver %s is registered", info.name)
        finally:
            await registrar.close()

    async def _driver(self, path: Path, info: Any) -> Registered:
        from kubeletd.csi.client import DriverClient

        if info.type != "CSIPlugin":
            raise RegistrationError(f"no handler registered for plugin type: {info.type} at socket {path}")
        if not any(version.removeprefix("v").startswith("1.") for version in info.supported_versions):
            listed = ", ".join(info.supported_versions)
            raise RegistrationError(f"unsupported versions of the driver {info.name}: {listed}")
        root = str(self._root)
        endpoint, seen = requests.our_path(root, info.endpoint) if info.endpoint else (str(path), root)
        client = DriverClient(Path(endpoint))
        try:
            driver = await client.describe(info.name, seen)
            await self._added(driver)
        except BaseException:
            await client.close()
            raise
        return Registered(driver, client, path)

    async def _close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(one.client.close() for one in self.drivers.values()))
        self._tasks.clear()
        self.drivers.clear()
