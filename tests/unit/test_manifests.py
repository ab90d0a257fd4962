"""pybctl.manifests: what is read from files, folders and standard input, and what is said of what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pybctl.manifests import ManifestError, load

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\n"


def names(found: list[object]) -> list[str]:
    return [m.object["metadata"]["name"] for m in found]  # type: ignore[attr-defined]


def test_several_documents_folders_and_lists(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("---\n" + POD % "one" + "---\n" + POD % "two" + "---\n")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "three"}}
    (tmp_path / "b.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod]}))
    (tmp_path / "ignored.txt").write_text("not yaml: [")
    assert names(load([str(tmp_path)])) == ["one", "two", "three"]


def test_folders_within_folders_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(POD % "one")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.yml").write_text(POD % "two")
    assert names(load([str(tmp_path)])) == ["one"]
    assert sorted(names(load([str(tmp_path)], recursive=True))) == ["one", "two"]


def test_dates_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD % "p" + "spec: {when: 2024-01-02}\n")
    assert load([str(tmp_path / "a.yaml")])[0].object["spec"]["when"] == "2024-01-02"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod\n", "Object 'apiVersion' is missing"),
        ("apiVersion: v1\n", "Object 'kind' is missing"),
        ("- a\n", "expected an object, not list"),
        ("apiVersion: v1\nkind: Pod\nkind: Pod\n", 'key "kind" already set'),
        ("a: [\n", "line"),
        ("", "no objects in"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ManifestError) as caught:
        load([str(path)])
    assert message in str(caught.value)
    assert "broken.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.yaml"):
        load([str(tmp_path / "none.yaml")])
