"""Authentication: who makes a request, by client certificate, bearer token, impersonation, or nobody (anonymous)."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from apimachinery import errors
from apiserver.authn_tokens import BootstrapTokens, Identity, ServiceAccountTokens, StaticTokens
from apiserver.request import Attributes, Reader, User

if TYPE_CHECKING:
    from apiserver.tokens import TokenVerifier

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = User("system:anonymous", "", (UNAUTHENTICATED,))
DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
_WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."
_EXTRA_PREFIX = "impersonate-extra-"
_REMEMBERED_CERTIFICATES = 4096


class Headers(Protocol):
    """What is needed of a request's headers; names are matched whatever their case (as aiohttp's are)."""

    def get(self, key: str, /) -> str | None: ...

    def getall(self, key: str, default: list[str], /) -> list[str]: ...

    def items(self) -> Any: ...


class Authorizes(Protocol):
    def authorize(self, attributes: Attributes) -> str | None: ...


class Authenticator:
    """Finds the User of a request.

    `key_files` are the public (or private) keys that verify service account tokens, read when the first token
    comes; `api_audiences` are the audiences a token must be for here.
    """

    def __init__(
        self,
        reader: Reader,
        authorizer: Authorizes,
        *,
        key_files: Sequence[Path] = (),
        issuer: str = DEFAULT_ISSUER,
        api_audiences: Sequence[str] = (),
        token_file: Path | None = None,
        anonymous: bool = True,
    ) -> None:
        self._authorizer = authorizer
        self._anonymous = anonymous
        self.issuer = issuer
        self.api_audiences = tuple(api_audiences) or (issuer,)
        self._key_files = tuple(key_files)
        self._accounts = ServiceAccountTokens(reader, self._load_verifier, self.api_audiences)
        self._bootstrap = BootstrapTokens(reader)
        self._static = StaticTokens(token_file) if token_file else None
        self._certificates: dict[Any, User] = {}

    def _load_verifier(self) -> TokenVerifier:
        from apiserver import tokens  # cryptography is loaded with the first token

        return tokens.load_verifier(self._key_files, (self.issuer,))

    @property
    def verifier(self) -> TokenVerifier:
        """The keys that verify service account tokens."""
        return self._accounts.verifier

    def authenticate(self, headers: Headers, peercert: Mapping[str, Any] | None) -> User:
        """The user of a request; `peercert` is what ssl's getpeercert() gave for a verified client certificate.

        Raises 401 for credentials that are not valid, and 403 or 500 for an impersonation that is not allowed or
        not complete.
        """
        return self.impersonated(self.identified(headers, peercert), headers)

    def identified(self, headers: Headers, peercert: Mapping[str, Any] | None) -> User:
        """Who makes a request, whoever it is made for. Raises 401."""
        user = self._certificate_user(peercert) if peercert else None
        if user is None:
            token = _bearer(headers)
            if token:
                identity = self.identify(token, self.api_audiences)
                if identity is None:
                    raise errors.unauthorized()
                user = identity.user
            elif not self._anonymous:
                raise errors.unauthorized()
            else:
                user = ANONYMOUS
        return user

    def impersonated(self, user: User, headers: Headers) -> User:
        """Who a request of a user is made for: the user, or whom it impersonates. Raises 403 or 500."""
        if headers.get("Impersonate-User") is not None:
            return self._impersonated(user, headers)
        if headers.get("Impersonate-Group") is not None or headers.get("Impersonate-Uid") is not None:
            raise errors.internal("requested impersonation of groups or uid without impersonating a user")
        return user

    def identify(self, token: str, audiences: Sequence[str]) -> Identity | None:
        """Who a bearer token is, when it is valid for one of `audiences`."""
        now = time.time()
        identity = (
            (self._static.identify(token) if self._static else None)
            or (self._accounts.identify(token, now) if self._key_files and token.count(".") == 2 else None)
            or self._bootstrap.identify(token, datetime.fromtimestamp(now, UTC))
        )
        if identity is None:
            return None
        if identity.audiences is None:
            # Tokens of other kinds say no audience: they are for this apiserver.
            return identity if set(audiences) & set(self.api_audiences) else None
        return identity if set(audiences) & set(identity.audiences) else None

    def _certificate_user(self, peercert: Mapping[str, Any]) -> User | None:
        subject = peercert.get("subject", ())
        user = self._certificates.get(subject)
        if user is None:
            pairs = [pair for rdn in subject for pair in rdn]
            names = [value for key, value in pairs if key == "commonName"]
            if not names or not names[-1]:
                return None
            groups = tuple(value for key, value in pairs if key == "organizationName")
            user = User(names[-1], "", (*groups, AUTHENTICATED))
            if len(self._certificates) >= _REMEMBERED_CERTIFICATES:
                self._certificates.clear()
            self._certificates[subject] = user
        return user

    def _impersonated(self, user: User, headers: Headers) -> User:
        name = headers.get("Impersonate-User") or ""
        uid = headers.get("Impersonate-Uid") or ""
        groups = tuple(headers.getall("Impersonate-Group", []))
        extra: dict[str, list[str]] = {}
        for key, value in headers.items():
            if key.lower().startswith(_EXTRA_PREFIX):
                extra.setdefault(unquote(key.lower().removeprefix(_EXTRA_PREFIX)), []).append(value)
        if not name:
            raise errors.internal("requested impersonation without impersonating a user")
        parts = name.split(":")
        is_account = len(parts) == 4 and name.startswith("system:serviceaccount:")
        if is_account:
            self._may(user, "serviceaccounts", parts[3], namespace=parts[2])
        else:
            self._may(user, "users", name)
        if uid:
            self._may(user, "uids", uid, group="authentication.k8s.io")
        for group in groups:
            self._may(user, "groups", group)
        for key, values in extra.items():
            for value in values:
                self._may(user, "userextras", value, group="authentication.k8s.io", subresource=key)
        if is_account and not groups:
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{parts[2]}")
        given = UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED
        if given not in groups:
            groups = (*groups, given)
        return User(name, uid, groups, {key: tuple(values) for key, values in extra.items()})

    def _may(
        self,
        user: User,
        resource: str,
        name: str,
        *,
        namespace: str = "",
        group: str = "",
        subresource: str = "",
    ) -> None:
        why = self._authorizer.authorize(
            Attributes(
                user, "impersonate", group, "v1", resource, subresource, namespace=namespace, name=name
            )
        )
        if why is not None:
            raise errors.forbidden(resource, name, why, group)


def _bearer(headers: Headers) -> str:
    """The bearer token of a request, or "". Browsers put it among a WebSocket's subprotocols."""
    value = headers.get("Authorization")
    if value:
        scheme, _, token = value.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    protocols = headers.get("Sec-WebSocket-Protocol")
    if protocols and _WEBSOCKET_TOKEN in protocols:
        for protocol in protocols.split(","):
            encoded = protocol.strip()
            if encoded.startswith(_WEBSOCKET_TOKEN):
                encoded = encoded.removeprefix(_WEBSOCKET_TOKEN)
                try:
                    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
                except ValueError:
                    return ""
    return ""
