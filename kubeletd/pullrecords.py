"""Who may use an image that is here already: what pulled it before is remembered, in files. (KEP-2535)

A file for each image that a node agent has pulled, in the form of the kubelet's own; agents whose nodes share an
engine share the directory. Credentials are kept as digests.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apimachinery.meta import rfc3339
from kubeletd import imagenames
from kubeletd.keyring import Credential

log = logging.getLogger(__name__)

_HEAD = {"apiVersion": "kubelet.config.k8s.io/v1beta1"}


def _file(directory: Path, name: str) -> Path:
    return directory / f"sha256-{hashlib.sha256(name.encode()).hexdigest()}"


def must_verify(policy: str, allowed: Iterable[str], image: str, pulled_by_agent: bool) -> bool:
    """Whether the policy wants proof that a pod may use an image that is here. Pure."""
    match policy:
        case "NeverVerify":
            return False
        case "NeverVerifyPreloadedImages":
            return pulled_by_agent
        case "NeverVerifyAllowlistedImages":
            name = imagenames.parts(image)[0]
            return not any(
                name.startswith(entry[:-1]) if entry.endswith("/*") else name == entry for entry in allowed
            )
        case _:
            return True


def proven(record: dict[str, Any], repository: str, credentials: Iterable[Credential]) -> bool:
    """Whether a pull of `repository` by one of the credentials, or by nobody's, is on record. Pure."""
    known = (record.get("credentialMapping") or {}).get(repository)
    if not known:
        return False
    if known.get("nodePodsAccessible"):
        return True
    secrets = known.get("kubernetesSecrets") or ()
    digests = {entry["credentialHash"] for entry in secrets}
    places = {(entry["uid"], entry["namespace"], entry["name"]) for entry in secrets}
    return any(c.digest in digests or (c.uid, c.namespace, c.name) in places for c in credentials)


def with_pull(record: dict[str, Any], repository: str, credential: Credential | None) -> dict[str, Any]:
    """The record with one more pull: by `credential`, None if it took none. Pure."""
    mapping = dict(record.get("credentialMapping") or {})
    known = mapping.get(repository) or {}
    if credential is None:
        known = {"nodePodsAccessible": True}
    elif not known.get("nodePodsAccessible"):
        place = {"uid": credential.uid, "namespace": credential.namespace, "name": credential.name}
        others = [
            entry
            for entry in known.get("kubernetesSecrets") or ()
            if {k: entry[k] for k in place} != place and entry["credentialHash"] != credential.digest
        ]
        known = {"kubernetesSecrets": [*others, {**place, "credentialHash": credential.digest}]}
    return {**record, "credentialMapping": {**mapping, repository: known}}


class PullRecords:
    """`directory` None: nothing is remembered, and every pod may use what is here."""

    def __init__(
        self,
        directory: Path | None,
        policy: str = "NeverVerifyPreloadedImages",
        allowed: Sequence[str] = (),
    ) -> None:
        self._pulled = directory / "pulled" if directory is not None else None
        self._pulling = directory / "pulling" if directory is not None else None
        self._policy = policy
        self._allowed = tuple(allowed)

    def may_use(self, image: str, image_id: str, credentials: Sequence[Credential]) -> bool:
        """Whether a pod with these credentials may use the image of that name and id without a pull."""
        if self._pulled is None or self._pulling is None:
            return True
        record = self._read(self._pulled, image_id)
        # A pull of which nothing else is known was under way when an agent ended.
        ours = record is not None or _file(self._pulling, image).exists()
        if not must_verify(self._policy, self._allowed, image, ours):
            return True
        return record is not None and proven(record, imagenames.repository(image), credentials)

    def begin(self, image: str) -> None:
        """A pull of it begins: noted first, so that an agent's end in between leaves no image open to all."""
        if self._pulling is not None:
            self._write(self._pulling, image, {**_HEAD, "kind": "ImagePullIntent", "image": image})

    def failed(self, image: str) -> None:
        self._remove(self._pulling, image)

    def pulled(self, image: str, image_id: str, credential: Credential | None, now: float) -> None:
        """A pull has ended well, at `now` (epoch seconds)."""
        if self._pulled is None:
            return
        before = self._read(self._pulled, image_id) or {}
        record = {
            **_HEAD,
            "kind": "ImagePulledRecord",
            "imageRef": image_id,
            "lastUpdatedTime": rfc3339(datetime.fromtimestamp(now, UTC)),
        }
        mapping = {"credentialMapping": before.get("credentialMapping") or {}}
        self._write(
            self._pulled, image_id, with_pull({**record, **mapping}, imagenames.repository(image), credential)
        )
        self._remove(self._pulling, image)

    def forget(self, image_id: str) -> None:
        """The image was removed."""
        self._remove(self._pulled, image_id)

    def _read(self, directory: Path, name: str) -> dict[str, Any] | None:
        path = _file(directory, name)
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
            return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, its image is to be pulled again: %s", path, error)
            return {}

    def _write(self, directory: Path, name: str, content: dict[str, Any]) -> None:
        path = _file(directory, name)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_text(json.dumps(content))
            fresh.replace(path)
        except OSError as error:
            log.warning("the pull of %s is not remembered: %s", name, error)

    def _remove(self, directory: Path | None, name: str) -> None:
        if directory is None:
            return
        try:
            _file(directory, name).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays on record: %s", name, error)
