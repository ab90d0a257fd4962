"""The cluster's own certificate authority and what it signs: serving, client and node certificates, kubeconfigs.

Everything is EC P-256. Files follow kubeadm's names under `<data dir>/pki`; private keys and kubeconfigs are
readable by their owner alone, are written atomically, and are kept when they are there and still good.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apiserver.pki_files import ClusterFiles, PKIError

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=60)
BACKDATE = timedelta(minutes=5)
"""Certificates are valid from a little before now, so that clocks which differ slightly agree on them."""

NODES_GROUP = "system:nodes"
NODE_USER_PREFIX = "system:node:"
MASTERS_GROUP = "system:masters"


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA that can sign. `pem` is its certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    pem: bytes

    @classmethod
    def load(cls, pki_dir: Path) -> CertificateAuthority:
        """The CA in `pki_dir` (ca.crt, ca.key). Raises PKIError when it is missing or its files disagree."""
        try:
            pem = (pki_dir / "ca.crt").read_bytes()
            certificate = x509.load_pem_x509_certificate(pem)
            key = _load_key((pki_dir / "ca.key").read_bytes())
        except (OSError, ValueError) as err:
            raise PKIError(f"cannot load the certificate authority in {pki_dir}: {err}") from err
        if certificate.public_key() != key.public_key():
            raise PKIError(f"{pki_dir}/ca.key does not belong to {pki_dir}/ca.crt")
        return cls(certificate, key, pem)


@dataclass(frozen=True, slots=True)
class ClusterPKI(ClusterFiles):
    """A cluster's files, and its CA to sign with."""

    ca: CertificateAuthority


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data` in one step, durably; a reader sees the old or the new content, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One process at a time makes certificates in a directory."""
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    # One RDN per value: a group per organization, in the order given.
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, org) for org in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _now() -> datetime:
    return datetime.now(UTC)


def create_ca(common_name: str = "kubernetes", now: datetime | None = None) -> CertificateAuthority:
    """A new self-signed CA, in memory."""
    now = now or _now()
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CertificateAuthority(certificate, key, certificate.public_bytes(serialization.Encoding.PEM))


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def sign(
    ca: CertificateAuthority,
    public_key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    *,
    client: bool,
    names: Sequence[str] = (),
    server: bool = False,
    lifetime: timedelta = LEAF_LIFETIME,
    now: datetime | None = None,
) -> bytes:
    """A leaf certificate (PEM) for `public_key`; `names` are its DNS names and IP addresses. Never outlives the CA."""
    now = now or _now()
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + lifetime, ca.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False
        )
    )
    if names:
        unique = dict.fromkeys(names)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(n) for n in unique]), critical=False
        )
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def issue_client(
    ca: CertificateAuthority,
    common_name: str,
    organizations: Sequence[str] = (),
    *,
    lifetime: timedelta = LEAF_LIFETIME,
    now: datetime | None = None,
) -> Credential:
    """A client certificate: `common_name` is the user, `organizations` its groups."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name, organizations)
    return Credential(
        sign(ca, key.public_key(), subject, client=True, lifetime=lifetime, now=now), _key_pem(key)
    )


def issue_serving(
    ca: CertificateAuthority, common_name: str, names: Sequence[str], *, now: datetime | None = None
) -> Credential:
    """A serving certificate for DNS names and IP addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = sign(ca, key.public_key(), _name(common_name), client=False, server=True, names=names, now=now)
    return Credential(pem, _key_pem(key))


def issue_node(
    ca: CertificateAuthority,
    node: str,
    addresses: Sequence[str] = ("127.0.0.1",),
    *,
    now: datetime | None = None,
) -> Credential:
    """A node's certificate: client towards the apiserver, server for its agent.

    The apiserver recognises a node's agent by the node's name among the certificate's DNS names.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(NODE_USER_PREFIX + node, (NODES_GROUP,))
    pem = sign(ca, key.public_key(), subject, client=True, server=True, names=(node, *addresses), now=now)
    return Credential(pem, _key_pem(key))


def serving_names(service_cidr: str, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """The names an apiserver answers to, in the cluster and on its machine. `service_cidr` may list two families."""
    first = [str(ipaddress.ip_network(cidr.strip(), strict=False)[1]) for cidr in service_cidr.split(",")]
    local = ("127.0.0.1", "::1", "localhost")
    cluster = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
    return (*local, *cluster, *first, *extra)


def _covers(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    if not names:
        return True
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return {_general_name(n) for n in names} <= set(alternatives)


def is_good(
    credential: Credential, ca: CertificateAuthority, names: Sequence[str] = (), now: datetime | None = None
) -> bool:
    """Whether a credential is whole, signed by this CA, covers `names` and need not be renewed yet."""
    now = now or _now()
    try:
        certificate = x509.load_pem_x509_certificate(credential.certificate)
        key = _load_key(credential.key)
        certificate.verify_directly_issued_by(ca.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    lasts = min(now + RENEW_BEFORE, ca.certificate.not_valid_after_utc)
    fresh = certificate.not_valid_before_utc <= now and lasts <= certificate.not_valid_after_utc
    return fresh and certificate.public_key() == key.public_key() and _covers(certificate, names)


def _stored(cert: Path, key: Path) -> Credential | None:
    try:
        return Credential(cert.read_bytes(), key.read_bytes())
    except FileNotFoundError:
        return None


def ensure_ca(pki_dir: Path, now: datetime | None = None) -> CertificateAuthority:
    """The CA of `pki_dir`, made when there is none. Never replaces a certificate or a key that is there."""
    if (pki_dir / "ca.crt").exists():
        return CertificateAuthority.load(pki_dir)
    # The key goes first: a crash between the two leaves a key without a certificate, which signed nothing yet.
    ca = create_ca(now=now)
    write_atomically(pki_dir / "ca.key", _key_pem(ca.key))
    write_atomically(pki_dir / "ca.crt", ca.pem, 0o644)
    return ca


def ensure_service_account_key(pki_dir: Path) -> None:
    """`sa.key` and `sa.pub`, which sign and verify service account tokens (ES256)."""
    key_path, pub_path = pki_dir / "sa.key", pki_dir / "sa.pub"
    if key_path.exists() and pub_path.exists():
        return
    if not key_path.exists():
        write_atomically(key_path, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    public = serialization.load_pem_private_key(key_path.read_bytes(), None).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_atomically(pub_path, pem, 0o644)


def ensure_cluster_pki(
    pki_dir: Path,
    *,
    service_cidr: str = "10.96.0.0/16",
    extra_names: Sequence[str] = (),
    now: datetime | None = None,
) -> ClusterPKI:
    """Everything an apiserver needs in `pki_dir`; what is missing, expiring or too narrow is made anew."""
    pki_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(pki_dir):
        pki = ClusterPKI(pki_dir, ensure_ca(pki_dir, now))
        names = serving_names(service_cidr, extra_names)
        stored = _stored(pki.serving_cert, pki.serving_key)
        if stored is None or not is_good(stored, pki.ca, names, now):
            _store(issue_serving(pki.ca, "kube-apiserver", names, now=now), pki.serving_cert, pki.serving_key)
        stored = _stored(pki.node_client_cert, pki.node_client_key)
        if stored is None or not is_good(stored, pki.ca, now=now):
            made = issue_client(pki.ca, "system:kube-apiserver", (MASTERS_GROUP,), now=now)
            _store(made, pki.node_client_cert, pki.node_client_key)
        ensure_service_account_key(pki_dir)
    return pki


def _store(credential: Credential, cert: Path, key: Path) -> None:
    write_atomically(key, credential.key)
    write_atomically(cert, credential.certificate, 0o644)
