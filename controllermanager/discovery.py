"""What resources the server has, custom ones included: for controllers that must look at all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from kubeclient import Client


@dataclass(frozen=True, slots=True)
class Discovered:
    """The preferred version of every resource, and the group versions that could not be read, with why."""

    resources: tuple[Resource, ...]
    failed: tuple[tuple[str, str], ...] = ()


async def discover(client: Client) -> Discovered:
    """Asks the server. A group that does not answer is reported, the others count. Raises if none answers."""
    groups = (await client.request("GET", "/apis")).json().get("groups") or ()
    versions = ["v1"] + [
        (group.get("preferredVersion") or group["versions"][0])["groupVersion"] for group in groups
    ]
    lists = await asyncio.gather(*(_read(client, version) for version in versions))
    found: list[Resource] = []
    failed: list[tuple[str, str]] = []
    for version, entries in zip(versions, lists, strict=True):
        if isinstance(entries, Exception):
            failed.append((version, str(entries)))
            continue
        group, _, name = version.rpartition("/")
        for entry in entries:
            if "/" not in entry["name"]:
                found.append(_resource(group, name, entry))
    return Discovered(tuple(found), tuple(failed))


async def _read(client: Client, version: str) -> list[dict[str, Any]] | Exception:
    path = f"/apis/{version}" if "/" in version else f"/api/{version}"
    try:
        listed: list[dict[str, Any]] = (await client.request("GET", path)).json().get("resources") or []
    except (StatusError, ConnectionError, TimeoutError) as error:
        return error
    return listed


def _resource(group: str, version: str, entry: dict[str, Any]) -> Resource:
    builtin = resources.by_plural(group, version, entry["name"])
    if builtin is not None:
        return builtin
    return Resource(
        group=group,
        version=version,
        plural=entry["name"],
        kind=entry["kind"],
        namespaced=bool(entry.get("namespaced")),
        verbs=tuple(entry.get("verbs") or ()),
        singular=entry.get("singularName", ""),
        storage=(group, entry["name"]),
        custom=True,
    )
