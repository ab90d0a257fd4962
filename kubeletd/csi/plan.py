"""What is to be done with a volume, from what was asked of its driver so far. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apimachinery.attachments import unique_name
from kubeletd.csi.model import EXPAND, STAGE, Driver, Rules, Source

DeviceKey = tuple[str, str]  # driver, handle


@dataclass(frozen=True, slots=True)
class Publication:
    """A volume in a pod, as its record on disk has it.

    `asked`: the driver was asked to publish it. `boot` is the boot of the machine in which it was published, "" if it
    is not known that it was. `attachment` is the name of its VolumeAttachment, "" if it needs none.
    """

    driver: str
    handle: str
    name: str
    ephemeral: bool = False
    attachment: str = ""
    asked: bool = False
    boot: str = ""

    @property
    def device(self) -> DeviceKey:
        return self.driver, self.handle


@dataclass(frozen=True, slots=True)
class Device:
    """A volume that was staged on the node, or may have been: `boot` is "" while that is not known."""

    driver: str
    handle: str
    name: str
    attachment: str = ""
    boot: str = ""

    @property
    def key(self) -> DeviceKey:
        return self.driver, self.handle


@dataclass(frozen=True, slots=True)
class Steps:
    """What a volume still lacks, in this order."""

    stage: bool
    expand: bool
    publish: bool


def steps(
    source: Source,
    driver: Driver,
    rules: Rules,
    device: Device | None,
    publication: Publication | None,
    boot: str,
    grown: bool,
) -> Steps:
    """For a volume of a pod that is to be there. Mounts of an earlier boot are gone, whatever is recorded."""
    staged = device is not None and device.boot == boot
    stage = STAGE in driver.capabilities and not source.ephemeral and not staged
    published = publication is not None and publication.boot == boot
    return Steps(
        stage=stage,
        expand=grown and EXPAND in driver.capabilities and not source.read_only,
        publish=not published or stage or rules.requires_republish,
    )


def unused(devices: Iterable[Device], publications: Iterable[Publication]) -> list[Device]:
    """The devices to unstage: no pod has them."""
    used = {publication.device for publication in publications}
    return [device for device in devices if device.key not in used]


def in_use(devices: Iterable[Device], publications: Iterable[Publication]) -> list[str]:
    """The attachable volumes that may be mounted here: none of them may be detached."""
    held: list[Device | Publication] = [*devices, *publications]
    return sorted({unique_name(one.driver, one.handle) for one in held if one.attachment})
