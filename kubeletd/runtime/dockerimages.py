"""Images of the Docker Engine."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import aclosing
from urllib.parse import quote

from kubeletd import imagenames
from kubeletd.accounts import Accounts
from kubeletd.runtime import dockeraccounts, dockerspec
from kubeletd.runtime.dockerengine import Engine
from kubeletd.runtime.dockerstream import EngineError, json_lines
from kubeletd.runtime.interface import (
    EngineUnavailable,
    Image,
    ImageNotFound,
    ImagePullFailure,
    RegistryAuth,
    RuntimeFailure,
)

_ACCOUNTS_KEPT = 64  # images


class DockerImages:
    """The image methods of interface.Runtime."""

    _engine: Engine
    cluster: str
    _accounts: dict[str, Accounts | None]  # by image id

    async def image(self, reference: str) -> Image | None:
        # A digest says which; a tag before it says nothing more.
        name = imagenames.pulled_by(reference) if "@" in reference else reference
        try:
            return dockerspec.image_of(await self._engine.call("GET", f"/images/{quote(name)}/json"))
        except EngineError as error:
            if error.status == 404:
                return None
            raise RuntimeFailure(error.message, "ImageInspectError") from error

    async def accounts(self, image_id: str) -> Accounts | None:
        if image_id not in self._accounts:
            if len(self._accounts) >= _ACCOUNTS_KEPT:
                self._accounts.clear()
            self._accounts[image_id] = await self._read_accounts(image_id)
        return self._accounts[image_id]

    async def _read_accounts(self, image_id: str) -> Accounts | None:
        try:
            inspected = await self._engine.call("GET", f"/images/{quote(image_id)}/json")
            directories = dockeraccounts.directories(inspected)
            if directories:
                return await asyncio.to_thread(dockeraccounts.from_layers, directories)
            return await dockeraccounts.from_engine(self._engine, image_id, self.cluster)
        except EngineError as error:
            if error.status == 404:
                raise ImageNotFound(error.message) from error
            raise RuntimeFailure(error.message, "ImageInspectError") from error
        except OSError as error:
            raise RuntimeFailure(f"cannot read the users of image {image_id}: {error}") from error

    async def images(self) -> list[Image]:
        try:
            found = await self._engine.call("GET", "/images/json")
        except EngineError as error:
            raise EngineUnavailable(error.message) from error
        return [dockerspec.image_of(entry) for entry in found]

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        headers = {}
        if auth is not None:
            given = {
                "username": auth.username,
                "password": auth.password,
                "serveraddress": auth.server,
                "identitytoken": auth.identity_token,
            }
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(json.dumps(given).encode()).decode()
        # Without a tag the engine would pull all of them.
        query = {"fromImage": imagenames.pulled_by(reference)}
        try:
            reader, writer = await self._engine.endpoint.open(
                "POST", "/images/create", query, headers=headers
            )
        except EngineError as error:
            raise _pull_failure(error.message) from error
        try:
            async with aclosing(json_lines(reader)) as lines:
                async for entry in lines:
                    said = (entry.get("errorDetail") or {}).get("message") or entry.get("error")
                    if said:
                        raise _pull_failure(str(said))
        except OSError as error:
            raise EngineUnavailable(str(error)) from error
        finally:
            writer.close()
        image = await self.image(reference)
        if image is None:
            raise ImagePullFailure(f"the image {reference} is gone again")
        return image

    async def remove_image(self, image_id: str) -> None:
        try:
            await self._engine.call("DELETE", f"/images/{quote(image_id)}")
        except EngineError as error:
            if error.status != 404:
                raise RuntimeFailure(error.message, "ImageDeleteError") from error


def _pull_failure(message: str) -> RuntimeFailure:
    text = f"Error response from daemon: {message}"
    missing = ("not found", "does not exist", "manifest unknown", "no such image")
    if any(words in message.lower() for words in missing):
        return ImageNotFound(text)
    return ImagePullFailure(text)
