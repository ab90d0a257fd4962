"""Hands each agent the objects of its node. Several simulated nodes share one informer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubeclient.informer import Informer

Handler = Callable[[Any, Any], None]


class Feed:
    """Changes of an informer's objects by node; `node_of(object)` says whose an object is."""

    def __init__(self, informer: Informer, node_of: Callable[[Any], str]) -> None:
        self.informer = informer
        self._node_of = node_of
        self._handlers: dict[str, Handler] = {}
        informer.add_handler(self._on_change)

    def _on_change(self, old: Any, new: Any) -> None:
        handler = self._handlers.get(self._node_of(new if new is not None else old))
        if handler is not None:
            handler(old, new)

    def subscribe(self, node: str, handler: Handler) -> None:
        """`handler(old, new)` gets what is there, as new, and every later change."""
        self._handlers[node] = handler
        for value in list(self.informer.store.values()):
            if self._node_of(value) == node:
                handler(None, value)

    def unsubscribe(self, node: str) -> None:
        self._handlers.pop(node, None)


def pods_node(pod: Any) -> str:
    name: str = pod["spec"].get("nodeName") or ""
    return name


def own_name(node: Any) -> str:
    name: str = node["metadata"]["name"]
    return name
