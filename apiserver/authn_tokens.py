"""Who a bearer token is: service accounts, bootstrap tokens of joining nodes, and a file of static tokens."""

from __future__ import annotations

import csv
import hmac
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery import meta, resources
from apiserver.request import Object, Reader, User

if TYPE_CHECKING:
    from apiserver.tokens import TokenVerifier

PODS = resources.get("pods")
SECRETS = resources.get("secrets")
NODES = resources.get("nodes")
SERVICE_ACCOUNTS = resources.get("serviceaccounts")

_BOOTSTRAP_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_BOOTSTRAP_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_CACHED_TOKENS = 4096
_CACHE_SECONDS = 2.0
_DELETION_GRACE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Identity:
    """A token's user, and the audiences the token is for (None: whatever audience is asked for)."""

    user: User
    audiences: tuple[str, ...] | None = None


class ServiceAccountTokens:
    """Verifies service account tokens, and that what they are bound to still exists.

    A result is kept for two seconds: a token dies at most that long after the object it is bound to.
    """

    def __init__(
        self, reader: Reader, load_verifier: Callable[[], TokenVerifier], api_audiences: Sequence[str]
    ) -> None:
        self._reader = reader
        self._load = load_verifier
        self._loaded: TokenVerifier | None = None
        self.api_audiences = tuple(api_audiences)
        self._cache: OrderedDict[str, tuple[float, Identity]] = OrderedDict()

    @property
    def verifier(self) -> TokenVerifier:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def identify(self, token: str, now: float) -> Identity | None:
        """The identity of a valid token. `now` in seconds since the epoch."""
        known = self._cache.get(token)
        if known is not None and now < known[0]:
            return known[1]
        from apiserver.tokens import InvalidToken

        if not self.verifier.issued_here(token):
            return None
        try:
            claims = self.verifier.verify(token, now)
        except InvalidToken:
            return None
        identity = self._bound(claims, now)
        if identity is not None:
            self._cache[token] = (
                min(now + _CACHE_SECONDS, claims.get("exp", now + _CACHE_SECONDS)),
                identity,
            )
            if len(self._cache) > _CACHED_TOKENS:
                self._cache.popitem(last=False)
        return identity

    def _bound(self, claims: Object, now: float) -> Identity | None:
        from apiserver.tokens import CLAIMS, LEGACY_ISSUER

        if claims["iss"] == LEGACY_ISSUER:
            return self._legacy(claims)
        private = claims.get(CLAIMS)
        audiences = claims.get("aud")
        if isinstance(audiences, str):
            audiences = [audiences]
        if not isinstance(private, dict) or not isinstance(audiences, list):
            return None
        namespace = private.get("namespace", "")
        account = private.get("serviceaccount") or {}
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={claims['jti']}",)
        if not self._alive(SERVICE_ACCOUNTS, namespace, account, now):
            return None
        for kind, resource, scope in (
            ("pod", PODS, namespace),
            ("secret", SECRETS, namespace),
            ("node", NODES, ""),
        ):
            reference = private.get(kind)
            if reference is None:
                continue
            # A token of a pod names the pod's node for information; it dies with the pod, not with the node.
            informative = kind == "node" and "pod" in private
            if not informative and not self._alive(resource, scope, reference, now):
                return None
            if kind != "secret":
                extra[f"authentication.kubernetes.io/{kind}-name"] = (reference.get("name", ""),)
                extra[f"authentication.kubernetes.io/{kind}-uid"] = (reference.get("uid", ""),)
        user = service_account(namespace, account.get("name", ""), account.get("uid", ""), extra)
        return Identity(user, tuple(str(a) for a in audiences))

    def _alive(self, resource: resources.Resource, namespace: str, reference: Object, now: float) -> bool:
        obj = self._reader.get(resource, namespace, reference.get("name", ""))
        if obj is None or obj["metadata"].get("uid") != reference.get("uid"):
            return False
        deleted = obj["metadata"].get("deletionTimestamp")
        return not deleted or now < (meta.parse_time(deleted) + _DELETION_GRACE).timestamp()

    def _legacy(self, claims: Object) -> Identity | None:
        """A token in a Secret of type kubernetes.io/service-account-token; it lives as long as the Secret."""
        prefix = "kubernetes.io/serviceaccount/"
        namespace, name = (
            claims.get(f"{prefix}namespace", ""),
            claims.get(f"{prefix}service-account.name", ""),
        )
        uid = claims.get(f"{prefix}service-account.uid", "")
        account = self._reader.get(SERVICE_ACCOUNTS, namespace, name)
        secret = self._reader.get(SECRETS, namespace, claims.get(f"{prefix}secret.name", ""))
        if account is None or account["metadata"].get("uid") != uid:
            return None
        if (
            secret is None
            or secret["metadata"].get("deletionTimestamp")
            or not (secret.get("data") or {}).get("token")
        ):
            return None
        return Identity(service_account(namespace, name, uid, {}), self.api_audiences)


def service_account(namespace: str, name: str, uid: str, extra: dict[str, tuple[str, ...]]) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", uid, groups, extra)


class BootstrapTokens:
    """Tokens `<id>.<secret>` that Secrets in kube-system describe; a node joins with one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def identify(self, token: str, now: datetime) -> Identity | None:
        match = _BOOTSTRAP_TOKEN.fullmatch(token)
        if match is None:
            return None
        token_id, token_secret = match.groups()
        secret = self._reader.get(SECRETS, "kube-system", f"bootstrap-token-{token_id}")
        if (
            secret is None
            or secret.get("type") != "bootstrap.kubernetes.io/token"
            or secret["metadata"].get("deletionTimestamp")
        ):
            return None
        data = {key: _text(value) for key, value in (secret.get("data") or {}).items()}
        if data.get("token-id") != token_id or not hmac.compare_digest(
            data.get("token-secret", ""), token_secret
        ):
            return None
        if data.get("usage-bootstrap-authentication") != "true" or _expired(data.get("expiration", ""), now):
            return None
        groups = [g.strip() for g in data.get("auth-extra-groups", "").split(",") if g.strip()]
        if not all(_BOOTSTRAP_GROUP.fullmatch(g) for g in groups):
            return None
        return Identity(
            User(
                f"system:bootstrap:{token_id}", "", ("system:bootstrappers", *groups, "system:authenticated")
            )
        )


def _text(data: str) -> str:
    try:
        return b64decode(data).decode()
    except (Base64Error, ValueError):
        return ""


def _expired(text: str, now: datetime) -> bool:
    if not text:
        return False
    try:
        return now >= meta.parse_time(text)
    except ValueError:
        return True


class StaticTokens:
    """A CSV file of `token,user,uid[,"group1,group2"]` lines, read once."""

    def __init__(self, path: Path) -> None:
        self._users: dict[bytes, User] = {}
        with path.open(newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3 or not row[0]:
                    raise ValueError(f"{path}:{number}: expected token,user,uid[,groups]")
                groups = [g.strip() for g in row[3].split(",") if g.strip()] if len(row) > 3 else []
                user = User(row[1], row[2], (*groups, "system:authenticated"))
                self._users[row[0].encode()] = user

    def identify(self, token: str) -> Identity | None:
        given = token.encode()
        for known, user in self._users.items():
            if hmac.compare_digest(known, given):
                return Identity(user)
        return None
