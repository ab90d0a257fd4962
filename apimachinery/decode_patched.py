"""What a patch made of an object, checked against the kind's schema: the refusals in Kubernetes's words.

They differ from those of a whole body: the value at fault is the patch (strategic) or the patched document (JSON and
merge patches), and a strategic patch meets Go's conversion of maps to structs instead of its JSON decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from apimachinery import decode, decode_strict, errors
from apimachinery.decode_scalars import Mismatch
from apimachinery.schema import Schema

Object = dict[str, Any]
_GO_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int64",
    float: "float64",
    str: "string",
    list: "slice",
    dict: "map",
}
_NUMBERS = ("int32", "int64", "float64")


def decode_patched(
    new: Object,
    document: Any,
    kind: str,
    schema: Schema,
    field_validation: str,
    repeated: Sequence[str] = (),
) -> tuple[Object, list[str]]:
    """A copy of `new`, which the patch `document` of `kind` gave, brought into shape, and warnings about its fields.

    `repeated`: what there is to say about the patch itself. Raises StatusError 422 for wrong types and, where
    `field_validation` is "Strict", for unknown and repeated fields; 400 for another kind of object.
    """
    body = orjson.dumps(new)
    obj: Object = orjson.loads(body)
    if schema.gvk is not None:
        decode.check_kind(obj, schema.gvk, body)
    try:
        dropped = decode.normalize(obj, schema)
    except Mismatch as mismatch:
        words = _conversion_error(mismatch) if kind == "strategic" else str(mismatch)
        raise _refused(document, kind, body, words) from None
    if not (dropped or repeated) or field_validation == "Ignore":
        return obj, []
    problems = list(repeated)
    if dropped:
        problems += decode_strict.field_problems(decode_strict.parse_pairs(body), schema)
    if problems and field_validation == "Strict":
        raise _refused(document, kind, body, "strict decoding error: " + ", ".join(problems))
    return obj, problems


def _refused(document: Any, kind: str, body: bytes, words: str) -> errors.StatusError:
    shown = go_text(document) if kind == "strategic" else body.decode()
    return errors.invalid("", "", [errors.invalid_value("patch", shown, words)])


def _conversion_error(mismatch: Mismatch) -> str:
    if mismatch.text:
        return mismatch.text
    found, wanted = _GO_KINDS[type(mismatch.value)], mismatch.go_type
    if wanted.startswith("map["):
        return f"cannot restore map from {found}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {found}"
    if "." in wanted:
        return f"cannot restore struct from: {found}"
    # Go converts between numbers, and integers to strings, which JSON does not.
    if found in _NUMBERS and (wanted in _NUMBERS or (found == "int64" and wanted == "string")):
        return f"cannot convert {found} to {wanted}"
    return f"unrecognized type: {wanted}"


def go_text(value: Any) -> str:
    """A JSON value as Go's `%+v` prints it: map[a:1 b:[x y]]."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_text(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
