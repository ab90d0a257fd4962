"""Validation of what extends the API: CustomResourceDefinitions and APIServices."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value, required, too_many
from apimachinery.structural import rules
from apimachinery.validation.admission import client_config
from apimachinery.validation.fields import IMMUTABLE, Errors, checked, required_enum, service_reference

Object = dict[str, Any]


def custom_resource_definition(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    naming = spec.get("names") or {}
    group = spec.get("group") or ""
    wanted = f"{naming.get('plural') or ''}.{group}"
    name = (obj.get("metadata") or {}).get("name") or ""
    if name != wanted:
        errs.append(invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if not group:
        errs.append(required("spec.group"))
    else:
        checked(errs, "spec.group", group, names.dns1123_subdomain)
        if "." not in group:
            errs.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    if group.endswith((".k8s.io", ".kubernetes.io")):
        _approval(errs, (obj.get("metadata") or {}).get("annotations") or {})
    required_enum(errs, "spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    for field in ("plural", "singular"):
        _crd_name(errs, f"spec.names.{field}", naming.get(field) or "", field)
    for field in ("kind", "listKind"):
        _crd_name(errs, f"spec.names.{field}", naming.get(field) or "", field)
    if naming.get("kind") and naming.get("kind") == naming.get("listKind"):
        text = "kind and listKind may not be the same"
        errs.append(invalid_value("spec.names.listKind", naming["listKind"], text))
    for field in ("shortNames", "categories"):
        for i, value in enumerate(naming.get(field) or ()):
            checked(errs, f"spec.names.{field}[{i}]", value, names.dns1035_label)
    _crd_versions(errs, spec)
    conversion = spec.get("conversion") or {}
    required_enum(errs, "spec.conversion.strategy", conversion.get("strategy"), ("None", "Webhook"))
    if conversion.get("strategy") == "Webhook":
        webhook = conversion.get("webhook")
        if webhook is None or webhook.get("clientConfig") is None:
            text = "required when strategy is set to Webhook"
            errs.append(required("spec.conversion.webhookClientConfig", text))
        else:
            client_config(errs, "spec.conversion.webhookClientConfig", webhook["clientConfig"])
    elif conversion.get("webhook") is not None:
        text = "should not be set when strategy is not set to Webhook"
        errs.append(forbidden_field("spec.conversion.webhookClientConfig", text))
    if spec.get("preserveUnknownFields"):
        text = "must be false in order to use defaults in the schema"
        errs.append(invalid_value("spec.preserveUnknownFields", True, text))


_APPROVED = "api-approved.kubernetes.io"


def _approval(errs: Errors, annotations: dict[str, str]) -> None:
    """Groups of the Kubernetes project are not for everybody."""
    path, value = f"metadata.annotations[{_APPROVED}]", annotations.get(_APPROVED) or ""
    where = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        text = f'protected groups must have approval annotation "{_APPROVED}", {where}'
        errs.append(required(path, text))
    elif not value.startswith(("unapproved", "https://", "http://")):
        text = (
            f'protected groups must have approval annotation "{_APPROVED}" with either a URL or a reason starting '
            f'with "unapproved", {where}'
        )
        errs.append(invalid_value(path, value, text))


def _crd_name(errs: Errors, path: str, value: str, field: str) -> None:
    if not value:
        errs.append(required(path))
        return
    lowered = value.lower() if field in ("kind", "listKind") else value
    for message in names.dns1035_label(lowered):
        if lowered != value or field in ("kind", "listKind"):
            message = f"may have mixed case, but should otherwise match: {message}"
        errs.append(invalid_value(path, value, message))


def _crd_versions(errs: Errors, spec: Object) -> None:
    versions = spec.get("versions") or []
    seen: set[str] = set()
    stored = 0
    for i, version in enumerate(versions):
        here = f"spec.versions[{i}]"
        name = version.get("name") or ""
        checked(errs, f"{here}.name", name, names.dns1035_label)
        if name in seen:
            text = "must contain unique version names"
            errs.append(invalid_value("spec.versions", name, text))
        seen.add(name)
        stored += bool(version.get("storage"))
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            errs.append(required(f"{here}.schema.openAPIV3Schema", "schemas are required"))
        for j, column in enumerate(version.get("additionalPrinterColumns") or ()):
            place = f"{here}.additionalPrinterColumns[{j}]"
            if not column.get("name"):
                errs.append(required(f"{place}.name"))
            required_enum(
                errs, f"{place}.type", column.get("type"), ("boolean", "date", "integer", "number", "string")
            )
            if not column.get("jsonPath"):
                errs.append(required(f"{place}.jsonPath"))
        _scale(errs, f"{here}.subresources.scale", (version.get("subresources") or {}).get("scale"))
        _selectable(errs, f"{here}.selectableFields", version.get("selectableFields") or (), schema or {})
    _schemas(errs, versions)
    if stored != 1:
        text = "must have exactly one version marked as storage version"
        errs.append(invalid_value("spec.versions", versions, text))


def _schemas(errs: Errors, versions: list[Object]) -> None:
    """Schemas must be structural. One schema for all versions is named once, as Kubernetes names it."""
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    if schemas and schemas[0] is not None and all(schema == schemas[0] for schema in schemas):
        rules.check(errs, schemas[0], "spec.validation.openAPIV3Schema")
        return
    for i, schema in enumerate(schemas):
        if schema is not None:
            rules.check(errs, schema, f"spec.versions[{i}].schema.openAPIV3Schema")


def _scale(errs: Errors, path: str, scale: Object | None) -> None:
    if scale is None:
        return
    for field, start in (
        ("specReplicasPath", ".spec."),
        ("statusReplicasPath", ".status."),
        ("labelSelectorPath", ""),
    ):
        value = scale.get(field) or ""
        if not value:
            if start:
                errs.append(required(f"{path}.{field}"))
        elif start and not value.startswith(start):
            text = f"should be a json path under {start[:-1]}"
            errs.append(invalid_value(f"{path}.{field}", value, text))
        elif not start and not value.startswith((".spec.", ".status.")):
            text = "should be a json path under either .spec or .status"
            errs.append(invalid_value(f"{path}.{field}", value, text))


_SELECTABLE_MAX = 8


def _selectable(errs: Errors, path: str, fields: Any, schema: Object) -> None:
    if len(fields) > _SELECTABLE_MAX:
        errs.append(too_many(path, len(fields), _SELECTABLE_MAX))
    seen: set[str] = set()
    for i, field in enumerate(fields):
        here, value = f"{path}[{i}].jsonPath", field.get("jsonPath") or ""
        node: Any = schema
        for step in value.split(".")[1:]:
            node = (node.get("properties") or {}).get(step) if isinstance(node, dict) else None
        if not value:
            errs.append(required(here))
        elif value.startswith(".metadata"):
            errs.append(invalid_value(here, value, "must not point to fields in metadata"))
        elif not isinstance(node, dict) or not value.startswith("."):
            errs.append(invalid_value(here, value, "does not refer to a valid field"))
        elif node.get("type") not in ("string", "boolean", "integer"):
            text = "must point to a field of type string, boolean or integer. Enum string fields and strings with "
            errs.append(invalid_value(here, value, text + "formats are allowed."))
        if value and value in seen:
            errs.append(duplicate(here, value))
        seen.add(value)


def update_custom_resource_definition(errs: Errors, new: Object, old: Object) -> None:
    # Rules that have been accepted once stay, also where they would not be accepted any more.
    found: Errors = []
    accepted: Errors = []
    custom_resource_definition(found, new)
    if any(_about_rules(error) for error in found):
        custom_resource_definition(accepted, old)
    errs.extend(error for error in found if not (_about_rules(error) and error in accepted))
    after, before = new.get("spec") or {}, old.get("spec") or {}
    established = any(
        c.get("type") == "Established" and c.get("status") == "True"
        for c in (old.get("status") or {}).get("conditions") or ()
    )
    if established:
        kind, was = (after.get("names") or {}).get("kind"), (before.get("names") or {}).get("kind")
        if after.get("scope") != before.get("scope"):
            errs.append(invalid_value("spec.scope", after.get("scope"), IMMUTABLE))
        if kind != was:
            errs.append(invalid_value("spec.names.kind", kind, IMMUTABLE))
    if after.get("group") != before.get("group"):
        errs.append(invalid_value("spec.group", after.get("group"), IMMUTABLE))
    plural, was_plural = (after.get("names") or {}).get("plural"), (before.get("names") or {}).get("plural")
    if plural != was_plural:
        errs.append(invalid_value("spec.names.plural", plural, IMMUTABLE))
    versions = {v.get("name") for v in after.get("versions") or ()}
    for i, stored in enumerate((old.get("status") or {}).get("storedVersions") or ()):
        if stored not in versions:
            text = (
                f"missing from spec.versions; {stored} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {stored} and removes "
                f"{stored} from status.storedVersions"
            )
            errs.append(invalid_value(f"status.storedVersions[{i}]", stored, text))


def _about_rules(error: FieldError) -> bool:
    return "x-kubernetes-validations[" in error.field


def api_service(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    version, group = spec.get("version") or "", spec.get("group") or ""
    name = (obj.get("metadata") or {}).get("name") or ""
    if name != f"{version}.{group}":
        text = 'must be `spec.version+"."+spec.group`: "' + f'{version}.{group}"'
        errs.append(invalid_value("metadata.name", name, text))
    if not version:
        errs.append(required("spec.version"))
    if group:
        checked(errs, "spec.group", group, names.dns1123_subdomain)
    for field, high in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= high:
            errs.append(invalid_value(f"spec.{field}", value, f"must be positive and less than {high}"))
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            errs.append(
                invalid_value("spec.caBundle", "<bytes>", "local APIServices may not have a caBundle")
            )
        if spec.get("insecureSkipTLSVerify"):
            text = "local APIServices may not have insecureSkipTLSVerify"
            errs.append(invalid_value("spec.insecureSkipTLSVerify", True, text))
    else:
        service_reference(errs, "spec.service", service)
        if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
            text = "may not be true if caBundle is present"
            errs.append(invalid_value("spec.insecureSkipTLSVerify", True, text))


def update_api_service(errs: Errors, new: Object, old: Object) -> None:
    api_service(errs, new)
