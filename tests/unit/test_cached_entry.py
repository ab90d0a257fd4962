"""Stored and wire bytes of an object, its selectable fields, and leases' bookkeeping."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import resources
from apiserver.entry import Entry, encode, labels_of, normal, wire
from apiserver.selectable import fields_of
from apiserver.storage.leases import LeaseTable

revisions = st.integers(1, 1 << 62)
objects = st.fixed_dictionaries(
    {
        "metadata": st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), min_size=1).map(
            lambda metadata: {**metadata, "name": "n"}
        )
    },
    optional={"kind": st.just("Pod"), "spec": st.dictionaries(st.text(), st.integers(-(2**53), 2**53))},
)


@given(objects, revisions, revisions)
def test_the_resource_version_is_spliced_in(obj: dict[str, Any], first: int, second: int) -> None:
    before = orjson.dumps(obj)
    stored = encode(obj)
    assert orjson.dumps(obj) == before
    assert normal(stored, orjson.loads(stored)) is stored
    entry = Entry("k", "", "n", first, wire(stored, first), {}, {})
    expected = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(first)}}
    assert entry.object() == expected
    assert entry.holds(stored)
    later = entry.at(second)
    assert later.revision == second
    assert later.object() == {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(second)}}
    assert later.holds(stored)
    assert entry.at(second).at(first).data == entry.data


def test_objects_written_by_others_are_brought_into_shape() -> None:
    foreign = b'{"kind":"Pod","metadata":{"resourceVersion":"5","name":"a"}}'
    stored = normal(foreign, orjson.loads(foreign))
    assert stored == b'{"metadata":{"name":"a"},"kind":"Pod"}'


def test_labels_are_copied() -> None:
    obj = {"metadata": {"labels": {"a": "b"}}}
    labels = labels_of(obj)
    obj["metadata"]["labels"]["a"] = "c"
    assert labels == {"a": "b"}
    assert labels_of({"metadata": {}}) == {}


def test_pod_fields() -> None:
    fields = fields_of(resources.get("pods"))
    pod = {
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"nodeName": "n1", "restartPolicy": "Always", "hostNetwork": True},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        },
    }
    assert fields(pod) == {
        "metadata.name": "a",
        "metadata.namespace": "ns",
        "spec.nodeName": "n1",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "",
        "spec.serviceAccountName": "",
        "spec.hostNetwork": "true",
        "status.phase": "Running",
        "status.podIP": "10.0.0.1",
        "status.podIPs": "10.0.0.1,fd00::1",
        "status.nominatedNodeName": "",
    }
    empty = fields({"metadata": {"name": "a"}})
    assert (empty["spec.hostNetwork"], empty["spec.nodeName"], empty["status.podIPs"]) == ("false", "", "")


@pytest.mark.parametrize(
    ("plural", "group", "obj", "expected"),
    [
        ("nodes", "", {"spec": {"unschedulable": True}}, {"spec.unschedulable": "true"}),
        ("nodes", "", {}, {"spec.unschedulable": "false"}),
        ("secrets", "", {"type": "Opaque"}, {"type": "Opaque"}),
        ("namespaces", "", {"status": {"phase": "Active"}}, {"status.phase": "Active"}),
        ("replicasets", "apps", {"status": {"replicas": 3}}, {"status.replicas": "3"}),
        ("replicasets", "apps", {}, {"status.replicas": "0"}),
        ("jobs", "batch", {"status": {"succeeded": 2}}, {"status.successful": "2"}),
        (
            "certificatesigningrequests",
            "certificates.k8s.io",
            {"spec": {"signerName": "x/y"}},
            {"spec.signerName": "x/y"},
        ),
        (
            "events",
            "",
            {"involvedObject": {"kind": "Pod", "uid": "u"}, "reason": "R", "source": {"component": "c"}},
            {"involvedObject.kind": "Pod", "involvedObject.uid": "u", "reason": "R", "source": "c", "type": ""},
        ),
        ("events", "events.k8s.io", {"reportingComponent": "c"}, {"source": "c", "reportingComponent": "c"}),
    ],
)  # fmt: skip
def test_fields_of_other_kinds(
    plural: str, group: str, obj: dict[str, Any], expected: dict[str, str]
) -> None:
    fields = fields_of(resources.get(plural, group))({"metadata": {"name": "a"}, **obj})
    assert expected.items() <= fields.items()


def test_custom_resources_add_their_own_fields() -> None:
    fields = fields_of(
        replace(resources.get("configmaps"), custom=True, selectable=("spec.color", "spec.deep.size"))
    )
    obj = {"metadata": {"name": "a"}, "spec": {"color": "blue", "deep": {"size": 7}}}
    assert fields(obj) == {
        "metadata.name": "a",
        "metadata.namespace": "",
        "spec.color": "blue",
        "spec.deep.size": "7",
    }


def test_leases() -> None:
    leases = LeaseTable()
    leases.grant(1, 10, now=100.0)
    leases.grant(2, 20, now=100.0)
    leases.attach(1, "a")
    leases.attach(1, "b")
    leases.detach(1, "b")
    leases.detach(9, "b")
    assert leases.expired(109.9) == []
    assert leases.expired(110.0) == [1]
    leases.keep_alive(1, now=109.0)
    assert leases.expired(118.9) == []
    assert set(leases.end(1)) == {"a"}
    assert 1 not in leases
    assert 2 in leases
    with pytest.raises(KeyError):
        leases.keep_alive(1, now=0)
    with pytest.raises(KeyError):
        leases.attach(1, "c")
