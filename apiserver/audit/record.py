"""The audit events of one request."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web

from apimachinery.errors import StatusError
from apiserver import negotiation
from apiserver.audit import policy
from apiserver.audit.policy import Decision
from apiserver.connection import Request
from apiserver.request import User
from apiserver.requestinfo import RequestInfo

Object = dict[str, Any]

_LONG_SUBRESOURCES = frozenset({"attach", "exec", "log", "portforward", "proxy"})
_BODIES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_STATUS_FIELDS = ("status", "message", "reason", "details", "code")
_CLOSED_EARLY: Object = {
    "metadata": {},
    "status": "Success",
    "message": "Connection closed early",
    "code": 200,
}


def micro_time(moment: datetime) -> str:
    """A time in UTC as MicroTime is written: RFC 3339 with microseconds."""
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


class Record:
    """Knows the request from `begin` on; `write` takes the encoded events."""

    def __init__(
        self, request: Request, info: RequestInfo, audit_id: str, write: Callable[[bytes], None]
    ) -> None:
        self.audit_id = audit_id
        self.annotations: dict[str, str] = {}
        self._request = request
        self.info = info
        self._write = write
        self._received = datetime.now(UTC)
        self._decision: Decision | None = None
        self._event: Object = {}
        self._status: Object | None = None
        self._ended = False
        self.long_running = info.verb == "watch" or info.subresource in _LONG_SUBRESOURCES

    @property
    def level(self) -> int:
        return policy.NONE if self._decision is None else self._decision.level

    def begin(self, decision: Decision, user: User | None) -> None:
        """What is recorded of the request, and who makes it."""
        self._decision = decision
        if decision.level == policy.NONE:
            return
        request, info = self._request, self.info
        event: Object = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": policy.LEVELS[decision.level],
            "auditID": self.audit_id,
            "stage": "",
            "requestURI": request.raw_path,
            "verb": info.verb,
            "user": user.info() if user is not None else {},
        }
        addresses = source_ips(request)
        if addresses:
            event["sourceIPs"] = addresses
        if agent := request.headers.get("User-Agent"):
            event["userAgent"] = agent
        if info.plural:
            event["objectRef"] = _reference(info)
        event["requestReceivedTimestamp"] = micro_time(self._received)
        self._event = event
        if user is not None:
            self._emit("RequestReceived")

    def impersonate(self, user: User) -> None:
        if self._event:
            self._event["impersonatedUser"] = user.info()

    def fail_authentication(self, methods: str) -> None:
        """Nobody could be authenticated: all that is recorded is that they were answered so."""
        if self._event:
            self._status = {"metadata": {}, "message": f"Authentication failed, attempted: {methods}"}
            self._status["code"] = 401
            self._emit("ResponseStarted")
        self._ended = True

    def start(self, response: web.StreamResponse) -> None:
        """The response begins: an event of its own where it may go on for long."""
        response.headers["Audit-Id"] = self.audit_id
        if self.long_running and self._event and self._status is None and not self._ended:
            self._status = {"metadata": {}, "code": response.status}
            self._emit("ResponseStarted")

    def panic(self, error: BaseException) -> None:
        """The server itself has failed at it."""
        self._status = {
            "metadata": {},
            "status": "Failure",
            "message": f"APIServer panic'd: {error}",
            "reason": "InternalError",
            "code": 500,
        }
        self._emit("Panic")
        self._ended = True

    def end(self, response: web.StreamResponse | None) -> None:
        """All has been answered, or the client was left without (None)."""
        if self._ended or not self._event:
            return
        self._ended = True
        if response is None:
            if self._status is None:
                self._status = dict(_CLOSED_EARLY)
                if self.long_running:
                    self._emit("ResponseStarted")
        else:
            self._answered(response)
        self._emit("ResponseComplete")

    def _answered(self, response: web.StreamResponse) -> None:
        body = _body(response) if self.info.plural or response.status >= 400 else b""
        shown = _status_of(body)
        if self._status is None:
            self._status = {"metadata": {}, **(shown or {}), "code": response.status}
            if self.long_running:
                self._emit("ResponseStarted")
        else:
            self._status.update(shown or {})
        if not self.info.plural:
            return
        sent = self._sent()
        if isinstance(sent, dict) and self.info.verb in ("create", "update"):
            _complete(self._event["objectRef"], sent)
        assert self._decision is not None
        omit = self._decision.omit_managed_fields
        if sent is not None and self.level >= policy.REQUEST:
            self._event["requestObject"] = without_managed_fields(sent) if omit else sent
        if body and self.level >= policy.REQUEST_RESPONSE:
            obj = _decoded(body, response.content_type)
            self._event["responseObject"] = without_managed_fields(obj) if omit else obj

    def _sent(self) -> Any:
        """The object of the request, as it was sent; None where there is none or nobody has looked at it."""
        body = self._request.received
        if not body or self.info.verb not in _BODIES:
            return None
        return _decoded(body, self._request.headers.get("Content-Type", ""))

    def _emit(self, stage: str) -> None:
        decision = self._decision
        if not self._event or decision is None or stage in decision.omit_stages:
            return
        received = self._received if stage == "RequestReceived" else datetime.now(UTC)
        event = self._event | {"stage": stage, "stageTimestamp": micro_time(received)}
        if self._status is not None:
            event["responseStatus"] = self._status
        if self.annotations:
            event["annotations"] = self.annotations
        self._write(_line(event))


def _line(event: Object) -> bytes:
    try:
        return orjson.dumps(event) + b"\n"
    except TypeError:
        # What clients send may be YAML with odd keys and numbers, or headers in no encoding at all.
        return json.dumps(event, default=str, separators=(",", ":")).encode() + b"\n"


def source_ips(request: web.BaseRequest) -> list[str]:
    """Where a request came from, first what proxies say; the last one alone is sure."""
    found = []
    for text in request.headers.get("X-Forwarded-For", "").split(","):
        if (address := _address(text.strip())) is not None:
            found.append(address)
    real = _address(request.headers.get("X-Real-Ip", ""))
    if real is not None and real not in found:
        found.append(real)
    remote = _address(request.remote or "")
    if remote is not None and (not found or found[-1] != remote):
        found.append(remote)
    return found


@lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _reference(info: RequestInfo) -> Object:
    fields = {
        "resource": info.plural,
        "namespace": info.namespace,
        "name": info.name,
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {key: value for key, value in fields.items() if value}


def _complete(reference: Object, sent: Object) -> None:
    """What the URL does not say of the object."""
    metadata = sent.get("metadata")
    if isinstance(metadata, dict):
        for key in ("namespace", "name", "uid", "resourceVersion"):
            if metadata.get(key) and not reference.get(key):
                reference[key] = metadata[key]


def _body(response: web.StreamResponse) -> bytes:
    body = getattr(response, "body", None)
    if not isinstance(body, bytes):
        return b""
    if response.headers.get("Content-Encoding") == "gzip":
        return zlib.decompress(body, 31)
    return body


def _status_of(body: bytes) -> Object | None:
    """What the event says of the answer, where that is a Status."""
    if b'"Status"' not in body[:512]:
        return None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or found.get("kind") != "Status":
        return None
    return {key: found[key] for key in _STATUS_FIELDS if key in found}


def _decoded(body: bytes, content_type: str) -> Any:
    """A body as an object; as a string where it is none."""
    try:
        if negotiation.is_protobuf(content_type):
            from apimachinery import protobuf

            return protobuf.decode(body)
        if "yaml" in content_type:
            return _yaml(body)
        return orjson.loads(body)
    except (ValueError, StatusError):
        return body.decode(errors="replace")


def _yaml(body: bytes) -> Any:
    import yaml

    try:
        return yaml.load(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def without_managed_fields(obj: Any) -> Any:
    """An object, a list of them or a Table without metadata.managedFields."""
    if not isinstance(obj, dict):
        return obj
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        obj = obj | {"metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}
    if isinstance(obj.get("items"), list):
        obj = obj | {"items": [without_managed_fields(item) for item in obj["items"]]}
    if obj.get("kind") == "Table" and isinstance(obj.get("rows"), list):
        rows = [row | {"object": without_managed_fields(row.get("object"))} for row in obj["rows"]]
        obj = obj | {"rows": rows}
    return obj
