"""Server-side apply and managed fields: ownership, conflicts, removal, list types, and what always holds."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import apply, fieldset, managedfields, ownedfields, schema
from apimachinery.errors import StatusError

DEPLOYMENT = schema.for_kind("apps/v1", "Deployment")
assert DEPLOYMENT is not None

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
Object = dict[str, Any]


def deployment(**spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }


def containers(*items: Object) -> Object:
    return {"template": {"spec": {"containers": list(items)}}}


def ssa(
    live: Object | None,
    applied: Object,
    manager: str = "a",
    *,
    force: bool = False,
    now: str = EARLY,
    sub: str = "",
) -> Object:
    kind = schema.for_kind(applied["apiVersion"], applied["kind"])
    assert kind is not None
    before = copy.deepcopy((live, applied))
    try:
        return apply.server_side_apply(
            live,
            applied,
            manager=manager,
            force=force,
            schema=kind,
            api_version=applied["apiVersion"],
            now=now,
            subresource=sub,
        )
    finally:
        assert (live, applied) == before


def update(
    live: Object | None, new: Object, manager: str = "u", *, now: str = EARLY, sub: str = ""
) -> Object:
    kind = schema.for_kind(new["apiVersion"], new["kind"])
    assert kind is not None
    new = copy.deepcopy(new)
    before = copy.deepcopy(live)
    apply.track(
        live, new, manager=manager, schema=kind, api_version=new["apiVersion"], now=now, subresource=sub
    )
    assert live == before
    return new


def owners(obj: Object) -> dict[tuple[str, str], list[str]]:
    return {
        (e["manager"], e["operation"]): fieldset.paths(e["fieldsV1"])
        for e in obj["metadata"].get("managedFields", [])
    }


def test_a_created_objects_fields_are_its_creators() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "uid": "1", "labels": {"app": "x"}},
        "spec": {
            "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
            "tolerations": [],
        },
    }
    entry = update(None, pod, "kubectl-create")["metadata"]["managedFields"][0]
    assert entry == {
        "manager": "kubectl-create",
        "operation": "Update",
        "apiVersion": "v1",
        "time": EARLY,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:containers": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:ports": {
                            ".": {},
                            'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                        },
                    }
                },
                "f:tolerations": {},
            },
        },
    }


def test_an_update_takes_what_it_changes_and_leaves_times_of_others() -> None:
    live = update(None, deployment(replicas=1, paused=False), "creator")
    new = copy.deepcopy(live)
    new["spec"]["replicas"] = 2
    result = update(live, new, "editor", now=LATE)
    assert owners(result) == {
        ("creator", "Update"): [".spec.paused"],
        ("editor", "Update"): [".spec.replicas"],
    }
    assert [e["time"] for e in result["metadata"]["managedFields"]] == [EARLY, LATE]
    assert update(result, copy.deepcopy(result), "editor", now="2027-01-01T00:00:00Z") == result


def test_a_removed_field_is_nobodys() -> None:
    live = update(None, deployment(replicas=1, paused=True), "creator")
    new = copy.deepcopy(live)
    del new["spec"]["paused"]
    assert owners(update(live, new, "editor")) == {("creator", "Update"): [".spec.replicas"]}


def test_status_is_owned_through_its_subresource_only() -> None:
    live = update(None, deployment(replicas=1) | {"status": {"replicas": 7}}, "creator")
    assert owners(live) == {("creator", "Update"): [".spec.replicas"]}
    new = copy.deepcopy(live)
    new["status"] = {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}
    result = update(
        {k: v for k, v in live.items() if k != "status"}, new, "controller", sub="status", now=LATE
    )
    entry = result["metadata"]["managedFields"][1]
    assert (entry["manager"], entry["subresource"]) == ("controller", "status")
    assert entry["fieldsV1"] == {
        "f:status": {
            "f:replicas": {},
            "f:conditions": {".": {}, 'k:{"type":"Available"}': {".": {}, "f:type": {}, "f:status": {}}},
        }
    }


def test_clients_that_drop_managed_fields_do_not_lose_them_and_a_reset_does() -> None:
    live = update(None, deployment(replicas=1), "creator")
    bare = copy.deepcopy(live)
    del bare["metadata"]["managedFields"]
    assert update(live, bare, "x")["metadata"]["managedFields"] == live["metadata"]["managedFields"]
    reset = copy.deepcopy(live)
    reset["metadata"]["managedFields"] = [{}]
    result = update(live, reset, "x")
    assert "managedFields" not in result["metadata"]
    changed = copy.deepcopy(result)
    changed["spec"]["replicas"] = 5
    assert "managedFields" not in update(result, changed, "y")["metadata"]


def test_a_client_may_edit_managed_fields() -> None:
    live = update(None, deployment(replicas=1), "kubectl-client-side-apply")
    edited = copy.deepcopy(live)
    edited["metadata"]["managedFields"][0] |= {"manager": "kubectl", "operation": "Apply"}
    assert owners(update(live, edited, "x")) == {("kubectl", "Apply"): [".spec.replicas"]}
    broken = copy.deepcopy(live)
    broken["metadata"]["managedFields"][0]["fieldsV1"] = {"nonsense": {}}
    assert owners(update(live, broken, "x")) == {("kubectl-client-side-apply", "Update"): [".spec.replicas"]}


def test_old_updaters_are_merged() -> None:
    live = update(None, deployment(), "first")
    for i in range(14):
        new = copy.deepcopy(live)
        new["metadata"].setdefault("labels", {})[f"l{i:02}"] = "x"
        live = update(live, new, f"m{i:02}", now=f"2026-01-01T00:00:{i:02}Z")
    names = [e["manager"] for e in live["metadata"]["managedFields"]]
    assert len(names) == managedfields.MAX_UPDATE_MANAGERS
    assert names[0] == "ancient-changes"
    assert names[-1] == "m13"
    everything: Object = {}
    for entry in live["metadata"]["managedFields"]:
        everything = fieldset.union(everything, entry["fieldsV1"])
    assert len(fieldset.paths(everything)) == 16  # the spec's emptiness, the labels, and each of them


# --- apply


def test_apply_creates_and_is_idempotent() -> None:
    wanted = deployment(
        replicas=2, **containers({"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]})
    )
    first = ssa(None, wanted)
    assert owners(first) == {
        ("a", "Apply"): [
            ".spec.replicas",
            '.spec.template.spec.containers[name="c"]',
            '.spec.template.spec.containers[name="c"].env[name="A"]',
            '.spec.template.spec.containers[name="c"].env[name="A"].name',
            '.spec.template.spec.containers[name="c"].env[name="A"].value',
            '.spec.template.spec.containers[name="c"].image',
            '.spec.template.spec.containers[name="c"].name',
        ]
    }
    assert ssa(first, wanted, now=LATE) == first


def test_a_conflict_names_the_manager_and_field() -> None:
    live = update(None, deployment(replicas=1), "kubectl-client-side-apply")
    with pytest.raises(StatusError) as error:
        ssa(live, deployment(replicas=2))
    status = error.value.to_status()
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["message"] == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    assert status["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-client-side-apply" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = ssa(None, deployment(replicas=1, paused=True), "x")
    with pytest.raises(StatusError) as error:
        ssa(live, deployment(replicas=2, paused=False), "y")
    assert error.value.message == (
        'Apply failed with 2 conflicts: conflicts with "x":\n- .spec.paused\n- .spec.replicas'
    )


def test_subresources_are_named_in_conflicts() -> None:
    live = update(None, deployment(replicas=1), "c")
    new = copy.deepcopy(live)
    new["spec"]["replicas"] = 3
    live = update(live, new, "autoscaler", sub="scale")
    with pytest.raises(
        StatusError, match=r'"autoscaler" with subresource "scale" using apps/v1: \.spec\.replicas'
    ):
        ssa(live, deployment(replicas=1))


def test_force_takes_the_field_over() -> None:
    live = ssa(None, deployment(replicas=1, paused=True), "x")
    result = ssa(live, deployment(replicas=2), "y", force=True)
    assert result["spec"]["replicas"] == 2
    assert owners(result) == {("x", "Apply"): [".spec.paused"], ("y", "Apply"): [".spec.replicas"]}


def test_equal_values_are_shared_and_go_with_the_last_owner() -> None:
    live = ssa(None, deployment(replicas=1, paused=True), "x")
    both = ssa(live, deployment(replicas=1), "y")
    assert owners(both)["x", "Apply"] == [".spec.paused", ".spec.replicas"]
    assert owners(both)["y", "Apply"] == [".spec.replicas"]
    one = ssa(both, deployment(paused=True), "x")
    assert one["spec"] == {"replicas": 1, "paused": True}
    none = ssa(one, deployment(), "y")
    assert none["spec"] == {"paused": True}


def test_what_is_not_applied_any_more_goes_away_with_what_defaulting_added_to_it() -> None:
    live = ssa(None, deployment(**containers({"name": "a", "image": "1"}, {"name": "b", "image": "1"})))
    live = copy.deepcopy(live)
    live["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always"
    live["spec"]["replicas"] = 1
    result = ssa(live, deployment(**containers({"name": "a", "image": "1"})))
    assert result["spec"] == {"replicas": 1, **containers({"name": "a", "image": "1"})}


def test_lists_of_maps_merge_with_what_others_own() -> None:
    live = ssa(None, deployment(**containers({"name": "a", "image": "1"})), "x")
    result = ssa(live, deployment(**containers({"name": "b", "image": "2"})), "y")
    names = [c["name"] for c in result["spec"]["template"]["spec"]["containers"]]
    assert names == ["a", "b"]
    back = ssa(result, deployment(), "y")
    assert back["spec"] == live["spec"]


def test_service_ports_without_a_protocol_match_the_defaulted_ones() -> None:
    def service(*ports: Object) -> Object:
        metadata = {"name": "s", "namespace": "n"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": list(ports)}}

    live = ssa(None, service({"port": 80}))
    live = copy.deepcopy(live)
    live["spec"]["ports"] = [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    result = ssa(live, service({"port": 80, "name": "http"}))
    assert result["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80, "name": "http"}]


def test_sets_hold_each_managers_values_and_atomic_lists_are_one_field() -> None:
    def pod(finalizers: list[str], **container: Any) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "finalizers": finalizers},
            "spec": {"containers": [{"name": "c", **container}]},
        }

    live = ssa(None, pod(["x/1"], args=["1"]), "x")
    result = ssa(live, pod(["y/2"]), "y")
    assert result["metadata"]["finalizers"] == ["x/1", "y/2"]
    with pytest.raises(StatusError, match=r'containers\[name="c"\]\.args$'):
        ssa(result, pod(["y/2"], args=["1", "2"]), "y")
    assert ssa(result, pod([]), "x")["metadata"]["finalizers"] == ["y/2"]


def test_selector_is_atomic() -> None:
    live = ssa(None, deployment(selector={"matchLabels": {"a": "1"}}), "x")
    with pytest.raises(StatusError, match=r"\.spec\.selector$"):
        ssa(live, deployment(selector={"matchLabels": {"b": "1"}}), "y")


def test_an_untracked_object_gets_before_first_apply() -> None:
    live = deployment(replicas=1, paused=True)
    result = ssa(live, deployment(replicas=1))
    assert owners(result) == {
        ("a", "Apply"): [".spec.replicas"],
        ("before-first-apply", "Update"): [".spec.paused", ".spec.replicas"],
    }
    with pytest.raises(
        StatusError, match=r'conflict with "before-first-apply" using apps/v1: \.spec\.replicas'
    ):
        ssa(live, deployment(replicas=2))


def test_kubectl_moves_from_client_side_apply_without_conflicts() -> None:
    wanted = deployment(replicas=1, paused=True)
    annotated = copy.deepcopy(wanted)
    annotated["metadata"]["annotations"] = {apply.LAST_APPLIED: orjson.dumps(wanted).decode() + "\n"}
    live = update(None, annotated, "kubectl-client-side-apply")
    result = ssa(live, deployment(replicas=2, paused=True), "kubectl")
    assert result["spec"] == {"replicas": 2, "paused": True}
    last = orjson.loads(result["metadata"]["annotations"][apply.LAST_APPLIED])
    assert last["spec"] == {"replicas": 2, "paused": True}
    scaled = copy.deepcopy(live)
    scaled["spec"]["replicas"] = 5
    scaled = update(live, scaled, "kubectl-scale")
    with pytest.raises(StatusError, match=r'conflict with "kubectl-scale" using apps/v1: \.spec\.replicas'):
        ssa(scaled, deployment(replicas=2, paused=True), "kubectl")


def test_apply_to_status_owns_status_only() -> None:
    live = ssa(None, deployment(replicas=1), "x")
    applied = deployment(replicas=9) | {"status": {"conditions": [{"type": "Fine", "status": "True"}]}}
    result = ssa(live, applied, "op", sub="status")
    assert result["spec"] == {"replicas": 1}
    assert result["status"]["conditions"][0]["type"] == "Fine"
    assert all(path.startswith(".status") for path in owners(result)["op", "Apply"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"managedFields": []}}, "metadata.managedFields must be nil"),
        (
            {"apiVersion": "apps/v1beta1"},
            "Incorrect version specified in apply patch. "
            "Specified patch version: apps/v1beta1, expected: apps/v1",
        ),
        (
            {"spec": {"replikas": 1}},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            ".spec.replikas: field not declared in schema",
        ),
        (
            {"spec": {"replicas": "two"}},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            ".spec.replicas: expected numeric (int or float), got string",
        ),
        (
            {"spec": containers({"name": "a"}, {"name": "a"})},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            '.spec.template.spec.containers: duplicate entries for key [name="a"]',
        ),
        (
            {"spec": containers({"image": "a"})},
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
            ".spec.template.spec.containers: element 0: associative list with keys has an element that omits "
            'all key fields ["name"] (and doesn\'t have default values for any key fields)',
        ),
    ],
)
def test_bad_configurations_say_why(change: Object, message: str) -> None:
    assert DEPLOYMENT is not None
    applied = deployment()
    applied = {**applied, **change, "metadata": {**applied["metadata"], **change.get("metadata", {})}}
    with pytest.raises(StatusError) as error:
        apply.server_side_apply(
            None, applied, manager="a", force=False, schema=DEPLOYMENT, api_version="apps/v1", now=EARLY
        )
    assert (error.value.code, error.value.message) == (400, message)


def test_the_manager_of_a_write() -> None:
    assert managedfields.manager_name("", "kubectl/v1.31.0 (linux/amd64)") == "kubectl"
    assert managedfields.manager_name("mine", "kubectl/v1") == "mine"


# --- what always holds

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
