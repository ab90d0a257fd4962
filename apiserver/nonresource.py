"""Paths that are no resource: health, version, metrics."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from apimachinery import errors
from apiserver import respond
from apiserver.negotiation import Media
from apiserver.requestinfo import RequestInfo

Check = Callable[[], Awaitable[str]]
"""A health check: "" when well, else what is wrong."""

KUBERNETES = ("1", "36", "v1.36.0")


def version() -> dict[str, Any]:
    """The answer of /version: the Kubernetes version whose API is served."""
    major, minor, full = KUBERNETES
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{full}+pybernetes",
        "gitCommit": "",
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


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Health:
    """/healthz, /livez and /readyz, with ?verbose, ?exclude and one path a check, as Kubernetes answers them."""

    def __init__(self, checks: dict[str, Check], readiness: dict[str, Check]) -> None:
        self._checks = {"livez": checks, "healthz": checks, "readyz": {**checks, **readiness}}

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


def paths_index(paths: list[str], media: Media) -> web.Response:
    """The answer of `/`: what can be asked for."""
    return respond.plain_object({"paths": sorted(paths)}, media)
