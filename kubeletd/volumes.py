"""A pod's volumes: set up before its containers, kept current while it runs, taken down after it.

They live under `<root>/pods/<uid>/volumes/<plugin>/<name>`, so a restarted agent finds them again. How a volume of
some type is made is in `volumetypes`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery.errors import StatusError
from kubeletd import imagevolumes, localvolumes, mounts, subpaths, volumetypes
from kubeletd.claims import bound_volume, check_use, claim_name
from kubeletd.imagevolumes import ImageVolumes
from kubeletd.interfaces import Container, MountError, Pod, PodConfigError, PodFacts, WholeMountError
from kubeletd.projection import ProjectionError
from kubeletd.runtime.interface import Mount, RuntimeFailure
from kubeletd.sources import TRUST_BUNDLES, ApiSources, Key
from kubeletd.volumetypes.interface import Asked, Node

if TYPE_CHECKING:
    from kubeletd.csi.node import CsiNode

_PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}


def references(pod: Pod) -> list[Key]:
    """The objects that the pod's volumes show."""
    namespace = pod["metadata"]["namespace"]
    found: list[Key] = []

    def add(source: Mapping[str, Any]) -> None:
        if "configMap" in source:
            found.append(("ConfigMap", namespace, source["configMap"]["name"]))
        if "secret" in source:
            secret = source["secret"]
            found.append(("Secret", namespace, secret.get("secretName") or secret["name"]))
        if "clusterTrustBundle" in source:
            found.append(TRUST_BUNDLES)

    for volume in pod["spec"].get("volumes") or ():
        add(volume)
        for source in (volume.get("projected") or {}).get("sources") or ():
            add(source)
    return found


def read_only(volume: Mapping[str, Any]) -> bool:
    """Whether no container may write to the pod's volume, whatever its volumeMount says."""
    kind = next((key for key in volume if key != "name"), "")
    if kind in volumetypes.SHOWN:
        return True
    source = volume.get(kind)
    return bool(isinstance(source, dict) and source.get("readOnly"))


class PodVolumes:
    """Volumes of this node's pods under `root`, which holds one directory a pod."""

    def __init__(
        self,
        root: Path,
        sources: ApiSources,
        node_name: str,
        images: ImageVolumes | None = None,
        recursive_read_only: Callable[[], bool] = lambda: False,
        csi: CsiNode | None = None,
    ) -> None:
        """`recursive_read_only` says whether the engine can make what is mounted below a mount read-only too."""
        self._pods = root / "pods"
        self._sources = sources
        self._images = images
        self._recursive_read_only = recursive_read_only
        self._types = volumetypes.VolumeTypes(Node(root, sources, node_name, csi))
        self._csi = csi
        # By uid, from the first mount to the end of the last unmount.
        self._locks: dict[str, asyncio.Lock] = {}
        self._growing: set[str] = set()  # uids of pods with volumes that are held to their size here
        # PersistentVolumes that one pod at a time may use, and that pod's uid.
        self._exclusive: dict[str, str] = {}

    async def mount_all(self, pod: Pod, facts: PodFacts) -> dict[str, str]:
        """Volume name → host path, every volume of the pod set up; again is free. Raises MountError."""
        wanted = references(pod)
        if wanted:
            self._sources.retain(pod["metadata"]["uid"], wanted)
        # A notice that an object changed may come while the volume is first made.
        async with self._locks.setdefault(pod["metadata"]["uid"], asyncio.Lock()):
            volumes = pod["spec"].get("volumes") or ()
            return {volume["name"]: await self._mount(pod, volume, facts) for volume in volumes}

    async def _mount(self, pod: Pod, volume: Mapping[str, Any], facts: PodFacts) -> str:
        """Sets one volume up, or brings it up to date. Raises MountError."""
        name = volume["name"]
        try:
            if claim := claim_name(pod, volume):
                asked = await self._of_claim(pod, volume, claim, facts)
                name = asked.persistent["metadata"]["name"] if asked.persistent else name
            else:
                kind = volumetypes.kind_of(volume)
                place = self._place(pod, kind, name)
                asked = Asked(pod, name, kind, volume[kind] or {}, place, facts)
            return await self._types.of_kind(asked.kind).set_up(asked)
        except WholeMountError:
            raise
        except MountError as error:
            raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {error.message}') from error
        except (OSError, StatusError, ProjectionError) as error:
            raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    def _place(self, pod: Pod, kind: str, name: str) -> Path:
        uid: str = pod["metadata"]["uid"]
        return self._pods / uid / "volumes" / volumetypes.plugin_of(kind) / name

    async def _of_claim(self, pod: Pod, volume: Mapping[str, Any], name: str, facts: PodFacts) -> Asked:
        namespace = pod["metadata"]["namespace"]
        claim = await self._sources.get("PersistentVolumeClaim", namespace, name)
        bound = bound_volume(pod, volume, claim)
        persistent = await self._sources.get("PersistentVolume", "", bound)
        if persistent is None:
            raise MountError(f'persistentvolume "{bound}" not found')
        kind = volumetypes.kind_of(persistent["spec"])
        check_use(pod, volume, persistent, facts)
        uid = pod["metadata"]["uid"]
        alone = "ReadWriteOncePod" in (persistent["spec"].get("accessModes") or ())
        if alone and self._exclusive.setdefault(bound, uid) != uid:
            raise MountError(
                "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
            )
        if localvolumes.is_confined(persistent):
            self._growing.add(uid)
        return Asked(
            pod=pod,
            name=volume["name"],
            kind=kind,
            source=persistent["spec"][kind],
            directory=self._place(pod, kind, bound),
            facts=facts,
            read_only=read_only(volume),
            persistent=persistent,
            claim=claim,
        )

    async def container_mounts(
        self, pod: Pod, container: Container, paths: Mapping[str, str], env: Mapping[str, str]
    ) -> list[Mount]:
        """The container's volumeMounts (subPath made and checked, subPathExpr expanded). Raises PodConfigError."""
        found = []
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        of_images = {volume["name"] for volume in imagevolumes.used(pod, container)}
        places = self._pods / pod["metadata"]["uid"] / "volume-subpaths"
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            name = mount["name"]
            if name not in paths:
                raise PodConfigError(
                    f'cannot find volume "{name}" to mount into container "{container["name"]}"'
                )
            source = paths[name]
            sub_path = subpaths.wanted(mount, env)
            if sub_path and name in of_images:
                source = await asyncio.to_thread(subpaths.of_image, source, sub_path, name)
            elif sub_path and not volumetypes.SHOWN.isdisjoint(volumes[name]):
                source = await asyncio.to_thread(subpaths.of_shown, source, sub_path, name, container["name"])
            elif sub_path:
                place = places / name / container["name"] / str(index)
                source = await asyncio.to_thread(
                    subpaths.of_volume, source, sub_path, place, name, container["name"]
                )
            found.append(
                Mount(
                    host_path=source,
                    container_path=mount["mountPath"],
                    read_only=bool(mount.get("readOnly")) or read_only(volumes[name]),
                    propagation=_PROPAGATION[mount.get("mountPropagation") or "None"],
                    recursive_read_only=self._recursive(mount),
                )
            )
        return found

    def _recursive(self, mount: Mapping[str, Any]) -> bool:
        """Whether what is mounted below is to be read-only too (KEP-3857). Raises PodConfigError."""
        wanted = mount.get("recursiveReadOnly") or "Disabled"
        if wanted == "Disabled":
            return False
        able = self._recursive_read_only()
        if wanted == "Enabled" and not able:
            raise PodConfigError(
                f'failed to resolve recursive read-only mode: volume "{mount["name"]}" requested recursive read-only '
                "mode, but it is not supported by the runtime"
            )
        return able

    async def refresh(self, pod: Pod, facts: PodFacts) -> None:
        """Brings the volumes that show objects and tokens up to date, each atomically. Raises MountError.

        Nothing is done for a pod whose volumes are not set up, or are taken down already.
        """
        uid = pod["metadata"]["uid"]
        lock = self._locks.get(uid)
        if lock is None:
            return
        trouble = []
        async with lock:
            if self._locks.get(uid) is lock:
                for volume in pod["spec"].get("volumes") or ():
                    if not volumetypes.SHOWN.isdisjoint(volume) or self._renewed(pod, volume):
                        # One that cannot be brought up to date leaves the others: a token would run out.
                        try:
                            await self._mount(pod, volume, facts)
                        except MountError as error:
                            trouble.append(error)
        if trouble:
            raise next((error for error in trouble if error.message), trouble[0])

    def renewed(self, uid: str) -> bool:
        """Whether there may be more to do with volumes of that pod from time to time."""
        return uid in self._growing or (self._csi is not None and self._csi.has_volumes(uid))

    def _renewed(self, pod: Pod, volume: Mapping[str, Any]) -> bool:
        """Whether there may be more to do with a volume that is there: it grows, or is published anew."""
        return self.renewed(pod["metadata"]["uid"]) and ("csi" in volume or bool(claim_name(pod, volume)))

    async def unmount_all(self, uid: str) -> None:
        """Takes down and removes every volume under pods/<uid>; again is free. Raises MountError."""
        self._sources.release(uid)
        async with self._locks.setdefault(uid, asyncio.Lock()):
            directory = self._pods / uid
            try:
                if self._images is not None:
                    await self._images.release(uid, directory)
                for plugin, place in await asyncio.to_thread(_places, directory):
                    kind = self._types.of_plugin(plugin)
                    if kind is not None:
                        await kind.tear_down(place)
                await asyncio.to_thread(mounts.remove, directory)
            except (OSError, RuntimeFailure) as error:
                raise MountError(f"UnmountVolume.TearDown failed for pod {uid}: {error}") from error
            except MountError as error:
                raise MountError(f"UnmountVolume.TearDown failed for pod {uid}: {error.message}") from error
            del self._locks[uid]
            self._growing.discard(uid)
            self._exclusive = {name: user for name, user in self._exclusive.items() if user != uid}

    async def uids(self) -> list[str]:
        """The pods that files are kept of. Raises OSError."""
        return await asyncio.to_thread(lambda: os.listdir(self._pods) if self._pods.exists() else [])


def _places(pod: Path) -> list[tuple[str, Path]]:
    """(plugin, directory) of each volume that a pod has on disk."""
    if not (pod / "volumes").exists():
        return []
    return [
        (plugin.name, place) for plugin in sorted((pod / "volumes").iterdir()) for place in plugin.iterdir()
    ]
