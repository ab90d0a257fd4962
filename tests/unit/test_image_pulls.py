"""Pull policies, credentials and the words for what went wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kubeletd import imagenames, keyring
from kubeletd.images import Images, ImageTrouble, shown_id
from kubeletd.pullrecords import PullRecords
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
    assert imagenames.valid(name) is valid


def secret(entries: dict[str, Any], name: str = "s", legacy: bool = False) -> dict[str, Any]:
    content = entries if legacy else {"auths": entries}
    data = base64.b64encode(json.dumps(content).encode()).decode()
    return {
        "type": f"kubernetes.io/{'dockercfg' if legacy else 'dockerconfigjson'}",
        "metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}"},
        "data": {".dockercfg" if legacy else ".dockerconfigjson": data},
    }


def users(image: str, *secrets: dict[str, Any]) -> list[str]:
    return [found.auth.username for found in keyring.lookup(secrets, image)]


def test_credentials_are_the_registrys_own() -> None:
    auth = base64.b64encode(b"me:secret:word").decode()
    config = secret({"https://reg.io/v1/": {"auth": auth}, "docker.io": {"username": "hub"}})
    (found,) = keyring.lookup([{"type": "Opaque", "data": {}}, config], "reg.io/team/app:1")
    assert found.auth == RegistryAuth("me", "secret:word", "https://reg.io/v1/")
    assert (found.uid, found.namespace, found.name) == ("uid-s", "n", "s")
    assert users("library/nginx", config) == users("nginx@sha256:" + "0" * 64, config) == ["hub"]
    assert users("other.io/app", config) == []
    assert users("reg.io/app", {**config, "type": "Opaque"}) == [], "by its type, not by its keys"
    assert users("reg.io/app", {**config, "data": {".dockerconfigjson": "bm8="}}) == [], "no JSON"
    broken = secret({"https://[": {"username": "x"}, "reg.io": {"username": "u"}, "b.io": "no entry"})
    assert users("reg.io/app", broken) == ["u"]


@pytest.mark.parametrize(
    ("entry", "image", "matches"),
    [
        ("reg.io", "reg.io/a/b:1", True),
        ("http://reg.io/v2/", "reg.io/a", True),
        ("reg.io:5000", "reg.io:5000/a", True),
        ("reg.io:5000", "reg.io/a", False),
        ("reg.io", "reg.io:5000/a", False),
        ("*.io", "reg.io/a", True),
        ("*.io", "a.reg.io/a", False),
        ("*.*.io:1", "a.reg.io:1/a", True),
        ("reg.io/team", "reg.io/team/app", True),
        ("reg.io/team", "reg.io/teams/app", True),
        ("reg.io/team/app", "reg.io/team", False),
        ("https://index.docker.io/v1/", "nginx", True),
        ("index.docker.io", "docker.io/me/app", True),
        ("docker.io/library", "nginx", True),
        ("docker.io/me", "nginx", False),
        ("[::1]:5000", "[::1]:5000/a", True),
    ],
)
def test_which_entries_are_for_an_image(entry: str, image: str, matches: bool) -> None:
    assert users(image, secret({entry: {"username": "u"}})) == (["u"] if matches else [])


def test_the_most_specific_entry_comes_first_then_as_secrets_come() -> None:
    first = secret({"reg.io": {"username": "a"}, "reg.io/team/app": {"username": "b"}})
    second = secret({"reg.io": {"username": "c"}, "reg.io/team": {"username": "d"}}, "t", legacy=True)
    assert users("reg.io/team/app:1", first, second) == ["b", "d", "a", "c"]
    hub = secret({"https://index.docker.io/v1/": {"username": "old"}, "docker.io": {"username": "new"}})
    assert users("nginx", hub) == ["new"], "the old name only where no other entry is for it"


async def test_several_credentials_are_tried_in_order() -> None:
    class Picky(Registry):
        async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
            await super().pull(reference, auth)
            if auth is None or auth.password != "right":
                raise ImagePullFailure(f"denied {auth.username if auth else ''}")
            return Image("sha256:1")

    def entry(user: str, password: str) -> dict[str, Any]:
        return secret({"reg.io": {"username": user, "password": password}}, user)

    registry = Picky()
    wrong = (entry("a", "wrong"), entry("b", "wrong"))
    found, _ = await ensure(Images(registry), "reg.io/app:1", secrets=(*wrong, entry("c", "right")))
    assert found.id == "sha256:1" and [auth.username for _, auth in registry.pulled if auth] == [
        "a",
        "b",
        "c",
    ]
    trouble, _ = await ensure(Images(registry), "reg.io/app:1", "Always", secrets=wrong)
    assert trouble.message == 'failed to pull image "reg.io/app:1": [denied a, denied b]'


async def test_an_image_pulled_with_a_secret_is_for_pods_that_have_it(tmp_path: Path) -> None:
    def keeper(policy: str = "NeverVerifyPreloadedImages", allowed: tuple[str, ...] = ()) -> Images:
        return Images(registry, PullRecords(tmp_path, policy, allowed))

    def entry(password: str, name: str = "s", uid: str = "1") -> dict[str, Any]:
        made = secret({"reg.io": {"username": "u", "password": password}}, name)
        return {**made, "metadata": {**made["metadata"], "uid": uid}}

    registry, name = Registry("reg.io/loaded:1"), "reg.io/app:1"
    await ensure(keeper(), "reg.io/loaded:1")
    assert registry.pulled == [], "what nobody pulled is everybody's"
    await ensure(keeper(), name, secrets=[entry("p")])
    assert len(registry.pulled) == 1
    registry.broken = True
    for secrets in ([entry("p")], [entry("p", "other", "2")], [entry("changed")]):
        found, said = await ensure(keeper(), name, secrets=secrets)
        assert found.id and said[0][1] == "Pulled", "the same secret, or the same credentials"
    for policy, reason in (("IfNotPresent", "ErrImagePull"), ("Never", "ErrImageNeverPull")):
        for secrets in ([], [entry("another", "other", "3")]):
            trouble, _ = await ensure(keeper(), name, policy, secrets=secrets)
            assert trouble.reason == reason
    assert (await ensure(keeper("NeverVerify"), name))[0].id
    assert (await ensure(keeper("NeverVerifyAllowlistedImages", ("reg.io/*",)), name))[0].id
    assert (await ensure(keeper("NeverVerifyAllowlistedImages", ("reg.io/ap",)), name))[0].reason
    assert (await ensure(keeper("AlwaysVerify"), "reg.io/loaded:1"))[0].reason == "ErrImagePull"
    registry.broken = False
    await ensure(keeper(), name)
    registry.broken = True
    assert (await ensure(keeper(), name))[0].id, "pulled without any since: it is everybody's"
    assert list((tmp_path / "pulling").iterdir()) == []


async def test_a_pull_that_an_agents_end_cut_off_leaves_no_image_open(tmp_path: Path) -> None:
    registry = Registry()
    registry.go.clear()
    keeper = Images(registry, PullRecords(tmp_path))
    task = asyncio.create_task(ensure(keeper, "reg.io/app:1"))
    await registry.asked.wait()
    await keeper.close()
    await asyncio.gather(task, return_exceptions=True)
    registry.present.add("reg.io/app:1")  # the engine carried on
    registry.go.set()
    await ensure(Images(registry, PullRecords(tmp_path)), "reg.io/app:1")
    assert len(registry.pulled) == 2


async def test_how_many_are_pulled_at_once() -> None:
    registry = Registry()
    registry.go.clear()
    keeper = Images(registry, parallel=1)
    both = [asyncio.create_task(ensure(keeper, image)) for image in ("a:1", "b:1")]
    await registry.asked.wait()
    assert len(registry.pulled) == 1
    registry.go.set()
    for _, said in await asyncio.gather(*both):
        assert "including waiting" in said[-1][2]
    assert len(registry.pulled) == 2


def test_the_image_id_names_the_place_it_was_asked_from() -> None:
    image = Image("sha256:1", digests=("a.io/x@sha256:" + "1" * 64, "b.io/y@sha256:" + "2" * 64))
    assert shown_id(image, "b.io/y:3") == image.digests[1]
    assert shown_id(image, "c.io/z") == image.digests[0]
    assert shown_id(Image("sha256:1"), "c.io/z") == "sha256:1"


@pytest.mark.parametrize(
    ("name", "asked", "repository"),
    [
        ("nginx", "nginx:latest", "docker.io/library/nginx"),
        ("me/app:1", "me/app:1", "docker.io/me/app"),
        ("localhost/app", "localhost/app:latest", "localhost/app"),
        ("reg.io:5/a:1@sha256:" + "0" * 64, "reg.io:5/a@sha256:" + "0" * 64, "reg.io:5/a"),
    ],
)
def test_what_a_name_stands_for(name: str, asked: str, repository: str) -> None:
    assert (imagenames.pulled_by(name), imagenames.repository(name)) == (asked, repository)
