"""Manifests: files, folders, URLs and standard input, YAML or JSON, several documents each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from apimachinery import decode_yaml

_SUFFIXES = frozenset((".yaml", ".yml", ".json"))
_TIMEOUT = 30
_MAX_BYTES = 64 * 2**20


class ManifestError(Exception):
    """A manifest cannot be read; the text names the file and the place in it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object and where it was read."""

    object: dict[str, Any]
    source: str


def load(sources: Sequence[str], *, recursive: bool = False) -> list[Manifest]:
    """Every object of `sources` (paths, URLs, `-`), lists taken apart, in order. Raises ManifestError."""
    found: list[Manifest] = []
    for source in sources:
        for name, text in _texts(source, recursive):
            found += _documents(name, text)
    if not found:
        raise ManifestError(f"no objects in {', '.join(sources)}")
    return found


def _texts(source: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if source == "-":
        yield "standard input", sys.stdin.read()
        return
    if source.startswith(("http://", "https://")):
        try:
            with urlopen(source, timeout=_TIMEOUT) as response:
                yield source, response.read(_MAX_BYTES).decode()
        except (URLError, OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{source}: {error}") from error
        return
    path = Path(source)
    if path.is_dir():
        walk = path.rglob("*") if recursive else path.glob("*")
        files = sorted(p for p in walk if p.suffix in _SUFFIXES and p.is_file())
        if not files:
            raise ManifestError(f"{source}: no .yaml, .yml or .json files in this folder")
    else:
        files = [path]
    for file in files:
        try:
            yield str(file), file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{file}: {error}") from error


def _documents(name: str, text: str) -> Iterator[Manifest]:
    try:
        for document, repeated in decode_yaml.documents(text):
            if repeated:
                raise ManifestError(f"{name}: {'; '.join(repeated)}")
            if document is None:
                continue
            if isinstance(document, dict) and _is_list(document):
                yield from (_checked(item, name) for item in document["items"])
            else:
                yield _checked(document, name)
    except decode_yaml.YAMLError as error:
        raise ManifestError(f"{name}: {error}") from error


def _is_list(document: dict[str, Any]) -> bool:
    return isinstance(document.get("items"), list) and str(document.get("kind", "")).endswith("List")


def _checked(document: Any, name: str) -> Manifest:
    if not isinstance(document, dict):
        raise ManifestError(f"{name}: expected an object, not {type(document).__name__}")
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise ManifestError(f"{name}: Object '{field}' is missing")
    return Manifest(document, name)
