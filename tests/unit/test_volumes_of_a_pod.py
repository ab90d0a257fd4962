"""A pod's volumes change one call at a time, and stay away once they are taken down."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kubeletd.interfaces import MountError, PodFacts
from kubeletd.volumes import PodVolumes

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u1"},
    "spec": {"containers": [], "volumes": [{"name": "v", "configMap": {"name": "cm"}}]},
}


class Objects:
    """Gives every ConfigMap after a turn of the loop; `asked` counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.data = {"k": "1"}
        self.gone = ""

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        self.asked += 1
        await asyncio.sleep(0)
        if name == self.gone:
            return None
        return {"data": dict(self.data)}

    def retain(self, uid: str, wanted: object) -> None: ...

    def release(self, uid: str) -> None: ...


def volumes(root: Path) -> tuple[PodVolumes, Objects]:
    objects = Objects()
    return PodVolumes(root, objects, "node"), objects  # type: ignore[arg-type]


async def test_a_refresh_while_the_volume_is_made_waits_for_it(tmp_path: Path) -> None:
    made, _ = volumes(tmp_path)
    calls = [made.mount_all(POD, PodFacts()), *(made.refresh(POD, PodFacts()) for _ in range(8))]
    results = await asyncio.gather(*calls)
    shown = Path(results[0]["v"])
    assert (shown / "k").read_text() == "1"
    assert sorted(path.name for path in shown.iterdir() if not path.name.startswith("..")) == ["k"]


async def test_a_refresh_after_the_end_makes_nothing(tmp_path: Path) -> None:
    made, objects = volumes(tmp_path)
    await made.mount_all(POD, PodFacts())
    asked = objects.asked
    await asyncio.gather(made.unmount_all("u1"), made.refresh(POD, PodFacts()))
    assert not (tmp_path / "pods" / "u1").exists()
    await made.refresh(POD, PodFacts())
    assert objects.asked == asked


async def test_what_cannot_be_brought_up_to_date_leaves_the_rest(tmp_path: Path) -> None:
    made, objects = volumes(tmp_path)
    spec = [{"name": name, "configMap": {"name": name}} for name in ("gone", "there")]
    pod = {**POD, "spec": {"containers": [], "volumes": spec}}
    paths = await made.mount_all(pod, PodFacts())
    objects.data, objects.gone = {"k": "2"}, "gone"
    with pytest.raises(MountError, match='volume "gone" : configmap "gone" not found'):
        await made.refresh(pod, PodFacts())
    assert (Path(paths["there"]) / "k").read_text() == "2"
    assert (Path(paths["gone"]) / "k").read_text() == "1"
