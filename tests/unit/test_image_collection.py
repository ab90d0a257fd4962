"""The image collector against an engine's images, its users' and its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubeletd.imagegc import ImageCollector, ImageGCSettings
from kubeletd.runtime.interface import ContainerState, Identity, Image, RuntimeFailure
from kubeletd.stats_host import FileSystem

MI = 1 << 20


class Engine:
    """The parts of a runtime and of disks that collecting needs."""

    def __init__(self) -> None:
        self.held: dict[str, Image] = {}
        self.refused: set[str] = set()
        self.containers: list[ContainerState] = []
        self.available = 100

    def has(self, name: str, size: int = 50) -> Image:
        image = self.held[name] = Image(f"id-{name}", (name,), size=size)
        return image

    async def images(self) -> list[Image]:
        return list(self.held.values())

    async def list_containers(self) -> list[ContainerState]:
        return self.containers

    async def remove_image(self, name: str) -> None:
        if name in self.refused:
            raise RuntimeFailure("conflict: unable to remove")
        self.available += self.held.pop(name if ":" in name else f"{name}:latest").size

    def disk(self) -> FileSystem:
        return FileSystem(1000, self.available, 0, 0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def collector(engine: Any, file: Path, clock: Clock, wanted: set[str], told: list[str]) -> ImageCollector:
    class Disks:
        images = engine.disk

    settings = ImageGCSettings()
    return ImageCollector(engine, Disks(), file, settings, lambda: wanted, told.append, clock)  # type: ignore[arg-type]


async def test_the_oldest_unused_image_goes_and_a_users_never(tmp_path: Path) -> None:
    engine, clock, told, wanted = Engine(), Clock(), list[str](), set[str]()
    file = tmp_path / "pulled.json"
    first = collector(engine, file, clock, wanted, told)
    engine.has("users:1", 500)
    for name in ("old:1", "older", "used:1", "wanted:1", "refused:1"):
        engine.has(name if ":" in name else f"{name}:latest")
        first.pulled(name, engine.held[name if ":" in name else f"{name}:latest"])
        clock.now += 1
    identity = Identity("default", "p", "u", "c", "container")
    engine.containers = [ContainerState("1", identity, "running", image_id="id-used:1")]
    wanted.add("wanted:1")
    engine.refused.add("refused:1")
    engine.available = 190
    clock.now += 1000
    # Another agent process goes on with what the first one knew.
    second = collector(engine, file, clock, wanted, told)
    await second.collect()
    assert "old:1" in engine.held and not told  # there is enough
    engine.available = 150
    await second.collect()
    assert set(engine.held) == {"users:1", "older:latest", "used:1", "wanted:1", "refused:1"}
    engine.available = 100
    await second.collect()
    assert set(engine.held) == {"users:1", "used:1", "wanted:1", "refused:1"}
    assert told == [
        "Failed to garbage collect required amount of images. "
        "Attempted to free 100 bytes, but only found 50 bytes eligible to free."
    ]


async def test_a_name_beside_others_frees_nothing(tmp_path: Path) -> None:
    engine, clock, told = Engine(), Clock(), list[str]()
    made = collector(engine, tmp_path / "pulled.json", clock, set(), told)
    image = engine.held["ours:1"] = Image("id", ("ours:1", "users:1"), size=50)
    made.pulled("ours:1", image)
    clock.now += 1000
    await made.collect()
    assert "ours:1" not in engine.held
    assert told[-1].endswith("Attempted to free 100 bytes, but only found 0 bytes eligible to free.")


async def test_a_young_image_stays(tmp_path: Path) -> None:
    engine, clock, told = Engine(), Clock(), list[str]()
    made = collector(engine, tmp_path / "pulled.json", clock, set(), told)
    made.pulled("new:1", engine.has("new:1"))
    clock.now += 60
    await made.collect()
    assert "new:1" in engine.held
    clock.now += 61
    await made.reclaim()
    assert engine.held == {}


async def test_a_record_that_cannot_be_read_keeps_every_image(tmp_path: Path) -> None:
    engine, clock, told = Engine(), Clock(), list[str]()
    (tmp_path / "pulled.json").write_text("{")
    engine.has("some:1")
    await collector(engine, tmp_path / "pulled.json", clock, set(), told).reclaim()
    assert "some:1" in engine.held
