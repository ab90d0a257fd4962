"""Validation of `metadata`: names by kind, labels, annotations, owner references, finalizers."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from apimachinery import meta, names
from apimachinery.errors import forbidden_field, invalid_value, required, too_long
from apimachinery.validation.fields import IMMUTABLE, NOT_NEGATIVE, Errors, NameCheck, checked, labels

Object = dict[str, Any]

TOTAL_ANNOTATION_SIZE = 256 * 1024
_STANDARD_FINALIZERS = frozenset(["kubernetes", "orphan", "foregroundDeletion"])
_CRON_JOB_NAME_MAX = 52


def _cron_job_name(name: str) -> list[str]:
    errors = names.dns1123_subdomain(name)
    if len(name) > _CRON_JOB_NAME_MAX:
        errors.append(f"must be no more than {_CRON_JOB_NAME_MAX} characters")
    return errors


def _ip_name(name: str) -> list[str]:
    try:
        canonical = str(ipaddress.ip_address(name))
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if name == canonical else ["must be a canonical form IP address"]


#: Kinds whose names are not DNS subdomains.
_NAMES: dict[tuple[str, str], NameCheck] = {
    ("", "Namespace"): names.dns1123_label,
    ("", "Service"): names.dns1035_label,
    ("batch", "CronJob"): _cron_job_name,
    ("networking.k8s.io", "IPAddress"): _ip_name,
    **{
        ("rbac.authorization.k8s.io", kind): names.path_segment
        for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    },
    ("apiregistration.k8s.io", "APIService"): names.path_segment,
    ("certificates.k8s.io", "CertificateSigningRequest"): names.dns1123_subdomain,
    # The rest depends on the signer.
    ("certificates.k8s.io", "ClusterTrustBundle"): names.path_segment,
}


def name_check(group: str, kind: str) -> NameCheck:
    """What names of a kind may look like."""
    return _NAMES.get((group, kind), names.dns1123_subdomain)


def validate(obj: Object, check: NameCheck, *, namespaced: bool, custom: bool = False) -> Errors:
    """Metadata of a new object; its name has been generated already."""
    errs: Errors = []
    path = "metadata"
    metadata = obj.get("metadata") or {}
    base = metadata.get("generateName")
    if base:
        # The base ends where the suffix will stand, often with a dash.
        for message in check(base[:-1] + "a" if base.endswith("-") else base):
            errs.append(invalid_value(f"{path}.generateName", base, message))
    name = metadata.get("name")
    if not name:
        errs.append(required(f"{path}.name", "name or generateName is required"))
    else:
        checked(errs, f"{path}.name", name, check)
    namespace = metadata.get("namespace")
    if not namespaced:
        if namespace:
            errs.append(forbidden_field(f"{path}.namespace", "not allowed on this type"))
    elif not namespace:
        errs.append(required(f"{path}.namespace"))
    else:
        checked(errs, f"{path}.namespace", namespace, names.dns1123_label)
    _shared(errs, metadata, path, custom)
    return errs


def template(metadata: Object, path: str) -> Errors:
    """Metadata of a template, which has no name to check."""
    errs: Errors = []
    labels(errs, f"{path}.labels", metadata.get("labels"))
    annotation_map(errs, f"{path}.annotations", metadata.get("annotations"))
    return errs


def annotation_map(errs: Errors, path: str, values: dict[str, str] | None) -> None:
    if not values:
        return
    size = 0
    for key, value in values.items():
        for message in names.qualified_name(key.lower()):
            errs.append(invalid_value(path, key, message))
        size += len(key.encode()) + len(value.encode())
    if size > TOTAL_ANNOTATION_SIZE:
        errs.append(too_long(path, TOTAL_ANNOTATION_SIZE))


def _shared(errs: Errors, metadata: Object, path: str, custom: bool) -> None:
    generation = metadata.get("generation")
    if generation is not None and generation < 0:
        errs.append(invalid_value(f"{path}.generation", generation, NOT_NEGATIVE))
    labels(errs, f"{path}.labels", metadata.get("labels"))
    annotation_map(errs, f"{path}.annotations", metadata.get("annotations"))
    if metadata.get("ownerReferences"):
        _owner_references(errs, f"{path}.ownerReferences", metadata["ownerReferences"])
    if metadata.get("finalizers"):
        finalizers(errs, f"{path}.finalizers", metadata["finalizers"], custom=custom)


def _owner_references(errs: Errors, path: str, references: list[Object]) -> None:
    controller = ""
    for reference in references:
        api_version, kind = reference.get("apiVersion") or "", reference.get("kind") or ""
        if not meta.split_api_version(api_version)[1]:
            errs.append(invalid_value(f"{path}.apiVersion", api_version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not reference.get(field):
                errs.append(invalid_value(f"{path}.{field}", "", "must not be empty"))
        if (api_version, kind) == ("v1", "Event"):
            errs.append(invalid_value(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            name = f"{kind}/{reference.get('name') or ''}"
            if controller:
                text = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {name}'
                )
                errs.append(invalid_value(path, references, text))
            else:
                controller = name


def finalizers(errs: Errors, path: str, values: list[str], *, custom: bool = False) -> None:
    """Finalizers are qualified names; those without a domain must be well-known ones, but on custom resources."""
    for i, value in enumerate(values):
        for message in names.qualified_name(value):
            errs.append(invalid_value(path, value, message))
        if not custom and "/" not in value and value not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errs.append(invalid_value(f"{path}[{i}]", value, text))
    if "orphan" in values and "foregroundDeletion" in values:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        errs.append(invalid_value(path, values, text))


_KEPT = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_update(new: Object, old: Object, *, custom: bool = False) -> Errors:
    """What metadata must keep. What the server fills in may be left out of `new`."""
    errs: Errors = []
    path = "metadata"
    metadata, before = new.get("metadata") or {}, old.get("metadata") or {}
    added = [f for f in metadata.get("finalizers") or () if f not in (before.get("finalizers") or ())]
    if added and before.get("deletionTimestamp"):
        shown = "[]string{" + ", ".join(json.dumps(f) for f in added) + "}"
        text = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
        errs.append(forbidden_field(f"{path}.finalizers", text))
    for field in _KEPT:
        value = metadata.get(field)
        if value is not None and value != before.get(field):
            errs.append(invalid_value(f"{path}.{field}", value, IMMUTABLE))
    generation = metadata.get("generation")
    if generation is not None and generation < (before.get("generation") or 0):
        errs.append(invalid_value(f"{path}.generation", generation, "must not be decremented"))
    _shared(errs, metadata, path, custom)
    return errs
