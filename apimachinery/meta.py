"""Reading and writing `metadata` of objects that are plain dicts. No clock: times are passed in."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from apimachinery import names as _names

Object = dict[str, Any]


def name(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata")
    return (metadata.get("name") or "") if metadata else ""


def namespace(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata")
    return (metadata.get("namespace") or "") if metadata else ""


def uid(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata")
    return (metadata.get("uid") or "") if metadata else ""


def resource_version(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata")
    return (metadata.get("resourceVersion") or "") if metadata else ""


def generation(obj: Mapping[str, Any]) -> int:
    metadata = obj.get("metadata")
    return int(metadata.get("generation") or 0) if metadata else 0


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """The labels; an empty dict where there are none. Not to be changed."""
    metadata = obj.get("metadata")
    return (metadata.get("labels") or {}) if metadata else {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    """The annotations; an empty dict where there are none. Not to be changed."""
    metadata = obj.get("metadata")
    return (metadata.get("annotations") or {}) if metadata else {}


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    metadata = obj.get("metadata")
    return (metadata.get("finalizers") or []) if metadata else []


def deletion_timestamp(obj: Mapping[str, Any]) -> str:
    """RFC 3339, or empty where the object is not being deleted."""
    metadata = obj.get("metadata")
    return (metadata.get("deletionTimestamp") or "") if metadata else ""


def owner_references(obj: Mapping[str, Any]) -> list[Object]:
    metadata = obj.get("metadata")
    return (metadata.get("ownerReferences") or []) if metadata else []


def controller_of(obj: Mapping[str, Any]) -> Object | None:
    """The owner reference marked `controller`, if any."""
    return next((ref for ref in owner_references(obj) if ref.get("controller")), None)


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    ref = controller_of(obj)
    return ref is not None and ref.get("uid") == uid(owner)


def owner_reference(
    owner: Mapping[str, Any], *, controller: bool = True, block_owner_deletion: bool = True
) -> Object:
    """A reference to `owner`, which must carry apiVersion, kind, name and uid."""
    ref: Object = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
    }
    if controller:
        ref["controller"] = True
    if block_owner_deletion:
        ref["blockOwnerDeletion"] = True
    return ref


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` → (apps, v1); `v1` → ("", v1)."""
    group, slash, version = api_version.partition("/")
    return (group, version) if slash else ("", group)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """`2024-01-02T03:04:05Z`, the format of Time fields."""
    return _utc(moment).isoformat(timespec="seconds")[:19] + "Z"


def rfc3339_micro(moment: datetime) -> str:
    """`2024-01-02T03:04:05.000006Z`, the format of MicroTime fields (leases, events)."""
    return _utc(moment).isoformat(timespec="microseconds")[:26] + "Z"


def parse_time(text: str) -> datetime:
    """The moment (UTC) of an RFC 3339 text. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return moment.astimezone(UTC)


def condition(obj: Mapping[str, Any], kind: str) -> Object | None:
    """The status condition of that type, if any."""
    status = obj.get("status") or {}
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), None)


def set_condition(conditions: Iterable[Object], new: Object, now: str) -> list[Object]:
    """The conditions with `new` in place of the one of its type.

    `lastTransitionTime` becomes `now` where the status differs from before, and is kept where it does not.
    """
    result, placed = [], False
    for old in conditions:
        if old.get("type") != new["type"]:
            result.append(old)
            continue
        same = old.get("status") == new.get("status") and old.get("lastTransitionTime")
        result.append({**new, "lastTransitionTime": old["lastTransitionTime"] if same else now})
        placed = True
    if not placed:
        result.append({**new, "lastTransitionTime": new.get("lastTransitionTime") or now})
    return result


def generate_name(base: str, suffix: str) -> str:
    """The name for a `generateName` and a random suffix (five of names.SUFFIX_ALPHABET)."""
    return _names.generated(base, suffix)
