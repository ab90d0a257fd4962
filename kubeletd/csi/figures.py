"""How full the CSI volumes of a pod are, as their drivers say it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from kubeletd.csi import model, records
from kubeletd.csi.errors import DriverError
from kubeletd.csi.plan import Publication
from kubeletd.interfaces import Pod
from kubeletd.stats_model import VolumeFigures

if TYPE_CHECKING:
    from pathlib import Path

    from kubeletd.csi.node import CsiNode

log = logging.getLogger(__name__)

_SECONDS = 5.0  # whoever asks for a summary does not wait longer for a driver
_BYTES, _INODES = 1, 2  # VolumeUsage.Unit


def from_usage(name: str, claim: str, usage: Any) -> VolumeFigures:
    """`usage` are VolumeUsage messages."""
    found = {one.unit: one for one in usage}
    size, inodes = found.get(_BYTES), found.get(_INODES)
    return VolumeFigures(
        name,
        claim,
        capacity=size.total if size else 0,
        available=size.available if size else 0,
        used=size.used if size else 0,
        inodes=inodes.total if inodes else 0,
        inodes_free=inodes.available if inodes else 0,
        inodes_used=inodes.used if inodes else 0,
    )


async def of_pod(csi: CsiNode, pod: Pod) -> list[VolumeFigures]:
    """Those of the volumes that drivers know something of; all drivers are asked at once."""
    uid = pod["metadata"]["uid"]
    asked = [
        _of(csi, directory, publication)
        for directory, publication in csi.records.publications.items()
        if directory.parts[-4] == uid and publication.boot == csi.boot
    ]
    found = await asyncio.gather(*asked)
    return sorted((one for one in found if one is not None), key=lambda one: one.name)


async def _of(csi: CsiNode, directory: Path, publication: Publication) -> VolumeFigures | None:
    shown = csi.shown.get(directory)
    registered = csi.driver(publication.driver)
    if shown is None or registered is None or model.STATS not in registered.driver.capabilities:
        return None
    request = {
        "volume_id": publication.handle,
        "volume_path": csi.seen(registered.driver, directory / records.TARGET),
    }
    if publication.device in csi.records.devices:
        staging = csi.records.staging(publication.device)
        request["staging_target_path"] = csi.seen(registered.driver, staging)
    try:
        answer = await registered.client.call("NodeGetVolumeStats", request, _SECONDS)
    except DriverError as error:
        log.info("volume %s says nothing of its use: %s", publication.name, error)
        return None
    return from_usage(*shown, answer.usage)
