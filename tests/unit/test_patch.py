"""JSON patch, merge patch and strategic merge patch: their rules, words, and what always holds."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import patch, schema
from apimachinery.errors import StatusError

POD = schema.for_kind("v1", "Pod")
DEPLOYMENT = schema.for_kind("apps/v1", "Deployment")
assert POD is not None
assert DEPLOYMENT is not None

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab~/$", max_size=3)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc/~", max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": spec}


# --- JSON patch


@pytest.mark.parametrize(
    ("op", "result"),
    [
        ({"op": "add", "path": "/b", "value": 2}, {"a": [1, 2], "b": 2}),
        ({"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1, 2]}),
        ({"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "add", "path": "/a/2", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "add", "path": "/a", "value": None}, {"a": None}),
        ({"op": "remove", "path": "/a/-1"}, {"a": [1]}),
        ({"op": "remove", "path": "/a"}, {}),
        ({"op": "replace", "path": "/a/1", "value": 9}, {"a": [1, 9]}),
        ({"op": "replace", "path": "", "value": {}}, {}),
        ({"op": "move", "from": "/a/0", "path": "/b"}, {"a": [2], "b": 1}),
        ({"op": "copy", "from": "/a", "path": "/b"}, {"a": [1, 2], "b": [1, 2]}),
        ({"op": "test", "path": "/a", "value": [1, 2]}, {"a": [1, 2]}),
        ({"op": "test", "path": "/c", "value": None}, {"a": [1, 2]}),
        ({"op": "add", "path": "/x~1y~0", "value": 1}, {"a": [1, 2], "x/y~": 1}),
    ],
)
def test_each_json_patch_operation(op: dict[str, Any], result: Any) -> None:
    assert patch.json_patch({"a": [1, 2]}, [op]) == result


@pytest.mark.parametrize(
    "op",
    [
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "/a/7", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "add", "path": "b", "value": 1},
        {"op": "add", "path": "/b"},
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "move", "from": "/a", "path": "/a/b"},
        {"op": "jump", "path": "/a"},
        {"op": ["add"], "path": "/a"},
        {"op": {}, "path": "/a"},
        {"op": "copy", "path": "/b"},
    ],
)
def test_a_json_patch_that_does_not_apply_is_422(op: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as error:
        patch.json_patch({"a": [1, 2]}, [op])
    assert (error.value.code, error.value.reason) == (422, "Invalid")
    assert error.value.message == "the server rejected our request due to an error in our request"


def test_what_is_no_json_patch_is_a_bad_request() -> None:
    with pytest.raises(
        StatusError, match=r"json: cannot unmarshal object into Go value of type jsonpatch\.Patch"
    ):
        patch.json_patch({}, {"op": "add"})
    with pytest.raises(StatusError) as error:
        patch.json_patch({}, [{}] * 10_001)
    assert error.value.code == 413
    assert "The allowed maximum operations in a JSON patch is 10000, got 10001" in error.value.message


def test_copies_cannot_blow_up_the_object() -> None:
    ops = [{"op": "add", "path": "/a", "value": {"x": "y" * 100}}]
    ops += [{"op": "copy", "from": "/a", "path": f"/a/c{i}"} for i in range(40)]
    with pytest.raises(StatusError) as error:
        patch.json_patch({}, ops)
    assert error.value.code == 422


def test_a_write_after_a_copy_changes_only_one_place() -> None:
    ops = [
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/y", "value": 2},
    ]
    assert patch.json_patch({"a": {}}, ops) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


paths = st.lists(st.sampled_from(["a", "b", "c", "0", "1", "-", "-1", "d~1"]), max_size=3).map(
    lambda parts: "".join("/" + part for part in parts)
)
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": paths},
    optional={"value": json_values, "from": paths},
)


@given(objects, st.lists(operations, max_size=5))
def test_json_patch_never_mutates_and_fails_only_with_a_status(obj: Any, ops: Any) -> None:
    before = copy.deepcopy((obj, ops))
    try:
        patch.json_patch(obj, ops)
    except StatusError as error:
        assert error.code in (400, 422)
    assert (obj, ops) == before


# --- merge patch


def test_merge_patch_follows_the_rfc() -> None:
    obj = {"title": "Goodbye!", "author": {"givenName": "John", "familyName": "Doe"}, "tags": ["a", "b"]}
    change = {"title": "Hello!", "author": {"familyName": None}, "tags": ["c"], "new": {"x": None, "y": 1}}
    assert patch.merge_patch(obj, change) == {
        "title": "Hello!",
        "author": {"givenName": "John"},
        "tags": ["c"],
        "new": {"y": 1},
    }


@given(objects, objects)
def test_merge_patch_is_idempotent_and_mutates_nothing(obj: Any, change: Any) -> None:
    before = copy.deepcopy((obj, change))
    once = patch.merge_patch(obj, change)
    assert patch.merge_patch(once, change) == once
    assert (obj, change) == before


def test_what_a_merge_patch_does_not_touch_is_shared() -> None:
    obj = {"metadata": {"name": "x"}, "spec": {"deep": {}}}
    result = patch.merge_patch(obj, {"metadata": {"labels": {"a": "b"}}})
    assert result["spec"] is obj["spec"]


# --- strategic merge patch


def strategic(obj: Any, change: Any) -> Any:
    return patch.strategic_merge(obj, change, POD)


def test_lists_of_maps_merge_by_their_key_and_new_ones_come_first() -> None:
    obj = pod(containers=[{"name": "a", "image": "1", "tty": True}, {"name": "b", "image": "1"}])
    change = {"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}
    result = strategic(obj, change)["spec"]["containers"]
    assert result == [
        {"name": "a", "image": "1", "tty": True},
        {"name": "b", "image": "2"},
        {"name": "c", "image": "3"},
    ]
    alone = strategic(obj, {"spec": {"containers": [{"name": "c"}]}})["spec"]["containers"]
    assert [c["name"] for c in alone] == ["c", "a", "b"]


def test_patch_delete_and_replace_in_lists() -> None:
    obj = pod(containers=[{"name": "a"}, {"name": "b"}])
    delete = {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}
    assert strategic(obj, delete)["spec"]["containers"] == [{"name": "b"}]
    replace = {"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}
    assert strategic(obj, replace)["spec"]["containers"] == [{"name": "z"}]


def test_patch_delete_and_replace_of_maps() -> None:
    obj = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    assert strategic(obj, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}) == {
        "metadata": {"labels": {"c": "3"}}
    }
    assert strategic(obj, {"metadata": {"labels": {"$patch": "delete"}}}) == {"metadata": {"labels": {}}}


def test_primitive_lists_merge_and_lose_what_is_deleted() -> None:
    obj = {"metadata": {"finalizers": ["a", "b", "c"]}}
    assert strategic(obj, {"metadata": {"finalizers": ["d", "a"]}})["metadata"]["finalizers"] == [
        "d",
        "a",
        "b",
        "c",
    ]
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}
    assert strategic(obj, change)["metadata"]["finalizers"] == ["a", "c"]


def test_atomic_lists_are_replaced() -> None:
    obj = pod(containers=[{"name": "a", "args": ["1", "2"]}])
    change = {"spec": {"containers": [{"name": "a", "args": ["3"]}]}}
    assert strategic(obj, change)["spec"]["containers"] == [{"name": "a", "args": ["3"]}]


def test_set_element_order_orders_and_keeps_what_only_the_server_has() -> None:
    obj = pod(containers=[{"name": "a"}, {"name": "injected"}, {"name": "b"}])
    change = {
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "new"}, {"name": "a"}],
            "containers": [{"name": "new", "image": "i"}],
        }
    }
    names = [c["name"] for c in strategic(obj, change)["spec"]["containers"]]
    assert [n for n in names if n != "injected"] == ["b", "new", "a"]
    assert "injected" in names


def test_set_element_order_must_hold_the_patch() -> None:
    change = {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}}
    with pytest.raises(StatusError, match="The order in patch list:"):
        strategic(pod(containers=[]), change)


def test_retain_keys_clears_the_rest() -> None:
    obj = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert patch.strategic_merge(obj, change, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}
    bad = {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}
    with pytest.raises(StatusError, match="invalid patch format of retainKeys"):
        patch.strategic_merge(obj, bad, DEPLOYMENT)


def test_volume_source_switch_as_kubectl_sends_it() -> None:
    obj = pod(volumes=[{"name": "v", "emptyDir": {}}])
    change = {
        "spec": {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]}
    }
    assert strategic(obj, change)["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"spec": {"containers": [{"image": "x"}]}},
            "map: map[image:x] does not contain declared merge key: name",
        ),
        ({"spec": {"$patch": "explode"}}, "unknown patch type: explode in map: map[$patch:explode]"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": 3}}, "invalid patch format of primitive list"),
        ({"spec": {"$setElementOrder/containers": 3}}, "invalid patch format of setElementOrder list"),
        ([], "invalid JSON document"),
    ],
)
def test_malformed_strategic_patches_say_why(change: Any, message: str) -> None:
    with pytest.raises(StatusError) as error:
        strategic(pod(containers=[{"name": "a"}]), change)
    assert (error.value.code, error.value.message) == (400, message)


names = st.sampled_from(["a", "b", "c", "d"])
containers = st.lists(
    st.fixed_dictionaries(
        {"name": names}, optional={"image": st.sampled_from(["1", "2"]), "args": st.just(["x"])}
    ),
    unique_by=lambda c: c["name"],
    max_size=4,
)


@given(containers, containers)
def test_strategic_merge_has_both_sides_and_is_idempotent(live: Any, change: Any) -> None:
    obj, wanted = pod(containers=live), {"spec": {"containers": change}}
    before = copy.deepcopy((obj, wanted))
    once = strategic(obj, wanted)
    assert strategic(once, wanted) == once
    merged = {c["name"]: c for c in once["spec"]["containers"]}
    assert set(merged) == {c["name"] for c in [*live, *change]}
    assert len(merged) == len(once["spec"]["containers"])
    for item in change:
        assert item.items() <= merged[item["name"]].items()
    assert (obj, wanted) == before


@given(objects, objects)
def test_without_directives_and_lists_it_is_a_merge_patch(obj: Any, change: Any) -> None:
    def without_lists(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without_lists(v) for k, v in value.items() if not isinstance(v, list)}
        return value

    left, right = without_lists({"data": obj}), without_lists({"data": change})
    revision = schema.for_kind("apps/v1", "ControllerRevision")
    assert revision is not None
    assert patch.strategic_merge(left, right, revision) == patch.merge_patch(left, right)


def test_bodies_nested_too_deep_are_refused() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(StatusError, match="exceeded max depth"):
        patch.merge_patch({}, deep)
    assert orjson.dumps(patch.merge_patch({}, {"a": {}})) == b'{"a":{}}'
