"""The Namespace controller: empties a namespace that is being deleted, then lets it go."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from controllermanager.controller import PODS, Controller, Key, NotYet
from controllermanager.discovery import discover
from controllermanager.plans import namespace as plans
from controllermanager.plans.namespace import NAMESPACES, Findings
from controllermanager.plans.views import PodView


class NamespaceController(Controller):
    name: ClassVar[str] = "namespace-controller"
    workers: ClassVar[int] = 8
    backoff: ClassVar[tuple[float, float]] = (0.1, 5.0)

    def setup(self) -> None:
        self._namespaces = self.watch(NAMESPACES, self.enqueue)
        self.watch(PODS, self._pod_changed)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        """A pod that is gone may be the last thing a namespace waits for."""
        if new is None and old is not None:
            namespace = self._namespaces.get("", old.namespace)
            if namespace is not None and plans.needs_finalizing(namespace):
                self.queue.add(("", old.namespace))

    async def sync(self, key: Key) -> float | None:
        namespace = self._namespaces.store.get(key)
        if namespace is None or not plans.needs_finalizing(namespace):
            return None
        findings = await self._empty(key[1])
        await self.executor.run(plans.plan(namespace, findings, self.context.now()))
        if not findings.nothing_left:
            raise NotYet("some content remains")
        return None

    async def _empty(self, name: str) -> Findings:
        found = await discover(self.context.client)
        resources = plans.deletable(found.resources)
        errors: dict[str, str] = {}
        remaining: dict[str, list[list[str]]] = {}

        async def empty(resource: Resource) -> None:
            try:
                left = await self._delete_all(resource, name)
            except StatusError as error:
                if error.code not in (404, 405):
                    errors[plans.told(resource)] = error.message
                return
            if left:
                remaining[plans.told(resource)] = left

        first = [r for r in resources if r == PODS]
        for resource in first:
            await empty(resource)
        if not remaining and not errors:
            await asyncio.gather(*(empty(r) for r in resources if r not in first))
        return Findings(found.failed, errors, remaining)

    async def _delete_all(self, resource: Resource, namespace: str) -> list[list[str]]:
        """Deletes every object; returns the finalizers of each that is still there."""
        client = self.context.client
        items, _ = await client.list(resource, namespace)
        if not items:
            return []
        if any(not item["metadata"].get("deletionTimestamp") for item in items):
            if "deletecollection" in resource.verbs:
                options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
                await client.request("DELETE", resource.path(namespace), body=options)
            else:
                for item in items:
                    await client.delete(
                        resource, item["metadata"]["name"], namespace, propagation_policy="Background"
                    )
            items, _ = await client.list(resource, namespace)
        return [item["metadata"].get("finalizers") or [] for item in items]
