"""What pods have on disk: written layers, logs, volumes. Directories are measured in a thread, and not often."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kubeletd import stats_host as host
from kubeletd.interfaces import PodOnNode
from kubeletd.runtime.interface import ContainerFiles, Runtime, RuntimeFailure
from kubeletd.stats_host import Disk, FileSystem
from kubeletd.stats_model import PodDisks

SUMMARY_AGE = 60.0  # seconds that a measurement serves for reports
#: Kinds of volumes that live on the node's disk and count as the pod's ephemeral storage.
_EPHEMERAL = ("emptyDir", "configMap", "downwardAPI", "projected", "secret")


class Disks:
    """One node's; `root` None: nothing is on disk. `image_root` is the engine's directory."""

    def __init__(
        self, runtime: Runtime, root: Path | None, image_root: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        self._runtime = runtime
        self._root = root
        self._image_root = image_root
        self._clock = clock
        self._files: dict[str, ContainerFiles] = {}
        self._pods: dict[str, PodDisks] = {}
        self._measuring = asyncio.Lock()

    def node(self) -> FileSystem | None:
        """The file system of the node's own files."""
        return host.file_system(str(self._root)) if self._root is not None else None

    def images(self) -> FileSystem | None:
        """The file system of images and written layers, None where the engine's files are not within reach."""
        root = self._image_root()
        return host.file_system(root) if root else None

    async def of(self, pod: PodOnNode, max_age: float) -> PodDisks:
        """What the pod has on disk, at most `max_age` seconds old."""
        if self._root is None:
            return PodDisks()
        # One at a time: a disk that is searched by several is no faster.
        async with self._measuring:
            known = self._pods.get(pod.uid)
            if known is not None and self._clock() - known.at < max_age:
                return known
            files = {name: await self._files_of(state.id) for name, state in pod.containers.items()}
            volumes = self._root / "pods" / pod.uid / "volumes"
            measured = await asyncio.to_thread(_measure, pod.pod, files, volumes, self._clock())
            self._pods[pod.uid] = measured
            return measured

    async def _files_of(self, container_id: str) -> ContainerFiles:
        known = self._files.get(container_id)
        if known is None:
            try:
                known = await self._runtime.files(container_id)
            except RuntimeFailure:
                return ContainerFiles()
            self._files[container_id] = known
        return known

    def keep(self, pods: list[PodOnNode]) -> None:
        """Forgets what is about others."""
        uids = {pod.uid for pod in pods}
        ids = {state.id for pod in pods for state in pod.containers.values()}
        self._pods = {uid: disks for uid, disks in self._pods.items() if uid in uids}
        self._files = {key: files for key, files in self._files.items() if key in ids}


def _measure(pod: Mapping[str, Any], files: Mapping[str, ContainerFiles], root: Path, now: float) -> PodDisks:
    volumes: dict[str, Disk] = {}
    memory: set[str] = set()
    wanted = {
        volume["name"]
        for volume in pod["spec"].get("volumes") or ()
        if any(kind in volume for kind in _EPHEMERAL)
    }
    for path in root.glob("*/*") if wanted else ():
        if path.name not in wanted:
            continue
        volumes[path.name] = host.disk(str(path))
        if os.path.ismount(path):
            memory.add(path.name)
    return PodDisks(
        at=now,
        writable={name: host.disk(f.writable) for name, f in files.items() if f.writable},
        logs={name: host.log_disk(f.log) for name, f in files.items() if f.log},
        volumes=volumes,
        memory=frozenset(memory),
    )
