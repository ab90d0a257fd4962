"""`pybctl get` and `pybctl events`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import yaml

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from kubeclient.client import Client

from . import target
from .terminal import table

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser("get", help="show objects as a table, YAML, JSON or names")
    parser.add_argument("words", nargs="+", metavar="TYPE [NAME...] | TYPE/NAME")
    parser.add_argument("-o", "--output", choices=("wide", "yaml", "json", "name"), default="")
    parser.add_argument("-l", "--selector", default="", help="label selector")
    parser.add_argument("--field-selector", default="")
    parser.add_argument("-w", "--watch", action="store_true", help="go on with changes as they come")
    parser.add_argument("--no-headers", action="store_true")
    target.add_flags(parser, all_namespaces=True)
    parser.set_defaults(run=lambda a: asyncio.run(_get(a)))
    parser = commands.add_parser("events", help="what happened, oldest first")
    parser.add_argument("-w", "--watch", action="store_true")
    parser.add_argument("--for", dest="about", default="", metavar="TYPE/NAME")
    target.add_flags(parser, all_namespaces=True)
    parser.set_defaults(run=lambda a: asyncio.run(_events(a)))


async def _get(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    failed = False
    async with Client(config) as client:
        selections = await target.select(client, arguments.words)
        objects: list[dict[str, Any]] = []
        several = len(selections) > 1
        shown = 0
        for selection in selections:
            resource = selection.resource
            namespace = config.namespace if resource.namespaced else ""
            for name in selection.names or ("",):
                try:
                    if arguments.output in ("yaml", "json", "name"):
                        objects += await _objects(client, resource, namespace, name, arguments)
                    else:
                        shown += await _show_table(
                            client, resource, namespace, name, arguments, prefix=several
                        )
                except StatusError as error:
                    failed = True
                    print(f"error: {error}", file=sys.stderr)
        if arguments.output in ("yaml", "json", "name") and (objects or not failed):
            _print_objects(objects, arguments, single=len(selections) == 1 and len(selections[0].names) == 1)
        elif arguments.output in ("", "wide") and not (shown or failed or arguments.watch):
            where = f"in {config.namespace} namespace" if config.namespace else ""
            print(f"No resources found {where}".rstrip() + ".", file=sys.stderr)
    return 1 if failed else 0


async def _objects(
    client: Client, resource: Resource, namespace: str, name: str, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    if name:
        return [await client.get(resource, name, namespace)]
    items, _ = await client.list(
        resource, namespace, label_selector=arguments.selector, field_selector=arguments.field_selector
    )
    return items


def _print_objects(objects: list[dict[str, Any]], arguments: argparse.Namespace, *, single: bool) -> None:
    if arguments.output == "name":
        for obj in objects:
            found = resources.by_kind(obj["apiVersion"], obj["kind"])
            kind = found.singular if found else obj["kind"].lower()
            group = obj["apiVersion"].rpartition("/")[0]
            print(f"{kind}{'.' + group if group else ''}/{obj['metadata']['name']}")
        return
    document = objects[0] if single and objects else {"apiVersion": "v1", "kind": "List", "items": objects}
    for obj in objects:
        obj["metadata"].pop("managedFields", None)
    if arguments.output == "json":
        print(json.dumps(document, indent=4))
    else:
        print(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=True, default_flow_style=False), end="")


def _visible(columns: list[dict[str, Any]], wide: bool) -> list[int]:
    return [i for i, c in enumerate(columns) if wide or not c.get("priority")]


def _cells(row: dict[str, Any], visible: list[int]) -> list[str]:
    return [_text(row["cells"][i]) for i in visible]


def _text(cell: Any) -> str:
    if cell is None:
        return "<none>"
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


async def _show_table(
    client: Client,
    resource: Resource,
    namespace: str,
    name: str,
    arguments: argparse.Namespace,
    *,
    prefix: bool,
) -> int:
    """Prints a server-side table, and with --watch rows as they change; the number of rows."""
    params = {"includeObject": "Metadata"}
    selector = f"metadata.name={name}" if name and arguments.watch else arguments.field_selector
    if selector:
        params["fieldSelector"] = selector
    if arguments.selector:
        params["labelSelector"] = arguments.selector
    path = resource.path(namespace, "" if arguments.watch else name)
    answer = (await client.request("GET", path, params=params, headers={"Accept": _TABLE})).json()
    columns = answer["columnDefinitions"]
    visible = _visible(columns, arguments.output == "wide")
    headers = [columns[i]["name"].upper() for i in visible]
    everywhere = resource.namespaced and not namespace
    if everywhere:
        headers.insert(0, "NAMESPACE")

    def line(row: dict[str, Any]) -> list[str]:
        cells = _cells(row, visible)
        if prefix:
            cells[0] = f"{resource.singular}{'.' + resource.group if resource.group else ''}/{cells[0]}"
        if everywhere:
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
        return cells

    rows = [line(row) for row in answer.get("rows") or ()]
    if rows:
        print(table(headers, rows, headers=not arguments.no_headers), end="")
        if prefix:
            print()
    if not arguments.watch:
        return len(rows)
    params |= {"watch": "true", "resourceVersion": answer["metadata"]["resourceVersion"]}
    widths = [max(len(r[i]) for r in [headers, *rows]) for i in range(len(headers))]
    async with await client.stream(path, params=params, headers={"Accept": _TABLE}) as stream:
        async for raw in _lines(stream):
            event = json.loads(raw)
            if event["type"] in ("BOOKMARK", "ERROR"):
                continue
            for row in event["object"].get("rows") or ():
                cells = line(row)
                print("   ".join(c.ljust(widths[i]) for i, c in enumerate(cells)).rstrip(), flush=True)
    return len(rows)


async def _lines(stream: Any) -> Any:
    pending = b""
    async for piece in stream:
        pending += piece
        while (end := pending.find(b"\n")) >= 0:
            yield pending[:end]
            pending = pending[end + 1 :]


def event_row(event: dict[str, Any], everywhere: bool) -> list[str]:
    about = event.get("involvedObject") or {}
    count = event.get("count") or (event.get("series") or {}).get("count") or 1
    when = (
        event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", "")
    )
    cells = [
        when[11:19],
        event.get("type", ""),
        event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        event.get("message", "").strip() + (f" (x{count})" if count > 1 else ""),
    ]
    return [event["metadata"].get("namespace", ""), *cells] if everywhere else cells


async def _events(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    events = resources.get("events")
    async with Client(config) as client:
        selector = ""
        if arguments.about:
            resource, name = await target.one(client, [arguments.about])
            selector = f"involvedObject.kind={resource.kind},involvedObject.name={name}"
        found, version = await client.list(events, config.namespace, field_selector=selector)
        found.sort(key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
        everywhere = not config.namespace
        headers = ["TIME", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        if everywhere:
            headers.insert(0, "NAMESPACE")
        rows = [event_row(event, everywhere) for event in found]
        print(table(headers, rows) if rows else "No events found.\n", end="")
        if arguments.watch:
            async for kind, event in client.watch(
                events, config.namespace, field_selector=selector, resource_version=version
            ):
                if kind in ("ADDED", "MODIFIED"):
                    print("   ".join(event_row(event, everywhere)), flush=True)
    return 0
