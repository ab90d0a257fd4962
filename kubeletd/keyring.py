"""Which credentials of a pod's pull secrets are for an image, and in which order they are tried. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import SplitResult, urlsplit

from kubeletd import imagenames
from kubeletd.runtime.interface import RegistryAuth

log = logging.getLogger(__name__)

_DEFAULT_HOSTS = ("docker.io", "index.docker.io")
_DEFAULT_KEY = "index.docker.io"
# Type of a secret → its key, and where the entries are under it.
_KINDS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson", "auths"),
    "kubernetes.io/dockercfg": (".dockercfg", ""),
}


@dataclass(frozen=True, slots=True)
class Credential:
    """One entry of a pull secret. `digest` is what remembers it without telling it."""

    auth: RegistryAuth
    uid: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def digest(self) -> str:
        auth = self.auth
        text = json.dumps([auth.username, auth.password, auth.identity_token])
        return hashlib.sha256(text.encode()).hexdigest()


def lookup(secrets: Iterable[Mapping[str, Any]], image: str) -> tuple[Credential, ...]:
    """The credentials for an image, the most specific entry's first; those of one entry as the secrets come.

    An entry is for a registry's host (each label may hold `*`) and port, and for the repositories whose path begins
    with its path. Those of Docker Hub by its old name serve images of no other entry.
    """
    by_key: dict[str, list[Credential]] = {}
    for secret in secrets:
        for key, credential in _entries(secret):
            by_key.setdefault(key, []).append(credential)
    repository = imagenames.repository(image)
    target = urlsplit(f"https://{repository}")
    found = [
        credential
        for key in sorted(by_key, reverse=True)
        if _matches(urlsplit(f"https://{key}"), target)
        for credential in by_key[key]
    ]
    if not found and target.netloc in _DEFAULT_HOSTS:
        found = by_key.get(_DEFAULT_KEY, [])
    return tuple(found)


def _entries(secret: Mapping[str, Any]) -> Iterator[tuple[str, Credential]]:
    if secret.get("type") not in _KINDS:
        return
    key, inner = _KINDS[secret["type"]]
    meta = secret.get("metadata") or {}
    uid, namespace, name = (meta.get(field) or "" for field in ("uid", "namespace", "name"))
    try:
        content = json.loads(base64.b64decode((secret.get("data") or {}).get(key) or "e30="))
        entries = ((content.get(inner) or {}) if inner else content).items()
    except (ValueError, AttributeError) as error:
        log.warning("pull secret %s/%s is passed over: %s", namespace, name, error)
        return
    for server, entry in entries:
        try:
            yield _key(server), Credential(_auth(server, entry), uid, namespace, name)
        except (ValueError, AttributeError) as error:
            log.warning("entry %s of pull secret %s/%s is passed over: %s", server, namespace, name, error)


def _auth(server: str, entry: Mapping[str, Any]) -> RegistryAuth:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth"):
        username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return RegistryAuth(username, password, server, entry.get("identitytoken") or "")


def _key(server: str) -> str:
    """`host[:port][/path]`; the API's own paths /v1/ and /v2/ are none."""
    parsed = urlsplit(server if server.startswith(("https://", "http://")) else f"https://{server}")
    path = parsed.path
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return parsed.netloc + ("" if path == "/" else path)


def _matches(entry: SplitResult, target: SplitResult) -> bool:
    host, _, port = _host(entry.netloc)
    wanted, _, its_port = _host(target.netloc)
    labels, its_labels = host.split("."), wanted.split(".")
    return (
        port == its_port
        and len(labels) == len(its_labels)
        and target.path.startswith(entry.path)
        and all(map(fnmatchcase, its_labels, labels))
    )


def _host(netloc: str) -> tuple[str, str, str]:
    """(host, ":", port); an IPv6 address has its colons in brackets."""
    host, colon, port = ("", "", "") if netloc.endswith("]") else netloc.rpartition(":")
    return (host or netloc).strip("[]"), colon, port if host else ""
