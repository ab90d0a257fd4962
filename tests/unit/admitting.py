"""The chain of admission over objects of the tests."""

from __future__ import annotations

from typing import Any

import pytest
from objectreader import ObjectReader, namespace, service_account

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver import admission
from apiserver.admission.chain import Chain
from apiserver.authz import Authorizer
from apiserver.request import AdmissionRequest, Object, User

PODS = resources.get("pods")
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


def make(*objects: Object, accounts: bool = True) -> tuple[Chain, ObjectReader]:
    reader = ObjectReader([namespace(), *([service_account()] if accounts else []), *objects])
    protection = ("StorageObjectInUseProtection",)
    return admission.chain(reader, Authorizer(reader), reader, lambda: "abcde", enabled=protection), reader


def request(
    obj: Object | None,
    operation: str = "CREATE",
    *,
    resource: Resource = PODS,
    old: Object | None = None,
    subresource: str = "",
    user: User = ADMIN,
) -> AdmissionRequest:
    meta = (obj or old or {})["metadata"]
    space = meta.get("namespace", "")
    return AdmissionRequest(operation, resource, subresource, space, meta["name"], obj, old, user)


async def run(chain: Chain, asked: AdmissionRequest) -> AdmissionRequest:
    if asked.operation in ("CREATE", "UPDATE"):
        await chain.mutate(asked)
    await chain.validate(asked)
    return asked


async def refused(chain: Chain, asked: AdmissionRequest) -> StatusError:
    with pytest.raises(StatusError) as error:
        await run(chain, asked)
    return error.value


def meta(name: str, space: str = "default", **more: Any) -> Object:
    return {"name": name, "namespace": space, **more}
