"""Subresources whose body is another type than their object, and resources that are computed: their handlers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from apimachinery import decode, errors, meta, resources, schema
from apimachinery.resources import Resource
from apiserver import componentstatus, negotiation, options, pki_files, respond, scale_handlers
from apiserver.authn import Authenticator
from apiserver.authz import Authorizer
from apiserver.config import ServerConfig
from apiserver.dispatch import Dispatcher
from apiserver.exchange import Exchange, read_body
from apiserver.negotiation import Media
from apiserver.options import DeleteOptions
from apiserver.registry import eviction, metadata, pods_binding
from apiserver.registry.call import Call
from apiserver.registry.registry import Part, Registry
from apiserver.request import User
from apiserver.requestinfo import RequestInfo
from apiserver.reviews import Reviews
from apiserver.tokenrequests import TokenIssuer

Object = dict[str, Any]

PODS = ("", "pods")
_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
#: How often an eviction tries again when its budget changes under it.
_EVICTION_ATTEMPTS = 20


def _schema(api_version: str, kind: str) -> schema.Schema:
    node = schema.for_kind(api_version, kind)
    assert node is not None
    return node


def install(
    dispatcher: Dispatcher,
    authenticator: Authenticator,
    authorizer: Authorizer,
    certificates: pki_files.ClusterFiles,
    config: ServerConfig,
) -> None:
    """Put the handlers into the dispatcher's tables."""
    table = dispatcher.subresources
    for resource in resources.BUILTIN:
        if resource.subresource("scale") is not None:
            table[resource.storage, "scale", "get"] = scale_handlers.get
            table[resource.storage, "scale", "update"] = scale_handlers.update
            table[resource.storage, "scale", "patch"] = scale_handlers.patch
    table[PODS, "binding", "create"] = bind
    table[PODS, "eviction", "create"] = evict
    issuer = TokenIssuer(
        dispatcher.registries, certificates.service_account_key, issuer=config.service_account_issuer
    )

    async def token(http: Exchange) -> web.StreamResponse:
        request = await http.object(_schema("authentication.k8s.io/v1", "TokenRequest"))
        registry = http.view.registry
        # A node may have tokens for its own pods only.
        await registry.validate(
            registry.admission_request(
                http.call(http.write_options("CreateOptions")),
                "CREATE",
                http.info.namespace,
                http.info.name,
                request,
                None,
                "token",
            )
        )
        identity = dispatcher.registries.backend.identity
        answer = issuer.create(
            http.info.namespace, http.info.name, request, now=identity.now(), jti=identity.uid()
        )
        return respond.plain_object(answer, http.media, 201)

    table[("", "serviceaccounts"), "token", "create"] = token
    reviews = Reviews(authenticator, authorizer)

    async def review(
        request: web.BaseRequest, info: RequestInfo, resource: Resource, user: User, media: Media
    ) -> web.StreamResponse:
        content = negotiation.body_format(request.headers.get("Content-Type", ""))
        body, _ = decode.decode(await read_body(request), content, schema.for_resource(resource), "Ignore")
        return respond.plain_object(reviews.create(resource, info.namespace, body, user), media, 201)

    for resource in resources.BUILTIN:
        if resource.virtual and resource.kind.endswith("Review"):
            dispatcher.virtual[resource.group, resource.plural] = review

    async def bindings(
        request: web.BaseRequest, info: RequestInfo, resource: Resource, user: User, media: Media
    ) -> web.StreamResponse:
        view = dispatcher.registries.view("", "v1", "pods")
        assert view is not None
        http = Exchange(request, info, user, media, view)
        body = await http.object(schema.for_resource(resource))
        info.name = meta.name(body)
        return await _bind(http, body)

    dispatcher.virtual["", "bindings"] = bindings

    componentstatus.install(dispatcher)


async def bind(http: Exchange) -> web.StreamResponse:
    """POST pods/<name>/binding."""
    return await _bind(http, await http.object(_schema("v1", "Binding")))


async def _bind(http: Exchange, binding: Object) -> web.StreamResponse:
    info, registry = http.info, http.view.registry
    name = meta.name(binding)
    if name and name != info.name:
        raise errors.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({info.name})"
        )
    if not info.name:
        raise errors.bad_request("name must be provided")
    pods_binding.check(binding, info.name)
    chosen = http.write_options("CreateOptions")
    call = http.call(chosen)
    binding |= {"kind": "Binding", "apiVersion": "v1"}
    await _admit(registry, call, info, binding, "binding")

    def change(pod: Object) -> Object:
        return pods_binding.bound(pod, binding, registry.backend.identity.timestamp())

    await registry.update(
        call, info.namespace, info.name, change, subresource="binding", track=False, part=Part()
    )
    return respond.plain_object(_SUCCESS, http.media, 201)


async def _admit(registry: Registry, call: Call, info: RequestInfo, body: Object, subresource: str) -> None:
    """Admission of what is created below an object: mutating (the body, in place), then validating."""
    request = registry.admission_request(call, "CREATE", info.namespace, info.name, body, None, subresource)
    await registry.mutate_part(request)
    await registry.validate(request)


async def evict(http: Exchange) -> web.StreamResponse:
    """POST pods/<name>/eviction: 429 where a disruption budget forbids it."""
    info, registry = http.info, http.view.registry
    body = await http.object(_schema("policy/v1", "Eviction"))
    name = meta.name(body)
    if name and name != info.name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    wanted = options.delete_options(http.info.query, dict(body.get("deleteOptions") or {}))
    call = http.call(http.write_options("CreateOptions"))
    pod = registry.entry(info.namespace, info.name).object()
    body |= {"kind": "Eviction", "apiVersion": "policy/v1"}
    await _admit(registry, call, info, body, "eviction")
    if not eviction.unprotected(pod):
        wanted = await _charge(http, registry, call, pod, wanted)
    if not (wanted.dry_run or call.options.dry_run):
        wanted = await _announce(registry, call, info, wanted)
    await registry.delete(call, info.namespace, info.name, wanted, admitted=True)
    return respond.plain_object(_SUCCESS, http.media, 201)


async def _announce(
    registry: Registry, call: Call, info: RequestInfo, wanted: DeleteOptions
) -> DeleteOptions:
    """Write down in the pod why it goes, for who counts its end. Returns how to delete it after that."""

    def change(pod: Object) -> Object:
        uid, version = meta.uid(pod), meta.resource_version(pod)
        if wanted.uid and wanted.uid != uid:
            raise metadata.precondition_uid(registry.resource, info.name, wanted.uid, uid)
        if wanted.resource_version and wanted.resource_version != version:
            raise metadata.precondition_version(
                registry.resource, info.name, wanted.resource_version, version
            )
        return eviction.announced(pod, registry.backend.identity.timestamp())

    await registry.update(
        call, info.namespace, info.name, change, subresource="status", track=False, part=Part()
    )
    if not wanted.resource_version:
        return wanted
    return replace(wanted, resource_version=str(registry.entry(info.namespace, info.name).revision))


async def _charge(
    http: Exchange, registry: Registry, call: Call, pod: Object, wanted: DeleteOptions
) -> DeleteOptions:
    """Take a disruption from the pod's budget, if it has one. Raises 429."""
    budgets = registry.backend.find("poddisruptionbudgets", "policy")
    for _ in range(_EVICTION_ATTEMPTS):
        entries = budgets.cacher.entries(http.info.namespace)
        selecting = eviction.budgets_of(pod, [entry.object() for entry in entries])
        if not selecting:
            return wanted
        if len(selecting) > 1:
            raise eviction.several(pod)
        budget = selecting[0]
        if eviction.ignores_unhealthy(pod, budget):
            return wanted
        now = registry.backend.identity.now()
        charged = eviction.charged(budget, http.info.name, now)
        if wanted.dry_run or call.options.dry_run:
            return wanted
        written = await budgets.cacher.update(
            http.info.namespace, meta.name(charged), charged, int(meta.resource_version(charged))
        )
        if written is not None:
            return wanted
        await budgets.cacher.fresh()
    raise errors.too_many_requests("The disruption budget changes too often.", 10)
