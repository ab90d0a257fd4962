"""Carries out what a plan decided, through the API: bindings, conditions, evictions, claims. No decisions here."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeclient.events import EventRecorder
from scheduler.cache import Cache
from scheduler.plan import Placement
from scheduler.plugins.volumebinding import ClaimChoice
from scheduler.views import Pod

log = logging.getLogger(__name__)

PODS = resources.get("pods")
CLAIMS = resources.get("persistentvolumeclaims")
VOLUMES = resources.get("persistentvolumes")
# How long a pod waits for its volumes to be bound before it is planned anew.
VOLUME_TIMEOUT = 600.0
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_UNREACHABLE = (ConnectionError, TimeoutError)


class Binder:
    """`now` gives RFC 3339 timestamps for conditions."""

    def __init__(
        self, client: Client, cache: Cache, recorder: EventRecorder, scheduler_name: str, now: Any
    ) -> None:
        self._client = client
        self._cache = cache
        self._recorder = recorder
        self._scheduler_name = scheduler_name
        self._now = now
        self._claim_waiters: set[asyncio.Future[None]] = set()

    async def bind(self, placement: Placement) -> None:
        """Binds a pod to its node; what fails is taken back and tried again."""
        pod, node = placement.pod, placement.node
        try:
            if placement.volumes and not await self._bind_volumes(placement):
                return
            await self._client.request(
                "POST",
                PODS.path(pod.namespace, pod.name, "binding"),
                body=_binding(pod, node),
                idempotent=False,
            )
        except StatusError as error:
            # 404 and a refused uid: the pod is gone. A pod bound by someone else is about to be seen as such.
            log.info("binding %s/%s to %s: %s", pod.namespace, pod.name, node, error)
            self._cache.forget(placement, retry=error.code != 404)
            if error.code not in (404, 409):
                self._recorder.event(
                    pod.reference, "Warning", "FailedScheduling", f"binding rejected: {error.message}"
                )
            return
        except _UNREACHABLE as error:
            log.info("binding %s/%s to %s: %s", pod.namespace, pod.name, node, error)
            await self._settle_unclear(placement)
            return
        self._recorder.event(
            pod.reference,
            "Normal",
            "Scheduled",
            f"Successfully assigned {pod.namespace}/{pod.name} to {node}",
        )

    async def _settle_unclear(self, placement: Placement) -> None:
        """No answer came: the pod keeps its room until the API says whether it was bound."""
        pod = placement.pod
        while pod.uid in self._cache.assumed:
            try:
                obj = await self._client.get(PODS, pod.name, pod.namespace)
            except StatusError as error:
                if error.code == 404:
                    self._cache.forget(placement, retry=False)
                    return
                log.info("reading %s/%s: %s", pod.namespace, pod.name, error)
            except _UNREACHABLE as error:
                log.info("reading %s/%s: %s", pod.namespace, pod.name, error)
            else:
                if obj["metadata"]["uid"] != pod.uid or not (obj.get("spec") or {}).get("nodeName"):
                    self._cache.forget(placement, retry=obj["metadata"]["uid"] == pod.uid)
                return
            await asyncio.sleep(1.0)

    async def _bind_volumes(self, placement: Placement) -> bool:
        """Asks for the pod's waiting claims to be bound for its node, and waits until they are."""
        pod = placement.pod
        for choice in placement.volumes:
            if choice.volume:
                await self._client.patch(
                    VOLUMES, choice.volume, await self._claim_reference(choice), kind="merge"
                )
            else:
                annotation = {"metadata": {"annotations": {SELECTED_NODE: placement.node}}}
                await self._client.patch(CLAIMS, choice.claim, annotation, choice.namespace, kind="merge")
        try:
            async with asyncio.timeout(VOLUME_TIMEOUT):
                while pod.uid in self._cache.assumed:
                    claims = self._cache.columns.storage.claims
                    bound = [claims.get((c.namespace, c.claim)) for c in placement.volumes]
                    if all(claim is not None and claim.bound for claim in bound):
                        return True
                    if any(claim is None or claim.deleted for claim in bound):
                        break
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._claim_waiters.add(waiter)
                    try:
                        await waiter
                    finally:
                        self._claim_waiters.discard(waiter)
        except TimeoutError:
            text = 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
            self._recorder.event(pod.reference, "Warning", "FailedScheduling", text)
        self._cache.forget(placement, retry=True)
        return False

    async def _claim_reference(self, choice: ClaimChoice) -> dict[str, Any]:
        claim = await self._client.get(CLAIMS, choice.claim, choice.namespace)
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": choice.namespace,
            "name": choice.claim,
            "uid": claim["metadata"]["uid"],
        }
        return {"spec": {"claimRef": reference}}

    def claims_changed(self) -> None:
        """Called with every change that pods waiting for volumes may wait for."""
        for waiter in self._claim_waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def report_pending(self, pod: Pod, message: str, nominated: str | None) -> None:
        """Says on the pod why it is pending; `nominated` "" clears the nomination, None leaves it as it is."""
        self._recorder.event(pod.reference, "Warning", "FailedScheduling", message)
        if pod.condition == message and nominated is None:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": self._now(),
        }
        status: dict[str, Any] = {"conditions": [condition]}
        if nominated is not None:
            status["nominatedNodeName"] = nominated or None
        await self._patch_status(pod, status)

    async def evict(self, victim: Pod, preemptor: Pod, node: str) -> None:
        """Deletes a pod that has to make room for a more important one."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{self._scheduler_name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": self._now(),
        }
        await self._patch_status(victim, {"conditions": [condition]})
        try:
            await self._client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
        except StatusError as error:
            if error.code not in (404, 409):
                self._not_evicted(victim, error)
            return
        except _UNREACHABLE as error:
            self._not_evicted(victim, error)
            return
        text = f"Preempted by pod {preemptor.uid} on node {node}"
        self._recorder.event(victim.reference, "Normal", "Preempted", text)

    def _not_evicted(self, victim: Pod, error: Exception) -> None:
        log.warning("preempting %s/%s: %s", victim.namespace, victim.name, error)
        self._cache.spare(victim)

    async def _patch_status(self, pod: Pod, status: dict[str, Any]) -> None:
        """Failures are only noted: the next attempt at the pod says it again."""
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        try:
            await self._client.patch(
                PODS, pod.name, patch, pod.namespace, kind="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code not in (404, 409):
                log.warning("status of %s/%s: %s", pod.namespace, pod.name, error)
        except _UNREACHABLE as error:
            log.info("status of %s/%s: %s", pod.namespace, pod.name, error)


def _binding(pod: Pod, node: str) -> bytes:
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
    )
