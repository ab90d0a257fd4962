"""Managed fields: who owns what after creates and updates."""

import copy

from fieldowners import EARLY, LATE, Object, deployment, owners, update

from apimachinery import fieldset, managedfields


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
