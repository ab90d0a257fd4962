"""Service account tokens: JSON Web Tokens signed with the cluster's key, and the documents that let others check them.

ES256 and RS256 are verified; we sign with whichever the key is. (RFC 7519, RFC 7515, RFC 7517; KEP-1205)
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from apimachinery import errors
from apimachinery.errors import FieldError
from apiserver.request import Object

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
CLAIMS = "kubernetes.io"
MIN_SECONDS = 600
MAX_SECONDS = 1 << 32
DEFAULT_SECONDS = 3600
WARN_SECONDS = 3607
"""The lifetime the kubelet asks for in the default projected volume. Tokens asked for with exactly this live for a
year, since old clients read their token only once; `warnafter` tells when they should have read it again."""
EXTENDED_SECONDS = 365 * 24 * 3600
LEEWAY_SECONDS = 60

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class InvalidToken(Exception):
    """The token is not one of ours, was changed, or is not valid now."""


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as err:
        raise InvalidToken("not base64url") from err


def key_id(key: PublicKey) -> str:
    """`kid`: the SHA-256 of the public key's DER form."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _b64(hashlib.sha256(der).digest())


def algorithm(key: PublicKey) -> str:
    return "ES256" if isinstance(key, ec.EllipticCurvePublicKey) else "RS256"


def _integer(value: int, size: int | None = None) -> str:
    return _b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk(key: PublicKey) -> Object:
    """The key as RFC 7517 writes it."""
    common = {"use": "sig", "kid": key_id(key), "alg": algorithm(key)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        return {**common, "kty": "EC", "crv": "P-256", "x": _integer(point.x, 32), "y": _integer(point.y, 32)}
    numbers = key.public_numbers()
    return {**common, "kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}


def _supported(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise ValueError("service account keys must be RSA or EC P-256")


def load_public_key(pem: bytes) -> PublicKey:
    """A public key, or the public half of a private one. Raises ValueError."""
    if b"PRIVATE KEY" in pem:
        return _supported(serialization.load_pem_private_key(pem, None).public_key())
    return _supported(serialization.load_pem_public_key(pem))


class TokenSigner:
    """Signs with the cluster's private key."""

    def __init__(self, private_pem: bytes) -> None:
        key = serialization.load_pem_private_key(private_pem, None)
        public = _supported(key.public_key())
        assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
        self._key: PrivateKey = key
        header = {"alg": algorithm(public), "kid": key_id(public)}
        self._header = _b64(orjson.dumps(header))

    def sign(self, claims: Object) -> str:
        signed = f"{self._header}.{_b64(orjson.dumps(claims))}"
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        else:
            signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_b64(signature)}"


class TokenVerifier:
    """Checks signatures, issuer, and times against the public keys the cluster trusts."""

    def __init__(self, public_pems: Sequence[bytes], issuers: Sequence[str] = (DEFAULT_ISSUER,)) -> None:
        self.keys = [load_public_key(pem) for pem in public_pems]
        self._by_id = {key_id(key): key for key in self.keys}
        self.issuers = tuple(issuers)

    def issued_here(self, token: str) -> bool:
        """Whether the token claims to be from one of our issuers; nothing is verified."""
        parts = token.split(".")
        if len(parts) != 3:
            return False
        try:
            issuer = orjson.loads(_unb64(parts[1])).get("iss")
        except (InvalidToken, orjson.JSONDecodeError, AttributeError):
            return False
        return issuer in self.issuers or issuer == LEGACY_ISSUER

    def verify(self, token: str, now: float) -> Object:
        """The claims of a valid token. Raises InvalidToken."""
        parts = token.split(".")
        if len(parts) != 3:
            raise InvalidToken("not three parts")
        try:
            header, claims = orjson.loads(_unb64(parts[0])), orjson.loads(_unb64(parts[1]))
        except orjson.JSONDecodeError as err:
            raise InvalidToken("not JSON") from err
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise InvalidToken("not JSON objects")
        self._check_signature(header, f"{parts[0]}.{parts[1]}".encode(), _unb64(parts[2]))
        if claims.get("iss") == LEGACY_ISSUER:
            return claims
        if claims.get("iss") not in self.issuers:
            raise InvalidToken("another issuer")
        _check_times(claims, now)
        return claims

    def _check_signature(self, header: Object, signed: bytes, signature: bytes) -> None:
        known = self._by_id.get(header.get("kid", ""))
        for key in [known] if known else self.keys:
            if header.get("alg") != algorithm(key):
                continue
            try:
                if isinstance(key, ec.EllipticCurvePublicKey):
                    if len(signature) != 64:
                        continue
                    halves = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
                    key.verify(encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA256()))
                else:
                    key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                continue
            return
        raise InvalidToken("signature does not verify")


def _check_times(claims: Object, now: float) -> None:
    for claim in ("exp", "nbf", "iat"):
        value = claims.get(claim)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidToken(f"no {claim}")
    if now >= claims["exp"] + LEEWAY_SECONDS:
        raise InvalidToken("expired")
    if now < claims["nbf"] - LEEWAY_SECONDS:
        raise InvalidToken("not valid yet")


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token is bound to besides its service account: objects of the API, or None."""

    pod: Object | None = None
    secret: Object | None = None
    node: Object | None = None


def _reference(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def claims_for(
    account: Object, bound: Bound, *, issuer: str, audiences: Sequence[str], seconds: int, now: int, jti: str,
    extend: bool = False,
) -> Object:  # fmt: skip
    """The claims of a new token. `extend`: a token for the apiserver asked for with the default lifetime."""
    meta = account["metadata"]
    private: Object = {"namespace": meta["namespace"]}
    for name, obj in (("node", bound.node), ("pod", bound.pod), ("secret", bound.secret)):
        if obj is not None:
            private[name] = _reference(obj)
    private["serviceaccount"] = _reference(account)
    lifetime = seconds
    if extend and bound.pod is not None and seconds == WARN_SECONDS:
        private["warnafter"] = now + seconds
        lifetime = EXTENDED_SECONDS
    return {
        "aud": list(audiences),
        "exp": now + lifetime,
        "iat": now,
        "iss": issuer,
        "jti": jti,
        CLAIMS: private,
        "nbf": now,
        "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
    }


def validate_request(spec: Object) -> list[FieldError]:
    """Field errors of a TokenRequest's spec."""
    seconds = spec.get("expirationSeconds", DEFAULT_SECONDS)
    if seconds < MIN_SECONDS:
        return [
            errors.invalid_value(
                "spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
            )
        ]
    if seconds > MAX_SECONDS:
        return [
            errors.invalid_value(
                "spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"
            )
        ]
    return []


def openid_configuration(issuer: str, keys: Sequence[PublicKey], jwks_uri: str = "") -> Object:
    """`/.well-known/openid-configuration` (OpenID Connect Discovery 1.0)."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri or f"{issuer}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({algorithm(key) for key in keys}),
    }


def jwks(keys: Sequence[PublicKey]) -> Object:
    """`/openid/v1/jwks`."""
    return {"keys": [jwk(key) for key in keys]}


def load_verifier(key_files: Sequence[Path], issuers: Sequence[str] = (DEFAULT_ISSUER,)) -> TokenVerifier:
    return TokenVerifier([path.read_bytes() for path in key_files], issuers)
