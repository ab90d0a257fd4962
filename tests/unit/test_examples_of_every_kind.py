"""What holds for a valid object of every built-in kind."""

from __future__ import annotations

import copy

import orjson
import pytest
from every_kind import STORED, example

from apimachinery import decode, defaults, schema
from apimachinery.resources import Resource

every_kind = pytest.mark.parametrize("resource", STORED, ids=lambda r: f"{r.plural}.{r.version}.{r.group}")


@every_kind
def test_an_example_is_valid_and_its_defaults_are_settled(resource: Resource) -> None:
    node = schema.for_resource(resource)
    sent = example(resource)
    obj, warnings = decode.decode(orjson.dumps(sent), "json", node, "Strict")
    assert (warnings, obj) == ([], sent)
    defaults.apply(resource, obj)
    once = copy.deepcopy(obj)
    defaults.apply(resource, obj)
    assert obj == once
    assert decode.decode(orjson.dumps(obj), "json", node, "Strict") == (once, [])
