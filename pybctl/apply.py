"""`pybctl apply` and `pybctl delete`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import Resource, by_kind
from kubeclient.client import Client

from . import manifests, target
from .manifests import Manifest
from .target import UsageError

_MANAGER = "pybctl"
# Kinds that others need, first; the rest keeps the order it was written in.
_FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
)


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser("apply", help="make the cluster as manifests say (server-side apply)")
    _file_flags(parser, required=True)
    parser.add_argument("--dry-run", choices=("server",), default=None, help="only say what would be done")
    parser.add_argument("--force-conflicts", action="store_true", help="take fields over from other managers")
    target.add_flags(parser)
    parser.set_defaults(run=lambda a: asyncio.run(_apply(a)))
    parser = commands.add_parser("delete", help="delete objects by manifest, or by type and name")
    parser.add_argument("words", nargs="*", metavar="TYPE NAME | TYPE/NAME")
    _file_flags(parser, required=False)
    parser.add_argument("-l", "--selector", default="")
    parser.add_argument("--all", action="store_true", help="every object of the type")
    parser.add_argument("--grace-period", type=int, default=None, metavar="SECONDS")
    parser.add_argument("--force", action="store_true", help="do not wait for the node to stop a pod")
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--ignore-not-found", action="store_true")
    target.add_flags(parser)
    parser.set_defaults(run=lambda a: asyncio.run(_delete(a)))


def _file_flags(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "-f", "--filename", action="append", default=[], required=required, metavar="FILE|FOLDER|URL|-"
    )
    parser.add_argument("-R", "--recursive", action="store_true", help="folders within folders too")


def _order(found: list[Manifest]) -> list[Manifest]:
    rank = {kind: index for index, kind in enumerate(_FIRST)}
    return sorted(found, key=lambda m: rank.get(m.object["kind"], len(rank)))


async def _resource_of(client: Client, manifest: Manifest) -> Resource:
    api_version, kind = manifest.object["apiVersion"], manifest.object["kind"]
    found = by_kind(api_version, kind)
    if found is None:
        known = await target.discover(client)
        found = next((r for r in known if r.api_version == api_version and r.kind == kind), None)
    if found is None:
        raise UsageError(
            f'{manifest.source}: no matches for kind "{kind}" in version "{api_version}" '
            "(is its CustomResourceDefinition there?)"
        )
    return found


def _shown(resource: Resource, name: str) -> str:
    return f"{resource.singular}{'.' + resource.group if resource.group else ''}/{name}"


async def _apply(arguments: argparse.Namespace) -> int:
    found = manifests.load(arguments.filename, recursive=arguments.recursive)
    config = target.config(arguments)
    failed = False
    async with Client(config) as client:
        for manifest in _order(found):
            try:
                resource = await _resource_of(client, manifest)
                await _apply_one(client, resource, manifest, config.namespace, arguments)
            except (StatusError, UsageError) as error:
                failed = True
                where = "" if isinstance(error, UsageError) else f"{manifest.source}: "
                print(f"error: {where}{error}", file=sys.stderr)
    return 1 if failed else 0


async def _apply_one(
    client: Client, resource: Resource, manifest: Manifest, namespace: str, arguments: argparse.Namespace
) -> None:
    obj = manifest.object
    metadata = obj.get("metadata") or {}
    name = metadata.get("name")
    if not name:
        if metadata.get("generateName"):
            raise UsageError(
                f"{manifest.source}: apply needs metadata.name (generateName makes a new object each time)"
            )
        raise UsageError(f"{manifest.source}: {obj['kind']}: metadata.name: Required value")
    where = (metadata.get("namespace") or namespace) if resource.namespaced else ""
    before = ""
    try:
        before = (await client.get(resource, name, where))["metadata"]["resourceVersion"]
    except StatusError as error:
        if error.code != 404:
            raise
    params = {"fieldManager": _MANAGER, "fieldValidation": "Strict"}
    if arguments.force_conflicts:
        params["force"] = "true"
    if arguments.dry_run:
        params["dryRun"] = "All"
    response = await client.request(
        "PATCH",
        resource.path(where, name),
        params=params,
        body=obj,
        content_type="application/apply-patch+yaml",
        idempotent=True,
    )
    if warning := response.headers.get("warning"):
        print(f"Warning: {warning}", file=sys.stderr)
    after = response.json()["metadata"]["resourceVersion"]
    verb = "created" if not before else "unchanged" if before == after else "configured"
    print(f"{_shown(resource, name)} {verb}{' (server dry run)' if arguments.dry_run else ''}")


async def _delete(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    wanted: list[tuple[Resource, str, str]] = []
    async with Client(config) as client:
        if arguments.filename:
            found = manifests.load(arguments.filename, recursive=arguments.recursive)
            for manifest in reversed(_order(found)):
                resource = await _resource_of(client, manifest)
                metadata = manifest.object.get("metadata") or {}
                namespace = (metadata.get("namespace") or config.namespace) if resource.namespaced else ""
                wanted.append((resource, namespace, metadata.get("name", "")))
        else:
            for selection in await target.select(client, arguments.words):
                namespace = config.namespace if selection.resource.namespaced else ""
                names = selection.names
                if not names and not arguments.selector and not arguments.all:
                    raise UsageError("name what to delete, or use --selector or --all")
                if not names:
                    items, _ = await client.list(
                        selection.resource, namespace, label_selector=arguments.selector
                    )
                    names = tuple(item["metadata"]["name"] for item in items)
                wanted += [(selection.resource, namespace, name) for name in names]
        return await _delete_all(client, wanted, arguments)


async def _delete_all(
    client: Client, wanted: list[tuple[Resource, str, str]], arguments: argparse.Namespace
) -> int:
    failed = False
    going: list[tuple[Resource, str, str, str]] = []
    grace = 0 if arguments.force and arguments.grace_period is None else arguments.grace_period
    for resource, namespace, name in wanted:
        try:
            answer = await client.delete(
                resource, name, namespace, grace_period_seconds=grace, propagation_policy="Background"
            )
        except StatusError as error:
            if error.code == 404 and arguments.ignore_not_found:
                continue
            failed = True
            print(f"error: {error}", file=sys.stderr)
            continue
        print(f'{_shown(resource, name).rpartition("/")[0]} "{name}" deleted')
        uid = (answer.get("metadata") or {}).get("uid", "")
        if uid:
            going.append((resource, namespace, name, uid))
    if arguments.wait:
        for resource, namespace, name, uid in going:
            await _gone(client, resource, namespace, name, uid)
    return 1 if failed else 0


async def _gone(client: Client, resource: Resource, namespace: str, name: str, uid: str) -> None:
    """Waits until the object of that uid is no more."""
    selector = f"metadata.name={name}"
    found, version = await client.list(resource, namespace, field_selector=selector)
    if not any(item["metadata"]["uid"] == uid for item in found):
        return
    async for kind, obj in client.watch(
        resource, namespace, field_selector=selector, resource_version=version
    ):
        if kind == "DELETED" and obj["metadata"]["uid"] == uid:
            return
    await _gone(client, resource, namespace, name, uid)
