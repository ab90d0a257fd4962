"""Patches as changes of an object: JSON, merge and strategic patches, and server-side apply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from apimachinery import (
    apply,
    decode,
    decode_patched,
    decode_strict,
    errors,
    meta,
    patch,
    schema,
    strategicpatch,
)
from apiserver.registry.call import Call

Object = dict[str, Any]


def parse(body: bytes, kind: str) -> Any:
    """The JSON document of a patch. Raises 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        what = "json patch" if kind == "json" else "patch"
        raise errors.bad_request(f"error decoding {what}: {error}") from None


def repeated(body: bytes, document: Any, kind: str, call: Call) -> list[str]:
    """What a request that is told of it is told of keys that a patch has twice."""
    if call.options.field_validation == "Ignore" or orjson.dumps(document).count(b'"') == body.count(b'"'):
        return []
    found = decode_strict.repeated_fields(decode_strict.parse_pairs(body))
    return [f"json patch {problem}" for problem in found] if kind == "json" else found


def patched(
    old: Object, document: Any, kind: str, node: schema.Schema, call: Call, twice: Sequence[str] = ()
) -> Object:
    """`old` with a JSON, merge or strategic patch, checked against the kind's schema as a body would be.

    `twice`: what `repeated` found.
    """
    if kind == "json":
        new = patch.json_patch(old, document)
    elif kind == "merge":
        if not isinstance(document, dict):
            raise errors.bad_request("cannot unmarshal the patch into an object")
        new = patch.merge_patch(old, document)
    else:
        new = strategicpatch.strategic_merge(old, document, node)
    if not isinstance(new, dict):
        raise errors.bad_request("the patch does not give an object")
    result, warnings = decode_patched.decode_patched(
        new, document, kind, node, call.options.field_validation, twice
    )
    call.warnings.extend(warnings)
    return result


def checked(obj: Object, node: schema.Schema, call: Call) -> Object:
    """A copy of `obj` brought into shape by its schema; strictness as the request asked."""
    result, warnings = decode.decode(orjson.dumps(obj), "json", node, call.options.field_validation)
    call.warnings.extend(warnings)
    return result


def parse_applied(body: bytes, node: schema.Schema, call: Call) -> Object:
    """The configuration in the body of a server-side apply, unknown fields too: apply refuses them. Raises 400."""
    document, repeated = _load_yaml(body)
    if not isinstance(document, dict) or not isinstance(document.get("metadata") or {}, dict):
        raise errors.bad_request("error decoding YAML: the configuration is not an object with metadata")
    if repeated and call.options.field_validation == "Strict":
        raise errors.bad_request(f"error strict decoding YAML: {repeated[0]}")
    if call.options.field_validation == "Warn":
        call.warnings.extend(repeated)
    kind = node.gvk[2] if node.gvk is not None else document.get("kind")
    if document.get("kind") != kind:
        raise errors.bad_request(
            f"the kind in the data ({document.get('kind', '')}) does not match the expected kind ({kind})"
        )
    return {**document, "metadata": dict(document.get("metadata") or {})}


def _load_yaml(body: bytes) -> tuple[Any, list[str]]:
    """A YAML document and its repeated keys. JSON, which most clients send, takes the fast way."""
    if body.startswith(b"{"):
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            document = None
        # A repeated key takes its quotes with it.
        if document is not None and orjson.dumps(document).count(b'"') == body.count(b'"'):
            return document, []
    from apimachinery import decode_yaml

    try:
        return decode_yaml.load_one(body)
    except ValueError as error:
        raise errors.bad_request(f"error decoding YAML: {error}") from None


def applied(
    live: Object | None,
    document: Object,
    *,
    call: Call,
    node: schema.Schema,
    api_version: str,
    now: str,
    subresource: str = "",
) -> Object:
    """`live` (None: nothing yet) with a server-side apply of `document`. Raises 409 with the conflicts."""
    new = apply.server_side_apply(
        live,
        document,
        manager=call.options.field_manager,
        force=bool(call.options.force),
        schema=node,
        api_version=api_version,
        now=now,
        subresource=subresource,
    )
    return checked(new, node, Call(call.user))


def check_applied(document: Object, name: str, namespace: str) -> None:
    """What an applied configuration must and must not say. Raises 400."""
    if document["metadata"].get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    given = meta.name(document)
    if given and given != name:
        raise errors.bad_request(
            f"the name of the object ({given}) does not match the name on the URL ({name})"
        )
    space = meta.namespace(document)
    if space and space != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
