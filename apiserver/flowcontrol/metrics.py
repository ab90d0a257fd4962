"""The metrics apiserver_flowcontrol_*, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.flowcontrol.filter import WAIT_BUCKETS, FlowControl, SchemaCounts

_PREFIX = "apiserver_flowcontrol_"
_SCHEMA_LABELS = ["priority_level", "flow_schema"]


def families(flow: FlowControl) -> Iterator[Any]:
    """For prometheus_client: the metric families as they are now."""
    yield from _by_schema(flow)
    yield from _by_level(flow)
    yield _waits(flow)


def _by_schema(flow: FlowControl) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    dispatched = CounterMetricFamily(
        f"{_PREFIX}dispatched_requests", "Requests that got a seat.", labels=_SCHEMA_LABELS
    )
    rejected = CounterMetricFamily(
        f"{_PREFIX}rejected_requests", "Requests that got no seat.", labels=[*_SCHEMA_LABELS, "reason"]
    )
    executing = GaugeMetricFamily(
        f"{_PREFIX}current_executing_requests",
        "Requests that have a seat; watches until they have begun.",
        labels=_SCHEMA_LABELS,
    )
    waiting = GaugeMetricFamily(
        f"{_PREFIX}current_inqueue_requests", "Requests that wait for a seat.", labels=_SCHEMA_LABELS
    )
    for counts in flow.counts.values():
        labels = [counts.level, counts.schema]
        dispatched.add_metric(labels, counts.dispatched)
        executing.add_metric(labels, counts.executing)
        waiting.add_metric(labels, counts.waiting)
        for reason, number in counts.rejected.items():
            rejected.add_metric([*labels, reason], number)
    yield from (dispatched, rejected, executing, waiting)


def _by_level(flow: FlowControl) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    read = {
        "nominal_limit_seats": ("Seats by the level's share.", "nominal"),
        "lower_limit_seats": ("Seats that nobody else may use.", "reserved"),
        "upper_limit_seats": ("The most seats it may ever use.", "ceiling"),
        "current_executing_seats": ("Seats in use.", "executing"),
    }
    for name, (text, attribute) in read.items():
        family = GaugeMetricFamily(_PREFIX + name, text, labels=["priority_level"])
        for level in flow.seats.levels.values():
            family.add_metric([level.spec.name], getattr(level, attribute))
        yield family
    limit = GaugeMetricFamily(
        f"{_PREFIX}current_limit_seats", "Seats it may use now.", labels=["priority_level"]
    )
    for level in flow.seats.levels.values():
        more = max(0, flow.seats.free) + max(level.executing, level.reserved)
        limit.add_metric([level.spec.name], min(level.ceiling, more))
    yield limit


def _waits(flow: FlowControl) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(
        f"{_PREFIX}request_wait_duration_seconds",
        "Time a request waited for its seat.",
        labels=[*_SCHEMA_LABELS, "execute"],
    )
    for counts in flow.counts.values():
        for served in (True, False):
            series = _series(counts, served)
            if not any(series):
                continue
            total = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, number in zip((*map(str, WAIT_BUCKETS), "+Inf"), series, strict=False):
                total += number
                buckets.append((bound, total))
            family.add_metric([counts.level, counts.schema, str(served).lower()], buckets, series[-1])
    return family


def _series(counts: SchemaCounts, served: bool) -> list[float]:
    """Those that waited, and, in the bucket of no time at all, those that did not."""
    series = list(counts.waited.get(served) or [0.0] * (len(WAIT_BUCKETS) + 2))
    if served:
        waited = sum(series[:-1])
        series[0] += counts.dispatched - waited
    return series
