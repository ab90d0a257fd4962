"""Validation of what the cluster itself is made of: nodes, leases, priorities, budgets, certificates."""

from __future__ import annotations

import binascii
import ipaddress
from typing import Any

from apimachinery import names
from apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value, required
from apimachinery.validation import podscheduling, resourceamounts
from apimachinery.validation.fields import (
    IMMUTABLE,
    Errors,
    checked,
    cidr,
    enum,
    immutable,
    int_or_percent,
    label_selector,
    labels,
    not_negative,
    required_enum,
)

Object = dict[str, Any]


def node(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    # Kubernetes says `metadata` of taints.
    taints(errs, "metadata.taints", spec.get("taints") or [])
    _node_amounts(errs, obj)
    ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    before = len(errs)
    for i, value in enumerate(ranges):
        cidr(errs, f"spec.podCIDRs[{i}]", value)
    if len(ranges) < 2 or len(errs) > before:
        return
    versions = {ipaddress.ip_network(value, strict=False).version for value in ranges}
    if len(ranges) > 2 or len(versions) == 1:
        text = "may specify no more than one CIDR for each IP family"
        errs.append(invalid_value("spec.podCIDRs", ranges, text))
    for i, value in enumerate(ranges):
        if value in ranges[:i]:
            errs.append(duplicate(f"spec.podCIDRs[{i}]", value))


def _node_amounts(errs: Errors, obj: Object) -> None:
    status = obj.get("status") or {}
    for field in ("capacity", "allocatable"):
        for name, text in (status.get(field) or {}).items():
            resourceamounts.amount(errs, f"status.{field}.{name}", name, text)


def taints(errs: Errors, path: str, items: list[Object]) -> None:
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(items):
        here = f"{path}[{i}]"
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        checked(errs, f"{here}.key", key, names.qualified_name)
        problems = names.label_value(taint.get("value") or "")
        if problems:
            errs.append(invalid_value(f"{here}.value", taint.get("value"), ";".join(problems)))
        required_enum(errs, f"{here}.effect", effect, podscheduling.TAINT_EFFECTS)
        if (key, effect) in seen:
            found = duplicate(here, taint)
            text = f"{found.message}: taints must be unique by key and effect pair"
            errs.append(FieldError(found.field, found.reason, text))
        seen.add((key, effect))


def update_node(errs: Errors, new: Object, old: Object) -> None:
    """Only labels, annotations, taints, and settings not set before."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    _node_amounts(errs, new)
    addresses: set[tuple[str, str]] = set()
    for i, address in enumerate((new.get("status") or {}).get("addresses") or ()):
        key = (address.get("type") or "", address.get("address") or "")
        if key in addresses:
            errs.append(duplicate(f"status.addresses[{i}]", address))
        addresses.add(key)
    if before.get("podCIDRs") and after.get("podCIDRs") != before["podCIDRs"]:
        text = 'node updates may not change podCIDR except from "" to valid'
        errs.append(forbidden_field("spec.podCIDRs", text))
    elif not before.get("podCIDRs"):
        for i, value in enumerate(after.get("podCIDRs") or ()):
            cidr(errs, f"spec.podCIDRs[{i}]", value)
    if before.get("providerID") and after.get("providerID") != before["providerID"]:
        text = 'node updates may not change providerID except from "" to valid'
        errs.append(forbidden_field("spec.providerID", text))
    taints(errs, "metadata.taints", after.get("taints") or [])
    if (after.get("externalID") or "") != (before.get("externalID") or ""):
        errs.append(forbidden_field("spec.externalID", "may not be updated"))


#: A status is validated as the node with it.
update_node_status = update_node


def lease(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        errs.append(invalid_value("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    not_negative(errs, "spec.leaseTransitions", spec.get("leaseTransitions"))
    strategy = spec.get("strategy")
    if spec.get("holderIdentity") == "":
        errs.append(invalid_value("spec.holderIdentity", "", "must not be empty"))
    if spec.get("preferredHolder") and not strategy:
        text = "may only be specified if `strategy` is defined"
        errs.append(forbidden_field("spec.preferredHolder", text))


def update_lease(errs: Errors, new: Object, old: Object) -> None:
    lease(errs, new)


_HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def priority_class(errs: Errors, obj: Object) -> None:
    name, value = (obj.get("metadata") or {}).get("name") or "", obj.get("value") or 0
    if name.startswith("system-"):
        if _SYSTEM_CLASSES.get(name) != value:
            text = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {name} is not a known system priority class"
            )
            if name in _SYSTEM_CLASSES:
                text = (
                    "priority class names with 'system-' prefix are reserved for system use only. "
                    f"error: value of {name} PriorityClass must be {_SYSTEM_CLASSES[name]}"
                )
            errs.append(forbidden_field("metadata.name", text))
    elif value > _HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
        errs.append(forbidden_field("value", text))
    if obj.get("preemptionPolicy") is not None:
        enum(errs, "preemptionPolicy", obj["preemptionPolicy"], ("Never", "PreemptLowerPriority"))


def update_priority_class(errs: Errors, new: Object, old: Object) -> None:
    if (new.get("value") or 0) != (old.get("value") or 0):
        errs.append(forbidden_field("value", "may not be changed in an update."))
    immutable(errs, "preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))


def disruption_budget(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
    if low is not None and high is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        errs.append(invalid_value("spec", spec, text))
    for field, value in (("minAvailable", low), ("maxUnavailable", high)):
        if value is not None:
            int_or_percent(errs, f"spec.{field}", value)
            if (
                isinstance(value, str)
                and value.endswith("%")
                and value[:-1].isdigit()
                and int(value[:-1]) > 100
            ):
                errs.append(invalid_value(f"spec.{field}", value, "must not be greater than 100%"))
    label_selector(errs, "spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None:
        enum(errs, "spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))


def update_disruption_budget(errs: Errors, new: Object, old: Object) -> None:
    disruption_budget(errs, new)


def update_disruption_budget_status(errs: Errors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for field in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        not_negative(errs, f"status.{field}", status.get(field))


def runtime_class(errs: Errors, obj: Object) -> None:
    checked(errs, "handler", obj.get("handler") or "", names.dns1123_label)
    overhead = (obj.get("overhead") or {}).get("podFixed")
    if overhead:
        resourceamounts.requirements(errs, "overhead.podFixed", {"limits": overhead})
    scheduling = obj.get("scheduling") or {}
    labels(errs, "scheduling.nodeSelector", scheduling.get("nodeSelector"))
    podscheduling.tolerations(errs, "scheduling.tolerations", scheduling.get("tolerations") or [])


def update_runtime_class(errs: Errors, new: Object, old: Object) -> None:
    immutable(errs, "handler", new.get("handler"), old.get("handler"))


_USAGES = frozenset(
    ["any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
     "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
     "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
     "server auth", "signing", "timestamping"]
)  # fmt: skip


def certificate_request(errs: Errors, obj: Object) -> None:
    """A CertificateSigningRequest. That the request itself parses is the signer's to check."""
    spec = obj.get("spec") or {}
    request = spec.get("request") or ""
    if not request:
        errs.append(invalid_value("spec.request", "", "PEM block type must be CERTIFICATE REQUEST"))
    elif b"-----BEGIN CERTIFICATE REQUEST-----" not in binascii.a2b_base64(request):
        errs.append(invalid_value("spec.request", request, "PEM block type must be CERTIFICATE REQUEST"))
    usages = spec.get("usages") or []
    if not usages:
        errs.append(required("spec.usages"))
    for i, usage in enumerate(usages):
        if usage not in _USAGES:
            enum(errs, f"spec.usages[{i}]", usage, sorted(_USAGES))
        if usage in usages[:i]:
            errs.append(duplicate(f"spec.usages[{i}]", usage))
    signer = spec.get("signerName") or ""
    if not signer:
        errs.append(required("spec.signerName"))
    else:
        domain, slash, path = signer.partition("/")
        if not slash or not path:
            text = 'must be a fully qualified domain and path of the form "example.com/signer-name"'
            errs.append(invalid_value("spec.signerName", signer, text))
        else:
            checked(errs, "spec.signerName", domain, names.dns1123_subdomain)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errs.append(invalid_value("spec.expirationSeconds", seconds, text))


def update_certificate_request(errs: Errors, new: Object, old: Object) -> None:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for field in sorted({*after, *before}):
        if (after.get(field) or None) != (before.get(field) or None):
            errs.append(invalid_value(f"spec.{field}", after.get(field), IMMUTABLE))


def update_certificate_status(errs: Errors, new: Object, old: Object) -> None:
    """Approval and denial exclude each other and stay; an issued certificate stays too."""
    conditions = (new.get("status") or {}).get("conditions") or []
    kinds = [c.get("type") for c in conditions]
    for i, condition in enumerate(conditions):
        here = f"status.conditions[{i}]"
        if not condition.get("type"):
            errs.append(required(f"{here}.type"))
        if not condition.get("status"):
            errs.append(required(f"{here}.status"))
        elif condition["status"] not in ("False", "True", "Unknown"):
            enum(errs, f"{here}.status", condition["status"], ("False", "True", "Unknown"))
        if condition.get("type") in kinds[:i]:
            errs.append(duplicate(f"{here}.type", condition.get("type")))
    if "Approved" in kinds and "Denied" in kinds:
        text = "Approved and Denied conditions are mutually exclusive"
        errs.append(invalid_value("status.conditions", "Denied", text))
    before = (old.get("status") or {}).get("conditions") or []
    for kind in ("Approved", "Denied", "Failed"):
        had = [c for c in before if c.get("type") == kind]
        if had and kind not in kinds:
            errs.append(
                forbidden_field("status.conditions", f'updates may not remove a condition of type "{kind}"')
            )
    issued = (old.get("status") or {}).get("certificate")
    if issued and (new.get("status") or {}).get("certificate") != issued:
        errs.append(forbidden_field("status.certificate", "updates may not change a certificate once set"))
