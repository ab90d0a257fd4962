"""The base of typed views: small frozen models of just the fields a component reads.

A view is made once per informer event, `PodView.of(obj)`; what it does not declare is ignored, so it costs only
what it names. Field names are snake_case for the API's camelCase.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class View(BaseModel):
    """Base of all views. Unknown fields are ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
        defer_build=True,
    )

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Self:
        """The view of an object. Raises pydantic.ValidationError where a declared field has another type."""
        return cls.model_validate(obj)


class OwnerReference(View):
    """An owner of an object (meta/v1)."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(View):
    """What every object has (meta/v1). Times are RFC 3339 texts, empty where unset."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that controls the object."""
        return next((ref for ref in self.owner_references if ref.controller), None)


class ObjectView(View):
    """Base of views of whole objects."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
