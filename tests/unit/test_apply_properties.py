"""What holds for server-side apply on every kind: twice is once, nobody loses what others state, owners are right."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import orjson
import pytest
from every_kind import STORED, Object, example
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apimachinery import apply, decode, defaults, fieldset, ownedfields, schema
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apimachinery.schema import Schema

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
THING = Resource("example.com", "v1", "things", "Thing", True, custom=True, storage=("example.com", "things"))
THING_SCHEMA = schema.from_openapi(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "names": {
                        "type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"},
                    },
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
                        },
                    },
                    "whole": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "additionalProperties": {"type": "string"},
                    },
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        },
    },
    "example.com/v1",
    "Thing",
)  # fmt: skip
THING_OBJECT: Object = {
    "apiVersion": "example.com/v1",
    "kind": "Thing",
    "metadata": {"name": "x", "namespace": "default", "labels": {"a": "b", "c": "d"}},
    "spec": {
        "size": 3,
        "names": ["a", "b", "c"],
        "parts": [{"name": "p", "value": "1"}, {"name": "q", "value": "2"}],
        "whole": {"a": "1", "b": "2"},
        "free": {"a": [1, {"b": None}], "c": {"d": 1}},
    },
}
KINDS = (*STORED, THING)
every_kind = pytest.mark.parametrize("resource", KINDS, ids=lambda r: f"{r.plural}.{r.version}.{r.group}")
# Shrinking would take longer than it helps: a seed is not simpler than another.
some = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
randoms = st.randoms(use_true_random=False)


def node_of(resource: Resource) -> Schema:
    return THING_SCHEMA if resource is THING else schema.for_resource(resource)


def whole(resource: Resource) -> Object:
    """The example, with defaults: a field that is atomic and gets some differs from what was stated of it."""
    obj = copy.deepcopy(THING_OBJECT) if resource is THING else example(resource)
    defaults.apply(resource, obj)
    obj.pop("status", None)
    obj["metadata"].setdefault("labels", {"l": "1", "m": "2"})
    obj["metadata"].setdefault("finalizers", ["example.com/f", "example.com/g"])
    return obj


def pruned(value: Any, node: Schema | None, random: Random, kept: tuple[str, ...] = ()) -> Any:
    """A part of an object that can be applied: fields left out, and elements of lists that have keys."""
    if isinstance(value, dict) and (node is None or node.map_type != "atomic"):
        fields = node.fields if node is not None else {}
        result = {}
        for key, item in value.items():
            if key in kept:
                result[key] = item
            elif random.random() < 0.7:
                child = fields.get(key) or (node.values if node is not None else None)
                result[key] = pruned(item, child, random)
        return result
    if isinstance(value, list) and node is not None and node.list_type in ("map", "set"):
        chosen = [item for item in value if random.random() < 0.7]
        return [pruned(item, node.items, random, node.list_map_keys) for item in chosen]
    return value


def part(resource: Resource, random: Random) -> Object:
    """A configuration that states some of the example, at least its name."""
    obj = whole(resource)
    node = node_of(resource)
    result = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    for key, item in obj.items():
        if key not in ("apiVersion", "kind", "metadata") and random.random() < 0.8:
            result[key] = pruned(item, node.fields.get(key), random)
    metadata = pruned(obj["metadata"], node.fields["metadata"], random, ("name", "namespace"))
    return {**result, "metadata": metadata}


def applied(
    resource: Resource, live: Object | None, config: Object, manager: str, *, force: bool = False,
    now: str = EARLY, sub: str = "",
) -> Object:  # fmt: skip
    """An apply as the registry does it: merged, checked against the schema, defaulted."""
    node = node_of(resource)
    before = orjson.dumps((live, config))
    result = apply.server_side_apply(
        live, config, manager=manager, force=force, schema=node, api_version=resource.api_version, now=now,
        subresource=sub,
    )  # fmt: skip
    assert orjson.dumps((live, config)) == before
    result, _ = decode.decode(orjson.dumps(result), "json", node, "Strict")
    defaults.apply(resource, result)
    return result


def timeless(obj: Object) -> Object:
    """An object but for the times in its managed fields, whose order follows from them; such a write is none."""
    entries = [
        {k: v for k, v in e.items() if k != "time"} for e in obj["metadata"].get("managedFields") or ()
    ]
    entries.sort(key=lambda entry: str(entry["manager"]))
    return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}


def nothing(stated: Any) -> bool:
    """Whether a configuration states only that things are empty."""
    return stated in ({}, []) or (isinstance(stated, dict) and all(map(nothing, stated.values())))


def contains(live: Any, stated: Any, node: Schema | None) -> bool:
    """Whether an object has all that a configuration states, and may have defaults beside it. Empty is nothing."""
    if isinstance(stated, dict) and isinstance(live, dict):
        fields = node.fields if node is not None else {}
        values = node.values if node is not None else None
        return all(
            contains(live[key], item, fields.get(key) or values) if key in live else nothing(item)
            for key, item in stated.items()
            if key not in ("status", "stringData")
        )
    if isinstance(stated, list) and isinstance(live, list):
        if node is not None and node.list_type == "set":
            return all(item in live for item in stated)
        if node is not None and node.list_type == "map":
            return all(any(contains(found, item, node.items) for found in live) for item in stated)
        items = node.items if node is not None else None
        return len(live) == len(stated) and all(map(contains, live, stated, [items] * len(stated)))
    return bool(live == stated)


@every_kind
@some
@given(randoms)
def test_apply_twice_is_apply_once(resource: Resource, random: Random) -> None:
    live: Object | None = None
    for manager in ("one", "two", "one", "three", "two"):
        config = part(resource, random)
        live = applied(resource, live, config, manager, force=True)
        assert timeless(applied(resource, live, config, manager, now=LATE)) == timeless(live)


@every_kind
def test_a_name_alone_can_be_applied(resource: Resource) -> None:
    obj = whole(resource)
    bare = {key: obj[key] for key in ("apiVersion", "kind")}
    bare["metadata"] = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace")}
    node = node_of(resource)
    first = apply.server_side_apply(
        None, bare, manager="m", force=False, schema=node, api_version=resource.api_version, now=EARLY
    )
    assert "managedFields" not in first["metadata"]
    again = apply.server_side_apply(
        first, bare, manager="m", force=False, schema=node, api_version=resource.api_version, now=LATE
    )
    assert again == first
    grown = applied(resource, first, obj, "m")
    assert contains(grown, obj, node)


@every_kind
@some
@given(randoms)
def test_what_one_manager_drops_another_that_states_it_keeps(resource: Resource, random: Random) -> None:
    node = node_of(resource)
    stated = {manager: part(resource, random) for manager in ("one", "two", "three")}
    live: Object | None = None
    for manager, config in stated.items():
        live = applied(resource, live, config, manager, force=True)
    for manager in ("one", "three", "one", "two"):
        stated[manager] = part(resource, random)
        live = applied(resource, live, stated[manager], manager, force=True)
        for other, config in stated.items():
            assert contains(live, config, node), (manager, other)


@every_kind
@some
@given(randoms)
def test_what_an_apply_states_is_its_managers(resource: Resource, random: Random) -> None:
    node = node_of(resource)
    live: Object | None = None
    for manager in ("one", "two", "one"):
        config = part(resource, random)
        live = applied(resource, live, config, manager, force=True)
        entries = live["metadata"].get("managedFields") or ()
        owned = next((entry["fieldsV1"] for entry in entries if entry["manager"] == manager), {})
        unowned = fieldset.paths(fieldset.difference(ownedfields.of(config, node), owned))
        identity = (".apiVersion", ".kind", ".metadata.name", ".metadata.namespace", ".status")
        empty = (".metadata.labels", ".metadata.finalizers")
        assert [p for p in unowned if not p.startswith(identity) and p not in empty] == []


@every_kind
@some
@given(randoms)
def test_a_writer_between_two_applies_loses_nothing_without_force(resource: Resource, random: Random) -> None:
    """Another client changes what it likes by an update; the next apply takes back nothing without a conflict."""
    node = node_of(resource)
    config = part(resource, random)
    live = applied(resource, None, config, "one")
    changed = copy.deepcopy(live)
    changed["metadata"].setdefault("labels", {})["theirs"] = "1"
    changed["metadata"].setdefault("annotations", {})["example.com/theirs"] = "2"
    apply.track(live, changed, manager="two", schema=node, api_version=resource.api_version, now=LATE)
    smaller = part(resource, random)
    try:
        result = applied(resource, changed, smaller, "one")
    except StatusError as error:
        assert error.code == 409
        return
    assert result["metadata"]["labels"]["theirs"] == "1"
    assert result["metadata"]["annotations"]["example.com/theirs"] == "2"


WITH_STATUS = [r for r in STORED if "status" in schema.for_resource(r).fields and r.subresource("status")]


@pytest.mark.parametrize("resource", WITH_STATUS, ids=lambda r: f"{r.plural}.{r.version}.{r.group}")
def test_status_and_spec_are_applied_apart(resource: Resource) -> None:
    config = whole(resource)
    live = applied(resource, None, config, "one")
    bare = {**config, "metadata": {k: v for k, v in config["metadata"].items() if k in ("name", "namespace")}}
    # What defaulting adds to the status is nobody's.
    fields = node_of(resource).fields["status"].fields
    conditions = [{"type": "Fine", "status": "True"}]
    status = {**bare, "status": {"conditions": conditions} if "conditions" in fields else {}}
    after = applied(resource, live, status, "two", sub="status")
    assert timeless(applied(resource, after, status, "two", sub="status", now=LATE)) == timeless(after)
    assert timeless(applied(resource, after, config, "one", now=LATE)) == timeless(after)
    for entry in after["metadata"]["managedFields"]:
        of_status = entry["manager"] == "two"
        assert all(p.startswith(".status") == of_status for p in fieldset.paths(entry["fieldsV1"]))
