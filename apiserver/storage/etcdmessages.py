"""etcd's protobuf messages from and to the storage interface's types. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aetcd import rpc

from apiserver.storage.interface import Compare, Delete, Event, EventType, KeyValue, Op, Target, TxnResult

_EQUAL = rpc.Compare.CompareResult.Value("EQUAL")
_TARGETS = {
    Target.MOD_REVISION: (rpc.Compare.CompareTarget.Value("MOD"), "mod_revision"),
    Target.CREATE_REVISION: (rpc.Compare.CompareTarget.Value("CREATE"), "create_revision"),
    Target.VERSION: (rpc.Compare.CompareTarget.Value("VERSION"), "version"),
}
_DELETE = rpc.Event.EventType.Value("DELETE")


def range_request(
    key: str,
    *,
    whole_prefix: bool = False,
    start: str = "",
    limit: int = 0,
    revision: int = 0,
    count_only: bool = False,
) -> Any:
    """A linearizable read of a key, or of all keys that begin with it (from `start`)."""
    end = b""
    if whole_prefix:
        prefix = key.encode()
        # A zero byte stands for "to the end of all keys".
        end = prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else b"\0"
    return rpc.RangeRequest(
        key=max(key, start).encode() or b"\0",
        range_end=end,
        limit=limit,
        revision=revision,
        count_only=count_only,
    )


def compare_of(compare: Compare) -> Any:
    target, field = _TARGETS[compare.target]
    return rpc.Compare(result=_EQUAL, target=target, key=compare.key.encode(), **{field: compare.value})


def op_of(op: Op) -> Any:
    if isinstance(op, Delete):
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=op.key.encode()))
    return rpc.RequestOp(request_put=rpc.PutRequest(key=op.key.encode(), value=op.value, lease=op.lease))


def version_of(kv: Any) -> KeyValue:
    return KeyValue(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def versions_of(kvs: Iterable[Any]) -> list[KeyValue]:
    return [version_of(kv) for kv in kvs]


def event_of(event: Any) -> Event:
    return Event(EventType.DELETE if event.type == _DELETE else EventType.PUT, version_of(event.kv))


def txn_result(answer: Any, compares: Sequence[Compare]) -> TxnResult:
    """`answer`'s failure branch has one range per compare."""
    current: dict[str, KeyValue | None] = {}
    if not answer.succeeded:
        for compare, response in zip(compares, answer.responses, strict=True):
            kvs = versions_of(response.response_range.kvs)
            current[compare.key] = kvs[0] if kvs else None
    return TxnResult(answer.succeeded, answer.header.revision, current)
