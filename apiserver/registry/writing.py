"""What every write does to an object before it is stored: its shape, its fields' owners, admission, refusal."""

from __future__ import annotations

from typing import Any

from apimachinery import apply, decode, defaults, errors, meta, resources, schema
from apimachinery.decode_scalars import Mismatch
from apimachinery.errors import FieldError
from apimachinery.resources import Resource
from apiserver.registry.call import SYSTEM, Backend, Call
from apiserver.request import AdmissionRequest

Object = dict[str, Any]


class Writing:
    """The steps of a write of one resource, in the version its registry speaks."""

    def __init__(self, resource: Resource, backend: Backend) -> None:
        self.resource = resource
        self.backend = backend
        self.schema = schema.for_resource(resource)
        self._has_spec = not resource.custom and "spec" in self.schema.fields

    def fill(self, obj: Object) -> None:
        """Defaults; built-in kinds that have a spec always have one, if an empty one."""
        if self._has_spec:
            obj.setdefault("spec", {})
        defaults.apply(self.resource, obj)

    def reshape(self, obj: Object) -> None:
        """Bring what somebody else has changed back into shape. Raises 400."""
        try:
            decode.normalize(obj, self.schema)
        except Mismatch as mismatch:
            raise errors.bad_request(f"{self.resource.kind} cannot be handled: {mismatch}") from None
        self.fill(obj)

    def track(self, call: Call, old: Object | None, new: Object, now: str, subresource: str = "") -> None:
        apply.track(
            old,
            new,
            manager=call.options.field_manager or "unknown",
            schema=self.schema,
            api_version=self.resource.api_version,
            now=now,
            subresource=subresource,
        )

    async def track_change(self, call: Call, old: Object, new: Object, now: str, subresource: str) -> None:
        """As `track`, of an update; who converts between versions may have to ask for it."""
        self.track(call, old, new, now, subresource)

    def refuse(self, problems: list[FieldError], obj: Object) -> None:
        """Raise 422 where there are problems."""
        if problems:
            shown = meta.name(obj) or meta.name(
                {"metadata": {"name": obj["metadata"].get("generateName", "")}}
            )
            raise errors.invalid(self.resource.kind, shown, problems, self.resource.group)

    def admission_request(
        self,
        call: Call,
        operation: str,
        namespace: str,
        name: str,
        obj: Object | None,
        old: Object | None,
        subresource: str = "",
        options: Object | None = None,
    ) -> AdmissionRequest:
        return AdmissionRequest(
            operation, self.resource, subresource, namespace, name, obj, old, call.user, call.options.dry_run,
            options or {}, call.warnings, self._asked(call),
        )  # fmt: skip

    def _asked(self, call: Call) -> Resource | None:
        """The version the client speaks, where it is not this registry's."""
        if call.api_version in ("", self.resource.api_version):
            return None
        return resources.by_kind(call.api_version, self.resource.kind)

    async def mutate_part(self, request: AdmissionRequest) -> None:
        """Mutating admission of what is not the object itself."""
        if self.backend.admission is not None and request.user is not SYSTEM:
            await self.backend.admission.mutate(request)

    async def mutate(self, request: AdmissionRequest) -> None:
        if self.backend.admission is not None and request.user is not SYSTEM:
            await self.backend.admission.mutate(request)
            if request.mutated and request.object is not None:
                self.reshape(request.object)

    async def validate(self, request: AdmissionRequest) -> None:
        if self.backend.admission is not None and request.user is not SYSTEM:
            await self.backend.admission.validate(request)
