"""Whatever a driver refuses and whenever the agent is killed: nothing of a volume is left behind, or taken early."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubeletd.csi import model
from kubeletd.csi.errors import DriverError
from kubeletd.csi.model import Driver
from kubeletd.csi.node import CsiNode
from kubeletd.csi.registration import Registered
from kubeletd.interfaces import MountError, PodFacts
from kubeletd.volumetypes.csi import Csi
from kubeletd.volumetypes.interface import Asked

NAME = "d.example.com"
PODS = ("a", "b", "c")
VOLUME = {
    "metadata": {"name": "pv"},
    "spec": {"csi": {"driver": NAME, "volumeHandle": "h"}, "capacity": {"storage": "1Gi"}},
}


class FakeDriver:
    """Keeps what it staged and published. `fate` says of each call whether it fails, and whether it works anyway."""

    def __init__(self, fate: list[str]) -> None:
        self.fate = fate
        self.staged = False
        self.published: set[str] = set()

    async def call(self, method: str, request: dict[str, Any], seconds: float = 0) -> None:
        fate = self.fate.pop(0) if self.fate else "works"
        if fate == "refused":
            raise DriverError("Internal", "refused")
        self.work(method, request)
        if fate == "lost":
            raise DriverError("DeadlineExceeded", "lost")
        await asyncio.sleep(0)

    def work(self, method: str, request: dict[str, Any]) -> None:
        if method == "NodeStageVolume":
            self.staged = True
        elif method == "NodePublishVolume":
            assert self.staged, "published before it was staged"
            self.published.add(request["target_path"])
        elif method == "NodeUnpublishVolume":
            self.published.discard(request["target_path"])
        elif method == "NodeUnstageVolume":
            assert not self.published, "unstaged while it is published"
            self.staged = False


class FakeSources:
    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        assert kind == "CSIDriver"
        return {"spec": {"attachRequired": False}}


class Agent:
    """One life of an agent with that driver."""

    def __init__(self, root: Path, driver: FakeDriver) -> None:
        self.root = root
        self.node = CsiNode(root, "n1", None, "boot")  # type: ignore[arg-type]
        self.node.records.load()
        self.node._loaded.set()
        registry = self.node._registry
        registry.looked.set()
        known = Driver(NAME, "id", frozenset({model.STAGE}), root=str(root))
        registry.drivers[NAME] = Registered(known, driver, root / "s")  # type: ignore[arg-type]
        self.volumes = Csi(self.node, FakeSources())  # type: ignore[arg-type]

    def place(self, pod: str) -> Path:
        return self.root / "pods" / pod / "volumes" / "kubernetes.io~csi" / "pv"

    async def up(self, pod: str) -> bool:
        asked = Asked(
            pod={"metadata": {"name": pod, "namespace": "ns", "uid": pod}, "spec": {}},
            name="data",
            kind="csi",
            source=VOLUME["spec"]["csi"],  # type: ignore[arg-type]
            directory=self.place(pod),
            facts=PodFacts(),
            persistent=VOLUME,
        )
        try:
            await self.volumes.set_up(asked)
        except MountError:
            return False
        return True

    async def down(self, pod: str) -> bool:
        try:
            await self.volumes.tear_down(self.place(pod))
        except MountError:
            return False
        return True

    async def killed(self) -> None:
        tasks = list(self.node._settling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_OPERATIONS = st.one_of(
    st.tuples(st.just("up"), st.sampled_from(PODS)),
    st.tuples(st.just("down"), st.sampled_from(PODS)),
    st.tuples(st.just("kill"), st.just("")),
)
_FATES = st.lists(st.sampled_from(["works", "works", "refused", "lost"]), max_size=20)


@settings(max_examples=60, deadline=None)
@given(operations=st.lists(_OPERATIONS, max_size=12), fate=_FATES)
@example(operations=[("up", "b"), ("down", "b"), ("up", "b")], fate=["works", "works", "lost"])
def test_nothing_is_left_of_a_volume_and_nothing_taken_early(
    operations: list[tuple[str, str]], fate: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_live(Path(directory), operations, FakeDriver(fate)))


async def _live(root: Path, operations: list[tuple[str, str]], driver: FakeDriver) -> None:
    agent = Agent(root, driver)
    running: set[str] = set()
    for what, pod in operations:
        if what == "kill":
            await agent.killed()
            agent = Agent(root, driver)
        elif what == "up" and await agent.up(pod):
            running.add(pod)
        elif what == "down":
            running.discard(pod)
            await agent.down(pod)
        held = {str(agent.place(pod) / "mount") for pod in running}
        assert held <= driver.published and (driver.staged or not held)
    # Another agent takes back what is left, from what is on disk alone.
    await agent.killed()
    driver.fate.clear()
    last = Agent(root, driver)
    for pod in PODS:
        assert await last.down(pod)
    for device in last.node._unused():
        last.node.settle(device.key)
    await asyncio.gather(*last.node._settling.values())
    assert not driver.published and not driver.staged
    assert last.node.volumes_in_use == []
    assert not list(root.glob("plugins/kubernetes.io/csi/*/*"))
    assert not list(root.glob("pods/*/volumes/*/*/*"))
