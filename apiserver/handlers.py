"""The verbs on resources over HTTP: read the request, call the registry, answer in the wanted representation."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from apimachinery import apply, errors
from apiserver import lists, negotiation, respond, watch
from apiserver.entry import Entry
from apiserver.exchange import Exchange
from apiserver.registry import patching
from apiserver.registry.call import Call
from apiserver.registry.deletion import success_status

Object = dict[str, Any]

DELETE_WORKERS = 16
Result = Entry | Object


async def _result(http: Exchange, value: Result, status: int = 200) -> web.StreamResponse:
    if http.view.remote:
        value = (await http.view.fetched([value]))[0]
    return respond.result(http.view, value, http.media, status)


async def get(http: Exchange) -> web.StreamResponse:
    view, info = http.view, http.info
    text = http.query("resourceVersion") if info.query else ""
    cacher = view.registry.cacher
    if not text:
        await cacher.fresh()
    elif text != "0":
        await lists.at_least(cacher, lists.parse_revision(text))
    return await _result(http, view.registry.entry(info.namespace, info.name))


async def list_(http: Exchange) -> web.StreamResponse:
    view, info = http.view, http.info
    options = http.list_options()
    registry = view.registry
    page = await lists.page(
        view.resource,
        registry.cacher,
        registry.backend.store,
        info.namespace,
        options,
        view.matching if view.remote else None,
    )
    return await respond.listing(
        view,
        await view.fetched(page.entries) if view.remote else page.entries,
        http.media,
        http.request.headers.get("Accept-Encoding", ""),
        revision=page.revision,
        continue_token=page.continue_token,
        remaining=page.remaining,
        include=http.query("includeObject") or "Metadata",
    )


async def watch_(http: Exchange) -> web.StreamResponse:
    info = http.info
    include = http.query("includeObject") or "Metadata"
    options = http.list_options(watch=True)
    return await watch.serve(http.request, http.view, info.namespace, info.name, options, http.media, include)


async def create(http: Exchange) -> web.StreamResponse:
    view, info = http.view, http.info
    options = http.write_options("CreateOptions")
    obj = await http.object(view.schema, options.field_validation)
    result = await view.registry.create(http.call(options), info.namespace, view.stored(obj))
    return await _result(http, result, 201)


async def update(http: Exchange) -> web.StreamResponse:
    view, info = http.view, http.info
    options = http.write_options("UpdateOptions")
    obj = view.stored(await http.object(view.schema, options.field_validation))
    registry = view.registry
    insert = None
    if registry.strategy.create_on_update and not info.subresource:
        insert = lambda: copy.deepcopy(obj)  # noqa: E731
    result, created = await registry.update(
        http.call(options),
        info.namespace,
        info.name,
        lambda _: copy.deepcopy(obj),
        subresource=info.subresource,
        insert=insert,
    )
    return await _result(http, result, 201 if created else 200)


async def patch(http: Exchange) -> web.StreamResponse:
    view, info = http.view, http.info
    kind = negotiation.patch_format(http.request.headers.get("Content-Type", ""), custom=view.resource.custom)
    call = http.call(http.write_options("PatchOptions", apply=kind == "apply"))
    body = await http.body()
    if kind == "apply":
        return await _apply(http, call, body)
    document = patching.parse(body, kind)
    twice = patching.repeated(body, document, kind, call)
    warnings = list(call.warnings)

    def change(old: Object) -> Object:
        call.warnings[:] = warnings
        return view.stored(patching.patched(view.converted(old), document, kind, view.schema, call, twice))

    result, _ = await view.registry.update(
        call, info.namespace, info.name, change, subresource=info.subresource
    )
    return await _result(http, result)


async def _apply(http: Exchange, call: Call, body: bytes) -> web.StreamResponse:
    view, info = http.view, http.info
    registry, resource = view.registry, view.resource
    document = patching.parse_applied(body, view.schema, call)
    patching.check_applied(document, info.name, info.namespace)
    document["metadata"]["name"] = info.name
    if resource.namespaced:
        document["metadata"]["namespace"] = info.namespace

    def merge(live: Object | None) -> Object:
        return view.stored(
            patching.applied(
                live,
                document,
                call=call,
                node=view.schema,
                api_version=resource.api_version,
                now=registry.backend.identity.timestamp(),
                subresource=info.subresource,
            )
        )

    async def across(live: Object) -> Object:
        steps = apply.applying(
            live,
            document,
            manager=call.options.field_manager,
            force=bool(call.options.force),
            schema=view.schema,
            api_version=resource.api_version,
            now=registry.backend.identity.timestamp(),
            subresource=info.subresource,
        )
        return view.stored(patching.checked(await view.across(steps), view.schema, Call(call.user)))

    def change(old: Object) -> Object | Awaitable[Object]:
        return across(view.converted(old)) if view.remote else merge(view.converted(old))

    def insert() -> Object:
        if document["metadata"].get("uid"):
            raise errors.conflict(
                resource.plural, info.name,
                "uid mismatch: the provided object specified uid "
                f"{document['metadata']['uid']}, and no existing object was found",
                resource.group,
            )  # fmt: skip
        return merge(None)

    result, created = await registry.update(
        call,
        info.namespace,
        info.name,
        change,
        subresource=info.subresource,
        insert=None if info.subresource else insert,
        track=False,
    )
    return await _result(http, result, 201 if created else 200)


async def delete(http: Exchange) -> web.StreamResponse:
    view, info = http.view, http.info
    options = await http.delete_options()
    call = http.call(http.write_options("DeleteOptions"))
    call.options = type(call.options)(dry_run=options.dry_run)
    result, gone = await view.registry.delete(call, info.namespace, info.name, options)
    status = 202 if not gone and options.asked_background else 200
    if result is None:
        return respond.plain_object(success_status(view.resource, info.name), http.media, status)
    return await _result(http, result, status)


async def delete_collection(http: Exchange) -> web.StreamResponse:
    view, info = http.view, http.info
    registry = view.registry
    options = await http.delete_options()
    page = await lists.page(
        view.resource,
        registry.cacher,
        registry.backend.store,
        info.namespace,
        http.list_options(),
        view.matching if view.remote else None,
    )
    call = http.call(http.write_options("DeleteOptions"))
    call.options = type(call.options)(dry_run=options.dry_run)
    waiting = iter(page.entries)

    async def work() -> None:
        for entry in waiting:
            try:
                await registry.delete(call, entry.namespace, entry.name, options, matching=entry)
            except errors.StatusError as error:
                if error.reason != "NotFound":
                    raise

    # Several at one time, so that the store commits them in groups.
    problems = await asyncio.gather(*(work() for _ in range(DELETE_WORKERS)), return_exceptions=True)
    for problem in problems:
        if problem is not None:
            raise problem
    shown = await view.fetched(page.entries) if view.remote else page.entries
    body = respond.list_body(view, shown, http.media, revision=registry.cacher.revision)
    return respond.raw(body, 200, http.media.content_type)


VERBS = {
    "get": get,
    "list": list_,
    "watch": watch_,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}
