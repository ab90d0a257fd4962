"""What always holds of server-side apply and of managed fields."""

import copy

from fieldowners import LATE, Object, containers, deployment, ssa, update
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import fieldset, ownedfields, schema
from apimachinery.errors import StatusError

keys = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["1", "2"])
maps = st.dictionaries(keys, values, min_size=1)
config_maps = st.builds(
    lambda labels, data: {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "m", "namespace": "n", **labels},
        **data,
    },
    st.fixed_dictionaries({}, optional={"labels": maps}),
    st.fixed_dictionaries({}, optional={"data": maps}),
).filter(lambda obj: "data" in obj or "labels" in obj["metadata"])
pods = st.builds(
    lambda spec: {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "m", "namespace": "n"},
        "spec": spec,
    },
    st.fixed_dictionaries(
        {
            "containers": st.lists(
                st.fixed_dictionaries(
                    {"name": keys},
                    optional={"image": values, "args": st.lists(values, min_size=1, max_size=2)},
                ),
                unique_by=lambda c: c["name"],
                min_size=1,
                max_size=3,
            )
        },
        optional={
            "hostAliases": st.lists(
                st.fixed_dictionaries({"ip": keys}), unique_by=lambda c: c["ip"], min_size=1, max_size=2
            )
        },
    ),
)
objects = config_maps | pods
managers = st.sampled_from(["x", "y", "z"])
history = st.lists(st.tuples(managers, config_maps), min_size=1, max_size=6) | st.lists(
    st.tuples(managers, pods), min_size=1, max_size=6
)


def stated(obj: Object) -> Object:
    kind = schema.for_kind(obj["apiVersion"], obj["kind"])
    return {k: v for k, v in ownedfields.of(obj, kind).items() if k not in ("f:apiVersion", "f:kind")}


@given(history)
def test_apply_twice_is_apply_once_and_every_field_has_an_owner(steps: list[tuple[str, Object]]) -> None:
    live: Object | None = None
    for manager, wanted in steps:
        live = ssa(live, wanted, manager, force=True)
        assert ssa(live, wanted, manager, force=True, now=LATE) == live
        assert ssa(live, wanted, manager, now=LATE) == live
        # All that was stated is there, with its value.
        everything = stated(live)
        assert fieldset.difference(stated(wanted), everything) == {}
        # Every owned field exists, and every field has an owner.
        owned: Object = {}
        for entry in live["metadata"].get("managedFields", []):
            assert fieldset.difference(entry["fieldsV1"], everything) == {}
            owned = fieldset.union(owned, entry["fieldsV1"])
        rest = fieldset.paths(fieldset.difference(everything, owned))
        assert [p for p in rest if not p.startswith((".metadata.name", ".metadata.managedFields"))] == []


@given(history)
def test_apply_without_force_never_changes_anothers_field(steps: list[tuple[str, Object]]) -> None:
    live: Object | None = None
    for manager, wanted in steps:
        before = live
        try:
            live = ssa(live, wanted, manager)
        except StatusError as error:
            assert error.code == 409
            live = before
            continue
        if before is None:
            continue
        others = [e for e in before["metadata"].get("managedFields", []) if e["manager"] != manager]
        for entry in others:
            kept = next(
                (e for e in live["metadata"]["managedFields"] if e["manager"] == entry["manager"]), None
            )
            assert kept is not None
            assert kept["fieldsV1"] == entry["fieldsV1"]


@given(objects, objects, st.data())
def test_tracking_gives_the_writer_what_it_changed_and_no_field_two_updaters(
    first: Object, second: Object, data: st.DataObject
) -> None:
    if first["kind"] != second["kind"]:
        second = data.draw(pods if first["kind"] == "Pod" else config_maps)
    live = update(None, first, "one")
    result = update(live, second, "two", now=LATE)
    sets = [e["fieldsV1"] for e in result["metadata"].get("managedFields", [])]
    if len(sets) == 2:
        assert fieldset.intersection(*sets) == {}
    everything = stated(result)
    owned: Object = {}
    for fields in sets:
        owned = fieldset.union(owned, fields)
    rest = fieldset.paths(fieldset.difference(everything, owned))
    assert [p for p in rest if not p.startswith((".metadata.name", ".metadata.managedFields"))] == []


trees: st.SearchStrategy[Object] = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', "."]), inner, max_size=3),
    max_leaves=8,
)


def normal(tree: Object, *, root: bool = True) -> Object:
    result = {
        k: ({} if k == "." else normal(v, root=False)) for k, v in tree.items() if not (root and k == ".")
    }
    return {} if set(result) == {"."} else result


@given(trees, trees)
def test_set_algebra_agrees_with_sets_of_paths(left: Object, right: Object) -> None:
    left, right = normal(left), normal(right)
    before = copy.deepcopy((left, right))
    a, b = set(fieldset.paths(left)), set(fieldset.paths(right))
    assert set(fieldset.paths(fieldset.union(left, right))) == a | b
    assert set(fieldset.paths(fieldset.difference(left, right))) == a - b
    assert set(fieldset.paths(fieldset.intersection(left, right))) == a & b
    assert (left, right) == before
    assert fieldset.difference(left, {}) is left


def test_a_list_that_is_stated_empty_after_its_members_stays_empty() -> None:
    live = ssa(None, deployment(**containers({"name": "c", "env": [{"name": "A", "value": "1"}]})))
    emptied = deployment(**containers({"name": "c", "env": []}))
    once = ssa(live, emptied)
    assert once["spec"]["template"]["spec"]["containers"] == [{"name": "c", "env": []}]
    assert ssa(once, emptied, now=LATE) == once
