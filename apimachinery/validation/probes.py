"""Validation of containers' probes and lifecycle hooks."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, required
from apimachinery.validation.fields import (
    Errors,
    checked,
    enum,
    not_negative,
    port_number,
    port_or_name,
    positive,
)

Object = dict[str, Any]

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")


def probes(errs: Errors, path: str, item: Object) -> None:
    for field in PROBES:
        probe = item.get(field)
        if probe is None:
            continue
        here = f"{path}.{field}"
        _handler(errs, here, probe, _HANDLERS)
        for timing in (
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ):
            not_negative(errs, f"{here}.{timing}", probe.get(timing))
        grace = probe.get("terminationGracePeriodSeconds")
        if field == "readinessProbe":
            if grace is not None:
                text = "must not be set for readinessProbes"
                errs.append(invalid_value(f"{here}.terminationGracePeriodSeconds", grace, text))
        else:
            positive(errs, f"{here}.terminationGracePeriodSeconds", grace)
            if probe.get("successThreshold") != 1:
                errs.append(
                    invalid_value(f"{here}.successThreshold", probe.get("successThreshold"), "must be 1")
                )


def lifecycle(errs: Errors, path: str, hooks: Object, grace: int | None) -> None:
    """Hooks of a container whose pod has `grace` seconds to end."""
    for field in ("postStart", "preStop"):
        if hooks.get(field) is not None:
            _handler(errs, f"{path}.{field}", hooks[field], _HOOK_HANDLERS, grace)


def _handler(
    errs: Errors, path: str, handler: Object, kinds: tuple[str, ...], grace: int | None = None
) -> None:
    given = [kind for kind in kinds if handler.get(kind) is not None]
    if not given:
        errs.append(required(path, "must specify a handler type"))
        return
    for kind in given[1:]:
        errs.append(forbidden_field(f"{path}.{kind}", "may not specify more than 1 handler type"))
    kind, action = given[0], handler[given[0]]
    here = f"{path}.{kind}"
    if kind == "exec":
        if not action.get("command"):
            errs.append(required(f"{here}.command"))
    elif kind == "httpGet":
        if not action.get("path"):
            errs.append(required(f"{here}.path"))
        port_or_name(errs, f"{here}.port", action.get("port"))
        enum(errs, f"{here}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
        for header in action.get("httpHeaders") or ():
            checked(errs, f"{here}.httpHeaders", header.get("name") or "", names.http_header_name)
    elif kind == "tcpSocket":
        port_or_name(errs, f"{here}.port", action.get("port"))
    elif kind == "grpc":
        port_number(errs, f"{here}.port", action.get("port") or 0)
    elif grace is not None and not 0 <= (action.get("seconds") or 0) <= grace:
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        errs.append(invalid_value(here, action.get("seconds") or 0, text))
