"""Query options of requests: list, create, update, patch and delete options, checked as Kubernetes checks them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from apimachinery import errors
from apimachinery.errors import FieldError, StatusError
from apiserver.requestinfo import Query

FIELD_VALIDATIONS = ("Ignore", "Warn", "Strict")
PROPAGATION_POLICIES = ("Background", "Foreground", "Orphan")
MATCHES = ("Exact", "NotOlderThan")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """ListOptions of a list, watch or deletecollection. `timeout_seconds` is 0 where not given."""

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    watch: bool = False
    bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout_seconds: int = 0


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of create, update and patch. `field_manager` falls back to the client's User-Agent."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """DeleteOptions. `propagation` is "", Background, Foreground or Orphan; `grace` None where not given."""

    dry_run: bool = False
    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    asked_background: bool = False
    raw: dict[str, Any] = field(default_factory=dict)


def _one(query: Query, key: str) -> str:
    values = query.get(key)
    return values[0] if values else ""


def _bool(query: Query, key: str) -> bool | None:
    values = query.get(key)
    return None if not values else values[0].lower() not in ("0", "false")


def _int(query: Query, key: str) -> int:
    text = _one(query, key)
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


_DEFAULT_LIST = ListOptions()


def list_options(query: Query, *, watch: bool = False) -> ListOptions:
    """Parse and check ListOptions. Raises 400 for what cannot be read and 422 for what cannot be combined."""
    if not query:
        return replace(_DEFAULT_LIST, watch=True) if watch else _DEFAULT_LIST
    result = ListOptions(
        label_selector=_one(query, "labelSelector"),
        field_selector=_one(query, "fieldSelector"),
        resource_version=_one(query, "resourceVersion"),
        match=_one(query, "resourceVersionMatch"),
        limit=max(0, _int(query, "limit")),
        continue_token=_one(query, "continue"),
        watch=watch,
        bookmarks=bool(_bool(query, "allowWatchBookmarks")),
        send_initial_events=_bool(query, "sendInitialEvents"),
        timeout_seconds=max(0, _int(query, "timeoutSeconds")),
    )
    problems = _list_problems(result)
    if problems:
        raise errors.invalid("ListOptions", "", problems, "meta.k8s.io")
    return result


def _list_problems(options: ListOptions) -> list[FieldError]:
    problems = []
    match, initial = options.match, options.send_initial_events
    if options.watch:
        if initial is not None and match != "NotOlderThan":
            problems.append(
                errors.forbidden_field(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                )
            )
        if match and initial is None:
            problems.append(
                errors.forbidden_field(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                )
            )
        if match and match != "NotOlderThan":
            problems.append(errors.not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
        return problems
    if initial is not None:
        problems.append(
            errors.forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list")
        )
    if not match:
        return problems
    if not options.resource_version:
        problems.append(
            errors.forbidden_field(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        )
    if options.continue_token:
        problems.append(
            errors.forbidden_field(
                "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
            )
        )
    if match not in MATCHES:
        problems.append(errors.not_supported("resourceVersionMatch", match, MATCHES))
    elif match == "Exact" and options.resource_version == "0":
        problems.append(
            errors.forbidden_field(
                "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            )
        )
    return problems


def _dry_run(values: list[str], kind: str) -> bool:
    if not values or values == [""]:
        return False
    if any(value != "All" for value in values):
        shown = [value for value in values if value != "All"]
        raise errors.invalid(kind, "", [errors.not_supported("dryRun", shown[0], ["All"])], "meta.k8s.io")
    return True


def write_options(query: Query, kind: str, *, apply: bool = False, user_agent: str = "") -> WriteOptions:
    """Options of a write; `kind` is CreateOptions, UpdateOptions or PatchOptions, named in errors."""
    if not query and not apply:
        return WriteOptions(False, manager_of(user_agent))
    validation = _one(query, "fieldValidation") or "Warn"
    if validation not in FIELD_VALIDATIONS:
        raise errors.invalid(
            kind, "", [errors.not_supported("fieldValidation", validation, FIELD_VALIDATIONS)], "meta.k8s.io"
        )
    manager, force = _one(query, "fieldManager"), _bool(query, "force")
    if len(manager) > 128:
        raise errors.invalid(kind, "", [errors.too_long("fieldManager", 128)], "meta.k8s.io")
    if apply and not manager:
        raise errors.invalid(
            kind, "", [errors.required("fieldManager", "is required for apply patch")], "meta.k8s.io"
        )
    if not apply and force is not None and kind == "PatchOptions":
        raise errors.invalid(
            kind,
            "",
            [errors.forbidden_field("force", "may not be specified for non-apply patch")],
            "meta.k8s.io",
        )
    return WriteOptions(
        _dry_run(query.get("dryRun", []), kind), manager or manager_of(user_agent), validation, force
    )


def manager_of(user_agent: str) -> str:
    """The default field manager: the User-Agent up to its first slash."""
    return user_agent.partition("/")[0][:128] or "unknown"


def delete_options(query: Query, body: dict[str, Any] | None) -> DeleteOptions:
    """DeleteOptions from the body where one is sent, else from the query."""
    if body is None:
        body = {}
        grace_text = _one(query, "gracePeriodSeconds")
        if grace_text:
            body["gracePeriodSeconds"] = _int(query, "gracePeriodSeconds")
        if asked := _one(query, "propagationPolicy"):
            body["propagationPolicy"] = asked
        if (given := _bool(query, "orphanDependents")) is not None:
            body["orphanDependents"] = given
    if "dryRun" in query:
        body = {**body, "dryRun": query["dryRun"]}
    kind = str(body.get("kind") or "DeleteOptions")
    if kind != "DeleteOptions":
        raise errors.bad_request(f'no kind "{kind}" is registered for the options of a delete')
    grace, policy, orphan = (
        body.get("gracePeriodSeconds"),
        body.get("propagationPolicy"),
        body.get("orphanDependents"),
    )
    preconditions = body.get("preconditions") or {}
    _check_types(grace, policy, orphan, preconditions, body.get("dryRun"))
    if policy is not None and orphan is not None:
        raise _invalid_delete(
            errors.invalid_value(
                "propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"
            )
        )
    if policy is not None and policy not in PROPAGATION_POLICIES:
        raise _invalid_delete(
            errors.not_supported("propagationPolicy", policy, (*PROPAGATION_POLICIES, "nil"))
        )
    if grace is not None and grace < 0:
        grace = 1
    propagation: str = policy or ""
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    return DeleteOptions(
        dry_run=_dry_run(body.get("dryRun") or [], "DeleteOptions"),
        grace=grace,
        propagation=propagation,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        asked_background=orphan is False,
        raw=body,
    )


def _check_types(grace: Any, policy: Any, orphan: Any, preconditions: Any, dry_run: Any) -> None:
    for name, value, wanted in (
        ("gracePeriodSeconds", grace, int),
        ("propagationPolicy", policy, str),
        ("orphanDependents", orphan, bool),
        ("preconditions", preconditions, dict),
        ("dryRun", dry_run, list),
    ):
        if value is not None and (
            not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))
        ):
            raise errors.bad_request(
                f"json: cannot unmarshal {_go_type(value)} into Go struct field DeleteOptions.{name}"
            )
    for name in ("uid", "resourceVersion"):
        if not isinstance(preconditions.get(name, ""), (str, type(None))) if preconditions else False:
            raise errors.bad_request(
                f"json: cannot unmarshal into Go struct field Preconditions.{name} of type string"
            )


def _go_type(value: Any) -> str:
    return {bool: "bool", int: "number", float: "number", str: "string", list: "array"}.get(
        type(value), "object"
    )


def _invalid_delete(problem: FieldError) -> StatusError:
    return errors.invalid("DeleteOptions", "", [problem], "meta.k8s.io")
