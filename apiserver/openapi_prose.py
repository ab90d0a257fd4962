"""What OpenAPI says in words of the fields that all objects have, so that `kubectl explain` can tell of them.

The compiled schema has no prose; definitions of custom resources bring their own.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

API_VERSION = "APIVersion defines the group and version of the schema that this object follows."
KIND = (
    "Kind is the type of the REST resource that this object represents, in CamelCase. It cannot be updated."
)
METADATA = "Standard object's metadata."
LIST_METADATA = "Standard list metadata."

#: definition → (its own description, those of its fields).
_WORDS: dict[str, tuple[str, dict[str, str]]] = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": (
        "ObjectMeta is the metadata that every stored object has.",
        {
            "annotations": "Annotations is a map of text that tools keep with the object. It cannot be queried.",
            "creationTimestamp": "CreationTimestamp is a timestamp of the moment when the server created the "
            "object, in RFC 3339 and UTC. Read-only.",
            "deletionGracePeriodSeconds": "Seconds that the object may take to terminate gracefully. Set together "
            "with deletionTimestamp; it may only be shortened. Read-only.",
            "deletionTimestamp": "DeletionTimestamp is the time at which the object is to be gone. The server sets "
            "it when a graceful deletion is asked for; it cannot be taken back. Read-only.",
            "finalizers": "Names of those who have to finish before the object may go. Each removes its own.",
            "generateName": "GenerateName is the beginning of a unique name that the server makes where none is "
            "given.",
            "generation": "Counts the changes of the desired state. Read-only.",
            "labels": "Map of keys and values by which objects are organized and selected.",
            "managedFields": "Which manager set which fields, and when. Kept by the server.",
            "name": "Name is unique among the objects of a kind, within a namespace where the kind has namespaces. "
            "It cannot be updated.",
            "namespace": "Namespace is the space within which the name is unique. It cannot be updated.",
            "ownerReferences": "The objects this one depends on: when all of them are gone it is deleted.",
            "resourceVersion": "An opaque value that changes with every change of the object: for optimistic "
            "concurrency and for watches. Read-only.",
            "selfLink": "Deprecated: it is not set any more.",
            "uid": "UID tells this object from all others, those with the same name before and after it too. "
            "Read-only.",
        },
    ),
    "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta": (
        "ListMeta is the metadata of a list.",
        {
            "continue": "A token that asks for the rest of a list that was cut off at a limit.",
            "remainingItemCount": "How many objects are left after this part, where that is known.",
            "resourceVersion": "The version of the collection: where a watch goes on from this list.",
            "selfLink": "Deprecated: it is not set any more.",
        },
    ),
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference": (
        "OwnerReference names the owner of an object, in the same namespace or of the whole cluster.",
        {
            "apiVersion": "Group and version of the owner.",
            "blockOwnerDeletion": "Whether the owner waits for this object when it is deleted in the foreground.",
            "controller": "Whether the owner manages this object.",
            "kind": "Kind of the owner.",
            "name": "Name of the owner.",
            "uid": "UID of the owner.",
        },
    ),
}


def worded(name: str, raw: Object) -> Object:
    """A definition with the words there are for it."""
    words = _WORDS.get(name)
    if words is None:
        return raw
    text, fields = words
    properties = {
        key: {"description": fields[key], **child} if key in fields else child
        for key, child in raw["properties"].items()
    }
    return {"description": text, **raw, "properties": properties}


def type_meta() -> Object:
    """The fields that say what an object is."""
    return {
        "apiVersion": {"type": "string", "description": API_VERSION},
        "kind": {"type": "string", "description": KIND},
    }
