"""X.509: reads certificate requests and signs them with the cluster's authority. Imported when the first one comes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controllermanager.plans.certificates import Requested

# Certificates are valid from a little before now, so that clocks which differ slightly agree on them.
_BACKDATE = timedelta(minutes=5)

_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class SigningError(Exception):
    """A request cannot be read, or the authority's files cannot be used."""


def parse(request: str) -> x509.CertificateSigningRequest:
    """A base64 PEM certificate request whose signature is good. Raises SigningError."""
    try:
        parsed = x509.load_pem_x509_csr(b64decode(request))
        if not parsed.is_signature_valid:
            raise SigningError("unable to verify certificate request signature")
    except ValueError as error:
        raise SigningError(f"unable to parse csr: {error}") from error
    return parsed


def requested(parsed: x509.CertificateSigningRequest) -> Requested:
    def attribute(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(a.value) for a in parsed.subject.get_attributes_for_oid(oid))

    names = _alternative_names(parsed)

    def of(kind: type[Any]) -> tuple[str, ...]:
        return tuple(str(value) for value in names.get_values_for_type(kind)) if names is not None else ()

    return Requested(
        common_name=next(iter(attribute(NameOID.COMMON_NAME)), ""),
        organizations=attribute(NameOID.ORGANIZATION_NAME),
        dns_names=of(x509.DNSName),
        addresses=of(x509.IPAddress),
        emails=of(x509.RFC822Name),
        uris=of(x509.UniformResourceIdentifier),
    )


def _alternative_names(parsed: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise SigningError(f"unable to parse csr extensions: {error}") from error


class Authority:
    """The certificate and key that sign, read from files anew for each signature, so that they may be exchanged."""

    def __init__(self, certificate_file: str, key_file: str) -> None:
        self._certificate_file = Path(certificate_file)
        self._key_file = Path(key_file)

    def sign(
        self, parsed: x509.CertificateSigningRequest, usages: Iterable[str], seconds: int, now: datetime
    ) -> str:
        """The certificate, PEM in base64. It never outlives the authority. Raises SigningError."""
        try:
            ca = x509.load_pem_x509_certificate(self._certificate_file.read_bytes())
            key = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise SigningError(f"cannot load the signing certificate and key: {error}") from error
        if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            raise SigningError("the signing key is neither RSA nor an elliptic curve key")
        wanted = set(usages)
        extended = list(dict.fromkeys(_EXTENDED[usage] for usage in sorted(wanted) if usage in _EXTENDED))
        builder = (
            x509.CertificateBuilder()
            .subject_name(parsed.subject)
            .issuer_name(ca.subject)
            .public_key(parsed.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(min(now + timedelta(seconds=seconds) - _BACKDATE, ca.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(wanted), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
            )
        )
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        names = _alternative_names(parsed)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        return b64encode(certificate.public_bytes(serialization.Encoding.PEM)).decode()


def _key_usage(usages: set[str]) -> x509.KeyUsage:
    agreement = "key agreement" in usages
    return x509.KeyUsage(
        digital_signature=bool(usages & {"digital signature", "signing"}),
        content_commitment="content commitment" in usages,
        key_encipherment="key encipherment" in usages,
        data_encipherment="data encipherment" in usages,
        key_agreement=agreement,
        key_cert_sign="cert sign" in usages,
        crl_sign="crl sign" in usages,
        encipher_only=agreement and "encipher only" in usages,
        decipher_only=agreement and "decipher only" in usages,
    )
