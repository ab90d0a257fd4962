"""What the storage engines and the watch cache do in a second: `python -P benchmarks/storage.py`.

Prints a table and, last, one line of JSON. etcd is measured where it is installed (a single member on loopback).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from apimachinery import resources  # noqa: E402
from apiserver.cachers import Cachers  # noqa: E402
from apiserver.storage.interface import Compare, Put, Store, Target  # noqa: E402
from apiserver.storage.sqlite import SqliteStore  # noqa: E402

PODS = resources.get("pods")
Figures = dict[str, float]


def pod(name: str, namespace: str, size: int = 4400) -> dict[str, Any]:
    """A pod of about `size` bytes, as one with managedFields and status has."""
    obj: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": "web", "pod-template-hash": "5d4f"},
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "registry.example/app:1"}]},
        "status": {"phase": "Running", "podIP": "10.244.1.7"},
    }
    obj["metadata"]["annotations"] = {"padding": "x" * max(0, size - len(json.dumps(obj)))}
    return obj


async def measured(
    total: int, in_flight: int, step: Callable[[int], Awaitable[object]]
) -> tuple[float, float, float]:
    """(steps a second, p50 ms, p99 ms) of `total` steps, so many at a time."""
    numbers = iter(range(total))
    latencies: list[float] = []

    async def work() -> None:
        for number in numbers:
            begin = time.perf_counter()
            await step(number)
            latencies.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    elapsed = time.perf_counter() - begin
    latencies.sort()
    return total / elapsed, latencies[total // 2] * 1e3, latencies[total * 99 // 100] * 1e3


async def engine(name: str, store: Store, total: int, figures: Figures) -> None:
    """Creates, compare-and-swap updates and reads straight at the engine, and through the watch cache."""
    value = b"x" * 1000

    async def create(number: int) -> None:
        key = f"/bench/{number}"
        assert (await store.txn([Compare(key, Target.CREATE_REVISION, 0)], [Put(key, value)])).succeeded

    async def read(number: int) -> None:
        assert await store.get(f"/bench/{number % total}") is not None

    for in_flight in (1, 16, 32):
        count = total // 10 if in_flight == 1 else total
        offset = in_flight * 1_000_000
        rate, p50, p99 = await measured(count, in_flight, lambda n, o=offset: create(n + o))  # type: ignore[misc]
        show(
            figures,
            f"{name}: create txns/s, {in_flight} in flight, 1 kB",
            rate,
            f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
        )
    await measured(total, 32, create)
    rate, p50, p99 = await measured(total, 32, read)
    show(figures, f"{name}: reads/s, 32 in flight", rate, f"p50 {p50:.2f} ms, p99 {p99:.2f} ms")

    cachers = Cachers(store)
    await cachers.start([PODS])
    pods = cachers[PODS]
    body = pod("p", "ns")
    rate, p50, p99 = await measured(total, 16, lambda n: pods.create("ns", f"p{n}", body))
    show(
        figures,
        f"{name}: cacher creates/s, 16 in flight, 4.4 kB",
        rate,
        f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
    )
    rate, p50, p99 = await measured(total, 16, lambda n: pods.fresh())
    show(figures, f"{name}: linearizable cache reads/s, 16 in flight", rate, f"p50 {p50:.3f} ms")
    await cachers.close()


async def watchers(count: int, figures: Figures) -> None:
    """One change to the last of `count` watchers: by tasks that iterate, and by sinks."""
    store = SqliteStore()
    await store.start()
    cachers = Cachers(store)
    await cachers.start([PODS])
    pods = cachers[PODS]
    entry = await pods.create("ns", "p", pod("p", "ns"))
    received = 0
    everyone = asyncio.Event()

    def receive(lines: bytes) -> bool:
        nonlocal received
        received += 1
        if received == count:
            everyone.set()
        return True

    async def consume(watcher: Any) -> None:
        async for lines in watcher:
            receive(lines)

    for how in ("sinks", "tasks"):
        made = [pods.watch(pods.revision, send=receive if how == "sinks" else None) for _ in range(count)]
        consumers = []
        if how == "sinks":
            for watcher in made:
                watcher.flush()
        else:
            consumers = [asyncio.create_task(consume(watcher)) for watcher in made]
            await asyncio.sleep(0)
        latencies = []
        for number in range(50):
            received = 0
            everyone.clear()
            obj = entry.object()
            obj["metadata"]["labels"]["turn"] = str(number)
            begin = time.perf_counter()
            updated = await pods.update("ns", "p", obj, entry.revision)
            assert updated is not None
            entry = updated
            await everyone.wait()
            latencies.append((time.perf_counter() - begin) * 1e3)
        for watcher in made:
            watcher.close()
        await asyncio.gather(*consumers)
        obj = entry.object()
        obj["metadata"]["labels"]["turn"] = how
        entry = await pods.update("ns", "p", obj, entry.revision) or entry
        show(
            figures,
            f"update to the last of {count} watchers ({how}), ms",
            statistics.median(latencies),
            f"worst {max(latencies):.2f} ms",
        )
    await cachers.close()
    await store.close()


async def lists(count: int, figures: Figures) -> None:
    """Loading and listing `count` pods of 4.4 kB."""
    store = SqliteStore()
    await store.start()
    cachers = Cachers(store)
    await cachers.start([PODS])
    for number in range(count):
        await cachers[PODS].create(f"ns{number % 20}", f"p{number}", pod(f"p{number}", f"ns{number % 20}"))
    await cachers.close()
    begin = time.perf_counter()
    cachers = Cachers(store)
    await cachers.start([PODS])
    show(figures, f"load {count} pods into the cache, ms", (time.perf_counter() - begin) * 1e3)
    gc.collect()
    times = []
    size = 0
    for _ in range(20):
        begin = time.perf_counter()
        size = len(b",".join([entry.data for entry in cachers[PODS].entries()]))
        times.append((time.perf_counter() - begin) * 1e3)
    show(figures, f"list {count} pods as bytes, ms", statistics.median(times), f"{size / 1e6:.1f} MB")
    begin = time.perf_counter()
    for _ in range(100):
        cachers[PODS].entries("ns7")
    show(figures, "list one namespace of 20, us", (time.perf_counter() - begin) * 1e4)
    await cachers.close()
    await store.close()


def show(figures: Figures, what: str, figure: float, more: str = "") -> None:
    figures[what] = round(figure, 3)
    text = f"{figure:,.0f}" if figure >= 1000 else f"{figure:,.2f}"
    print(f"{what:<58}{text:>12}  {more}", flush=True)


async def run(total: int, directory: Path) -> Figures:
    figures: Figures = {}
    memory, file = SqliteStore(), SqliteStore(str(directory / "store.db"))
    for name, store in (("sqlite memory", memory), ("sqlite file", file)):
        await store.start()
        await engine(name, store, total, figures)
        await store.close()
    if shutil.which("etcd"):
        from etcd_server import etcd_servers

        from apiserver.storage.etcd import EtcdStore

        with etcd_servers(directory) as servers:
            etcd = EtcdStore(servers.endpoints)
            await etcd.start()
            await engine("etcd", etcd, total, figures)
            await etcd.close()
    await watchers(1000, figures)
    await lists(6300, figures)
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--total", type=int, default=10_000, help="operations per measurement (default: %(default)s)"
    )
    arguments.add_argument(
        "--directory", default="", help="where to put the stores (default: a temporary directory)"
    )
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory or None) as directory:
        figures = uvloop.run(run(given.total, Path(directory)))
    print(json.dumps({"benchmark": "storage", "python": platform.python_version(), "figures": figures}))


if __name__ == "__main__":
    main()
