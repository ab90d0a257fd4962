"""`authorizer` in expressions of admission: questions to the server's own authorization, as chains of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.authz import Authorizer
from apiserver.request import AdmissionRequest, Attributes, User

Object = dict[str, Any]
_MARK = "kubernetes.authorization"
#: The value of the variable: a question without particulars.
AUTHORIZER: Object = {_MARK: {}}


def variable(request: AdmissionRequest) -> Object:
    """The value of `authorizer` for a request; `requestResource` asks about the request's own resource."""
    resource = request.resource
    own = {
        "group": resource.group,
        "resource": resource.plural,
        "subresource": request.subresource,
        "namespace": request.namespace,
        "name": request.name,
    }
    return {**AUTHORIZER, "requestResource": {_MARK: own}}


def functions(authorizer: Authorizer, user: User) -> dict[str, Callable[..., Any]]:
    """The calls of a chain: `authorizer.group('apps').resource('deployments').check('create').allowed()`."""

    def adding(key: str) -> Callable[[Object, str], Object]:
        return lambda asked, text: {_MARK: {**asked[_MARK], key: text}}

    def service_account(asked: Object, namespace: str, name: str) -> Object:
        return {_MARK: {**asked[_MARK], "user": f"system:serviceaccount:{namespace}:{name}"}}

    def check(asked: Object, verb: str) -> Object:
        given = asked[_MARK]
        who = user
        if "user" in given:
            _, _, namespace, _ = given["user"].split(":")
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            who = User(given["user"], groups=groups)
        if "path" in given:
            why = authorizer.authorize(Attributes(who, verb, path=given["path"]))
        else:
            why = authorizer.authorize(
                Attributes(
                    who,
                    verb,
                    given.get("group", ""),
                    "*",
                    given.get("resource", ""),
                    given.get("subresource", ""),
                    given.get("namespace", ""),
                    given.get("name", ""),
                )
            )
        return {"allowed": why is None, "reason": why or ""}

    return {
        "allowed": lambda decision: decision["allowed"],
        "check": check,
        "errored": lambda decision: False,
        "group": adding("group"),
        "name": adding("name"),
        "namespace": adding("namespace"),
        "path": adding("path"),
        "reason": lambda decision: decision["reason"],
        "resource": adding("resource"),
        "serviceAccount": service_account,
        "subresource": adding("subresource"),
    }
