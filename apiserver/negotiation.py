"""Content types: what a client will accept, and what it sent.

The server speaks JSON and YAML, and reads protobuf, which Go clients since client-go 0.32 send. Protobuf is never
produced: where it is the only thing accepted the answer is 406, and where JSON is accepted beside it (as every client
library lists them) JSON is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from apimachinery import errors

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_META_KINDS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_VERSIONS = ("v1", "v1beta1")
_OFFERED = "application/json, application/yaml"


@dataclass(frozen=True, slots=True)
class Media:
    """`kind` is "" for the object itself, else Table or PartialObjectMetadata (lists too); `version` is meta's."""

    yaml: bool = False
    kind: str = ""
    version: str = "v1"

    @property
    def content_type(self) -> str:
        return YAML if self.yaml else JSON


PLAIN = Media()


@lru_cache(maxsize=512)
def accept(header: str, tables: bool = True) -> Media:
    """The representation for an Accept header. Raises 406 where nothing listed can be made.

    Without `tables` only the object itself is: what is no object with metadata is neither rows nor metadata.
    """
    if not header:
        return PLAIN
    for clause in _by_quality(header):
        media_type, _, parameters = clause.partition(";")
        media_type = media_type.strip().lower()
        yaml = media_type in (YAML, "application/x-yaml", "text/yaml")
        if not yaml and media_type not in (JSON, "*/*", "application/*"):
            continue
        given = {
            key.strip(): value.strip()
            for key, _, value in (part.partition("=") for part in parameters.split(";") if part)
        }
        kind = given.get("as", "")
        if not kind:
            return Media(yaml)
        if not tables:
            continue
        if kind in _META_KINDS and given.get("g") == "meta.k8s.io" and given.get("v") in _VERSIONS:
            name = "PartialObjectMetadata" if kind.startswith("Partial") else kind
            return Media(yaml, name, given["v"])
    raise errors.not_acceptable(f"only the following media types are accepted: {_OFFERED}")


def _by_quality(header: str) -> list[str]:
    clauses = []
    for clause in header.split(","):
        quality = 1.0
        for parameter in clause.split(";")[1:]:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        clauses.append((quality, clause))
    clauses.sort(key=lambda pair: -pair[0])
    return [clause for quality, clause in clauses if quality > 0]


def is_protobuf(content_type: str) -> bool:
    return content_type.startswith(PROTOBUF)


def body_format(content_type: str) -> str:
    """ "json" or "yaml" for the Content-Type of a create or update; 415 for what cannot be read.

    A protobuf body is made JSON where it is read (exchange.read_body).
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("", JSON, "text/json", PROTOBUF):
        return "json"
    if media_type in (YAML, "application/x-yaml", "text/yaml"):
        return "yaml"
    raise errors.unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {_OFFERED}"
    )


_PATCHES = {JSON_PATCH: "json", MERGE_PATCH: "merge", STRATEGIC_PATCH: "strategic", APPLY_PATCH: "apply"}


def patch_format(content_type: str, *, custom: bool = False) -> str:
    """ "json", "merge", "strategic" or "apply" for a patch's Content-Type, else 415.

    Custom resources have no strategic merge patch.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    kind = _PATCHES.get(media_type)
    if kind is None or (custom and kind == "strategic"):
        listed = ", ".join(t for t, k in _PATCHES.items() if not custom or k != "strategic")
        raise errors.unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {listed}"
        )
    return kind
