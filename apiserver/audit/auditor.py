"""Audits requests: gives each its record, and the record what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from apimachinery.errors import StatusError
from apiserver import requestinfo
from apiserver.audit import policy
from apiserver.audit.annotations import CURRENT
from apiserver.audit.log import AuditLog
from apiserver.audit.policy import Policy, PolicyError
from apiserver.audit.record import Record
from apiserver.authn import Authenticator
from apiserver.authz import Authorizer
from apiserver.config import SettingError
from apiserver.connection import Request
from apiserver.request import Attributes, User

logger = logging.getLogger(__name__)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_LONGEST_ID = 64


def load(path: str) -> Policy:
    """The policy in a file. Raises SettingError or OSError."""
    try:
        found = policy.parse(yaml.safe_load(Path(path).read_bytes()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"audit policy: failed decoding: {error}: from file {path}") from None
    except PolicyError as error:
        raise SettingError(f"audit policy: {error}: from file {path}") from None
    for warning in found.warnings:
        logger.warning("audit policy %s: %s", path, warning)
    return found


class Auditor:
    """Records requests by a policy into a log; `uid` names those that have no Audit-ID."""

    def __init__(self, found: Policy, log: AuditLog, uid: Callable[[], str]) -> None:
        self._policy = found
        self._log = log
        self._uid = uid
        self._events = 0
        self._levels = [0] * len(policy.LEVELS)

    async def audited(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """The answer to a request, recorded."""
        assert isinstance(request, Request)
        info = requestinfo.parse(request.method, request.raw_path)
        audit_id = request.headers.get("Audit-ID", "")[:_LONGEST_ID] or self._uid()
        record = request.audit = Record(request, info, audit_id, self._write)
        request.on_start += (record.start,)
        token = CURRENT.set(record.annotations)
        response = None
        try:
            response = await answer(request)
        finally:
            CURRENT.reset(token)
            record.end(response)
        return response

    def authenticate(self, request: web.BaseRequest, authenticator: Authenticator) -> User:
        """The user of a request: who it is, and who it is to be. Raises as the authenticator does."""
        assert isinstance(request, Request)
        record, headers = request.audit, request.headers
        assert record is not None
        try:
            user = authenticator.identified(headers, request.protocol.peer)  # type: ignore[attr-defined]
        except StatusError:
            self._begin(record, None)
            record.fail_authentication("bearer" if headers.get("Authorization") else "x509")
            raise
        self._begin(record, user)
        acting = authenticator.impersonated(user, headers)
        if acting is not user:
            record.impersonate(acting)
        return acting

    def _begin(self, record: Record, user: User | None) -> None:
        decision = self._policy.decide(user, record.info)
        self._levels[decision.level] += 1
        record.begin(decision, user)

    def failed(self, request: web.BaseRequest, error: Exception) -> None:
        """The server itself has failed at a request."""
        request.audit.panic(error)  # type: ignore[attr-defined]

    def decided(self, request: web.BaseRequest, attributes: Attributes, authorizer: Authorizer) -> None:
        """Annotate the events with what the authorizer decided."""
        record = request.audit  # type: ignore[attr-defined]
        if record.level != policy.NONE:
            allowed, reason = authorizer.explain(attributes)
            record.annotations["authorization.k8s.io/decision"] = "allow" if allowed else "forbid"
            record.annotations["authorization.k8s.io/reason"] = reason

    def _write(self, line: bytes) -> None:
        self._events += 1
        self._log.write(line)

    def families(self) -> Iterator[Any]:
        """For prometheus_client: the metric families as they are now."""
        from prometheus_client.core import CounterMetricFamily

        yield CounterMetricFamily("apiserver_audit_event", "Audit events made.", value=self._events)
        levels = CounterMetricFamily("apiserver_audit_level", "Requests by audit level.", labels=["level"])
        for level, number in zip(policy.LEVELS, self._levels, strict=True):
            levels.add_metric([level], number)
        yield levels
        lost = CounterMetricFamily(
            "apiserver_audit_error", "Audit events that could not be written.", labels=["plugin"]
        )
        lost.add_metric(["log"], self._log.lost)
        yield lost
