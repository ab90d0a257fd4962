"""Follows the APIServices: which group versions go to which server, and whether those servers are well."""

from __future__ import annotations

import asyncio
import copy
import logging
from pathlib import Path
from typing import Any

from aiohttp import web

from apimachinery import errors, resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver.aggregation import availability
from apiserver.aggregation.availability import Available
from apiserver.aggregation.backend import Backends
from apiserver.registry.call import system_call
from apiserver.registry.registries import Registries
from apiserver.request import User
from apiserver.storage.interface import StorageError
from apiserver.webhookclient import SERVICES, Unresolved, endpoints

logger = logging.getLogger(__name__)

Object = dict[str, Any]
APISERVICES = resources.get("apiservices", "apiregistration.k8s.io")
CONFIGMAPS = resources.get("configmaps")
_BUILTIN = frozenset((resource.group, resource.version) for resource in resources.BUILTIN)
_CHECK_SECONDS = 5.0
_CHECK_SOON_SECONDS = 0.5
_UNAVAILABLE = "the server is currently unable to handle the request"


class Aggregator:
    """`remote(group, version)` tells whether somebody else serves that; `serve` passes requests on."""

    def __init__(self, registries: Registries, backends: Backends, ca_file: Path) -> None:
        self._registries = registries
        self._backends = backends
        self._ca_file = ca_file
        self._cacher = registries.cachers[APISERVICES]
        self._specs: dict[tuple[str, str], Object] = {}
        self._resources: dict[tuple[str, str], list[Resource]] = {}
        self._well = True

    def remote(self, group: str, version: str) -> bool:
        return (group, version) in self._specs

    async def serve(
        self, request: web.BaseRequest, group: str, version: str, user: User
    ) -> web.StreamResponse:
        """Pass a request on. Raises 503 where the server is not available."""
        if (group, version) not in self._resources:
            raise errors.StatusError(503, "ServiceUnavailable", _UNAVAILABLE)
        return await self._backends.forward(request, self._specs[group, version], user)

    async def start(self) -> None:
        """Tell other servers how to know us."""
        authority = self._ca_file.read_text()
        data = {
            "client-ca-file": authority,
            "requestheader-allowed-names": '["system:kube-apiserver"]',
            "requestheader-client-ca-file": authority,
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }
        name = "extension-apiserver-authentication"
        registry = self._registries.stored(CONFIGMAPS)
        if registry.cacher.get("kube-system", name) is not None:
            return
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        try:
            await registry.create(system_call(), "kube-system", obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def run(self) -> None:
        """Follow the APIServices and check their servers until cancelled."""
        while True:
            watcher = self._cacher.watch(self._cacher.revision, encoder=_changed)
            try:
                await self._look()
                # Servers are looked at now and then, soon again while one is not well.
                pause = _CHECK_SECONDS if self._well else _CHECK_SOON_SECONDS
                async with asyncio.timeout(pause if self._specs else None):
                    await anext(watcher, None)
            except TimeoutError:
                continue
            except (StorageError, StatusError) as error:
                logger.warning("aggregation: trying again: %s", error)
                await asyncio.sleep(_CHECK_SOON_SECONDS)
            finally:
                watcher.close()

    async def _look(self) -> None:
        services = [entry.object() for entry in self._cacher.entries()]
        remote = {}
        for service in services:
            spec = service["spec"]
            place = (spec.get("group") or "", spec["version"])
            if spec.get("service") is not None and place not in _BUILTIN:
                remote[place] = spec
        for gone in [place for place in self._resources if place not in remote]:
            self._show(gone, None)
        self._specs = remote
        found = await asyncio.gather(*(self._check(service) for service in services))
        self._well = all(one.status for one in found)
        for service, one in zip(services, found, strict=True):
            await self._tell(service, one)

    async def _check(self, service: Object) -> Available:
        spec = service["spec"]
        place = (spec.get("group") or "", spec["version"])
        if spec.get("service") is None or place in _BUILTIN:
            return availability.LOCAL
        reference = spec["service"]
        where = f'service/{reference["name"]} in "{reference["namespace"]}"'
        listed = None
        if self._registries.get(SERVICES, reference["namespace"], reference["name"]) is None:
            found = Available(False, "ServiceNotFound", f"{where} is not present")
        else:
            try:
                endpoints(
                    self._registries, reference["namespace"], reference["name"], reference.get("port") or 443
                )
                listed = await self._backends.resources(spec)
                found = availability.PASSED
            except Unresolved as error:
                found = Available(
                    False, "MissingEndpoints", f"endpoints for {where} have no addresses: {error}"
                )
            except ValueError as error:
                found = Available(False, "FailedDiscoveryCheck", str(error))
        self._show(place, None if listed is None else availability.resources_of(*place, listed))
        return found

    def _show(self, place: tuple[str, str], found: list[Resource] | None) -> None:
        """Put the resources of a server into discovery, or take them out."""
        if self._resources.get(place) == found:
            return
        if found is None:
            del self._resources[place]
        else:
            self._resources[place] = found
        self._registries.aggregated = [one for several in self._resources.values() for one in several]
        self._registries.generation += 1

    async def _tell(self, service: Object, found: Available) -> None:
        now = self._registries.backend.identity.timestamp()
        if availability.with_condition(service.get("status"), found, now) is None:
            return

        def change(old: Object) -> Object:
            status = availability.with_condition(old.get("status"), found, now)
            return {**old, "status": copy.deepcopy(status)} if status is not None else old

        try:
            await self._registries.stored(APISERVICES).update(
                system_call(), "", service["metadata"]["name"], change, subresource="status", track=False
            )
        except StatusError as error:
            if error.reason != "NotFound":
                raise


def _changed(event: str, entry: object) -> bytes:
    return b"\n"
