"""Conversion webhooks: ConversionReview (apiextensions.k8s.io/v1) to the webhook of a definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.errors import StatusError
from apiserver.customresources.conversion import Ask
from apiserver.customresources.definition import Definition
from apiserver.webhookclient import CallFailed, WebhookClient

Object = dict[str, Any]
_SECONDS = 30.0
_KEPT = ("name", "namespace", "uid")


def asking(client: WebhookClient, uid: Callable[[], str]) -> Callable[[Definition], Ask]:
    """What makes the function that asks a definition's webhook."""

    def of(definition: Definition) -> Ask:
        async def ask(objects: list[Object], wanted: str) -> list[Object]:
            return await _ask(client, definition, uid(), objects, wanted)

        return ask

    return of


async def _ask(
    client: WebhookClient, definition: Definition, uid: str, objects: list[Object], wanted: str
) -> list[Object]:
    webhook = definition.conversion.get("webhook") or {}
    review = {
        "kind": "ConversionReview",
        "apiVersion": "apiextensions.k8s.io/v1",
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
    }
    try:
        answer = await client.post(webhook.get("clientConfig") or {}, review, _SECONDS)
        return _converted(answer.get("response"), uid, objects, wanted)
    except (CallFailed, ValueError) as error:
        source, kind = objects[0].get("apiVersion", ""), objects[0].get("kind", "")
        message = f"conversion webhook for {source}, Kind={kind} failed: {error}"
        raise StatusError(500, "InternalError", message) from None


def _converted(response: Any, uid: str, objects: list[Object], wanted: str) -> list[Object]:
    """The objects of an answer, if they are the ones asked for. Raises ValueError."""
    if not isinstance(response, dict):
        raise ValueError("no response provided")
    if response.get("uid") != uid:
        raise ValueError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise ValueError(result.get("message") or "webhook result: without explanation")
    found = response.get("convertedObjects")
    if not isinstance(found, list) or len(found) != len(objects):
        count = len(found) if isinstance(found, list) else 0
        raise ValueError(f"webhook returned {count} objects, expected {len(objects)}")
    return [
        _checked(new, old, wanted, index) for index, (new, old) in enumerate(zip(found, objects, strict=True))
    ]


def _checked(new: Any, old: Object, wanted: str, index: int) -> Object:
    """A converted object; of the metadata, labels and annotations alone may have changed."""
    if not isinstance(new, dict) or new.get("apiVersion") != wanted:
        raise ValueError(f"invalid converted object at index {index}: expected apiVersion to be {wanted}")
    if new.get("kind") != old.get("kind"):
        raise ValueError(f"invalid converted object at index {index}: invalid kind: {new.get('kind')}")
    after, before = new.get("metadata") or {}, old["metadata"]
    for key in _KEPT:
        if (after.get(key) or "") != (before.get(key) or ""):
            raise ValueError(f"invalid converted object at index {index}: metadata.{key} must not change")
    kept = {key: value for key, value in before.items() if key not in ("labels", "annotations")}
    for key in ("labels", "annotations"):
        if after.get(key):
            kept[key] = after[key]
    return {**new, "metadata": kept}
