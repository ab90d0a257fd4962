"""Removes images that this agent pulled and nothing uses, when their disk fills up (see `imagegc_plan`)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Set
from dataclasses import asdict, dataclass
from pathlib import Path

from kubeletd import imagegc_plan as plan
from kubeletd.imagegc_plan import PulledImage
from kubeletd.runtime.interface import Image, Runtime, RuntimeFailure
from kubeletd.stats_disks import Disks

log = logging.getLogger(__name__)

PERIOD = 300.0  # seconds between looks


@dataclass(frozen=True, slots=True)
class ImageGCSettings:
    """Percentages of the images' disk; a high one of 100 means never. `minimum_age` in seconds."""

    high_percent: int = 85
    low_percent: int = 80
    minimum_age: float = 120.0


class ImageCollector:
    """`held()` are the names that pods of this node want. `failed(message)` is told when not enough can be freed.

    What was pulled is remembered in `file`.
    """

    def __init__(
        self,
        runtime: Runtime,
        disks: Disks,
        file: Path | None,
        settings: ImageGCSettings,
        held: Callable[[], Set[str]],
        failed: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._runtime = runtime
        self._disks = disks
        self._file = file
        self._settings = settings
        self._held = held
        self._failed = failed
        self._clock = clock
        self._pulled: dict[str, PulledImage] = {}
        self._loaded = False
        self.on_removed: Callable[[str], None] | None = None  # is told the ids of images that are gone
        self._turn = asyncio.Lock()

    def pulled(self, name: str, image: Image) -> None:
        """A name that was not here has been pulled."""
        self._load()
        now = self._clock()
        self._pulled[name] = PulledImage(name, image.id, image.size, now, now)
        self._save()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.collect()
            except (RuntimeFailure, OSError) as error:
                log.warning("images are not collected: %s", error)

    async def collect(self) -> None:
        """One turn: frees what the thresholds ask for."""
        found = self._disks.images()
        if found is None:
            return
        settings = self._settings
        wanted = plan.to_free(
            plan.Disk(found.capacity, found.available), settings.high_percent, settings.low_percent
        )
        freed = await self._free(wanted)
        if freed < wanted:
            self._failed(
                "Failed to garbage collect required amount of images. "
                f"Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
            )

    async def reclaim(self) -> None:
        """Frees all it can: the disk is short already."""
        await self._free(1 << 62)

    async def _free(self, wanted: int) -> int:
        """Removes images until as much is free; gives what came of it. Raises RuntimeFailure."""
        async with self._turn:
            self._load()
            if not self._pulled:
                return 0
            containers = await self._runtime.list_containers()
            in_use = {container.image_id for container in containers}
            in_use |= {image.id for name, image in self._pulled.items() if name in self._held()}
            images = await self._runtime.images()
            here = {name: i.id for i in images for name in (*i.tags, *i.digests)}
            names = {i.id: len(i.tags) for i in images}
            now = self._clock()
            kept = plan.seen(self._pulled.values(), _with_latest(here), in_use, now)
            self._pulled = {image.name: image for image in kept}
            freed = 0
            for image in plan.candidates(kept, in_use, now, self._settings.minimum_age):
                if freed >= wanted:
                    break
                try:
                    # By its name and without force: the engine keeps what has other names or containers.
                    await self._runtime.remove_image(image.name)
                except RuntimeFailure as error:
                    log.info("image %s stays: %s", image.name, error.message)
                    continue
                log.info("removed image %s, which no pod uses", image.name)
                names[image.id] -= 1
                if names[image.id] <= 0:
                    freed += image.size
                    if self.on_removed is not None:
                        self.on_removed(image.id)
                del self._pulled[image.name]
            self._save()
            return freed

    def _load(self) -> None:
        if self._loaded or self._file is None:
            return
        self._loaded = True
        try:
            entries = json.loads(self._file.read_bytes())
            self._pulled = {entry["name"]: PulledImage(**entry) for entry in entries}
        except FileNotFoundError:
            return
        except (ValueError, TypeError, KeyError) as error:
            # Better to keep images than to guess whose they are.
            log.warning("%s cannot be read, its images are kept: %s", self._file, error)

    def _save(self) -> None:
        if self._file is None:
            return
        try:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps([asdict(image) for image in self._pulled.values()]))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("what was pulled is not remembered: %s", error)


def _with_latest(here: dict[str, str]) -> dict[str, str]:
    """A name without a tag means `latest`."""
    short = {name.removesuffix(":latest"): found for name, found in here.items() if name.endswith(":latest")}
    return {**here, **short}
