"""Bodies in `application/vnd.kubernetes.protobuf`, as Go clients send them, read into JSON objects.

A body is the bytes `k8s\\0` and a `runtime.Unknown` (1: apiVersion and kind, 2: the object's message). Field numbers
are in data/protobuf.gz (tools/compile_protobuf.py), types in the compiled schema. Go writes fields without a pointer
even where they are empty; those are left out here, as they are in Go's JSON.
"""

from __future__ import annotations

import base64
import gzip
import os.path
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from apimachinery import errors, schema
from apimachinery.schema import Schema

Object = dict[str, Any]

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"

_DATA = os.path.join(os.path.dirname(__file__), "data", "protobuf.gz")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
#: Messages that hold JSON text in field 1.
_RAW_JSON = ("io.k8s.apimachinery.pkg.runtime.RawExtension", _META + "FieldsV1")

_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
#: Messages that stand for one of two things in JSON: the fields' numbers of a schema, of a list, of a boolean.
_EITHER = {
    _EXTENSIONS + "JSONSchemaPropsOrArray": (1, 2, 0),
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": (1, 2, 0),
    _EXTENSIONS + "JSONSchemaPropsOrBool": (2, 0, 1),
}

_lines: dict[str, str] = {}


class _Names:
    """A message's fields by number - 1: their JSON names, and which of them JSON leaves out where zero."""

    __slots__ = ("json", "omitted")

    def __init__(self, line: str) -> None:
        fields = line.split(",")
        self.json = tuple(name.removesuffix("?") for name in fields)
        self.omitted = tuple(name.endswith("?") for name in fields)


class _Malformed(ValueError):
    """The bytes are not what the schema and the field numbers say; the text says where."""


@cache
def _names(definition: str) -> _Names | None:
    """What is known of a definition's message."""
    if not _lines:
        with gzip.open(_DATA, "rt") as file:
            for line in file:
                name, _, fields = line.rstrip("\n").partition("\t")
                _lines[name] = fields
    known = _lines.get(definition)
    return None if known is None else _Names(known)


def _definition(api_version: str, kind: str) -> str:
    """The definition of a body's kind, or empty. Typed clients name DeleteOptions by the version they speak."""
    name = schema.definition_of("v1" if kind == "DeleteOptions" else api_version, kind)
    return name if name and _names(name) else ""


def is_known(api_version: str, kind: str) -> bool:
    """Whether bodies of a kind can be read."""
    return bool(_definition(api_version, kind))


def decode(body: bytes) -> Object:
    """The object in a body. BadRequest for malformed bytes, 415 for kinds whose fields are not known."""
    if not body.startswith(MAGIC):
        raise errors.bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        unknown = dict(_fields(body[len(MAGIC) :]))
        about = {n: _bytes(value).decode() for n, value in _fields(_bytes(unknown.get(1, b"")))}
        raw = _bytes(unknown.get(2, b""))
        api_version, kind = about.get(1, ""), about.get(2, "")
        name = _definition(api_version, kind)
        if not name:
            raise errors.unsupported_media_type(
                f"{kind} in {api_version} cannot be read from {CONTENT_TYPE}; send application/json"
            )
        return {"apiVersion": api_version, "kind": kind, **_message(raw, schema.definition(name), name, kind)}
    except (_Malformed, UnicodeDecodeError, struct.error, RecursionError, orjson.JSONDecodeError) as error:
        raise errors.bad_request(f"unable to decode the protobuf body: {error}") from None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (number, value) pairs of a message; length-delimited values as bytes, others as integers."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise _Malformed(f"illegal wire type {kind}")
        if number == 0 or at + length > end:
            raise _Malformed("unexpected EOF" if number else "illegal tag 0")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Malformed("unexpected EOF" if at >= len(data) else "integer overflow")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Malformed("wrong wire type")
    return value


def _signed(value: int) -> int:
    """An int32 or int64 from its varint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _message(data: bytes, node: Schema, definition: str, path: str) -> Object:
    """An object's fields. `node` has their types, `definition` their numbers (they differ for inline messages)."""
    names = _names(definition)
    if names is None:
        raise _Malformed(f"{path}: the fields of {definition} are not known")
    result: Object = {}
    for number, value in _fields(data):
        name = names.json[number - 1] if number <= len(names.json) else ""
        if not name:
            continue  # as every protobuf reader does: fields come and go between the versions of clients
        if name.startswith("="):
            result.update(_message(_bytes(value), node, name[1:], path))
            continue
        child = node.fields.get(name)
        if child is None:
            continue  # gone from the API; JSON would drop it as an unknown field too
        where = f"{path}.{name}"
        if child.type == "array" and child.items is not None:
            result.setdefault(name, []).extend(_items(value, child.items, where))
        elif child.values is not None:
            key, entry = _entry(_bytes(value), child.values, where)
            result.setdefault(name, {})[key] = entry
        else:
            shown = _value(value, child, where)
            if shown is not None and not (names.omitted[number - 1] and not shown):
                result[name] = shown
    return result


def _items(value: int | bytes, node: Schema, path: str) -> list[Any]:
    """One element of a repeated field, or several packed numbers."""
    if isinstance(value, bytes) and node.type in ("integer", "boolean"):
        found, at = [], 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(_value(number, node, path))
        return found
    return [_value(value, node, path)]


def _entry(data: bytes, node: Schema, path: str) -> tuple[str, Any]:
    """One entry of a map. A list as value is a message whose field 1 repeats."""
    key = ""
    found: Any = None
    for number, value in _fields(data):
        if number == 1:
            key = _bytes(value).decode()
        elif number == 2 and node.type == "array" and node.items is not None:
            inner = _fields(_bytes(value))
            found = [shown for _, item in inner for shown in _items(item, node.items, path)]
        elif number == 2:
            found = _value(value, node, f"{path}.{key}")
    if found is None and node.format not in ("date-time", "micro-time"):
        found = [] if node.type == "array" else {} if node.type == "object" else ""
    return key, found


def _value(value: int | bytes, node: Schema, path: str) -> Any:
    """One value by the type the schema gives it; None for what Go leaves out (a zero time)."""
    kind = node.type
    if isinstance(value, int):
        if kind == "boolean":
            return bool(value)
        if kind not in ("integer", "number"):
            raise _Malformed(f"{path}: wrong wire type")
        return _signed(value)
    if kind == "string":
        return _string(value, node)
    if kind == "number":
        return _float(value)
    if node.ref in _EITHER:
        return _either(value, node, path)
    if node.ref in _RAW_JSON or (node.preserve_unknown and not node.fields):
        text = next((_bytes(raw) for number, raw in _fields(value) if number == 1), b"")
        return orjson.loads(text) if text else None
    if kind != "object":
        raise _Malformed(f"{path}: wrong wire type")
    return _message(value, node, node.ref, path)


def _float(value: bytes) -> int | float:
    """A double; whole numbers as Go writes them in JSON, without a point."""
    number: float = struct.unpack("<d", value)[0]
    return int(number) if number.is_integer() else number


def _either(value: bytes, node: Schema, path: str) -> Any:
    """A schema, or several, or names, or yes or no: what a CRD's schema may have in one place."""
    one, several, boolean = _EITHER[node.ref]
    props = schema.definition(_EXTENSIONS + "JSONSchemaProps")
    found: Any = False if boolean else None
    items: list[Any] = []
    for number, part in _fields(value):
        if number == one:
            found = _message(_bytes(part), props, props.ref, path)
        elif number == several and node.ref.endswith("StringArray"):
            items.append(_bytes(part).decode())
        elif number == several:
            items.append(_message(_bytes(part), props, props.ref, path))
        elif number == boolean and found is False:
            found = bool(part)
    return items or found


def _string(value: bytes, node: Schema) -> Any:
    """Strings, and the types whose JSON is a string (or for IntOrString maybe a number)."""
    if node.format in ("date-time", "micro-time"):
        parts = dict(_fields(value))
        return _time(parts, micro=node.format == "micro-time") if parts else None
    if node.ref == _QUANTITY or node.format == "quantity":
        return next((_bytes(text).decode() for number, text in _fields(value) if number == 1), "0")
    if node.ref == _INT_OR_STRING or node.int_or_string:
        parts = dict(_fields(value))
        if parts.get(1, 0):
            return _bytes(parts.get(3, b"")).decode()
        number = parts.get(2, 0)
        return _signed(number) if isinstance(number, int) else 0
    if node.format == "byte":
        return base64.b64encode(value).decode()
    if node.ref == _META + "Duration":
        return f"{_signed(_number(dict(_fields(value)).get(1, 0))) / 1e9:g}s"
    return value.decode()


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise _Malformed("wrong wire type")
    return value


def _time(parts: dict[int, int | bytes], *, micro: bool) -> str:
    seconds = _signed(_number(parts.get(1, 0)))
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise _Malformed("a time is out of range") from None
    text = moment.replace(tzinfo=None).isoformat(timespec="seconds")  # strftime does not pad the year
    return f"{text}.{_signed(_number(parts.get(2, 0))) // 1000:06d}Z" if micro else text + "Z"
