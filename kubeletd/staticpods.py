"""Follows the folder of manifests, runs what is in it, and keeps the mirror pods in the API (see `staticpods_plan`)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeletd import staticpods_plan as plan
from kubeletd.staticpods_plan import ManifestError, Object
from kubeletd.status import rfc3339

log = logging.getLogger(__name__)

PODS = resources.get("pods")
LOOK_SECONDS = 2.0
_RETRY_SECONDS = 5.0
_LARGEST = 10 << 20  # bytes of a manifest

_Signature = tuple[int, int, int]  # of a file: inode, size, modification time


class Runner(Protocol):
    """What runs static pods: the agent."""

    def start_static(self, pod: Object) -> None: ...

    def end_static(self, pod: Object) -> None: ...

    def static_shown(self, uid: str) -> None:
        """A mirror pod is there: its status is to be written."""
        ...


class StaticPods:
    """One node's. `path` is a folder, or one file; None: there are none, but mirror pods of old ones may be.

    `node_uid()` is the Node's uid in the API, "" while it is not known.
    """

    def __init__(
        self,
        path: Path | None,
        node: str,
        client: Client,
        runner: Runner,
        node_uid: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._path = path
        self._node = node
        self._client = client
        self._runner = runner
        self._node_uid = node_uid
        self._clock = clock
        self._files: dict[str, tuple[_Signature, list[Object]]] = {}
        self._running: dict[str, Object] = {}  # by uid, those that end too
        self._ending: set[str] = set()
        self._mirrors: dict[tuple[str, str], Object] = {}
        self._changed = asyncio.Event()

    # What the agent tells and asks

    def on_pod(self, old: Object | None, new: Object | None) -> bool:
        """A pod of the node changed in the API; True where it is a mirror pod, which nobody else has to look at."""
        pod = new if new is not None else old
        assert pod is not None
        if not plan.is_mirror(pod):
            return False
        if new is not None:
            self._mirrors[plan.name_of(new)] = new
            static = self._running.get(new["metadata"]["annotations"][plan.MIRROR])
            if static is not None and (old is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
                self._runner.static_shown(static["metadata"]["uid"])
        else:
            self._mirrors.pop(plan.name_of(pod), None)
        self._changed.set()
        return True

    def over(self, uid: str) -> None:
        """A pod has ended, to the last container."""
        if self._running.pop(uid, None) is not None:
            self._ending.discard(uid)
            self._changed.set()

    def owns(self, uid: str) -> bool:
        return uid in self._running

    def mirror(self, uid: str) -> Object | None:
        """The mirror pod of a static pod, None where the API has none (yet)."""
        static = self._running.get(uid)
        found = self._mirrors.get(plan.name_of(static)) if static is not None else None
        return found if found is not None and static is not None and plan.mirrors(found, static) else None

    def own_uid(self, uid: str) -> str:
        """The uid under which a pod of the API runs here: a mirror pod's static pod, else its own."""
        for mirror in self._mirrors.values():
            if mirror["metadata"]["uid"] == uid:
                return str(mirror["metadata"]["annotations"][plan.MIRROR])
        return uid

    # Running

    @property
    def configured(self) -> bool:
        return self._path is not None

    def begin(self) -> None:
        """Starts what is in the folder now: before anything that runs here is taken for a leftover."""
        self._look()

    async def run(self) -> None:
        """Until cancelled."""
        pause: float | None = None
        while True:
            self._changed.clear()
            try:
                self._look()
                pause = LOOK_SECONDS if self._path is not None else None
                await self._mirror()
            except (StatusError, OSError, TimeoutError) as error:
                log.warning("mirror pods are not written: %s", error)
                pause = _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _look(self) -> None:
        """Ends what is no longer in the folder, starts what is new."""
        if self._path is None:
            return
        wanted: dict[str, Object] = {}
        names: set[tuple[str, str]] = set()
        for pod in self._pods():
            if plan.name_of(pod) not in names:
                names.add(plan.name_of(pod))
                wanted[pod["metadata"]["uid"]] = pod
        for uid, pod in list(self._running.items()):
            if uid not in wanted and uid not in self._ending:
                log.info("the manifest of static pod %s is gone or another one", pod["metadata"]["name"])
                self._ending.add(uid)
                self._runner.end_static(plan.ending(pod, rfc3339(self._clock())))
        going = {plan.name_of(pod) for pod in self._running.values()}
        for uid, pod in wanted.items():
            # A pod of the same name has to have ended first.
            if uid not in self._running and plan.name_of(pod) not in going:
                self._running[uid] = pod
                self._runner.start_static(pod)

    def _pods(self) -> list[Object]:
        """The pods of all manifests; of a file that cannot be read any more, those it had."""
        assert self._path is not None
        try:
            if self._path.is_file():
                paths = [self._path]
            else:
                entries = sorted(self._path.iterdir()) if self._path.exists() else []
                paths = [path for path in entries if path.is_file() and not path.name.startswith(".")]
        except OSError as error:
            log.error("static pods are not read: %s: %s", self._path, error.strerror)
            return [pod for _, pods in self._files.values() for pod in pods]
        known, self._files = self._files, {}
        for path in paths:
            try:
                found = os.stat(path)
                signature = (found.st_ino, found.st_size, found.st_mtime_ns)
                before = known.get(str(path))
                if before is not None and before[0] == signature:
                    self._files[str(path)] = before
                    continue
                self._files[str(path)] = (signature, before[1] if before is not None else [])
                self._files[str(path)] = (signature, self._read(path))
            except FileNotFoundError:
                continue
            except (OSError, ManifestError, StatusError) as error:
                # Said once: the file is not looked at again before it changes. What it made before goes on.
                log.error("static pods: %s: %s", path, error)
        return [pod for _, pods in self._files.values() for pod in pods]

    def _read(self, path: Path) -> list[Object]:
        """Raises ManifestError, StatusError, OSError."""
        # Only nodes with static pods need the object model.
        import orjson

        from apimachinery import decode, defaults, schema, validation

        if path.stat().st_size > _LARGEST:
            raise ManifestError("it is too large")
        text = path.read_bytes()
        made = []
        for document in plan.pods_in(_parsed(text)):
            obj, warnings = decode.decode(orjson.dumps(document), "json", schema.for_resource(PODS), "Warn")
            for warning in warnings:
                log.warning("static pods: %s: %s", path, warning)
            pod = plan.static_pod(obj, self._node, str(path), text, rfc3339(self._clock()))
            defaults.apply(PODS, pod)
            wrong = validation.create(PODS, pod)
            if wrong:
                raise ManifestError("; ".join(str(one) for one in wrong))
            made.append(pod)
        return made

    async def _mirror(self) -> None:
        """Makes the API show what runs. Raises StatusError, OSError."""
        wanted = plan.plan(self._running.values(), dict(self._mirrors))
        for mirror in wanted.delete:
            await self._delete(mirror["metadata"])
        uid = self._node_uid()
        for pod in wanted.create if uid else ():
            if pod["metadata"]["uid"] in self._ending:
                continue
            try:
                await self._client.create(PODS, plan.mirror_of(pod, uid), pod["metadata"]["namespace"])
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
                log.debug("mirror pod %s is there already", pod["metadata"]["name"])

    async def _delete(self, meta: Mapping[str, Any]) -> None:
        try:
            await self._client.delete(
                PODS, meta["name"], meta["namespace"], grace_period_seconds=0, uid=meta["uid"]
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def _parsed(text: bytes) -> Any:
    """YAML, of which JSON is a part. Raises ManifestError."""
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ManifestError(f"couldn't parse as pod: {error}") from error
