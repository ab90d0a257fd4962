"""Validation of ClusterTrustBundles (KEP-3257)."""

from __future__ import annotations

from typing import Any

from apimachinery import names, pem
from apimachinery.errors import invalid_value, too_long
from apimachinery.validation.fields import Errors, checked, immutable

Object = dict[str, Any]

_MAX_SIZE = 1 << 20
_OMITTED = "<value omitted>"
_BUNDLE = "spec.trustBundle"


def signer_name(errs: Errors, path: str, signer: str) -> None:
    """`domain/path`, both of them names."""
    domain, slash, rest = signer.partition("/")
    if not slash or not rest:
        text = 'must be a fully qualified domain and path of the form "example.com/signer-name"'
        errs.append(invalid_value(path, signer, text))
        return
    checked(errs, path, domain, names.dns1123_subdomain)


def create(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    signer = spec.get("signerName") or ""
    errs += [invalid_value("metadata.name", _name(obj), why) for why in _bad_name(_name(obj), signer)]
    if signer:
        signer_name(errs, "spec.signerName", signer)
    _bundle(errs, spec.get("trustBundle") or "")


def update(errs: Errors, new: Object, old: Object) -> None:
    create(errs, new)
    after, before = (o.get("spec") or {} for o in (new, old))
    immutable(errs, "spec.signerName", after.get("signerName", ""), before.get("signerName", ""))


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name") or "")


def _bad_name(name: str, signer: str) -> list[str]:
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return names.dns1123_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return names.dns1123_subdomain(name.removeprefix(prefix))


def _bundle(errs: Errors, bundle: str) -> None:
    if len(bundle.encode()) > _MAX_SIZE:
        errs.append(too_long(_BUNDLE, _MAX_SIZE))
        return
    seen: dict[bytes, list[int]] = {}
    for index, block in enumerate(pem.blocks(bundle)):
        if block.kind != "CERTIFICATE":
            errs.append(invalid_value(_BUNDLE, _OMITTED, f"entry {index} has bad block type: {block.kind}"))
        elif block.headers:
            errs.append(invalid_value(_BUNDLE, _OMITTED, f"entry {index} has PEM block headers"))
        elif why := _unreadable(block.data):
            errs.append(
                invalid_value(_BUNDLE, _OMITTED, f"entry {index} does not parse as X.509 certificate: {why}")
            )
        else:
            seen.setdefault(block.data, []).append(index)
    if not seen and not errs:
        errs.append(invalid_value(_BUNDLE, _OMITTED, "at least one trust anchor must be provided"))
    for indices in seen.values():
        if len(indices) > 1:
            shown = " ".join(map(str, indices))
            errs.append(invalid_value(_BUNDLE, _OMITTED, f"duplicate trust anchor (indices [{shown}])"))


def _unreadable(certificate: bytes) -> str:
    from cryptography import x509  # rarely wanted, and large

    try:
        x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        return str(error)
    return ""
