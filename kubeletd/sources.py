"""ConfigMaps, Secrets, Services, claims and tokens for the pods of this node, from the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from kubeclient.client import Client
from kubeclient.informer import Informer
from kubeletd.interfaces import Pod

# A container's start reads the same object several times: one request serves them.
_FRESH_SECONDS = 1.0
# A token is renewed when a fifth of its life is left, as kubelets do.
_TOKEN_RENEWAL = 0.8

_KINDS: dict[str, Resource] = {
    "ConfigMap": resources.get("configmaps"),
    "Secret": resources.get("secrets"),
    "PersistentVolumeClaim": resources.get("persistentvolumeclaims"),
    "PersistentVolume": resources.get("persistentvolumes"),
    "RuntimeClass": resources.get("runtimeclasses", "node.k8s.io"),
    "ClusterTrustBundle": resources.get("clustertrustbundles", "certificates.k8s.io"),
    "CSIDriver": resources.get("csidrivers", "storage.k8s.io"),
    "VolumeAttachment": resources.get("volumeattachments", "storage.k8s.io"),
}

# What others bring about step by step is never taken from memory: the step waited for may just have been made.
_ALWAYS_READ = frozenset(("PersistentVolumeClaim", "PersistentVolume", "VolumeAttachment"))

Kind = Literal[
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "CSIDriver",
    "VolumeAttachment",
    "RuntimeClass",
]
Key = tuple[str, str, str]  # kind, namespace, name; all of a kind where the name is empty
TRUST_BUNDLES: Key = ("ClusterTrustBundle", "", "")


@dataclass(slots=True)
class _Watched:
    """An object that volumes of pods show: watched for as long as one of them does.

    `fixed` is one that says it never changes: it is not watched any more.
    """

    informer: Informer
    task: asyncio.Task[None]
    pods: set[str] = field(default_factory=set)
    fixed: Pod | None = None


class ApiSources:
    """`changed(uid)` is called when an object that the pod's volumes show has changed.

    Use as an async context manager: it holds the watches.
    """

    def __init__(self, client: Client, changed: Callable[[str], None] | None = None) -> None:
        self._client = client
        self.changed = changed
        self._recent: dict[Key, tuple[float, Pod | None]] = {}
        self._reading: dict[Key, asyncio.Task[Pod | None]] = {}
        self._watched: dict[Key, _Watched] = {}
        self._tokens: dict[tuple[str, ...], tuple[str, float, float]] = {}
        self._services: Informer | None = None
        self._services_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ApiSources:
        self._services = Informer(self._client, resources.get("services"))
        self._services_task = asyncio.create_task(self._services.run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [w.task for w in self._watched.values()]
        if self._services_task is not None:
            tasks.append(self._services_task)
        self._watched.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def get(self, kind: Kind, namespace: str, name: str) -> Pod | None:
        """The object, None if there is none. Raises StatusError for any other trouble."""
        key = (kind, namespace, name)
        watched = self._watched.get(key)
        if watched is not None and watched.fixed is not None:
            return watched.fixed
        if watched is not None and watched.informer.has_synced:
            found: Pod | None = watched.informer.store.get((namespace, name))
            return found
        recent = self._recent.get(key)
        if recent is not None and kind not in _ALWAYS_READ and time.monotonic() - recent[0] < _FRESH_SECONDS:
            return recent[1]
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._read(key))
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)

    async def _read(self, key: Key) -> Pod | None:
        kind, namespace, name = key
        obj: Pod | None
        try:
            obj = await self._client.get(_KINDS[kind], name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            obj = None
        now = time.monotonic()
        self._recent = {k: v for k, v in self._recent.items() if now - v[0] < _FRESH_SECONDS}
        self._recent[key] = (now, obj)
        return obj

    def retain(self, uid: str, objects: Sequence[Key]) -> None:
        """Watches `objects` for the pod until `release`: its volumes show them."""
        for key in objects:
            watched = self._watched.get(key)
            if watched is None:
                watched = self._watched[key] = self._watch(key)
            watched.pods.add(uid)

    def _watch(self, key: Key) -> _Watched:
        kind, namespace, name = key
        informer: Informer = Informer(
            self._client,
            _KINDS[kind],
            namespace=namespace,
            field_selector=f"metadata.name={name}" if name else "",
        )

        def tell(old: Any, new: Any) -> None:
            watched = self._watched.get(key)
            if watched is None:
                return
            if new is not None and new.get("immutable"):
                watched.fixed = new
                watched.task.cancel()
            if self.changed is not None:
                for uid in list(watched.pods):
                    self.changed(uid)

        informer.add_handler(tell)
        return _Watched(informer, asyncio.create_task(informer.run()))

    async def services(self, namespace: str) -> Sequence[Pod]:
        """The Services of a namespace, from a watch."""
        assert self._services is not None
        await self._services.synced()
        return [obj for (ns, _), obj in self._services.store.items() if ns == namespace]

    async def trust_bundles(self) -> Sequence[Pod]:
        """All ClusterTrustBundles, from a watch. Somebody has to `retain` TRUST_BUNDLES."""
        informer = self._watched[TRUST_BUNDLES].informer
        await informer.synced()
        return list(informer.store.values())

    async def token(
        self, namespace: str, service_account: str, audience: str, expiration_seconds: int, pod: Pod
    ) -> tuple[str, float]:
        """A bound service-account token and when it expires (epoch seconds); renewed at 80 % of its life."""
        uid = pod["metadata"]["uid"]
        key = (uid, namespace, service_account, audience, str(expiration_seconds))
        cached = self._tokens.get(key)
        if cached is not None and time.time() < cached[2]:
            return cached[0], cached[1]
        spec: dict[str, Any] = {
            "expirationSeconds": expiration_seconds,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": pod["metadata"]["name"],
                "uid": uid,
            },
        }
        if audience:
            spec["audiences"] = [audience]
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._client.create(
            resources.get("serviceaccounts"), request, namespace, name=service_account, subresource="token"
        )
        token = answer["status"]["token"]
        now = time.time()
        # The server may grant another life than was asked for (KEP-1205).
        life = float(answer["spec"].get("expirationSeconds") or expiration_seconds)
        self._tokens[key] = (token, now + life, now + life * _TOKEN_RENEWAL)
        return token, now + life

    async def patch_claim_status(self, claim: Pod, patch: dict[str, Any]) -> None:
        """Raises StatusError."""
        meta = claim["metadata"]
        await self._client.patch(
            _KINDS["PersistentVolumeClaim"],
            meta["name"],
            patch,
            meta["namespace"],
            kind="merge",
            subresource="status",
        )
        self._recent.pop(("PersistentVolumeClaim", meta["namespace"], meta["name"]), None)

    def release(self, uid: str) -> None:
        """A pod is gone: what only it used is forgotten."""
        for key in [k for k in self._tokens if k[0] == uid]:
            del self._tokens[key]
        for watch_key, watched in list(self._watched.items()):
            watched.pods.discard(uid)
            if not watched.pods:
                watched.task.cancel()
                del self._watched[watch_key]
