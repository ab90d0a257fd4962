"""What was asked of drivers, on disk before it is asked: whoever comes after a crash knows what to take back.

A pod's volume has its record in `pods/<uid>/volumes/kubernetes.io~csi/<name>/vol_data.json`, a staged one in
`plugins/kubernetes.io/csi/<driver>/<hash of the handle>/vol_data.json`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from kubeletd.csi.model import device_name
from kubeletd.csi.plan import Device, DeviceKey, Publication

log = logging.getLogger(__name__)

FILE = "vol_data.json"
TARGET = "mount"  # in a pod's volume
STAGING = "globalmount"  # in a staged volume's directory
_PLUGIN_DIRECTORY = "kubernetes.io~csi"


def read(directory: Path) -> dict[str, str] | None:
    """The record in a directory; None where there is none, or none that says anything."""
    try:
        found = orjson.loads((directory / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.error("the record in %s cannot be read: %s", directory, error)
        return None
    return found if isinstance(found, dict) and found.get("driverName") else None


def write(directory: Path, data: Mapping[str, str]) -> None:
    """On disk when it returns. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    new = directory / f".{FILE}.new"
    with open(new, "wb") as file:
        file.write(orjson.dumps(dict(data)))
        file.flush()
        os.fsync(file.fileno())
    new.rename(directory / FILE)


def publication_data(publication: Publication) -> dict[str, str]:
    return {
        "driverName": publication.driver,
        "volumeHandle": publication.handle,
        "specVolID": publication.name,
        "volumeLifecycleMode": "Ephemeral" if publication.ephemeral else "Persistent",
        "attachmentID": publication.attachment,
        "asked": "true" if publication.asked else "",
        "boot": publication.boot,
    }


def publication_of(data: Mapping[str, Any]) -> Publication:
    return Publication(
        driver=data["driverName"],
        handle=data["volumeHandle"],
        name=data.get("specVolID", ""),
        ephemeral=data.get("volumeLifecycleMode") == "Ephemeral",
        attachment=data.get("attachmentID", ""),
        asked=data.get("asked") == "true",
        boot=data.get("boot", ""),
    )


def device_data(device: Device) -> dict[str, str]:
    return {
        "driverName": device.driver,
        "volumeHandle": device.handle,
        "specVolID": device.name,
        "attachmentID": device.attachment,
        "boot": device.boot,
    }


def device_of(data: Mapping[str, Any]) -> Device:
    return Device(
        driver=data["driverName"],
        handle=data["volumeHandle"],
        name=data.get("specVolID", ""),
        attachment=data.get("attachmentID", ""),
        boot=data.get("boot", ""),
    )


class Records:
    """Those of one node. Every change is on disk before it is in memory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staged = root / "plugins" / "kubernetes.io" / "csi"
        self.publications: dict[Path, Publication] = {}
        self.devices: dict[DeviceKey, Device] = {}

    def load(self) -> None:
        """Raises OSError."""
        for directory in self._root.glob(f"pods/*/volumes/{_PLUGIN_DIRECTORY}/*"):
            data = read(directory)
            if data is not None:
                self.publications[directory] = publication_of(data)
        for directory in self._staged.glob("*/*"):
            data = read(directory)
            if data is not None:
                device = device_of(data)
                self.devices[device.key] = device

    def device_directory(self, key: DeviceKey) -> Path:
        driver, handle = key
        return self._staged / driver / device_name(handle)

    def staging(self, key: DeviceKey) -> Path:
        """Where a volume is staged."""
        return self.device_directory(key) / STAGING

    def publish(self, directory: Path, publication: Publication) -> None:
        if self.publications.get(directory) != publication:
            write(directory, publication_data(publication))
            self.publications[directory] = publication

    def unpublished(self, directory: Path) -> None:
        """The driver has taken the volume from the pod."""
        _remove_empty(directory / TARGET)
        (directory / FILE).unlink(missing_ok=True)
        self.publications.pop(directory, None)

    def stage(self, device: Device) -> None:
        if self.devices.get(device.key) != device:
            directory = self.device_directory(device.key)
            write(directory, device_data(device))
            (directory / STAGING).mkdir(exist_ok=True, mode=0o750)
            self.devices[device.key] = device

    def unstaged(self, key: DeviceKey) -> None:
        """The driver has taken the volume from the node."""
        directory = self.device_directory(key)
        _remove_empty(directory / STAGING)
        (directory / FILE).unlink(missing_ok=True)
        _remove_empty(directory)
        self.devices.pop(key, None)

    def republished(self, directory: Path, boot: str) -> None:
        self.publish(directory, replace(self.publications[directory], boot=boot))


def _remove_empty(path: Path) -> None:
    """A directory, or the file that a block device was shown at. What is still mounted there stays: OSError."""
    try:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    except FileNotFoundError:
        return
