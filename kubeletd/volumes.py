"""A pod's volumes: set up before its containers, kept current while it runs, taken down after it.

They live under `<root>/pods/<uid>/volumes/<plugin>/<name>`, so a restarted agent finds them again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apimachinery import quantity
from apimachinery.errors import StatusError
from kubeletd import atomicfiles, imagevolumes, localvolumes, mounts
from kubeletd.environment import expand
from kubeletd.imagevolumes import ImageVolumes
from kubeletd.interfaces import Container, MountError, Pod, PodConfigError, PodFacts
from kubeletd.projection import (
    DEFAULT_MODE,
    File,
    Payload,
    ProjectionError,
    common_user,
    downward,
    fs_group,
    keyed,
    token_mode,
)
from kubeletd.runtime.interface import Mount, RuntimeFailure
from kubeletd.sources import ApiSources, Key

_PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}
_SHOWN = {"configMap": "kubernetes.io~configmap", "secret": "kubernetes.io~secret"}
_HOST_TYPES: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def host_path(path: str, kind: str) -> str:
    """Checks, and for the `OrCreate` types makes, a hostPath. Raises MountError in Kubernetes's words."""
    target = Path(path)
    if kind == "DirectoryOrCreate" and not target.exists():
        target.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not target.exists():
        try:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        except OSError as error:
            raise MountError(f"hostPath type check failed: {error}") from error
    if kind:
        check, noun = _HOST_TYPES[kind]
        try:
            matches = check(target.stat().st_mode)
        except FileNotFoundError:
            matches = False
        if not matches:
            raise MountError(f"hostPath type check failed: {path} is not {noun}")
    return path


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

    for volume in pod["spec"].get("volumes") or ():
        add(volume)
        for source in (volume.get("projected") or {}).get("sources") or ():
            add(source)
    return found


class PodVolumes:
    """Volumes of this node's pods under `root`, which holds one directory a pod."""

    def __init__(
        self, root: Path, sources: ApiSources, node_name: str, images: ImageVolumes | None = None
    ) -> None:
        self._root = root
        self._pods = root / "pods"
        self._sources = sources
        self._node_name = node_name
        self._images = images
        self._locks: dict[
            str, asyncio.Lock
        ] = {}  # by uid, from the first mount to the end of the last unmount

    def _directory(self, pod: Pod, plugin: str, name: str) -> Path:
        uid: str = pod["metadata"]["uid"]
        return self._pods / uid / "volumes" / plugin / name

    async def mount_all(self, pod: Pod, facts: PodFacts) -> dict[str, str]:
        """Volume name → host path, every volume of the pod set up; again is free. Raises MountError."""
        wanted = references(pod)
        if wanted:
            self._sources.retain(pod["metadata"]["uid"], wanted)
        # A notice that an object changed may come while the volume is first made.
        async with self._locks.setdefault(pod["metadata"]["uid"], asyncio.Lock()):
            return await self._mount_each(pod, facts)

    async def _mount_each(self, pod: Pod, facts: PodFacts) -> dict[str, str]:
        paths: dict[str, str] = {}
        for volume in pod["spec"].get("volumes") or ():
            try:
                paths[volume["name"]] = await self._mount(pod, volume, facts)
            except MountError as error:
                raise MountError(
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error.message}'
                ) from error
            except (OSError, StatusError, ProjectionError) as error:
                raise MountError(
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                ) from error
        return paths

    async def _mount(self, pod: Pod, volume: Mapping[str, Any], facts: PodFacts) -> str:
        name = volume["name"]
        if "hostPath" in volume:
            source = volume["hostPath"]
            return await asyncio.to_thread(host_path, source["path"], source.get("type") or "")
        if "emptyDir" in volume:
            return await asyncio.to_thread(self._empty_dir, pod, name, volume["emptyDir"] or {})
        if "persistentVolumeClaim" in volume:
            return await self._claim(pod, volume["persistentVolumeClaim"]["claimName"])
        if "ephemeral" in volume:
            return await self._claim(pod, f"{pod['metadata']['name']}-{name}")
        if "image" in volume:
            # Filled when the first container that mounts it is prepared, by its pull policy.
            directory = self._directory(pod, imagevolumes.PLUGIN, name)
            await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
            return str(directory)
        payload = await self._payload(pod, volume, facts)
        if payload is None:
            kind = next((key for key in volume if key != "name"), "none")
            raise MountError(f"no volume plugin matched for volume type {kind}")
        directory = self._directory(pod, _plugin(volume), name)
        await asyncio.to_thread(self._show, pod, directory, payload, "configMap" not in volume)
        return str(directory)

    async def _payload(self, pod: Pod, volume: Mapping[str, Any], facts: PodFacts) -> Payload | None:
        if "projected" in volume:
            projected = volume["projected"]
            mode = projected.get("defaultMode", DEFAULT_MODE)
            payload: Payload = {}
            for source in projected.get("sources") or ():
                payload.update(await self._source(pod, source, mode, facts))
            return payload
        for kind in ("configMap", "secret", "downwardAPI"):
            if kind in volume:
                source = volume[kind]
                return await self._source(pod, {kind: source}, source.get("defaultMode", DEFAULT_MODE), facts)
        return None

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
            data = File(token.encode(), token_mode(pod, mode))
            return {given["path"]: data}
        raise MountError(f"projected volume source {', '.join(source)} is not supported")

    def _show(self, pod: Pod, directory: Path, payload: Payload, in_memory: bool) -> None:
        """Writes a shown volume. What may be secret is never on disk."""
        if not directory.exists():
            directory.mkdir(parents=True, mode=0o755)
        if in_memory and not os.path.ismount(directory):
            mounts.mount_tmpfs(directory, mode=0o777, executable=False)
        group, owner = fs_group(pod), common_user(pod)
        atomicfiles.write(
            directory,
            payload,
            owner=owner if owner is not None and _has_token(payload) else -1,
            group=group if group is not None else -1,
        )

    def _empty_dir(self, pod: Pod, name: str, source: Mapping[str, Any]) -> str:
        directory = self._directory(pod, "kubernetes.io~empty-dir", name)
        directory.mkdir(parents=True, exist_ok=True)
        group = fs_group(pod)
        if source.get("medium") == "Memory" and not os.path.ismount(directory):
            limit = source.get("sizeLimit")
            mounts.mount_tmpfs(directory, size=quantity.to_int(limit) if limit else 0, mode=0o777)
        if group is not None:
            os.chown(directory, -1, group)
        # Any user of the pod may write; mkdir's mode is cut by the umask, chmod's is not.
        os.chmod(directory, 0o2777 if group is not None else 0o777)
        return str(directory)

    async def _claim(self, pod: Pod, name: str) -> str:
        namespace = pod["metadata"]["namespace"]
        claim = await self._sources.get("PersistentVolumeClaim", namespace, name)
        if claim is None:
            raise MountError(f'persistentvolumeclaim "{name}" not found')
        bound = (claim.get("spec") or {}).get("volumeName")
        if not bound or (claim.get("status") or {}).get("phase") != "Bound":
            raise MountError(f'persistentvolumeclaim "{name}" is not bound')
        volume = await self._sources.get("PersistentVolume", "", bound)
        if volume is None:
            raise MountError(f'persistentvolume "{bound}" not found')
        spec = volume["spec"]
        if "hostPath" in spec:
            provisioned = await asyncio.to_thread(localvolumes.make, self._root, volume)
            if provisioned is not None:
                return provisioned
            source = spec["hostPath"]
            # A volume made by hand need not exist yet, as with hostPath provisioners.
            return await asyncio.to_thread(
                host_path, source["path"], source.get("type") or "DirectoryOrCreate"
            )
        if "local" in spec:
            return await asyncio.to_thread(host_path, spec["local"]["path"], "")
        raise MountError(f'no volume plugin matched for persistentvolume "{bound}"')

    async def container_mounts(
        self, pod: Pod, container: Container, paths: Mapping[str, str], env: Mapping[str, str]
    ) -> list[Mount]:
        """The container's volumeMounts (subPath made and checked, subPathExpr expanded). Raises PodConfigError."""
        found = []
        of_images = {volume["name"] for volume in imagevolumes.used(pod, container)}
        for mount in container.get("volumeMounts") or ():
            if mount["name"] not in paths:
                raise PodConfigError(
                    f'cannot find volume "{mount["name"]}" to mount into container "{container["name"]}"'
                )
            source = paths[mount["name"]]
            sub_path = mount.get("subPath") or ""
            if expression := mount.get("subPathExpr"):
                sub_path = expand(expression, env)
                if "$(" in sub_path:
                    raise PodConfigError(f"failed to expand subPath {expression!r}: missing value")
            if sub_path and mount["name"] in of_images:
                source = await asyncio.to_thread(_sub_path_of_image, source, sub_path, mount["name"])
            elif sub_path:
                source = await asyncio.to_thread(
                    _sub_path, source, sub_path, mount["name"], container["name"]
                )
            found.append(
                Mount(
                    host_path=source,
                    container_path=mount["mountPath"],
                    read_only=bool(mount.get("readOnly")),
                    propagation=_PROPAGATION[mount.get("mountPropagation") or "None"],
                    recursive_read_only=mount.get("recursiveReadOnly") in ("Enabled", "IfPossible"),
                )
            )
        return found

    async def refresh(self, pod: Pod, facts: PodFacts) -> None:
        """Brings the volumes that show objects and tokens up to date, each atomically. Raises MountError.

        Nothing is done for a pod whose volumes are not set up, or are taken down already.
        """
        uid = pod["metadata"]["uid"]
        lock = self._locks.get(uid)
        if lock is None:
            return
        async with lock:
            if self._locks.get(uid) is lock:
                await self._refresh_each(pod, facts)

    async def _refresh_each(self, pod: Pod, facts: PodFacts) -> None:
        for volume in pod["spec"].get("volumes") or ():
            if any(kind in volume for kind in ("configMap", "secret", "downwardAPI", "projected")):
                try:
                    await self._mount(pod, volume, facts)
                except (OSError, StatusError, ProjectionError, MountError) as error:
                    raise MountError(
                        f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                    ) from error

    async def unmount_all(self, uid: str) -> None:
        """Takes down and removes every volume under pods/<uid>; again is free. Raises MountError."""
        self._sources.release(uid)
        async with self._locks.setdefault(uid, asyncio.Lock()):
            try:
                if self._images is not None:
                    await self._images.release(uid, self._pods / uid)
                await asyncio.to_thread(self._remove, self._pods / uid)
            except (OSError, RuntimeFailure) as error:
                raise MountError(f"UnmountVolume.TearDown failed for pod {uid}: {error}") from error
            del self._locks[uid]

    async def uids(self) -> list[str]:
        """The pods that files are kept of. Raises OSError."""
        return await asyncio.to_thread(lambda: os.listdir(self._pods) if self._pods.exists() else [])

    def _remove(self, directory: Path) -> None:
        if not directory.exists():
            return
        for point in mounts.below(directory):
            mounts.unmount(point)
        shutil.rmtree(directory)


def _plugin(volume: Mapping[str, Any]) -> str:
    for kind, plugin in _SHOWN.items():
        if kind in volume:
            return plugin
    return "kubernetes.io~downward-api" if "downwardAPI" in volume else "kubernetes.io~projected"


def _has_token(payload: Payload) -> bool:
    return any(file.mode == 0o600 for file in payload.values())


def _sub_path_of_image(volume: str, sub_path: str, name: str) -> str:
    root = os.path.realpath(volume)
    target = os.path.realpath(os.path.join(root, sub_path))
    if not target.startswith(root + os.sep) or not os.path.exists(target):
        text = f'failed to mount image volume "{name}": image volume subpath {sub_path!r}: no such directory'
        raise PodConfigError(text, "CreateContainerError")
    return target


def _sub_path(volume: str, sub_path: str, name: str, container: str) -> str:
    """The host path of a subPath, made if it is missing. It may not lead out of the volume, links included."""
    root = os.path.realpath(volume)
    target = os.path.realpath(os.path.join(root, sub_path))
    if target != root and not target.startswith(root + os.sep):
        raise PodConfigError(f'failed to prepare subPath for volumeMount "{name}" of container "{container}"')
    if not os.path.exists(target):
        try:
            os.makedirs(target, mode=0o750)
            os.chmod(target, stat.S_IMODE(os.stat(root).st_mode) | 0o750)
        except OSError as error:
            raise PodConfigError(
                f'failed to create subPath directory for volumeMount "{name}" of container "{container}"'
            ) from error
    return target
