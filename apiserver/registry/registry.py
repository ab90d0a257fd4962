"""The verbs over one resource: create, get, update, patch, delete, with everything Kubernetes does around them.

A write is: identity from the URL, defaults, field ownership, mutating admission, the kind's strategy, validation,
validating admission, then one compare-and-swap. What is returned is the `Entry` that was stored (its bytes are the
answer), or a plain object where nothing was stored (dry runs).
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from apimachinery import errors, meta, validation
from apimachinery.errors import FieldError, StatusError
from apimachinery.resources import Resource
from apiserver.cacher import Cacher
from apiserver.entry import Entry
from apiserver.options import DeleteOptions
from apiserver.registry import deletion, metadata, strategy
from apiserver.registry.call import Backend, Call
from apiserver.registry.writing import Object, Writing

Result = Entry | Object
Change = Callable[[Object], Object | Awaitable[Object]]

#: How often a write whose object changes under it is tried again before the client is told of the conflict.
ATTEMPTS = 20
ZERO_VERSION = "Invalid value: 0x0: must be specified for an update"


@dataclass(frozen=True, slots=True)
class Part:
    """What admission sees of an object that is changed through a subresource with a type of its own.

    `of` shows it and `put` takes what admission made of that; without them admission has decided before.
    """

    of: Callable[[Object], Object] | None = None
    put: Callable[[Object, Object], Object] = lambda obj, shown: obj


class Registry(Writing):
    """One storage location. Objects given and returned are in the storage version.

    Custom resources have a registry for each version, over one cacher: there `verbatim` may be False, and objects
    pass through `read` and `stored` between the registry's version and the stored one.
    """

    verbatim = True

    def __init__(self, resource: Resource, cacher: Cacher, backend: Backend) -> None:
        super().__init__(resource, backend)
        self.cacher = cacher
        self.strategy = strategy.for_resource(resource)

    # Reading

    def entry(self, namespace: str, name: str) -> Entry:
        """The object as the cache has it. Raises 404."""
        entry = self.cacher.get(namespace, name)
        if entry is None:
            raise self.not_found(name)
        return entry

    def not_found(self, name: str) -> StatusError:
        return errors.not_found(self.resource.plural, name, self.resource.group)

    # Creating

    async def create(
        self, call: Call, namespace: str, obj: Object, name: str = "", *, track: bool = True
    ) -> Result:
        """Store a new object (changed in place on the way). `name` is the URL's, where it has one."""
        resource, strat, identity = self.resource, self.strategy, self.backend.identity
        metadata.check_identity(obj, namespace, name, resource)
        meta_ = obj["metadata"]
        if meta_.get("resourceVersion") not in (None, "", "0"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        now = identity.timestamp()
        generated = not meta_.get("name") and bool(meta_.get("generateName"))
        if generated:
            meta_["name"] = meta.generate_name(meta_["generateName"], identity.suffix())
        metadata.for_create(obj, uid=identity.uid(), now=now, generation=strat.generation)
        if strat.has_status and not strat.created_status:
            obj.pop("status", None)
        self.fill(obj)
        if track:
            meta_.pop("managedFields", None)
            self.track(call, None, obj, now)
        strategy.reset_status(strat, obj)
        request = self.admission_request(call, "CREATE", namespace, meta_.get("name", ""), obj, None)
        await self.mutate(request)
        strat.prepare_create(obj)
        undo = await self.reserve(call, None, obj)
        try:
            self.refuse(self.check_new(call, obj), obj)
            await self.validate(request)
            if call.options.dry_run:
                await self.check_absent(namespace, meta_["name"])
                if undo is not None:
                    await undo()
                return obj
            return await self._insert(namespace, obj, generated)
        except BaseException:
            if undo is not None and not call.options.dry_run:
                await undo()
            raise

    async def check_absent(self, namespace: str, name: str) -> None:
        await self.cacher.fresh()
        if self.cacher.get(namespace, name) is not None:
            raise errors.already_exists(self.resource.plural, name, self.resource.group)

    async def _insert(self, namespace: str, obj: Object, generated: bool) -> Entry:
        for attempt in range(metadata.NAME_RETRIES):
            try:
                kept = obj if self.verbatim else await self.stored(obj)
                return await self.cacher.create(namespace, obj["metadata"]["name"], kept)
            except StatusError as error:
                if not generated or error.reason != "AlreadyExists" or attempt == metadata.NAME_RETRIES - 1:
                    raise
            base = obj["metadata"]["generateName"]
            obj["metadata"]["name"] = meta.generate_name(base, self.backend.identity.suffix())
        raise AssertionError("unreachable")

    # Updating

    async def update(
        self,
        call: Call,
        namespace: str,
        name: str,
        change: Change,
        *,
        subresource: str = "",
        insert: Callable[[], Object] | None = None,
        track: bool = True,
        uid: str = "",
        part: Part | None = None,
    ) -> tuple[Result, bool]:
        """Replace an object by `change(object)`, called anew on every attempt with a copy it may change.

        `insert` makes the object to create where there is none. `part`: what admission sees of it. Returns the
        result and whether it was created.
        """
        for _ in range(ATTEMPTS):
            entry = self.cacher.get(namespace, name)
            if entry is None:
                await self.cacher.fresh()
                entry = self.cacher.get(namespace, name)
            if entry is None:
                if insert is None:
                    raise self.not_found(name)
                try:
                    return await self.create(call, namespace, insert(), name, track=track), True
                except StatusError as error:
                    if error.reason != "AlreadyExists" or call.options.dry_run:
                        raise
                    await self.cacher.fresh()
                    continue
            old = entry.object() if self.verbatim else await self.read(entry)
            new = await self._changed(call, entry, old, change, subresource, track, part)
            if new is None:
                return entry, False
            undo = await self.reserve(call, old, new)
            stored = False
            try:
                self.refuse(self.check_changed(call, new, old, subresource), new)
                of = part.of if part is not None else lambda whole: whole
                if of is not None:
                    shown, before = of(new), of(old)
                    await self.validate(
                        self.admission_request(call, "UPDATE", namespace, name, shown, before, subresource)
                    )
                if call.options.dry_run:
                    return new, False
                if deletion.finished(new) and self.releasable(new):
                    gone = await self.cacher.delete(namespace, name, entry.revision)
                    if gone is not None:
                        stored = True
                        await self.released(new)
                        return new, False
                else:
                    kept = new if self.verbatim else await self.stored(new)
                    written = await self.cacher.update(namespace, name, kept, entry.revision)
                    if written is not None:
                        stored = True
                        await self.replaced(old, new)
                        return written, False
            finally:
                if undo is not None and not stored:
                    await undo()
            await self.cacher.fresh()
        raise errors.conflict(self.resource.plural, name, errors.MODIFIED, self.resource.group)

    async def _changed(
        self,
        call: Call,
        entry: Entry,
        old: Object,
        change: Change,
        subresource: str,
        track: bool,
        part: Part | None,
    ) -> Object | None:
        """The object to store after `change`, prepared and admitted; None where nothing would change."""
        resource, strat = self.resource, self.strategy
        made = change(entry.object() if self.verbatim else copy.deepcopy(old))
        new = made if isinstance(made, dict) else await made
        metadata.check_identity(new, entry.namespace, entry.name, resource)
        given = new["metadata"].get("resourceVersion") or ""
        if given in ("", "0"):
            if not strat.unconditional_update and not subresource:
                problem = FieldError("metadata.resourceVersion", "FieldValueInvalid", ZERO_VERSION)
                raise errors.invalid(resource.kind, entry.name, [problem], resource.group)
        elif given != str(entry.revision):
            raise errors.conflict(resource.plural, entry.name, errors.MODIFIED, resource.group)
        metadata.for_update(new, old, resource=resource)
        new["metadata"]["resourceVersion"] = str(entry.revision)
        if not subresource and strat.has_status:
            strategy.keep_status(new, old)
        elif subresource == "status":
            strategy.only_status(new, old, labels=strat.labels_by_status)
        elif subresource in strat.parts:
            strat.parts[subresource](new, old, self.backend.identity.timestamp())
        self.fill(new)
        if track:
            await self.track_change(call, old, new, self.backend.identity.timestamp(), subresource)
        if part is None:
            await self.mutate(
                self.admission_request(call, "UPDATE", entry.namespace, entry.name, new, old, subresource)
            )
        elif part.of is not None:
            shown = part.of(new)
            await self.mutate_part(
                self.admission_request(
                    call, "UPDATE", entry.namespace, entry.name, shown, part.of(old), subresource
                )
            )
            new = part.put(new, shown)
        if subresource == "status":
            strat.prepare_status(new, old)
        else:
            if not subresource:
                strat.prepare_update(new, old)
            if strat.generation and subresource != "binding" and strat.intent(new) != strat.intent(old):
                metadata.bump_generation(new)
        if metadata.same_but_managed_times(new, old) and not deletion.finished(old) and self.current(entry):
            return None
        return new

    def check_changed(self, call: Call, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if subresource == "binding":
            return []
        if subresource == "status":
            return validation.status_update(self.resource, new, old)
        check = self.strategy.part_checks.get(subresource)
        return check(new, old) if check is not None else validation.update(self.resource, new, old)

    # Deleting

    async def delete(
        self,
        call: Call,
        namespace: str,
        name: str,
        options: DeleteOptions,
        matching: Entry | None = None,
        *,
        admitted: bool = False,
    ) -> tuple[Result | None, bool]:
        """Delete, or mark for deletion. Returns the object to answer with (None: a Status) and whether it is gone.

        `matching` is the entry a deletecollection selected; only its uid is deleted. `admitted`: admission has decided
        on what led to this.
        """
        warning = self.strategy.orphan_warning
        if warning and not options.propagation and warning not in call.warnings:
            call.warnings.append(warning)
        for _ in range(ATTEMPTS):
            entry = self.cacher.get(namespace, name)
            if entry is None:
                await self.cacher.fresh()
                entry = self.entry(namespace, name)
            old = entry.object() if self.verbatim else await self.read(entry)
            self._check_preconditions(entry, old, options, matching)
            if not admitted:
                await self.validate(
                    self.admission_request(call, "DELETE", namespace, name, None, old, options=options.raw)
                )
            outcome = self.plan_deletion(old, options)
            if outcome.update is not None:
                if call.options.dry_run:
                    return outcome.update, False
                kept = outcome.update if self.verbatim else await self.stored(outcome.update)
                written = await self.cacher.update(namespace, name, kept, entry.revision)
                if written is not None:
                    return written, False
            elif not outcome.remove:
                return entry, False
            else:
                answer = entry if self.strategy.returns_deleted else None
                if call.options.dry_run:
                    return answer, True
                gone = await self.cacher.delete(namespace, name, entry.revision)
                if gone is not None:
                    await self.released(old)
                    return (gone if self.strategy.returns_deleted else self._deleted_status(old)), True
            await self.cacher.fresh()
        raise errors.conflict(self.resource.plural, name, errors.MODIFIED, self.resource.group)

    def plan_deletion(self, old: Object, options: DeleteOptions) -> deletion.Deletion:
        """What deleting `old` comes to; kinds with their own rules override it."""
        return deletion.plan(
            old, self.strategy, options.grace, options.propagation, self.backend.identity.now()
        )

    def _deleted_status(self, old: Object) -> Object:
        return deletion.success_status(self.resource, meta.name(old), meta.uid(old))

    def _check_preconditions(
        self, entry: Entry, old: Object, options: DeleteOptions, matching: Entry | None
    ) -> None:
        uid = meta.uid(old)
        if options.uid and options.uid != uid:
            raise metadata.precondition_uid(self.resource, entry.name, options.uid, uid)
        if options.resource_version and options.resource_version != str(entry.revision):
            raise metadata.precondition_version(
                self.resource, entry.name, options.resource_version, str(entry.revision)
            )
        if matching is not None and matching is not entry and meta.uid(matching.object()) != uid:
            raise self.not_found(entry.name)

    # What kinds override

    async def read(self, entry: Entry) -> Object:
        """The object of an entry in this registry's version: the caller's own."""
        return entry.object()

    async def stored(self, obj: Object) -> Object:
        """An object of this registry's version in the storage version."""
        return obj

    def current(self, entry: Entry) -> bool:
        """Whether an entry is stored as it would be written now."""
        return True

    def check_new(self, call: Call, obj: Object) -> list[FieldError]:
        """What is wrong with a new object."""
        return validation.create(self.resource, obj)

    async def reserve(self, call: Call, old: Object | None, new: Object) -> Callable[[], Any] | None:
        """Take what the object needs from shared pools (addresses, ports). Returns how to give it back."""
        return None

    async def replaced(self, old: Object, new: Object) -> None:
        """Called after an update is stored."""

    async def released(self, old: Object) -> None:
        """Called after an object is gone."""

    def releasable(self, new: Object) -> bool:
        """Whether an object without finalizers may go; namespaces have finalizers in their spec too."""
        return True


def replacement(obj: Object) -> Change:
    """The change of a PUT: the body whatever is stored, a fresh copy for each attempt."""
    return lambda _: copy.deepcopy(obj)
