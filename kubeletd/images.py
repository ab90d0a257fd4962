"""Getting a container's image: pull policies, credentials, back-off, in Kubernetes's words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubeletd import imagenames, keyring
from kubeletd.interfaces import Container, Pod
from kubeletd.keyring import Credential
from kubeletd.podstate.restart import duration
from kubeletd.pullrecords import PullRecords
from kubeletd.runtime.interface import EngineUnavailable, Image, ImagePullFailure, Runtime, RuntimeFailure

INITIAL_BACKOFF, MAX_BACKOFF = 10.0, 300.0
PARALLEL_PULLS = 3
NAMED_IN_STATUS = 50  # images a node's status lists at most
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


def shown_id(image: Image, name: str) -> str:
    """containerStatuses[].imageID of an image that a pod calls `name`.

    Where it came from if a registry gave it (of several places the one that is named so), else its own id.
    """
    wanted = imagenames.repository(name)
    same = (digest for digest in image.digests if imagenames.repository(digest) == wanted)
    return next(same, image.digests[0] if image.digests else image.id)


def node_images(images: Iterable[Image]) -> list[dict[str, Any]]:
    """status.images of the node: the biggest first, each with its names."""
    named = [i for i in images if i.tags or i.digests]
    named.sort(key=lambda i: (-i.size, i.id))
    return [{"names": [*i.digests, *i.tags], "sizeBytes": i.size} for i in named[:NAMED_IN_STATUS]]


class Images:
    """One node's images. Pods that need the same image at once share one pull; others wait for one of `parallel`."""

    def __init__(
        self, runtime: Runtime, records: PullRecords | None = None, parallel: int = PARALLEL_PULLS
    ) -> None:
        self._runtime = runtime
        self.records = records or PullRecords(None)
        self._slots = asyncio.Semaphore(parallel)
        self._pulls: dict[tuple[str, tuple[Credential, ...]], asyncio.Task[tuple[Image, float]]] = {}
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
        if not imagenames.valid(name):
            text = (
                f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": '
                "invalid reference format"
            )
            record("Warning", "InspectFailed", text)
            record("Warning", "Failed", "Error: InvalidImageName")
            raise ImageTrouble("InvalidImageName", text, retry_after=MAX_BACKOFF)
        policy = container.get("imagePullPolicy") or imagenames.policy(name)
        credentials = keyring.lookup(secrets, name)
        if policy != "Always":
            present = await self._present(name, record)
            if present is not None and self.records.may_use(name, present.id, credentials):
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
            image, seconds = await self._shared_pull(name, credentials)
        except EngineUnavailable:
            raise
        except RuntimeFailure as error:
            raise self._failed(uid, name, error, record) from error
        took, waited = _seconds(seconds), _seconds(time.monotonic() - begun)
        size = f" Image size: {image.size} bytes." if image.size else ""
        text = f'Successfully pulled image "{name}" in {took} ({waited} including waiting).{size}'
        record("Normal", "Pulled", text)
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

    async def _shared_pull(self, name: str, credentials: tuple[Credential, ...]) -> tuple[Image, float]:
        key = (name, credentials)
        task = self._pulls.get(key)
        if task is None:
            task = self._pulls[key] = asyncio.create_task(self._pull(name, credentials), name=f"pull {name}")
            task.add_done_callback(lambda _: self._pulls.pop(key, None))
        # A pod that is deleted meanwhile does not take the image from the others.
        return await asyncio.shield(task)

    async def _pull(self, name: str, credentials: tuple[Credential, ...]) -> tuple[Image, float]:
        """The image, and how many seconds its pull took once its turn had come."""
        async with self._slots:
            begun = time.monotonic()
            known = self.on_pulled is None or await self._runtime.image(name) is not None
            self.records.begin(name)
            try:
                image, used = await self._pull_by_any(name, credentials)
            except EngineUnavailable:
                raise
            except RuntimeFailure:
                self.records.failed(name)
                raise
            self.records.pulled(name, image.id, used, time.time())
            if not known and self.on_pulled is not None:
                self.on_pulled(name, image)
            return image, time.monotonic() - begun

    async def _pull_by_any(
        self, name: str, credentials: tuple[Credential, ...]
    ) -> tuple[Image, Credential | None]:
        """Tries one credential after the other; without any, nobody's."""
        if not credentials:
            return await self._runtime.pull(name), None
        failures: list[RuntimeFailure] = []
        for credential in credentials:
            try:
                return await self._runtime.pull(name, credential.auth), credential
            except EngineUnavailable:
                raise
            except RuntimeFailure as error:
                failures.append(error)
        said = list(dict.fromkeys(failure.message for failure in failures))
        if len(said) == 1:
            raise failures[0]
        raise ImagePullFailure(f"[{', '.join(said)}]")

    async def close(self) -> None:
        tasks = list(self._pulls.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _seconds(value: float) -> str:
    if value < 1:
        return f"{round(value * 1000)}ms"
    return f"{value:.3f}s" if value < 60 else duration(value)
