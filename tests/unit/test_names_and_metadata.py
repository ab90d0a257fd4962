"""Names, metadata accessors, and typed views."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apimachinery import meta, names
from apimachinery.views import ObjectMeta, ObjectView, View


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns1123_label, ["a", "a-b", "0", "a" * 63], ["", "-a", "a-", "A", "a.b", "a" * 64, "a\n"]),
        (names.dns1123_subdomain, ["a", "a.b-c.d", "a" * 253], ["", ".a", "a..b", "a_b", "A", "a" * 254]),
        (names.dns1035_label, ["a", "a1"], ["1a", "", "a-", "é"]),
        (
            names.qualified_name,
            ["a", "A.b_c", "example.com/x"],
            ["", "/a", "a/", "a/b/c", "A/b", "-", "a" * 64],
        ),
        (names.label_value, ["", "a", "A.b_c"], ["-", "a b", "a" * 64]),
        (names.config_map_key, ["a", "A_b-c.d", ".x"], ["", ".", "..", "..a", "a/b", "a" * 254]),
        (names.path_segment, ["a", "system:x", "A b"], [".", "..", "a/b", "a%b"]),
        (names.port_name, ["http", "a-1"], ["", "1", "A", "-a", "a-", "a--b", "a" * 16]),
        (names.env_var_name, ["A", "a.b", "1a", "a b"], ["", "a=b", "é"]),
        (names.wildcard_subdomain, ["*.a"], ["*", "a", "*.", "*.*.a"]),
    ],
)
def test_names(check: names._Syntax, good: list[str], bad: list[str]) -> None:
    for name in good:
        assert check(name) == [], name
    for name in bad:
        assert check(name), name


def test_the_words_are_kubernetess() -> None:
    assert names.dns1123_label("X") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert names.dns1123_label("a" * 64) == ["must be no more than 63 characters"]


@given(st.text("abc-.", min_size=1, max_size=80), st.text(names.SUFFIX_ALPHABET, min_size=5, max_size=5))
def test_generated_names_fit_a_label(base: str, suffix: str) -> None:
    name = names.generated(base, suffix)
    assert len(name) <= 63
    assert name.endswith(suffix)
    assert name.startswith(base[:58])


def test_accessors_read_what_is_there_and_nothing() -> None:
    for empty in ({}, {"metadata": None}, {"metadata": {}}):
        assert (meta.name(empty), meta.namespace(empty), meta.uid(empty), meta.generation(empty)) == (
            "",
            "",
            "",
            0,
        )
        assert (meta.labels(empty), meta.finalizers(empty), meta.controller_of(empty)) == ({}, [], None)
    obj = {"metadata": {"name": "a", "labels": {"x": "y"}, "generation": 3}}
    assert (meta.name(obj), meta.labels(obj), meta.generation(obj)) == ("a", {"x": "y"}, 3)


def test_owners() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "uid": "u"}}
    child = {"metadata": {"ownerReferences": [meta.owner_reference(owner)]}}
    assert meta.is_controlled_by(child, owner)
    assert not meta.is_controlled_by(child, {"metadata": {"uid": "other"}})
    loose = {"metadata": {"ownerReferences": [meta.owner_reference(owner, controller=False)]}}
    assert meta.controller_of(loose) is None


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-12, 12))
def test_times_come_back(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert meta.parse_time(meta.rfc3339_micro(aware)) == aware
    assert meta.parse_time(meta.rfc3339(aware)) == aware.astimezone(UTC).replace(microsecond=0)


def test_conditions_change_their_time_only_with_their_status() -> None:
    old = [{"type": "A", "status": "True", "lastTransitionTime": "t0"}, {"type": "B", "status": "True"}]
    same = meta.set_condition(old, {"type": "A", "status": "True", "reason": "r"}, "t1")
    assert same[0] == {"type": "A", "status": "True", "reason": "r", "lastTransitionTime": "t0"}
    assert meta.set_condition(old, {"type": "A", "status": "False"}, "t1")[0]["lastTransitionTime"] == "t1"
    assert meta.set_condition(old, {"type": "C", "status": "True"}, "t1")[2]["lastTransitionTime"] == "t1"
    assert old[0]["lastTransitionTime"] == "t0"


def test_views_read_camel_case_and_ignore_the_rest() -> None:
    class Spec(View):
        node_name: str = ""

    class PodView(ObjectView):
        spec: Spec = Spec()

    pod = PodView.of(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "ownerReferences": [{"uid": "u", "controller": True}], "selfLink": "x"},
            "spec": {"nodeName": "n", "containers": []},
        }
    )
    assert (pod.metadata.name, pod.spec.node_name) == ("a", "n")
    assert pod.metadata.controller is not None
    assert pod.metadata.controller.uid == "u"
    assert ObjectMeta.of({}).labels == {}
    with pytest.raises(ValidationError):
        pod.metadata.name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        PodView.of({"spec": {"nodeName": 5}})
