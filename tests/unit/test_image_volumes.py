"""Volumes that show an image: when it is pulled, what is mounted, what is told of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kubeletd import imagevolumes
from kubeletd.images import Images, ImageTrouble
from kubeletd.imagevolumes import ImageVolumes
from kubeletd.runtime.dockerviews import layers
from kubeletd.runtime.interface import Image, ImageNotFound, RuntimeFailure
from kubeletd.runtime.simulated import SimulatedRuntime

POD: dict[str, Any] = {
    "metadata": {"uid": "u", "name": "p", "namespace": "n"},
    "spec": {
        "containers": [
            {"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {"name": "b", "image": "x"},
        ],
        "volumes": [{"name": "v", "image": {"reference": "models:1", "pullPolicy": "Always"}}],
    },
}
A, B = POD["spec"]["containers"]


class Runtime(SimulatedRuntime):
    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.asked: list[tuple[str, ...]] = []
        self.broken = False

    async def pull(self, reference: str, auth: Any = None) -> Image:
        self.asked.append(("pull", reference))
        if "missing" in reference:
            raise ImageNotFound("not found")
        return Image("sha256:1", digests=("models@sha256:" + "2" * 64,))

    async def show_image(self, image_id: str, uid: str, volume: str, target: Path) -> None:
        if self.broken:
            raise RuntimeFailure("no such device")
        self.asked.append(("show", image_id, uid, volume, str(target)))

    async def forget_images(self, uid: str) -> None:
        self.asked.append(("forget", uid))


def nobody(kind: str, reason: str, message: str) -> None:
    """Events that no test asks for."""


async def test_only_what_a_container_mounts_is_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime()
    volumes = ImageVolumes(runtime, Images(runtime))
    path = str(tmp_path / "volumes" / imagevolumes.PLUGIN / "v")
    os.makedirs(path)
    assert await volumes.ensure(POD, B, {"v": path}, [], nobody) == {}
    assert await volumes.ensure(POD, A, {"v": path}, [], nobody) == {"v": "models@sha256:" + "2" * 64}
    assert runtime.asked == [("pull", "models:1"), ("show", "sha256:1", "u", "v", path)]
    # Another container, another run: it is there.
    monkeypatch.setattr("os.path.ismount", lambda target: target == path)
    assert await volumes.ensure(POD, A, {"v": path}, [], nobody) == {"v": "models@sha256:" + "2" * 64}
    assert len(runtime.asked) == 2
    await volumes.release("u", tmp_path)
    assert runtime.asked[2:] == [("forget", "u")]
    await volumes.release("u", tmp_path / "elsewhere")
    assert len(runtime.asked) == 3


async def test_an_image_that_cannot_be_had_holds_its_containers_back(tmp_path: Path) -> None:
    runtime = Runtime()
    volumes = ImageVolumes(runtime, Images(runtime))
    source = {"reference": "missing:1", "pullPolicy": "Always"}
    missing = {**POD, "spec": {**POD["spec"], "volumes": [{"name": "v", "image": source}]}}
    with pytest.raises(ImageTrouble) as caught:
        await volumes.ensure(missing, A, {"v": str(tmp_path)}, [], nobody)
    assert (caught.value.reason, caught.value.later_reason) == ("ErrImagePull", "ImagePullBackOff")
    runtime.broken = True
    with pytest.raises(ImageTrouble) as caught:
        await volumes.ensure(POD, A, {"v": str(tmp_path)}, [], nobody)
    assert caught.value.reason == "CreateContainerError" and "no such device" in caught.value.message


def test_layers_are_mounted_where_the_engine_has_them(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    data = {"UpperDir": str(upper), "LowerDir": str(lower)}
    assert layers({"GraphDriver": {"Name": "overlay2", "Data": data}}) == [str(upper), str(lower)]
    assert layers({"GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": str(upper)}}}) == [str(upper)]
    assert layers({"GraphDriver": {"Name": "vfs", "Data": data}}) == []
    assert layers({"GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": "/not/here"}}}) == []
    many = ":".join([str(lower)] * 1000)
    assert layers({"GraphDriver": {"Name": "overlay2", "Data": {**data, "LowerDir": many}}}) == []
