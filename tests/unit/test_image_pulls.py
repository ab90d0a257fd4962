"""Pull policies, credentials and the words for what went wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from kubeletd import images
from kubeletd.images import Images, ImageTrouble
from kubeletd.runtime.interface import Image, ImagePullFailure, RegistryAuth
from kubeletd.runtime.simulated import SimulatedRuntime


class Registry(SimulatedRuntime):
    """Has what it is told; counts pulls, each of which waits for `go`."""

    def __init__(self, *present: str) -> None:
        super().__init__(lambda: 0.0)
        self.present = set(present)
        self.pulled: list[tuple[str, RegistryAuth | None]] = []
        self.broken = False
        self.go = asyncio.Event()
        self.go.set()
        self.asked = asyncio.Event()

    async def image(self, reference: str) -> Image | None:
        return Image(f"sha256:{reference}", size=7) if reference in self.present else None

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        self.pulled.append((reference, auth))
        self.asked.set()
        await self.go.wait()
        if self.broken:
            raise ImagePullFailure("no route")
        self.present.add(reference)
        return Image(f"sha256:{reference}", size=7)


async def ensure(
    keeper: Images, image: str, policy: str = "", **more: Any
) -> tuple[Any, list[tuple[str, str, str]]]:
    said: list[tuple[str, str, str]] = []
    pod = {"metadata": {"uid": more.get("uid", "u")}}
    container = {"name": "c", "image": image, **({"imagePullPolicy": policy} if policy else {})}
    try:
        found: Any = await keeper.ensure(pod, container, more.get("secrets", ()), lambda *e: said.append(e))
    except ImageTrouble as trouble:
        found = trouble
    return found, said


async def test_present_images_are_not_pulled_unless_always() -> None:
    registry = Registry("app:1", "app")
    keeper = Images(registry)
    found, said = await ensure(keeper, "app:1")
    assert found.id == "sha256:app:1" and not registry.pulled
    words = 'Container image "app:1" already present on machine and can be accessed by the pod'
    assert said == [("Normal", "Pulled", words)]
    _, said = await ensure(keeper, "app")
    assert [name for name, _ in registry.pulled] == ["app"], "no tag means latest, and latest means Always"
    assert said[0] == ("Normal", "Pulling", 'Pulling image "app"')
    assert said[1][2].endswith("Image size: 7 bytes.")


async def test_failures_wait_longer_each_time() -> None:
    registry = Registry()
    registry.broken = True
    keeper = Images(registry)
    delays = []
    for _ in range(7):
        trouble, said = await ensure(keeper, "app:1")
        delays.append(trouble.retry_after)
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert (trouble.reason, trouble.message) == ("ErrImagePull", 'failed to pull image "app:1": no route')
    assert trouble.later_reason == "ImagePullBackOff"
    assert trouble.later_message.startswith('Back-off pulling image "app:1": ErrImagePull: ')
    assert ("Warning", "Failed", "Error: ImagePullBackOff") in said
    registry.broken = False
    await ensure(keeper, "app:1")
    registry.broken, registry.present = True, set()
    trouble, _ = await ensure(keeper, "app:1")
    assert trouble.retry_after == 10


async def test_never_and_invalid_names() -> None:
    keeper = Images(Registry())
    trouble, _ = await ensure(keeper, "app:1", "Never")
    assert trouble.reason == "ErrImageNeverPull"
    assert trouble.message == 'Container image "app:1" is not present with pull policy of Never'
    trouble, _ = await ensure(keeper, "app::1")
    assert trouble.reason == "InvalidImageName"
    assert 'couldn\'t parse image name "app::1": invalid reference format' in trouble.message


async def test_pods_that_want_the_same_image_share_one_pull() -> None:
    registry = Registry()
    registry.go.clear()
    keeper = Images(registry)
    both = [asyncio.create_task(ensure(keeper, "app:1", uid=uid)) for uid in ("a", "b")]
    await registry.asked.wait()
    both[0].cancel()
    registry.go.set()
    found, _ = await both[1]
    assert found.id == "sha256:app:1" and len(registry.pulled) == 1


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("nginx", True), ("nginx:1.2", True), ("a/b/c", True), ("127.0.0.1:5000/a:b", True),
        ("reg.io/a@sha256:" + "0" * 64, True), ("UPPER:1", False), ("a b", False), ("a::b", False), ("", False),
    ],
)  # fmt: skip
def test_image_names(name: str, valid: bool) -> None:
    assert images.valid_reference(name) is valid


def test_credentials_are_the_registrys_own() -> None:
    auth = base64.b64encode(b"me:secret:word").decode()
    config = {"auths": {"https://reg.io/v1/": {"auth": auth}, "docker.io": {"username": "hub"}}}
    secret = {"data": {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}}
    found = images.credentials([{"data": {}}, secret], "reg.io/team/app:1")
    assert found == RegistryAuth("me", "secret:word", "https://reg.io/v1/")
    hub = images.credentials([secret], "library/nginx")
    assert hub is not None and hub.username == "hub"
    assert images.credentials([secret], "other.io/app") is None
