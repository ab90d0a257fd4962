"""Reviews: virtual resources that answer questions about who somebody is and what they may do."""

from __future__ import annotations

from datetime import UTC, datetime

from apimachinery import errors, meta
from apimachinery.errors import FieldError
from apimachinery.resources import Resource
from apiserver.authn import Authenticator
from apiserver.authz import Authorizer
from apiserver.request import Attributes, Object, User

_AUTHZ = "authorization.k8s.io"


class Reviews:
    """Answers the review kinds of authentication.k8s.io and authorization.k8s.io."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    def create(self, resource: Resource, namespace: str, review: Object, user: User) -> Object:
        """`review` with its status. `user` is who asks. Raises StatusError for a review that asks nothing."""
        answer = {
            "TokenReview": self._token,
            "SelfSubjectReview": self._self_subject,
            "SubjectAccessReview": self._subject_access,
            "LocalSubjectAccessReview": self._local_subject_access,
            "SelfSubjectAccessReview": self._self_subject_access,
            "SelfSubjectRulesReview": self._self_subject_rules,
        }[resource.kind]
        status = answer(review.get("spec") or {}, namespace, user)
        metadata = review.get("metadata") or {}
        if resource.kind == "SelfSubjectReview":
            metadata = {**metadata, "creationTimestamp": meta.rfc3339(datetime.now(UTC))}
        return {
            **review,
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
            "status": status,
        }

    def _token(self, spec: Object, namespace: str, user: User) -> Object:
        token = spec.get("token")
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        audiences = spec.get("audiences") or list(self._authenticator.api_audiences)
        identity = self._authenticator.identify(token, audiences)
        if identity is None:
            return {"user": {}, "error": "invalid bearer token"}
        status: Object = {"authenticated": True, "user": identity.user.info()}
        valid = self._authenticator.api_audiences if identity.audiences is None else identity.audiences
        status["audiences"] = [a for a in audiences if a in valid]
        return status

    def _self_subject(self, spec: Object, namespace: str, user: User) -> Object:
        return {"userInfo": user.info()}

    def _subject_access(self, spec: Object, namespace: str, user: User) -> Object:
        problems = _check(spec)
        if not spec.get("user") and not spec.get("groups"):
            problems.append(
                errors.invalid_value(
                    "spec.user", spec.get("user", ""), "at least one of user or group must be specified"
                )
            )
        return self._decide(spec, _subject(spec), problems, "SubjectAccessReview")

    def _local_subject_access(self, spec: Object, namespace: str, user: User) -> Object:
        problems = _check(spec)
        if spec.get("nonResourceAttributes"):
            problems.append(
                errors.invalid_value(
                    "spec.nonResourceAttributes",
                    spec["nonResourceAttributes"],
                    "disallowed on this kind of request",
                )
            )
        elif (given := (spec.get("resourceAttributes") or {}).get("namespace", "")) != namespace:
            problems.append(
                errors.invalid_value(
                    "spec.resourceAttributes.namespace", given, "must match metadata.namespace"
                )
            )
        return self._decide(spec, _subject(spec), problems, "LocalSubjectAccessReview")

    def _self_subject_access(self, spec: Object, namespace: str, user: User) -> Object:
        return self._decide(spec, user, _check(spec), "SelfSubjectAccessReview")

    def _decide(self, spec: Object, user: User, problems: list[FieldError], kind: str) -> Object:
        if problems:
            raise errors.invalid(kind, "", problems, _AUTHZ)
        allowed, reason = self._authorizer.decide(_attributes(spec, user))
        status: Object = {"allowed": allowed}
        if reason:
            status["reason"] = reason
        return status

    def _self_subject_rules(self, spec: Object, namespace: str, user: User) -> Object:
        scope = spec.get("namespace") or ""
        if not scope:
            raise errors.bad_request("no namespace on request")
        rules = dict.fromkeys(self._authorizer.index.rules(user, scope))
        missing = self._authorizer.index.missing(user, scope)
        status: Object = {
            "resourceRules": [rule.to_object() for rule in rules if rule.resources],
            "nonResourceRules": [rule.to_object() for rule in rules if rule.paths],
            "incomplete": bool(missing),
        }
        if missing:
            status["evaluationError"] = missing
        return status


def _check(spec: Object) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        return [errors.invalid_value("spec.nonResourceAttributes", path, detail)]
    if resource is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [errors.invalid_value("spec.resourceAttributes", None, detail)]
    return []


def _subject(spec: Object) -> User:
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _attributes(spec: Object, user: User) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb", ""), path=path.get("path", ""))
    a = spec["resourceAttributes"]
    return Attributes(
        user,
        a.get("verb", ""),
        a.get("group", ""),
        a.get("version", ""),
        a.get("resource", ""),
        a.get("subresource", ""),
        a.get("namespace", ""),
        a.get("name", ""),
        field_selector=_field_selector(a.get("fieldSelector") or {}),
    )


def _field_selector(selector: Object) -> str:
    """The selector as text: its raw form, or its requirements where each means one equality."""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    terms = []
    for requirement in selector.get("requirements") or ():
        values = requirement.get("values") or []
        if requirement.get("operator") == "In" and len(values) == 1:
            terms.append(f"{requirement.get('key', '')}={values[0]}")
    return ",".join(terms)
