"""Getting a container's image: pull policies, credentials, back-off, in Kubernetes's words."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubeletd.interfaces import Container, Pod
from kubeletd.podstate.restart import duration
from kubeletd.runtime.interface import EngineUnavailable, Image, RegistryAuth, Runtime, RuntimeFailure

INITIAL_BACKOFF, MAX_BACKOFF = 10.0, 300.0
PARALLEL_PULLS = 3
NAMED_IN_STATUS = 50  # images a node's status lists at most
_DEFAULT_REGISTRY = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG, _DIGEST = r"[\w][\w.-]{0,127}", r"[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"^(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::{_TAG})?(?:@{_DIGEST})?$")
Record = Callable[[str, str, str], None]  # Normal|Warning, reason, message


class ImageTrouble(Exception):
    """There is no image to run. `reason` and `message` are the waiting state's; later they become the `later_` ones."""

    def __init__(
        self,
        reason: str,
        message: str,
        later_reason: str = "",
        later_message: str = "",
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.later_reason = later_reason
        self.later_message = later_message
        self.retry_after = retry_after


def valid_reference(image: str) -> bool:
    """Whether it can be an image's name (distribution reference grammar) or id."""
    return len(image) <= 4096 and _REFERENCE.match(image) is not None


def pull_policy(container: Container) -> str:
    """As the API server defaults it: Always for the tag latest."""
    given = container.get("imagePullPolicy")
    if given:
        return str(given)
    name = container["image"].partition("@")[0]
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if "@" not in container["image"] and tag in ("", "latest") else "IfNotPresent"


def registry_of(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _DEFAULT_REGISTRY


def credentials(secrets: Iterable[Mapping[str, Any]], image: str) -> RegistryAuth | None:
    """The first entry of the pull secrets (dockerconfigjson or dockercfg) for the image's registry."""
    registry = registry_of(image)
    for secret in secrets:
        data = secret.get("data") or {}
        try:
            if ".dockerconfigjson" in data:
                entries = json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
            elif ".dockercfg" in data:
                entries = json.loads(base64.b64decode(data[".dockercfg"]))
            else:
                continue
        except ValueError:
            continue
        for server, entry in entries.items():
            host = re.sub(r"^https?://", "", server).partition("/")[0]
            if host.removeprefix("index.") == registry:
                return _auth(server, entry)
    return None


def _auth(server: str, entry: Mapping[str, Any]) -> RegistryAuth:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth"):
        username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return RegistryAuth(username, password, server, entry.get("identitytoken") or "")


def shown_id(image: Image) -> str:
    """containerStatuses[].imageID: where it came from if a registry gave it, else its own id."""
    return image.digests[0] if image.digests else image.id


def node_images(images: Iterable[Image]) -> list[dict[str, Any]]:
    """status.images of the node: the biggest first, each with its names."""
    named = [i for i in images if i.tags or i.digests]
    named.sort(key=lambda i: (-i.size, i.id))
    return [{"names": [*i.digests, *i.tags], "sizeBytes": i.size} for i in named[:NAMED_IN_STATUS]]


class Images:
    """One node's images. Pods that need the same image at once share one pull."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._slots = asyncio.Semaphore(PARALLEL_PULLS)
        self._pulls: dict[tuple[str, RegistryAuth | None], asyncio.Task[Image]] = {}
        self._backoff: dict[tuple[str, str], float] = {}  # (pod uid, image) → the last delay
        #: Is told of names that were not here before and now are.
        self.on_pulled: Callable[[str, Image], None] | None = None

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._backoff if key[0] == uid]:
            del self._backoff[key]

    async def ensure(
        self, pod: Pod, container: Container, secrets: Iterable[Mapping[str, Any]], record: Record
    ) -> Image:
        """The container's image, pulled if its policy says so. Raises ImageTrouble, EngineUnavailable."""
        name, uid = container["image"], pod["metadata"]["uid"]
        if not valid_reference(name):
            text = (
                f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": '
                "invalid reference format"
            )
            record("Warning", "InspectFailed", text)
            record("Warning", "Failed", "Error: InvalidImageName")
            raise ImageTrouble("InvalidImageName", text, retry_after=MAX_BACKOFF)
        policy = pull_policy(container)
        if policy != "Always":
            present = await self._present(name, record)
            if present is not None:
                text = f'Container image "{name}" already present on machine and can be accessed by the pod'
                record("Normal", "Pulled", text)
                self._backoff.pop((uid, name), None)
                return present
            if policy == "Never":
                text = f'Container image "{name}" is not present with pull policy of Never'
                record("Warning", "ErrImageNeverPull", text)
                record("Warning", "Failed", "Error: ErrImageNeverPull")
                raise ImageTrouble("ErrImageNeverPull", text, retry_after=INITIAL_BACKOFF)
        record("Normal", "Pulling", f'Pulling image "{name}"')
        begun = time.monotonic()
        try:
            image = await self._shared_pull(name, credentials(secrets, name))
        except EngineUnavailable:
            raise
        except RuntimeFailure as error:
            raise self._failed(uid, name, error, record) from error
        took = _seconds(time.monotonic() - begun)
        size = f" Image size: {image.size} bytes." if image.size else ""
        record(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {took} ({took} including waiting).{size}',
        )
        self._backoff.pop((uid, name), None)
        return image

    async def _present(self, name: str, record: Record) -> Image | None:
        try:
            return await self._runtime.image(name)
        except EngineUnavailable:
            raise
        except RuntimeFailure as error:
            record("Warning", "InspectFailed", f'Failed to inspect image "{name}": {error.message}')
            raise ImageTrouble(
                "ImageInspectError", f'Failed to inspect image "{name}": {error.message}'
            ) from error

    def _failed(self, uid: str, name: str, error: RuntimeFailure, record: Record) -> ImageTrouble:
        text = f'failed to pull image "{name}": {error.message}'
        record("Warning", "Failed", f'Failed to pull image "{name}": {error.message}')
        record("Warning", "Failed", f"Error: {error.reason}")
        key = (uid, name)
        delay = min(self._backoff[key] * 2, MAX_BACKOFF) if key in self._backoff else INITIAL_BACKOFF
        self._backoff[key] = delay
        later = f'Back-off pulling image "{name}": {error.reason}: {text}'
        record("Normal", "BackOff", f'Back-off pulling image "{name}"')
        record("Warning", "Failed", "Error: ImagePullBackOff")
        return ImageTrouble(error.reason, text, "ImagePullBackOff", later, delay)

    async def _shared_pull(self, name: str, auth: RegistryAuth | None) -> Image:
        key = (name, auth)
        task = self._pulls.get(key)
        if task is None:
            task = self._pulls[key] = asyncio.create_task(self._pull(name, auth), name=f"pull {name}")
            task.add_done_callback(lambda _: self._pulls.pop(key, None))
        # A pod that is deleted meanwhile does not take the image from the others.
        return await asyncio.shield(task)

    async def _pull(self, name: str, auth: RegistryAuth | None) -> Image:
        async with self._slots:
            known = self.on_pulled is None or await self._runtime.image(name) is not None
            image = await self._runtime.pull(name, auth)
            if not known and self.on_pulled is not None:
                self.on_pulled(name, image)
            return image

    async def close(self) -> None:
        tasks = list(self._pulls.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _seconds(value: float) -> str:
    if value < 1:
        return f"{round(value * 1000)}ms"
    return f"{value:.3f}s" if value < 60 else duration(value)
