"""The protobuf form of an OpenAPI v2 document (gnostic's openapi.v2.Document), which older clients ask for.

Only what our own documents contain is encoded. The numbers below are gnostic's field numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Object = dict[str, Any]
Encoder = Callable[[Any], bytes]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _text(value: str) -> bytes:
    return value.encode()


def _named(name: str, value: bytes) -> bytes:
    """One of gnostic's Named… messages: a map's entry."""
    return _field(1, name.encode()) + _field(2, value)


def _any(value: Any) -> bytes:
    """Any value as YAML text; JSON is YAML."""
    return _field(2, orjson.dumps(value) + b"\n")


class _Message:
    """How one message encodes: JSON keys to (field number, encoder), and the field its `x-` keys go to."""

    def __init__(self, extensions: int = 0) -> None:
        self.extensions = extensions
        self.one: dict[str, tuple[int, Encoder]] = {}
        self.many: dict[str, tuple[int, Encoder]] = {}
        self.flags: dict[str, int] = {}
        self.numbers: dict[str, int] = {}

    def __call__(self, obj: Object) -> bytes:
        out: list[bytes] = []
        for key, value in obj.items():
            if key in self.one:
                number, encode = self.one[key]
                out.append(_field(number, encode(value)))
            elif key in self.many:
                number, encode = self.many[key]
                out.extend(_field(number, encode(item)) for item in value)
            elif key in self.flags:
                if value:
                    out.append(_varint(self.flags[key] << 3) + b"\x01")
            elif key in self.numbers:
                out.append(_varint(self.numbers[key] << 3) + _varint(int(value)))
            elif key.startswith("x-") and self.extensions:
                out.append(_field(self.extensions, _named(key, _any(value))))
        return b"".join(out)


def _map(encode: Encoder, number: int = 1) -> Encoder:
    """A message whose field `number` holds the entries of a map."""
    return lambda entries: b"".join(
        _field(number, _named(name, encode(value))) for name, value in entries.items()
    )


_schema = _Message(31)


def _additional(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    return _field(1, _schema(value))


_schema.one = {
    "$ref": (1, _text),
    "format": (2, _text),
    "title": (3, _text),
    "description": (4, _text),
    "default": (5, _any),
    "pattern": (13, _text),
    "additionalProperties": (21, _additional),
    "type": (22, lambda value: _field(1, value.encode())),
    "items": (23, lambda value: _field(1, _schema(value))),
    "properties": (25, _map(_schema)),
}
_schema.many = {"required": (19, _text), "enum": (20, _any), "allOf": (24, _schema)}
_schema.flags = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16}
_schema.numbers = {
    "maxLength": 11,
    "minLength": 12,
    "maxItems": 14,
    "minItems": 15,
    "maxProperties": 17,
    "minProperties": 18,
}

_body_parameter = _Message()
_body_parameter.one = {"name": (2, _text), "in": (3, _text), "schema": (5, _schema)}
_body_parameter.flags = {"required": 4}
_query_parameter = _Message()
_query_parameter.one = {"in": (2, _text), "name": (4, _text), "type": (6, _text)}
_query_parameter.flags = {"required": 1, "uniqueItems": 20}
_path_parameter = _Message()
_path_parameter.one = {"in": (2, _text), "name": (4, _text), "type": (5, _text)}
_path_parameter.flags = {"required": 1, "uniqueItems": 19}


def _parameter(value: Object) -> bytes:
    """A ParametersItem with a Parameter of one of its kinds."""
    if value["in"] == "body":
        parameter = _field(1, _body_parameter(value))
    elif value["in"] == "path":
        parameter = _field(2, _field(4, _path_parameter(value)))
    else:
        parameter = _field(2, _field(3, _query_parameter(value)))
    return _field(1, parameter)


_response = _Message()
_response.one = {"description": (1, _text), "schema": (2, lambda value: _field(1, _schema(value)))}

_operation = _Message(13)
_operation.one = {
    "description": (3, _text),
    "operationId": (5, _text),
    "responses": (9, _map(lambda value: _field(1, _response(value)))),
}
_operation.many = {
    "tags": (1, _text),
    "produces": (6, _text),
    "consumes": (7, _text),
    "parameters": (8, _parameter),
    "schemes": (10, _text),
}

_path_item = _Message()
_path_item.one = {
    method: (number, _operation)
    for method, number in {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}.items()
}
_path_item.many = {"parameters": (9, _parameter)}

_info = _Message()
_info.one = {"title": (1, _text), "version": (2, _text)}

_document = _Message(16)
_document.one = {
    "swagger": (1, _text),
    "info": (2, _info),
    "paths": (8, _map(_path_item, 2)),
    "definitions": (9, _map(_schema)),
}


def encode(document: Object) -> bytes:
    """An OpenAPI v2 document as made by openapi.py, in protobuf."""
    return _document(document)
