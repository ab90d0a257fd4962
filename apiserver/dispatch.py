"""Every request's way: who, what, may they, serve it, answer errors as Status, count it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from apimachinery import errors, resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver import handlers, negotiation, requestinfo, respond
from apiserver.authn import Authenticator
from apiserver.authz import Authorizer
from apiserver.connection import Connection, Request
from apiserver.exchange import Exchange
from apiserver.flowcontrol.filter import Class, FlowControl, Rejected
from apiserver.metrics import RequestMetrics
from apiserver.negotiation import PLAIN, Media
from apiserver.nonresource import Plain
from apiserver.registry.registries import Registries
from apiserver.request import Attributes, User
from apiserver.requestinfo import RequestInfo
from apiserver.storage.interface import StorageError
from apiserver.view import View

if TYPE_CHECKING:
    from apiserver.aggregation.aggregator import Aggregator
    from apiserver.audit.auditor import Auditor

logger = logging.getLogger(__name__)

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
Virtual = Callable[[web.BaseRequest, RequestInfo, Resource, User, Media], Awaitable[web.StreamResponse]]
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_NAMED = frozenset({"get", "update", "patch", "delete"})
#: Subresources that stream for as long as the client likes.
_STREAMS = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_TOO_MANY = "Too many requests, please try again later.\n"
#: Where the schemas of a group version are; those of another server's come from there.
_DESCRIBED = "/openapi/v3/apis/"
_NOT_ALLOWED = "the server does not allow this method on the requested resource"


def not_allowed() -> StatusError:
    return StatusError(405, "MethodNotAllowed", _NOT_ALLOWED, {})


class Dispatcher:
    """The one handler of the server. `subresources`, `virtual` and `plain` are its routing tables.

    `subresources`: (storage location, subresource, verb) → handler; those that are a part of the object itself
    (status and the like) are served by the verbs of the object. `virtual`: by (group, plural). `plain`: by the first
    segment of the path.
    """

    def __init__(
        self,
        registries: Registries,
        authenticator: Authenticator,
        authorizer: Authorizer,
        metrics: RequestMetrics,
        flow: FlowControl,
        *,
        timeout: float,
    ) -> None:
        self.registries = registries
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._metrics = metrics
        self._flow = flow
        self._timeout = timeout
        # Reads of an embedded store wait for nobody: they need no clock.
        self._local = registries.backend.store.exclusive
        self.subresources: dict[tuple[tuple[str, str], str, str], Handler] = {}
        self.virtual: dict[tuple[str, str], Virtual] = {}
        #: By (group, version, plural): resources that this server computes unless somebody else serves them.
        self.computed: dict[tuple[str, str, str], tuple[Resource, Virtual]] = {}
        self.plain: dict[str, Plain] = {}
        self.aggregator: Aggregator | None = None
        self.auditor: Auditor | None = None
        #: Looks again whether (group, plural) is served: another server may have defined it a moment ago.
        self.find: Callable[[str, str], Awaitable[None]] | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.auditor is not None:
            return await self.auditor.audited(request, self._answer)
        return await self._answer(request)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        info = requestinfo.parse(request.method, request.raw_path)
        media = PLAIN
        found: Class | None = None
        try:
            accept = request.headers.get("Accept", "")
            if accept and accept != negotiation.JSON and accept != "*/*":
                media = negotiation.accept(accept) if info.plural else _lenient(accept)
            if self.auditor is not None:
                user = self.auditor.authenticate(request, self._authenticator)
            else:
                user = self._authenticator.authenticate(request.headers, request.protocol.peer)  # type: ignore[attr-defined]
            if info.subresource not in _STREAMS:
                found = self._flow.classify(user, info)
            response = await self._serve(request, info, user, media, found)
        except StatusError as problem:
            response = respond.error(problem, Media(media.yaml))
        except Rejected:
            self._metrics.rejected += 1
            response = respond.text(_TOO_MANY, 429)
            response.headers["Retry-After"] = "1"
        except StorageError as problem:
            logger.warning("storage: %s", problem)
            response = respond.error(errors.service_unavailable(f"storage is not available: {problem}"))
            response.headers["Retry-After"] = "1"
        except (ConnectionError, web.HTTPException):
            raise
        except Exception as error:
            logger.exception("%s %s failed", info.method, info.path)
            if self.auditor is not None:
                self.auditor.failed(request, error)
            response = respond.error(
                StatusError(
                    500,
                    "InternalError",
                    "This request caused apiserver to panic. Look in the logs for details.",
                )
            )
        if found is not None and not response.prepared:
            response.headers.update(found.headers)
        self._metrics.observe(
            info.verb, info.group, info.version, info.plural, info.subresource, response.status,
            time.perf_counter() - started,
        )  # fmt: skip
        return response

    async def _serve(
        self, request: web.BaseRequest, info: RequestInfo, user: User, media: Media, found: Class | None
    ) -> web.StreamResponse:
        """Serve a request with a seat; streams (which are of no class) without."""
        if found is None:
            self._authorize(request, user, info)
            return await self._route(request, info, user, media)
        flow = self._flow
        if not flow.take(found):
            assert isinstance(request.protocol, Connection)
            await flow.wait(found, request.protocol)
        if info.verb == "watch":
            return await self._watch(request, info, user, media, found)
        metrics = self._metrics
        writes = info.verb in _WRITES
        if writes:
            metrics.writing += 1
        else:
            metrics.reading += 1
        try:
            self._authorize(request, user, info)
            if self._local and not writes:
                return await self._route(request, info, user, media)
            async with asyncio.timeout(self._timeout):
                return await self._route(request, info, user, media)
        except TimeoutError:
            raise errors.timeout("request did not complete within the allotted timeout") from None
        finally:
            if writes:
                metrics.writing -= 1
            else:
                metrics.reading -= 1
            flow.release(found)

    async def _watch(
        self, request: web.BaseRequest, info: RequestInfo, user: User, media: Media, found: Class
    ) -> web.StreamResponse:
        """Serve a watch: it has its seat until it begins."""
        seated = True

        def begun(response: web.StreamResponse) -> None:
            nonlocal seated
            if seated:
                seated = False
                self._flow.release(found)
                response.headers.update(found.headers)

        assert isinstance(request, Request)
        request.on_start += (begun,)
        try:
            self._authorize(request, user, info)
            return await self._route(request, info, user, media)
        finally:
            if seated:
                seated = False
                self._flow.release(found)

    def _authorize(self, request: web.BaseRequest, user: User, info: RequestInfo) -> None:
        """Raises 403 where the user may not do this."""
        name = info.name
        if not name and info.query and info.verb in ("list", "watch", "deletecollection"):
            name = _selected_name(info)
        attributes = (
            Attributes(
                user,
                info.verb,
                info.group,
                info.version,
                info.plural,
                info.subresource,
                info.namespace,
                name,
                field_selector=info.query["fieldSelector"][0] if "fieldSelector" in info.query else "",
            )
            if info.plural
            else Attributes(user, info.verb, path=info.path)
        )
        if self.auditor is not None:
            self.auditor.decided(request, attributes, self._authorizer)
        why = self._authorizer.authorize(attributes)
        if why is not None:
            raise errors.forbidden(info.plural, name, why, info.group)

    async def _route(
        self, request: web.BaseRequest, info: RequestInfo, user: User, media: Media
    ) -> web.StreamResponse:
        if not info.plural:
            group, version = info.group, info.version
            if info.path.startswith(_DESCRIBED):
                group, _, version = info.path.removeprefix(_DESCRIBED).strip("/").partition("/")
            if self.aggregator is not None and self.aggregator.remote(group, version):
                return await self.aggregator.serve(request, group, version, user)
            handler = self.plain.get(info.path.split("/", 2)[1])
            if handler is None:
                raise errors.path_not_found()
            return await handler(request, info, user, media)
        view = self.registries.view(info.group, info.version, info.plural)
        if view is None and self.find is not None and info.group and not _computed(info):
            await self.find(info.group, info.plural)
            view = self.registries.view(info.group, info.version, info.plural)
        if view is None:
            return await self._virtual(request, info, user, media)
        resource = view.resource
        if info.prefix != ("apis" if resource.group else "api"):
            raise errors.path_not_found()
        verb = info.verb
        if not info.subresource:
            if bool(info.namespace) != resource.namespaced and info.plural != "namespaces":
                self._check_scope(info, resource)
            if verb not in resource.verbs or (verb != "watch" and bool(info.name) != (verb in _NAMED)):
                raise not_allowed()
            return await _answered(handlers.VERBS[verb], _exchange(request, info, user, media, view))
        sub = resource.subresource(info.subresource)
        if (
            sub is None
            or not info.name
            or bool(info.namespace) != (resource.namespaced or info.plural == "namespaces")
        ):
            raise errors.path_not_found()
        # What is passed on may have a method that is no verb.
        found = self.subresources.get((resource.storage, info.subresource, verb))
        if found is None:
            if verb not in sub.verbs:
                raise not_allowed()
            if sub.kind:
                raise errors.path_not_found()
            found = handlers.VERBS[verb]
        elif media.kind and "get" not in sub.verbs:
            media = negotiation.accept(request.headers.get("Accept", ""), tables=False)
        return await _answered(found, _exchange(request, info, user, media, view))

    @staticmethod
    def _check_scope(info: RequestInfo, resource: Resource) -> None:
        """Namespaced resources can be listed, watched and nothing else without a namespace."""
        if not resource.namespaced or info.name:
            raise errors.path_not_found()
        if info.verb not in ("list", "watch"):
            raise not_allowed()

    async def _virtual(
        self, request: web.BaseRequest, info: RequestInfo, user: User, media: Media
    ) -> web.StreamResponse:
        if self.aggregator is not None and self.aggregator.remote(info.group, info.version):
            return await self.aggregator.serve(request, info.group, info.version, user)
        resource, handler = self.computed.get((info.group, info.version, info.plural)) or (
            resources.by_plural(info.group, info.version, info.plural),
            self.virtual.get((info.group, info.plural)),
        )
        if resource is None or handler is None or info.prefix != ("apis" if resource.group else "api"):
            raise errors.path_not_found()
        if info.verb not in resource.verbs:
            raise not_allowed()
        if media.kind and "get" not in resource.verbs:
            media = negotiation.accept(request.headers.get("Accept", ""), tables=False)
        return await handler(request, info, resource, user, media)


async def _answered(handler: Handler, http: Exchange) -> web.StreamResponse:
    """The handler's answer with the warnings it has earned."""
    response = await handler(http)
    if http.warnings and not response.prepared:
        respond.warnings(response, http.warnings)
    return response


def _computed(info: RequestInfo) -> bool:
    return resources.by_plural(info.group, info.version, info.plural) is not None


def _exchange(request: web.BaseRequest, info: RequestInfo, user: User, media: Media, view: View) -> Exchange:
    http = Exchange(request, info, user, media, view)
    if view.warning:
        http.warnings.append(view.warning)
    return http


def _selected_name(info: RequestInfo) -> str:
    """The one object a field selector names: authorization is for that object."""
    for text in info.query.get("fieldSelector", ()):
        for term in text.split(","):
            key, sign, value = term.partition("=")
            if sign and key == "metadata.name" and value:
                return value.lstrip("=")
    return ""


def _lenient(accept: str) -> Media:
    """Discovery and OpenAPI look at the Accept header themselves."""
    try:
        return negotiation.accept(accept)
    except StatusError:
        return PLAIN
