"""JSON objects as Go clients send them in protobuf: the other way round of apimachinery/protobuf.py, for tests.

Fields without a pointer in Go are written even where they are zero, as gogo's generated code does.
"""

from __future__ import annotations

import base64
import calendar
import json
import struct
from datetime import datetime
from typing import Any

from apimachinery import protobuf, schema
from apimachinery.schema import Schema

Object = dict[str, Any]
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | str | int) -> bytes:
    """A varint, or what has a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    """A body: the magic bytes and runtime.Unknown."""
    about = field(1, api_version) + field(2, kind)
    return b"k8s\x00" + field(1, about) + field(2, message) + field(3, "") + field(4, "")


def encode(obj: Object) -> bytes:
    """The body of a request with an object."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    name = schema.definition_of("v1" if kind == "DeleteOptions" else api_version, kind)
    return envelope(api_version, kind, message(obj, schema.definition(name), name))


def message(obj: Object, node: Schema, definition: str) -> bytes:
    names = protobuf._names(definition)
    assert names is not None, definition
    out = b""
    for at, name in enumerate(names.json):
        child = node.fields.get(name)
        if name.startswith("="):
            out += field(at + 1, message(obj, node, name[1:]))
        elif child is not None and name in obj:
            out += _field(at + 1, obj[name], child)
        elif child is not None and names.omitted[at]:
            out += field(at + 1, b"" if child.type == "string" else 0)
    return out


def _field(number: int, value: Any, node: Schema) -> bytes:
    if node.type == "array" and node.items is not None:
        return b"".join(_single(number, item, node.items) for item in value)
    if node.values is not None:
        entries = [field(1, key) + _field_of_entry(item, node.values) for key, item in value.items()]
        return b"".join(field(number, entry) for entry in entries)
    return _single(number, value, node)


def _field_of_entry(value: Any, node: Schema) -> bytes:
    if node.type == "array" and node.items is not None:
        return field(2, b"".join(_single(1, item, node.items) for item in value))
    return _single(2, value, node)


def _single(number: int, value: Any, node: Schema) -> bytes:
    if node.type == "number":
        return double(number, value)
    if node.type in ("integer", "boolean"):
        return field(number, int(value))
    if node.type == "string":
        return field(number, _string(value, node))
    if node.ref.startswith(_EXTENSIONS + "JSONSchemaPropsOr"):
        return field(number, _either(value, node.ref))
    if node.preserve_unknown and not node.fields:
        return field(number, field(1, json.dumps(value)))
    return field(number, message(value, node, node.ref))


def _either(value: Any, ref: str) -> bytes:
    props = schema.definition(_EXTENSIONS + "JSONSchemaProps")
    if ref.endswith("Bool"):
        shown = message(value, props, props.ref) if isinstance(value, dict) else None
        return field(1, int(bool(value) or shown is not None)) + (
            field(2, shown) if shown is not None else b""
        )
    if isinstance(value, dict):
        return field(1, message(value, props, props.ref))
    return b"".join(field(2, v if isinstance(v, str) else message(v, props, props.ref)) for v in value)


def _string(value: Any, node: Schema) -> bytes:
    if node.format in ("date-time", "micro-time"):
        moment = datetime.fromisoformat(value)
        return field(1, calendar.timegm(moment.utctimetuple())) + field(2, moment.microsecond * 1000)
    if node.format == "quantity":
        return field(1, value)
    if node.int_or_string:
        text = isinstance(value, str)
        return field(1, int(text)) + field(2, 0 if text else value) + field(3, value if text else "")
    return base64.b64decode(value) if node.format == "byte" else value.encode()
