"""Which cluster, namespace and objects a command is about: flags, and arguments such as `deploy/web`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.resources import BUILTIN, Resource, Subresource
from kubeclient.client import Client
from kubeclient.config import Config


class UsageError(Exception):
    """What was asked for makes no sense; the text says why."""


def add_flags(parser: argparse.ArgumentParser, *, all_namespaces: bool = False) -> None:
    parser.add_argument("-n", "--namespace", default="", help="namespace (default: the context's)")
    if all_namespaces:
        parser.add_argument("-A", "--all-namespaces", action="store_true", help="every namespace")
    parser.add_argument("--kubeconfig", default=None, metavar="FILE")
    parser.add_argument("--context", default=None)


def config(arguments: argparse.Namespace) -> Config:
    found = Config.from_kubeconfig(arguments.kubeconfig, arguments.context)
    if getattr(arguments, "all_namespaces", False):
        return replace(found, namespace="")
    return replace(found, namespace=arguments.namespace) if arguments.namespace else found


def _names(resource: Resource) -> set[str]:
    plain = {resource.plural, resource.singular, *resource.short_names, resource.kind.lower()}
    if not resource.group:
        return plain
    return plain | {f"{name}.{resource.group}" for name in plain}


def _match(word: str, known: Iterator[Resource]) -> Resource | None:
    lowered = word.lower()
    return next((r for r in known if not r.virtual and lowered in _names(r)), None)


async def resolve(client: Client, word: str) -> Resource:
    """The resource that `word` names: plural, singular, kind or short name, with or without its group.

    Built-in ones are known; others (custom resources) are asked of the server. Raises UsageError.
    """
    found = _match(word, iter(BUILTIN)) or _match(word, iter(await discover(client)))
    if found is None:
        raise UsageError(f'the server doesn\'t have a resource type "{word}"')
    return found


async def discover(client: Client) -> list[Resource]:
    """Every resource the server has, in each group's preferred version first."""
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = []
    for path in ("/api", "/apis"):
        answer = (await client.request("GET", path, headers={"Accept": accept})).json()
        for group in answer.get("items") or ():
            group_name = group["metadata"].get("name", "")
            for version in group.get("versions") or ():
                for item in version.get("resources") or ():
                    found.append(_resource(group_name, version["version"], item))
    return found


def _resource(group: str, version: str, item: dict[str, Any]) -> Resource:
    subresources = tuple(
        Subresource(s["subresource"], tuple(s.get("verbs") or ())) for s in item.get("subresources") or ()
    )
    return Resource(
        group=group,
        version=version,
        plural=item["resource"],
        kind=(item.get("responseKind") or {}).get("kind", ""),
        namespaced=item["scope"] == "Namespaced",
        short_names=tuple(item.get("shortNames") or ()),
        categories=tuple(item.get("categories") or ()),
        verbs=tuple(item.get("verbs") or ()),
        subresources=subresources,
        singular=item.get("singularResource", ""),
        custom=True,
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """A resource and the names asked for; no names means all of them."""

    resource: Resource
    names: tuple[str, ...]


async def select(client: Client, words: list[str]) -> list[Selection]:
    """`pods`, `pods a b`, `pod/a svc/b`, `pods,svc`, `all`: what the arguments name. Raises UsageError."""
    if not words:
        raise UsageError("you must name a type of resource, such as pods")
    if any("/" in word for word in words):
        found = []
        for word in words:
            kind, slash, name = word.partition("/")
            if not slash or not name:
                raise UsageError(f'"{word}": with TYPE/NAME every argument must be of that form')
            found.append(Selection(await resolve(client, kind), (name,)))
        return found
    if words[0] == "all":
        return [Selection(r, ()) for r in BUILTIN if "all" in r.categories and r.version != "v2"]
    return [Selection(await resolve(client, kind), tuple(words[1:])) for kind in words[0].split(",")]


async def one(client: Client, words: list[str], default: str = "") -> tuple[Resource, str]:
    """The single object that the arguments name: `deploy/web`, `deploy web`, or `web` of the `default` type."""
    if len(words) == 1 and "/" not in words[0] and default:
        return await resolve(client, default), words[0]
    selections = await select(client, words)
    if len(selections) != 1 or len(selections[0].names) != 1:
        raise UsageError(f"expected one object, TYPE/NAME, not {' '.join(words)!r}")
    return selections[0].resource, selections[0].names[0]
