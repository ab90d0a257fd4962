"""The scale subresource over HTTP: get, update and patch a workload's replicas as a Scale."""

from __future__ import annotations

import copy
from typing import Any

from aiohttp import web

from apimachinery import decode, errors, schema
from apiserver import negotiation, respond
from apiserver.entry import Entry
from apiserver.exchange import Exchange
from apiserver.registry import patching
from apiserver.registry.call import Call
from apiserver.registry.registry import Part
from apiserver.view import View

Object = dict[str, Any]


def _node() -> schema.Schema:
    node = schema.for_kind("autoscaling/v1", "Scale")
    assert node is not None
    return node


async def get(http: Exchange) -> web.StreamResponse:
    registry, info = http.view.registry, http.info
    await registry.cacher.fresh()
    entry = registry.entry(info.namespace, info.name)
    obj = entry.object() if registry.verbatim else await registry.read(entry)
    return _answer(http, http.view.scale_of(obj))


def _answer(http: Exchange, scale: Object) -> web.StreamResponse:
    media = http.media
    if media.kind == "Table":
        from apiserver import tables  # loaded with the first table

        scale = tables.of_scale(scale, media.version, http.query("includeObject") or "Metadata")
    elif media.kind:
        scale = respond.partial(scale, media.version)
    return respond.plain_object(scale, media)


async def update(http: Exchange) -> web.StreamResponse:
    chosen = http.write_options("UpdateOptions")
    body = await http.object(_node(), chosen.field_validation)
    return await _write(http, http.call(chosen), lambda obj: body)


async def patch(http: Exchange) -> web.StreamResponse:
    kind = negotiation.patch_format(
        http.request.headers.get("Content-Type", ""), custom=http.view.resource.custom
    )
    call = http.call(http.write_options("PatchOptions", apply=kind == "apply"))
    body = await http.body()
    if kind == "apply":
        document, warnings = decode.decode(body, "yaml", _node(), call.options.field_validation)
        call.warnings.extend(warnings)
        return await _apply(http, call, document)
    parsed = patching.parse(body, kind)
    return await _write(
        http, call, lambda obj: patching.patched(http.view.scale_of(obj), parsed, kind, _node(), call)
    )


async def _apply(http: Exchange, call: Call, document: Object) -> web.StreamResponse:
    """Server-side apply of a Scale: the manager owns spec.replicas of the workload, through this subresource."""
    view, info = http.view, http.info
    registry, resource = view.registry, view.resource
    if document.get("apiVersion") != "autoscaling/v1":
        raise errors.bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {document.get('apiVersion', '')}, expected: autoscaling/v1"
        )
    spec = document.get("spec") or {}
    stated = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": info.name, "namespace": info.namespace},
        **view.scale_statement(spec.get("replicas")),
    }

    def change(obj: Object) -> Object:
        if "replicas" in spec:
            view.scaled(copy.deepcopy(obj), document)  # refuses what an update would
        return patching.applied(
            obj,
            stated,
            call=call,
            node=view.schema,
            api_version=resource.api_version,
            now=registry.backend.identity.timestamp(),
            subresource="scale",
        )

    result, _ = await registry.update(
        call, info.namespace, info.name, change, subresource="scale", track=False, part=_part(view)
    )
    return _answer(http, await _shown(http, result))


def _part(view: View) -> Part:
    """Admission sees the Scale, and may change its replicas."""

    def put(obj: Object, wanted: Object) -> Object:
        if wanted.get("spec") == view.scale_of(obj).get("spec"):
            return obj
        return view.scaled(obj, wanted)

    return Part(view.scale_of, put)


async def _shown(http: Exchange, result: Entry | Object) -> Object:
    if isinstance(result, Entry):
        registry = http.view.registry
        result = result.object() if registry.verbatim else await registry.read(result)
    return http.view.scale_of(result)


async def _write(http: Exchange, call: Call, wanted: Any) -> web.StreamResponse:
    registry, info = http.view.registry, http.info

    def change(obj: Object) -> Object:
        return http.view.scaled(obj, wanted(obj))

    result, _ = await registry.update(
        call, info.namespace, info.name, change, subresource="scale", part=_part(http.view)
    )
    return _answer(http, await _shown(http, result))
