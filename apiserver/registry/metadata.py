"""The metadata the server writes: identity, times, generation; and what an update may not touch. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, meta
from apimachinery.errors import StatusError
from apimachinery.resources import Resource

Object = dict[str, Any]
NAME_RETRIES = 8


def check_identity(obj: Object, namespace: str, name: str, resource: Resource) -> None:
    """Fill namespace (and name where the URL has one) from the URL, or raise 400 where they differ."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    given = metadata.get("namespace") or ""
    if resource.namespaced:
        if given and given != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    elif given:
        raise errors.bad_request("namespace is not allowed on this type")
    else:
        metadata.pop("namespace", None)
    if name:
        own = metadata.get("name") or ""
        if not own:
            if not metadata.get("generateName"):
                metadata["name"] = name
        elif own != name:
            raise errors.bad_request(
                f"the name of the object ({own}) does not match the name on the URL ({name})"
            )


def check_type(obj: Object, resource: Resource, kind: str = "", api_version: str = "") -> None:
    """Fill apiVersion and kind where absent, or raise 400 where they are another type's."""
    kind, api_version = kind or resource.kind, api_version or resource.api_version
    given_version, given_kind = obj.get("apiVersion") or api_version, obj.get("kind") or kind
    if given_version != api_version:
        raise errors.bad_request(
            f"the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )
    if given_kind != kind:
        raise errors.bad_request(
            f'{given_kind} in version "{_version(api_version)}" cannot be handled as a {kind}: '
            f"converting (v1.{given_kind}) to (v1.{kind}): unknown conversion"
        )
    obj["apiVersion"], obj["kind"] = api_version, kind


def _version(api_version: str) -> str:
    return api_version.rpartition("/")[2]


def for_create(obj: Object, *, uid: str, now: str, generation: bool) -> None:
    """The metadata of a new object: uid, creationTimestamp, first generation; nothing of a deletion."""
    metadata = obj["metadata"]
    for key in (
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
        "generation",
    ):
        metadata.pop(key, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = now
    if generation:
        metadata["generation"] = 1


def for_update(new: Object, old: Object, *, resource: Resource) -> None:
    """Carry over what an update never changes. Raises 409 where the update is for another object of the name."""
    metadata, before = new["metadata"], old["metadata"]
    uid = metadata.get("uid")
    if uid and uid != before.get("uid"):
        raise precondition_uid(resource, meta.name(old), uid, before.get("uid", ""))
    for key in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if key in before:
            metadata[key] = before[key]
        else:
            metadata.pop(key, None)
    metadata.pop("selfLink", None)
    if "name" not in metadata:
        metadata["name"] = before["name"]
    if "generateName" in before:
        metadata.setdefault("generateName", before["generateName"])


def bump_generation(new: Object) -> None:
    new["metadata"]["generation"] = int(new["metadata"].get("generation") or 0) + 1


def precondition_uid(resource: Resource, name: str, wanted: str, actual: str) -> StatusError:
    return errors.conflict(
        resource.plural,
        name,
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}",
        resource.group,
    )


def precondition_version(resource: Resource, name: str, wanted: str, actual: str) -> StatusError:
    return errors.conflict(
        resource.plural,
        name,
        f"Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {actual}",
        resource.group,
    )


def same_but_managed_times(new: Object, old: Object) -> bool:
    """Whether a write would change nothing but times in managedFields (then nothing is written)."""
    if new == old:
        return True
    metadata, before = new["metadata"], old["metadata"]
    for key, value in new.items():
        if key != "metadata" and old.get(key) != value:
            return False
    if len(new) != len(old) or metadata.keys() != before.keys():
        return False
    for key, value in metadata.items():
        if key == "managedFields":
            if [_timeless(entry) for entry in value] != [_timeless(entry) for entry in before[key]]:
                return False
        elif before[key] != value:
            return False
    return True


def _timeless(entry: Object) -> Object:
    return {key: value for key, value in entry.items() if key != "time"}
