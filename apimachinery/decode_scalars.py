"""Scalars of request bodies: type checks in the words of Go's json decoder, and canonical forms.

Checkers take a value and a list to note dropped fields in, and give back the value to keep; they raise Mismatch.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any

import orjson

from apimachinery import meta, quantity
from apimachinery.schema import Schema

Checker = Callable[[Any, list[str]], Any]

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1


class Mismatch(Exception):
    """A value of the wrong type; the path grows while it unwinds to the root."""

    def __init__(self, value: Any, go_type: str, text: str = "") -> None:
        super().__init__(text)
        self.value = value
        self.go_type = go_type
        self.text = text
        self.struct = ""
        self.path: list[str] = []

    def __str__(self) -> str:
        if self.text:
            return self.text
        start = f"json: cannot unmarshal {json_type(self.value)} into Go "
        if not self.path:
            return f"{start}value of type {self.go_type}"
        return f"{start}struct field {self.struct}.{'.'.join(reversed(self.path))} of type {self.go_type}"


_JSON_TYPES: dict[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
_GO_SCALARS = {"boolean": "bool", "number": "float64", "string": "string"}


def json_type(value: Any) -> str:
    return _JSON_TYPES[type(value)]


def go_type(schema: Schema) -> str:
    """The Go type a node stands for, as error messages name it."""
    if schema.ref and schema.type in ("object", "") and not schema.preserve_unknown:
        package, _, name = schema.ref.rpartition(".")
        return f"{package.rpartition('.')[2]}.{name}"
    if schema.type == "array":
        return "[]" + (go_type(schema.items) if schema.items else "interface {}")
    if schema.type == "object":
        return "map[string]" + (go_type(schema.values) if schema.values else "interface {}")
    if schema.type == "integer":
        return schema.format or "int64"
    return _GO_SCALARS.get(schema.type, "interface {}")


def keep(value: Any, dropped: list[str]) -> Any:
    return value


def unknown(value: Any, dropped: list[str]) -> Any:
    raise AssertionError("unknown fields are dropped before they are checked")


def _int32(value: Any, dropped: list[str]) -> Any:
    if value.__class__ is int and -_INT32_MAX <= value + 1 <= _INT32_MAX + 1:
        return value
    raise _number_mismatch(value, "int32")


def _int64(value: Any, dropped: list[str]) -> Any:
    if value.__class__ is int and -_INT64_MAX <= value + 1 <= _INT64_MAX + 1:
        return value
    raise _number_mismatch(value, "int64")


def _number_mismatch(value: Any, go_type: str) -> Mismatch:
    mismatch = Mismatch(value, go_type)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # A number that does not fit is shown with its digits.
        return _Unfitting(value, go_type)
    return mismatch


class _Unfitting(Mismatch):
    """A number that is no integer, or out of range."""

    def __str__(self) -> str:
        return super().__str__().replace("unmarshal number", f"unmarshal number {self.value}", 1)


def _double(value: Any, dropped: list[str]) -> Any:
    if value.__class__ is float or value.__class__ is int:
        return value
    raise Mismatch(value, "float64")


def _quantity(value: Any, dropped: list[str]) -> Any:
    if value.__class__ is str:
        text = value.strip()
    elif value.__class__ is int or value.__class__ is float:
        text = str(value)
    else:
        raise Mismatch(value, "", quantity.FORMAT_MESSAGE)
    try:
        return quantity.canonical(text)
    except ValueError as error:
        raise Mismatch(value, "", str(error)) from None


def _int_or_string(value: Any, dropped: list[str]) -> Any:
    if value.__class__ is str:
        return value
    try:
        return _int32(value, dropped)
    except Mismatch as mismatch:
        raise Mismatch(value, "", str(mismatch)) from None


_GO_LAYOUT = "2006-01-02T15:04:05Z07:00"
_UTC_SECONDS = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ", re.ASCII
)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d([.,]\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _moment(value: Any) -> Any:
    if value.__class__ is not str:
        raise Mismatch(value, "", f"json: cannot unmarshal {json_type(value)} into Go value of type string")
    if _RFC3339.fullmatch(value):
        try:
            return meta.parse_time(value)
        except ValueError:
            shown = orjson.dumps(value).decode()
            raise Mismatch(value, "", f"parsing time {shown}: day out of range") from None
    shown = orjson.dumps(value).decode()
    raise Mismatch(value, "", f'parsing time {shown} as "{_GO_LAYOUT}": cannot parse {shown} as "2006"')


def _time(value: Any, dropped: list[str]) -> Any:
    if value.__class__ is str and _UTC_SECONDS.fullmatch(value):
        return value
    return meta.rfc3339(_moment(value))


def _micro_time(value: Any, dropped: list[str]) -> Any:
    return meta.rfc3339_micro(_moment(value))


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def _bytes(value: Any, dropped: list[str]) -> Any:
    if value.__class__ is not str:
        raise Mismatch(value, "[]uint8")
    try:
        binascii.a2b_base64(value, strict_mode=True)
        return value
    except ValueError:
        text = value.encode().replace(b"\n", b"").replace(b"\r", b"")
    try:
        return binascii.b2a_base64(binascii.a2b_base64(text, strict_mode=True), newline=False).decode()
    except ValueError:
        wrong = _NOT_BASE64.search(text)
        where = wrong.start() if wrong else len(text) - len(text) % 4
        raise Mismatch(value, "", f"illegal base64 data at input byte {where}") from None


SCALARS: dict[tuple[str, str], Checker | type] = {
    ("string", ""): str,
    ("string", "byte"): _bytes,
    ("string", "date-time"): _time,
    ("string", "micro-time"): _micro_time,
    ("string", "quantity"): _quantity,
    ("string", "int-or-string"): _int_or_string,
    ("boolean", ""): bool,
    ("integer", "int32"): _int32,
    ("integer", "int64"): _int64,
    ("integer", ""): _int64,
    ("number", "double"): _double,
    ("number", ""): _double,
}
