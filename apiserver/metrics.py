"""Request metrics, counted in plain dicts so that a request costs a few lookups; Prometheus text made when scraped."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

#: Seconds; the buckets of apiserver_request_duration_seconds.
BUCKETS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    15,
    20,
    30,
    45,
    60,
)

_Key = tuple[str, str, str, str, str, int]


class RequestMetrics:
    """Counts requests and their durations. `gauges` are read when scraped: name → (help, function)."""

    def __init__(self) -> None:
        self._started = time.time()
        self._requests: dict[_Key, int] = {}
        self._durations: dict[tuple[str, str, str, str, str], list[float]] = {}
        self.reading = 0
        self.writing = 0
        self.rejected = 0
        #: Whoever has metric families of its own.
        self.sources: list[Callable[[], Iterable[Any]]] = []
        self.gauges: dict[
            str, tuple[str, Callable[[], Iterable[tuple[tuple[str, ...], float]]], tuple[str, ...]]
        ] = {}

    def observe(
        self, verb: str, group: str, version: str, resource: str, subresource: str, code: int, seconds: float
    ) -> None:
        """Count one answered request. Watches are counted, but their durations say nothing and are left out."""
        key = (verb, group, version, resource, subresource, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        if verb == "watch":
            return
        series = self._durations.get(key[:5])
        if series is None:
            series = self._durations[key[:5]] = [0.0] * (len(BUCKETS) + 2)
        series[bisect_left(BUCKETS, seconds)] += 1
        series[-1] += seconds

    def render(self) -> bytes:
        """The Prometheus text exposition of everything, with the process's own figures."""
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(self)
        return bytes(generate_latest(registry))

    def collect(self) -> Iterable[Any]:
        """For prometheus_client: the metric families as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        labels = ["verb", "group", "version", "resource", "subresource"]
        requests = CounterMetricFamily(
            "apiserver_request", "Requests answered, by verb, resource and code.", labels=[*labels, "code"]
        )
        for (*names, code), number in self._requests.items():
            requests.add_metric([_verb(names[0]), *names[1:], str(code)], number)
        yield requests
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "Response latency in seconds.", labels=labels
        )
        for series_names, series in self._durations.items():
            total: float = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), series, strict=False):
                total += count
                buckets.append((bound, total))
            durations.add_metric([_verb(series_names[0]), *series_names[1:]], buckets, series[-1])
        yield durations
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests", "Requests being served.", labels=["request_kind"]
        )
        inflight.add_metric(["readOnly"], self.reading)
        inflight.add_metric(["mutating"], self.writing)
        yield inflight
        yield CounterMetricFamily(
            "apiserver_rejected_requests",
            "Requests refused because too many were being served.",
            value=self.rejected,
        )
        for source in self.sources:
            yield from source()
        for name, (text, read, gauge_labels) in self.gauges.items():
            family = GaugeMetricFamily(name, text, labels=list(gauge_labels))
            for values, value in read():
                family.add_metric(list(values), value)
            yield family


def _verb(verb: str) -> str:
    return {"create": "POST", "update": "PUT"}.get(verb, verb.upper())
