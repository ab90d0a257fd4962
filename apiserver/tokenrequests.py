"""TokenRequest: a bound token for a service account (`serviceaccounts/<name>/token`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery import errors, meta
from apiserver.authn import DEFAULT_ISSUER
from apiserver.authn_tokens import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from apiserver.request import Object, Reader

if TYPE_CHECKING:
    from apiserver.tokens import Bound, TokenSigner

_BINDABLE = {("v1", "Pod"): PODS, ("v1", "Secret"): SECRETS, ("v1", "Node"): NODES}


class TokenIssuer:
    """Signs tokens; the key is read when the first one is asked for."""

    def __init__(
        self,
        reader: Reader,
        key_file: Path,
        *,
        issuer: str = DEFAULT_ISSUER,
        api_audiences: Sequence[str] = (),
    ) -> None:
        self._reader = reader
        self._key_file = key_file
        self._signer: TokenSigner | None = None
        self._issuer = issuer
        self._audiences = tuple(api_audiences) or (issuer,)

    def create(self, namespace: str, name: str, request: Object, *, now: datetime, jti: str) -> Object:
        """The TokenRequest answered. `jti` is a fresh unique id. Raises StatusError."""
        from apiserver import tokens

        account = self._reader.get(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise errors.not_found("serviceaccounts", name)
        self._check_metadata(request, namespace, name)
        spec = request.get("spec") or {}
        problems = tokens.validate_request(spec)
        if problems:
            raise errors.invalid("TokenRequest", "", problems, "authentication.k8s.io")
        seconds = spec.get("expirationSeconds") or tokens.DEFAULT_SECONDS
        audiences = list(spec.get("audiences") or self._audiences)
        bound = self._bound(account, spec.get("boundObjectRef") or {})
        seconds_since_epoch = int(now.timestamp())
        claims = tokens.claims_for(
            account,
            bound,
            issuer=self._issuer,
            audiences=audiences,
            seconds=seconds,
            now=seconds_since_epoch,
            jti=jti,
            extend=set(audiences) <= set(self._audiences),
        )
        if self._signer is None:
            self._signer = tokens.TokenSigner(self._key_file.read_bytes())
        expires = datetime.fromtimestamp(seconds_since_epoch + seconds, UTC)
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": meta.rfc3339(now)},
            "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": self._signer.sign(claims), "expirationTimestamp": meta.rfc3339(expires)},
        }

    @staticmethod
    def _check_metadata(request: Object, namespace: str, name: str) -> None:
        given = request.get("metadata") or {}
        if given.get("namespace") and given["namespace"] != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if given.get("name") and given["name"] != name:
            raise errors.bad_request(
                f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
            )

    def _bound(self, account: Object, reference: Object) -> Bound:
        from apiserver.tokens import Bound

        if not reference:
            return Bound()
        kind, name = reference.get("kind", ""), reference.get("name", "")
        resource = _BINDABLE.get((reference.get("apiVersion") or "v1", kind))
        if resource is None:
            raise errors.bad_request(f"cannot bind token to object of type {_type(reference)}")
        scope = account["metadata"]["namespace"] if resource.namespaced else ""
        obj = self._reader.get(resource, scope, name)
        if obj is None:
            raise errors.not_found(resource.plural, name)
        if kind == "Pod":
            self._check_pod(account, obj)
        uid = obj["metadata"].get("uid", "")
        if reference.get("uid") and reference["uid"] != uid:
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            raise errors.conflict(
                resource.plural, name, why + "The object might have been deleted and then recreated"
            )
        if kind == "Secret":
            return Bound(secret=obj)
        if kind == "Node":
            return Bound(node=obj)
        return Bound(pod=obj, node=self._node_of(obj))

    @staticmethod
    def _check_pod(account: Object, pod: Object) -> None:
        name, used = account["metadata"]["name"], (pod.get("spec") or {}).get("serviceAccountName", "")
        if name != used:
            raise errors.bad_request(
                f'cannot bind token for serviceaccount "{name}" to pod running with different serviceaccount name.'
            )

    def _node_of(self, pod: Object) -> Object | None:
        name = (pod.get("spec") or {}).get("nodeName")
        return self._reader.get(NODES, "", name) if name else None


def _type(reference: Object) -> str:
    group, version = meta.split_api_version(reference.get("apiVersion") or "v1")
    return f"{group}/{version}, Kind={reference.get('kind', '')}"
