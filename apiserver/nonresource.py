"""Paths that are no resource: health, version, metrics."""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from apimachinery import errors, resources
from apiserver import respond
from apiserver.authn import Authenticator
from apiserver.metrics import RequestMetrics
from apiserver.negotiation import Media
from apiserver.registry.registries import Registries
from apiserver.request import User
from apiserver.requestinfo import RequestInfo
from apiserver.storage.interface import StorageError

if TYPE_CHECKING:
    from apiserver.documents import Documents

Plain = Callable[[web.BaseRequest, RequestInfo, User, Media], Awaitable[web.StreamResponse]]

Check = Callable[[], Awaitable[str]]
"""A health check: "" when well, else what is wrong."""

_COMMIT = re.compile(r"[0-9a-f]{40,64}")

#: The steps of a start by Kubernetes's names, which monitoring asks for one by one. Here they are one step.
_STEPS = (
    "start-apiserver-admission-initializer",
    "start-kube-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-config-producer",
    "priority-and-fairness-filter",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "bootstrap-controller",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "start-cluster-authentication-info-controller",
    "start-service-ip-repair-controllers",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-status-available-controller",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
    "apiservice-openapi-controller",
    "apiservice-openapiv3-controller",
)

KUBERNETES = ("1", "36", "v1.36.0")


def version() -> dict[str, Any]:
    """The answer of /version: the Kubernetes version whose API is served."""
    major, minor, full = KUBERNETES
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{full}+pybernetes",
        "gitCommit": _commit(),
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{_architecture()}",
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
    }


def _commit() -> str:
    """The commit of the checkout this runs from; zeros where it is installed. Clients want hexadecimal digits."""
    git = Path(__file__).resolve().parent.parent / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        commit = (git / head.removeprefix("ref: ")).read_text().strip() if head.startswith("ref: ") else head
    except OSError:
        return "0" * 40
    return commit if _COMMIT.fullmatch(commit) else "0" * 40


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Health:
    """/healthz, /livez and /readyz, with ?verbose, ?exclude and one path a check, as Kubernetes answers them."""

    def __init__(self, checks: Mapping[str, Check], readiness: Mapping[str, Check]) -> None:
        self._checks: dict[str, Mapping[str, Check]] = {
            "livez": checks, "healthz": checks, "readyz": {**checks, **readiness},
        }  # fmt: skip

    async def __call__(self, info: RequestInfo) -> web.Response:
        kind, _, single = info.path.strip("/").partition("/")
        checks = self._checks[kind]
        if single:
            if single not in checks:
                raise errors.path_not_found()
            problem = await checks[single]()
            return respond.text(
                "ok" if not problem else f"internal server error: {problem}", 500 if problem else 200
            )
        excluded = {name for value in info.query.get("exclude", ()) for name in value.split(",")}
        lines, failed = [], False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = await check()
            failed = failed or bool(problem)
            lines.append(f"[-]{name} failed: reason withheld" if problem else f"[+]{name} ok")
        if failed:
            return respond.text("\n".join([*lines, f"{kind} check failed", ""]), 500)
        if "verbose" in info.query:
            return respond.text("\n".join([*lines, f"{kind} check passed", ""]))
        return respond.text("ok")


def install(
    plain: dict[str, Plain],
    metrics: RequestMetrics,
    registries: Registries,
    ready: Callable[[], bool],
    authenticator: Authenticator,
    address: str,
) -> None:
    """Put the handlers into the dispatcher's table, by the first segment of the path."""

    async def ping() -> str:
        return ""

    async def storage() -> str:
        try:
            async with asyncio.timeout(2):
                await registries.cachers.fresh()
        except (TimeoutError, StorageError) as error:
            return f"storage does not answer: {error}"
        return ""

    async def started() -> str:
        return "" if ready() else "starting"

    metrics.gauges["apiserver_registered_watchers"] = (
        "Watches open, by resource.",
        registries.watchers,
        ("group", "resource"),
    )
    metrics.gauges["apiserver_storage_objects"] = (
        "Objects stored, by resource.",
        registries.objects,
        ("resource",),
    )
    checks = {"ping": ping, "log": ping, "etcd": storage}
    checks |= dict.fromkeys(
        [*(f"poststarthook/{step}" for step in _STEPS), "autoregister-completion"], started
    )
    health = Health(checks, {"informer-sync": started, "shutdown": ping})
    answer = orjson.dumps(version())

    async def healthy(request: web.BaseRequest, info: RequestInfo, user: User, media: Media) -> web.Response:
        return await health(info)

    async def versioned(
        request: web.BaseRequest, info: RequestInfo, user: User, media: Media
    ) -> web.Response:
        _only(info, "/version")
        return respond.raw(answer)

    async def measured(request: web.BaseRequest, info: RequestInfo, user: User, media: Media) -> web.Response:
        _only(info, "/metrics")
        return respond.raw(metrics.render(), 200, "text/plain; version=0.0.4; charset=utf-8")

    documents: list[Documents] = []
    described_at = 0

    def described() -> Documents:
        # Made when first asked for: a server is ready without it.
        nonlocal described_at
        if not documents:
            from apiserver.documents import Documents

            documents.append(Documents(list(resources.BUILTIN), address))
        if described_at != registries.generation:
            described_at = registries.generation
            added = [*registries.custom(), *registries.aggregated]
            taken = {(resource.group, resource.version) for resource in added}
            added += [one for one in registries.computed if (one.group, one.version) not in taken]
            documents[0].update([*resources.BUILTIN, *added], registries.custom_schemas)
        return documents[0]

    async def discovery(
        request: web.BaseRequest, info: RequestInfo, user: User, media: Media
    ) -> web.StreamResponse:
        return await described().discovery(request, info, user, media)

    async def openapi(
        request: web.BaseRequest, info: RequestInfo, user: User, media: Media
    ) -> web.StreamResponse:
        return await described().openapi(request, info, user, media)

    async def keys(request: web.BaseRequest, info: RequestInfo, user: User, media: Media) -> web.Response:
        from apiserver import tokens

        public = authenticator.verifier.keys
        if info.path == "/openid/v1/jwks":
            return respond.raw(orjson.dumps(tokens.jwks(public)), 200, "application/jwk-set+json")
        if info.path == "/.well-known/openid-configuration":
            uri = f"https://{address}/openid/v1/jwks"
            return respond.raw(orjson.dumps(tokens.openid_configuration(authenticator.issuer, public, uri)))
        raise errors.path_not_found()

    async def index(request: web.BaseRequest, info: RequestInfo, user: User, media: Media) -> web.Response:
        return respond.plain_object({"paths": sorted(_paths())}, media)

    plain.update(
        {
            "": index,
            "healthz": healthy,
            "livez": healthy,
            "readyz": healthy,
            "version": versioned,
            "metrics": measured,
            "api": discovery,
            "apis": discovery,
            "openapi": openapi,
            ".well-known": keys,
            "openid": keys,
        }
    )


def _only(info: RequestInfo, path: str) -> None:
    """404 for anything below a path that has nothing below it."""
    if info.path.rstrip("/") != path:
        raise errors.path_not_found()


def _paths() -> set[str]:
    """What `/` lists."""
    found = {
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/version",
    }
    for resource in resources.BUILTIN:
        found.add(resource.base_path)
        if resource.group:
            found.add(f"/apis/{resource.group}")
    return found
