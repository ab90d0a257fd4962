"""csi: volumes that a driver stages on the node and publishes to the pod."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from apimachinery.attachments import attachment_name
from apimachinery.errors import StatusError
from apimachinery.meta import rfc3339
from kubeletd.csi import model, plan, records, requests
from kubeletd.csi.errors import DriverError
from kubeletd.csi.model import Rules, SecretKey, Source
from kubeletd.csi.node import CsiNode
from kubeletd.csi.plan import Device, Publication
from kubeletd.csi.registration import Registered
from kubeletd.interfaces import MountError, WholeMountError
from kubeletd.projection import fs_group
from kubeletd.sources import ApiSources
from kubeletd.volumetypes import ownership
from kubeletd.volumetypes.interface import Asked, Node

_FIELD = "kubernetes.io/csi: "
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 120.0  # seconds


class Csi:
    def __init__(self, csi: CsiNode, sources: ApiSources) -> None:
        self._csi = csi
        self._sources = sources
        self._pauses: dict[Path, tuple[float, float]] = {}  # volumes not taken back: when again, next pause

    async def set_up(self, asked: Asked) -> str:
        source = _source(asked)
        await self._csi.ready()
        rules = model.rules_of(await self._sources.get("CSIDriver", "", source.driver))
        refused = model.refusal(source, rules)
        if refused:
            raise MountError(_FIELD + refused)
        attachment = ""
        if rules.attach_required and not source.ephemeral:
            attachment = attachment_name(source.driver, source.handle, self._csi.node)
        claim = asked.claim["metadata"]["name"] if asked.claim is not None else ""
        self._csi.shown[asked.directory] = (asked.name, claim)
        records_of = self._csi.records
        if asked.directory not in records_of.publications:
            fresh = Publication(source.driver, source.handle, source.name, source.ephemeral, attachment)
            await asyncio.to_thread(records_of.publish, asked.directory, fresh)
        if attachment and records_of.publications[asked.directory].boot != self._csi.boot:
            await self._csi.wait_attached(source, asked.pod, asked.name)
        async with self._csi.lock((source.driver, source.handle)):
            return await _Setup(self._csi, self._sources, asked, source, rules, attachment).run()

    async def tear_down(self, directory: Path) -> None:
        await self._csi.ready()
        publication = self._csi.records.publications.get(directory)
        if publication is None:
            return
        async with self._csi.lock(publication.device):
            if publication.asked:
                await self._unpublish(directory, publication)
            await asyncio.to_thread(self._csi.records.unpublished, directory)
        self._pauses.pop(directory, None)
        self._csi.shown.pop(directory, None)
        self._csi.released(publication.device)

    def _pause(self, directory: Path) -> None:
        """A driver that fails is asked less and less often. Raises MountError while it is too early."""
        now = time.monotonic()
        at, pause = self._pauses.get(directory, (0.0, _FIRST_PAUSE))
        if now < at:
            raise MountError(f"{_FIELD}the driver is asked again to unpublish it in {at - now:.0f} s")
        self._pauses[directory] = (now + pause, min(pause * 2, _LONGEST_PAUSE))

    async def _unpublish(self, directory: Path, publication: Publication) -> None:
        registered = self._csi.driver(publication.driver)
        if registered is None:
            why = model.not_registered(publication.driver)
            raise MountError(f"{_FIELD}Unmounter.TearDownAt failed to get CSI client: {why}")
        self._pause(directory)
        target = self._csi.seen(registered.driver, directory / records.TARGET)
        request = {"volume_id": publication.handle, "target_path": target}
        # An answer may be lost: from now on it is not known to be there, and whoever wants it has it published anew.
        await asyncio.to_thread(self._csi.records.publish, directory, replace(publication, boot=""))
        try:
            await registered.client.call("NodeUnpublishVolume", request)
        except DriverError as error:
            raise MountError(f"{_FIELD}Unmounter.TearDownAt failed: {error}") from error


def create(node: Node) -> Csi:
    assert node.csi is not None
    return Csi(node.csi, node.sources)


def _source(asked: Asked) -> Source:
    if asked.persistent is None:
        return model.inline_source(asked.pod, asked.name, asked.source)
    return model.persistent_source(asked.persistent, asked.read_only)


class _Setup:
    """One volume on its way to one pod."""

    def __init__(
        self,
        csi: CsiNode,
        sources: ApiSources,
        asked: Asked,
        source: Source,
        rules: Rules,
        attachment: str,
    ) -> None:
        registered = csi.driver(source.driver)
        if registered is None:
            why = model.not_registered(source.driver)
            raise MountError(f"{_FIELD}mounter.SetUpAt failed to get CSI client: {why}")
        self._registered: Registered = registered
        self._driver = registered.driver
        self._csi = csi
        self._sources = sources
        self._asked = asked
        self._source = source
        self._rules = rules
        self._attachment = attachment
        self._key = (source.driver, source.handle)
        self._group = fs_group(asked.pod)
        self._target = asked.directory / records.TARGET

    async def run(self) -> str:
        """The path for containers."""
        known = self._csi.records
        device = known.devices.get(self._key)
        publication = known.publications[self._asked.directory]
        grown = model.grown(self._asked.claim, self._source)
        steps = plan.steps(
            self._source, self._driver, self._rules, device, publication, self._csi.boot, grown
        )
        context: Mapping[str, str] = {}
        if self._attachment and (steps.stage or steps.publish):
            context = await self._attached()
        if steps.stage:
            await self._stage(context)
        staged = bool(self._staging())
        if steps.expand and steps.publish and staged:
            await self._expand(self._csi.records.staging(self._key))
        if steps.publish:
            await self._publish(publication, context)
            if steps.expand and not staged:
                await self._expand(self._target)
        elif steps.expand:
            await self._expand_online()
        return str(self._target)

    async def _attached(self) -> Mapping[str, str]:
        """What the attacher left for the node."""
        attachment = await self._sources.get("VolumeAttachment", "", self._attachment)
        status = (attachment or {}).get("status") or {}
        if attachment is None or not status.get("attached"):
            raise MountError(f"{_FIELD}volume attachment {self._attachment} is not attached")
        if attachment["metadata"].get("deletionTimestamp"):
            raise MountError("volume attachment is being deleted")
        found: Mapping[str, str] = status.get("attachmentMetadata") or {}
        return found

    def _staging(self) -> str:
        """As the driver sees it; "" where it stages nothing."""
        if self._source.ephemeral or model.STAGE not in self._driver.capabilities:
            return ""
        return self._csi.seen(self._driver, self._csi.records.staging(self._key))

    async def _stage(self, context: Mapping[str, str]) -> None:
        source, known = self._source, self._csi.records
        device = Device(source.driver, source.handle, source.name, self._attachment)
        await asyncio.to_thread(known.stage, device)
        try:
            secrets = await self._secret(source.stage_secret, "NodeStageSecretRef")
            request = requests.stage(
                source, self._driver, self._staging(), attachment=context, secrets=secrets, group=self._group
            )
            await self._registered.client.call("NodeStageVolume", request)
        except (DriverError, MountError) as error:
            raise self._failed("MountVolume.MountDevice failed", error) from error
        await asyncio.to_thread(known.stage, replace(device, boot=self._csi.boot))

    async def _publish(self, publication: Publication, context: Mapping[str, str]) -> None:
        source, known, directory = self._source, self._csi.records, self._asked.directory
        secrets = await self._secret(source.publish_secret, "NodePublishSecretRef")
        about: dict[str, str] = {}
        if self._rules.pod_info:
            about |= requests.pod_info(self._asked.pod, source.ephemeral)
        tokens = await self._tokens()
        if self._rules.tokens_in_secrets:
            secrets = {**secrets, **tokens}
        else:
            about |= tokens
        request = requests.publish(
            source,
            self._driver,
            self._staging(),
            self._csi.seen(self._driver, self._target),
            attachment=context,
            secrets=secrets,
            context=about,
            group=self._group,
        )
        again = publication.boot == self._csi.boot
        await asyncio.to_thread(known.publish, directory, replace(publication, asked=True))
        try:
            await self._registered.client.call("NodePublishVolume", request)
        except DriverError as error:
            raise MountError(str(error)) from error
        if not again and model.owns_group(source, self._rules, self._driver, self._group):
            await self._give_to_group()
        await asyncio.to_thread(known.republished, directory, self._csi.boot)

    async def _give_to_group(self) -> None:
        try:
            await asyncio.to_thread(ownership.give_to_group, self._asked.pod, self._target, may_skip=True)
        except OSError as error:
            raise MountError(f"applyFSGroup failed for vol {self._source.handle}: {error}") from error

    async def _expand_online(self) -> None:
        """The pod uses the volume meanwhile, and goes on if it does not grow."""
        try:
            await self._expand(self._target)
        except MountError as error:
            self._record("Warning", "VolumeResizeFailed", error.message)

    async def _expand(self, path: Path) -> None:
        source, asked = self._source, self._asked
        assert asked.claim is not None and asked.persistent is not None
        try:
            secrets = await self._secret(source.expand_secret, "NodeExpandSecretRef")
            shown = self._csi.seen(self._driver, path)
            request = requests.expand(source, self._driver, self._staging(), shown, secrets, self._group)
            await self._registered.client.call("NodeExpandVolume", request)
            await self._sources.patch_claim_status(
                asked.claim, model.grown_claim(asked.claim, asked.persistent)
            )
        except (DriverError, MountError, StatusError) as error:
            raise self._failed("MountVolume.NodeExpandVolume failed", error) from error
        text = f'MountVolume.NodeExpandVolume succeeded for volume "{source.name}" {self._csi.node}'
        self._record("Normal", "FileSystemResizeSuccessful", text)

    def _record(self, kind: str, reason: str, message: str) -> None:
        self._csi.record(self._asked.pod, "", kind, reason, message)

    def _failed(self, what: str, error: Exception) -> WholeMountError:
        return WholeMountError(f'{what} for volume "{self._source.name}" : {error}')

    async def _secret(self, key: SecretKey | None, field: str) -> dict[str, str]:
        """What a driver logs in with."""
        if key is None:
            return {}
        try:
            secret = await self._sources.get("Secret", *key)
        except StatusError as error:
            raise MountError(f"fetching {field} {key[0]}/{key[1]} failed: {error}") from error
        if secret is None:
            missing = f'secrets "{key[1]}" not found'
            raise MountError(
                f"fetching {field} {key[0]}/{key[1]} failed: {_FIELD}failed to find the secret {key[1]} "
                f"in the namespace {key[0]} with error: {missing}"
            )
        from base64 import b64decode

        return {name: b64decode(value).decode() for name, value in (secret.get("data") or {}).items()}

    async def _tokens(self) -> dict[str, str]:
        """Tokens of the pod's service account, for the audiences that the driver asks for."""
        pod = self._asked.pod
        found = {}
        for audience, seconds in self._rules.token_requests:
            account = pod["spec"].get("serviceAccountName") or "default"
            token, expires = await self._sources.token(
                pod["metadata"]["namespace"], account, audience, seconds, pod
            )
            found[audience] = (token, rfc3339(datetime.fromtimestamp(expires, UTC)))
        return requests.tokens(found) if found else {}
