"""configMap, secret, downwardAPI and projected: objects of the API, shown as files that change all at once."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubeletd import atomicfiles, mounts
from kubeletd.interfaces import MountError, Pod, PodFacts
from kubeletd.projection import (
    DEFAULT_MODE,
    File,
    Payload,
    ProjectionError,
    common_user,
    downward,
    fs_group,
    keyed,
    selects,
    token_mode,
    trust_anchors,
)
from kubeletd.sources import ApiSources
from kubeletd.volumetypes.interface import Asked, Node


class Shown:
    def __init__(self, sources: ApiSources) -> None:
        self._sources = sources

    async def set_up(self, asked: Asked) -> str:
        mode = asked.source.get("defaultMode", DEFAULT_MODE)
        payload: Payload = {}
        if asked.kind == "projected":
            payload = await self._projected(asked, mode)
        else:
            payload = await self._source(asked.pod, {asked.kind: asked.source}, mode, asked.facts)
        await asyncio.to_thread(_show, asked.pod, asked.directory, payload, asked.kind != "configMap")
        return str(asked.directory)

    async def tear_down(self, directory: Path) -> None:
        """It is unmounted and removed as every directory is."""

    async def _projected(self, asked: Asked, mode: int) -> Payload:
        """Of all sources together; what is wrong with any of them is said at once."""
        payload: Payload = {}
        wrong = []
        for source in asked.source.get("sources") or ():
            try:
                payload.update(await self._source(asked.pod, source, mode, asked.facts))
            except ProjectionError as error:
                wrong.append(str(error))
        if wrong:
            raise ProjectionError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
        return payload

    async def _source(self, pod: Pod, source: Mapping[str, Any], mode: int, facts: PodFacts) -> Payload:
        namespace = pod["metadata"]["namespace"]
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if field in source:
                given = source[field]
                name = given.get("secretName") or given["name"]
                obj = await self._sources.get(kind, namespace, name)  # type: ignore[arg-type]
                return keyed(kind, name, obj, given.get("items") or (), mode, bool(given.get("optional")))
        if "downwardAPI" in source:
            return downward(pod, source["downwardAPI"].get("items") or (), mode, facts)
        if "serviceAccountToken" in source:
            given = source["serviceAccountToken"]
            account = pod["spec"].get("serviceAccountName") or "default"
            seconds = given.get("expirationSeconds") or 3600
            token, _ = await self._sources.token(namespace, account, given.get("audience", ""), seconds, pod)
            user = common_user(pod)
            owner = user if user is not None else -1
            return {given["path"]: File(token.encode(), token_mode(pod, mode), owner)}
        if "clusterTrustBundle" in source:
            given = source["clusterTrustBundle"]
            bundles = await self._sources.trust_bundles()
            anchors = trust_anchors(given, [bundle for bundle in bundles if selects(given, bundle)])
            return {given["path"]: File(anchors, mode)}
        raise MountError(f"projected volume source {', '.join(source)} is not supported")


def create(node: Node) -> Shown:
    return Shown(node.sources)


def _show(pod: Pod, directory: Path, payload: Payload, in_memory: bool) -> None:
    """Writes a shown volume. What may be secret is never on disk."""
    group = fs_group(pod)
    directory.mkdir(parents=True, exist_ok=True)
    if in_memory and not os.path.ismount(directory):
        mounts.mount_tmpfs(directory, executable=False)
    sticky = 0o1000 if in_memory else 0  # as every tmpfs is unless a mode is asked for
    mode = 0o777 | sticky | (0o2000 if group is not None else 0)
    if group is not None and directory.stat().st_gid != group:
        os.chown(directory, -1, group)
    if stat.S_IMODE(directory.stat().st_mode) != mode:
        os.chmod(directory, mode)
    atomicfiles.write(directory, payload, group=group if group is not None else -1)
