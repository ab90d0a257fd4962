"""`pybctl describe`: an object, what belongs to it and what happened to it, for a person."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from apimachinery import resources
from kubeclient.client import Client

from . import target
from .get import event_row
from .terminal import coloured, table

# Their keys are the user's own words, or a field's.
_VERBATIM = frozenset(
    (
        "matchLabels",
        "labels",
        "annotations",
        "data",
        "stringData",
        "limits",
        "requests",
        "capacity",
        "allocatable",
    )
) | {"nodeSelector", "selector", "hard", "used", "parameters"}
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser("describe", help="show an object in full, with its events")
    parser.add_argument("words", nargs="+", metavar="TYPE NAME | TYPE/NAME")
    target.add_flags(parser)
    parser.set_defaults(run=lambda a: asyncio.run(_describe(a)))


def _title(key: str) -> str:
    """`restartPolicy` as `Restart Policy`."""
    words = "".join(
        f" {c}" if c.isupper() and i and not key[i - 1].isupper() else c for i, c in enumerate(key)
    )
    return words[:1].upper() + words[1:]


def lines(value: Any, indent: int = 0, *, verbatim: bool = False) -> list[str]:
    """An object as indented text: like YAML, without its marks, absent things left out."""
    pad = "  " * indent
    if isinstance(value, dict):
        found = []
        for key, inner in value.items():
            if inner in (None, "", [], {}):
                continue
            title = key if verbatim else _title(key)
            if isinstance(inner, dict | list):
                found += [f"{pad}{title}:", *lines(inner, indent + 1, verbatim=key in _VERBATIM)]
            else:
                found.append(f"{pad}{title}: {_scalar(inner, indent)}")
        return found
    if isinstance(value, list):
        found = []
        for inner in value:
            if isinstance(inner, dict):
                name = str(
                    inner.get("name")
                    or inner.get("type")
                    or inner.get("key")
                    or inner.get("topologyKey")
                    or ""
                )
                rest = {
                    k: v
                    for k, v in inner.items()
                    if v != name or k not in ("name", "type", "key", "topologyKey")
                }
                found += [f"{pad}{name or '-'}:", *lines(rest, indent + 1)]
            else:
                found.append(f"{pad}{_scalar(inner, indent)}")
        return found
    return [f"{pad}{_scalar(value, indent)}"]


def _scalar(value: Any, indent: int) -> str:
    text = str(value)
    if "\n" in text:
        pad = "  " * (indent + 1)
        return "\n" + "\n".join(pad + line for line in text.rstrip().splitlines())
    return text


def _pairs(pairs: dict[str, str]) -> str:
    shown = [f"{key}={value}" for key, value in sorted(pairs.items()) if key != _LAST_APPLIED]
    return ("\n" + " " * 14).join(shown) or "<none>"


def text(obj: dict[str, Any], events: list[dict[str, Any]]) -> str:
    """The whole description."""
    metadata = obj["metadata"]
    found = [f"Name:         {coloured(metadata['name'], 'bold')}"]
    if metadata.get("namespace"):
        found.append(f"Namespace:    {metadata['namespace']}")
    found.append(f"Kind:         {obj['kind']} ({obj['apiVersion']})")
    found.append(f"Labels:       {_pairs(metadata.get('labels') or {})}")
    found.append(f"Annotations:  {_pairs(metadata.get('annotations') or {})}")
    found.append(f"Created:      {metadata.get('creationTimestamp', '')}")
    for owner in metadata.get("ownerReferences") or ():
        found.append(f"Owner:        {owner['kind']}/{owner['name']}")
    if metadata.get("deletionTimestamp"):
        found.append(f"Deleting:     since {metadata['deletionTimestamp']}")
    body = {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind")}
    if obj["kind"] == "Secret":
        # Values are not for the screen; their sizes are.
        body["data"] = {key: f"{len(value) * 3 // 4} bytes" for key, value in (obj.get("data") or {}).items()}
    found += lines(body)
    if events:
        rows = [event_row(event, False) for event in events]
        shown = table(("TIME", "TYPE", "REASON", "OBJECT", "MESSAGE"), rows)
        found += ["Events:", *("  " + line for line in shown.splitlines())]
    else:
        found.append("Events:       <none>")
    return "\n".join(found) + "\n"


async def _describe(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    async with Client(config) as client:
        first = True
        for selection in await target.select(client, arguments.words):
            resource = selection.resource
            namespace = config.namespace if resource.namespaced else ""
            names = selection.names
            if not names:
                items, _ = await client.list(resource, namespace)
                names = tuple(item["metadata"]["name"] for item in items)
            for name in names:
                obj = await client.get(resource, name, namespace)
                selector = f"involvedObject.kind={resource.kind},involvedObject.name={name}"
                events, _ = await client.list(resources.get("events"), namespace, field_selector=selector)
                events.sort(key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
                print("" if first else "\n\n", end="")
                print(text(obj, events), end="")
                first = False
    return 0
