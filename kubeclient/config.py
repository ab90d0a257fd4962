"""Where the API server is and who we are to it: kubeconfig files and a pod's service account."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(Exception):
    """A kubeconfig that is missing, unreadable or incomplete; the message says which part."""


@dataclass(frozen=True, slots=True)
class Config:
    """One server and one identity.

    `server` is a URL. Certificates and keys are PEM. `token_file` is read again as it changes.
    """

    server: str
    ca: bytes = b""
    client_certificate: bytes = b""
    client_key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    namespace: str = "default"
    context: str = ""
    impersonate: str = ""
    impersonate_groups: tuple[str, ...] = ()

    @classmethod
    def from_kubeconfig(
        cls, path: str | os.PathLike[str] | None = None, context: str | None = None
    ) -> Config:
        """The `context` (default: the current one) of the file at `path`, else of `$KUBECONFIG`, else of
        `~/.kube/config`. Several files, joined by `:`, are merged as kubectl does: the first to name a thing wins.
        Raises ConfigError.
        """
        found = str(path) if path is not None else os.environ.get("KUBECONFIG", "")
        paths = [Path(p) for p in found.split(os.pathsep) if p] or [Path.home() / ".kube" / "config"]
        documents = [(p, _read(p)) for p in paths if len(paths) == 1 or p.exists()]
        if not documents:
            raise ConfigError(f"no kubeconfig at {found}")
        name = context or next((d["current-context"] for _, d in documents if d.get("current-context")), "")
        if not name:
            raise ConfigError(f"{documents[0][0]}: no current-context is set")
        chosen, _ = _named(documents, "contexts", "context", name)
        cluster, cluster_dir = _named(documents, "clusters", "cluster", chosen.get("cluster", ""))
        user: Mapping[str, Any] = {}
        user_dir = cluster_dir
        if chosen.get("user"):
            user, user_dir = _named(documents, "users", "user", chosen["user"])
        if not cluster.get("server"):
            raise ConfigError(f"cluster {chosen.get('cluster')!r} has no server")
        if "exec" in user or "auth-provider" in user:
            raise ConfigError(f"user {chosen['user']!r}: credential plugins are not supported")
        token_file = user.get("tokenFile", "")
        return cls(
            server=cluster["server"].rstrip("/"),
            ca=_pem(cluster, "certificate-authority", cluster_dir),
            client_certificate=_pem(user, "client-certificate", user_dir),
            client_key=_pem(user, "client-key", user_dir),
            token=user.get("token", ""),
            token_file=str(user_dir / token_file) if token_file else "",
            username=user.get("username", ""),
            password=user.get("password", ""),
            insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
            tls_server_name=cluster.get("tls-server-name", ""),
            namespace=chosen.get("namespace") or "default",
            context=name,
            impersonate=user.get("as", ""),
            impersonate_groups=tuple(user.get("as-groups") or ()),
        )

    @classmethod
    def in_cluster(cls) -> Config:
        """From inside a pod: the service account's mounted token and CA. Raises ConfigError outside of one."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise ConfigError("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
        try:
            return cls(
                server=f"https://{'[' + host + ']' if ':' in host else host}:{port}",
                ca=(_SERVICE_ACCOUNT / "ca.crt").read_bytes(),
                token_file=str(_SERVICE_ACCOUNT / "token"),
                namespace=(_SERVICE_ACCOUNT / "namespace").read_text().strip() or "default",
            )
        except OSError as error:
            raise ConfigError(f"cannot read the service account: {error}") from error

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{self.server!r} is not an http or https URL")
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def base_path(self) -> str:
        return urlsplit(self.server).path.rstrip("/")

    def ssl_context(self) -> ssl.SSLContext | None:
        """A client context for `server`, or None for plain http. The system's CAs are only loaded if no CA is given
        (they cost several MB)."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca:
            try:
                context.load_verify_locations(cadata=self.ca.decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                raise ConfigError(f"certificate-authority: {error}") from error
        else:
            context.load_default_certs()
        if self.client_certificate:
            _load_chain(context, self.client_certificate, self.client_key)
        return context


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The ssl module reads certificate chains from files only; the file is readable by us alone, and short-lived.
    with tempfile.NamedTemporaryFile(prefix="kubeclient-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except ssl.SSLError as error:
            raise ConfigError(f"client-certificate, client-key: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is not a kubeconfig")
    return document


def _named(
    documents: list[tuple[Path, dict[str, Any]]], plural: str, singular: str, name: str
) -> tuple[Mapping[str, Any], Path]:
    """The entry of that name and the directory its relative paths start from."""
    for path, document in documents:
        for entry in document.get(plural) or ():
            if entry.get("name") == name:
                return entry.get(singular) or {}, path.resolve().parent
    raise ConfigError(f"{documents[0][0]}: there is no {singular} {name!r}")


def _pem(entry: Mapping[str, Any], key: str, directory: Path) -> bytes:
    data = entry.get(key + "-data")
    try:
        if data:
            return base64.b64decode(data, validate=True)
        if entry.get(key):
            path: Path = directory / entry[key]
            return path.read_bytes()
    except binascii.Error as error:
        raise ConfigError(f"{key}-data is not base64: {error}") from error
    except OSError as error:
        raise ConfigError(f"{key}: {error}") from error
    return b""
