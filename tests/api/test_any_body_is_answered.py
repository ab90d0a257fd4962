"""Whatever is sent wherever, the answer is never a failure of the server (5xx), and nothing fails behind it.

A fixed number of requests usually. `PYBERNETES_FUZZ_SECONDS=1200` goes on for that long with requests never seen
before; `PYBERNETES_FUZZ_SEED=123` sends the requests of one seed again;
`PYBERNETES_FUZZ_REPORT=file` keeps what was found so far in a file.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random, SystemRandom

import pytest
from apiclient import Answer, Api
from every_kind import Object, example
from oddrequests import OddRequest, OddRequests
from servers import Server, serving

from apimachinery import resources
from apimachinery.resources import Resource, Subresource

REQUESTS = 1200
#: After so many requests, what could keep all others from getting far (policies, webhooks, quotas) is removed.
ROUND = 60
NAMESPACE = "fuzz"
SECONDS = float(os.environ.get("PYBERNETES_FUZZ_SECONDS", "0"))
REPORT = os.environ.get("PYBERNETES_FUZZ_REPORT", "")
SEED = os.environ.get("PYBERNETES_FUZZ_SEED", "")

THINGS = Resource(
    group="example.com",
    version="v1",
    plural="things",
    kind="Thing",
    namespaced=True,
    subresources=(
        Subresource("status", ("get", "patch", "update")),
        Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling/v1"),
    ),
    custom=True,
    singular="thing",
    list_kind="ThingList",
    storage=("example.com", "things"),
)
THING: Object = {
    "apiVersion": "example.com/v1",
    "kind": "Thing",
    "metadata": {"name": "x", "namespace": NAMESPACE},
    "spec": {"size": 3, "names": ["a", "b"], "parts": [{"name": "p", "value": "1"}], "free": {"a": [1]}},
    "status": {"size": 2},
}
#: What may rightly fail: there is nobody behind the proxies and streams here, and what takes long times out.
_MAY_FAIL = ("proxy", "log", "exec", "attach", "portforward")
_OBSTACLES = (
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/apiregistration.k8s.io/v1/apiservices/v9.other.example.com",
    f"/api/v1/namespaces/{NAMESPACE}/resourcequotas",
    f"/api/v1/namespaces/{NAMESPACE}/limitranges",
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, as what is written here may stop others from working."""
    data = tmp_path_factory.mktemp("fuzz") / "sqlite"
    with serving(data, "--disable-admission-plugins", "ServiceAccount") as server:
        yield server


def prepare(api: Api) -> set[str]:
    """The namespace, one object of every kind, and a kind of the users' own. Returns what was not to be had."""
    _remove_obstacles(api)
    api.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    missing = set()
    for resource in resources.BUILTIN:
        if not resource.virtual:
            made = api.post(resource.path(NAMESPACE), example(resource, namespace=NAMESPACE))
            assert made.code < 500, (resource.plural, made.body)
            if made.code not in (201, 409):
                missing.add(f"{resource.plural}: {made.body}")
    _remove_obstacles(api)
    return missing


def _remove_obstacles(api: Api) -> None:
    for path in _OBSTACLES:
        assert api.delete(path).code in (200, 202, 404), path


def send(api: Api, request: OddRequest) -> Answer | None:
    """The answer; None where the server hung up, which a body it will not read entitles it to."""
    headers = {name.replace("-", "_"): value for name, value in request.headers.items()}
    try:
        return api.request(request.method, request.path, request.body, content=request.content, **headers)
    except (http.client.RemoteDisconnected, ConnectionError):
        api.close()
        return None


def excused(request: OddRequest, answer: Answer) -> bool:
    """Whether a 5xx says that something beyond the server is not there."""
    if "ResourceVersionTooLarge" in str(answer.body):
        return True  # a time-out, in Kubernetes too
    where = request.path.partition("?")[0].split("/")
    return answer.code in (500, 502, 503, 504) and any(part in _MAY_FAIL for part in where)


def place(log: str) -> str:
    """Where the last traceback of a log ends: what tells one defect from another."""
    lines = [line for line in log.splitlines() if line.startswith("  File ")]
    return lines[-1] if lines else ""


def run(server: Server, api: Api, seed: int, count: int) -> dict[str, str]:
    """Send the requests of a seed; what failed by where it failed, shown so that it can be sent again."""
    draw = OddRequests(Random(seed), NAMESPACE, {THINGS: THING})
    failures: dict[str, str] = {}
    log = server.data.parent / f"{server.data.name}.log"
    for number in range(count):
        said = log.stat().st_size
        request = draw.draw()
        answer = send(api, request)
        failed = answer is not None and answer.code >= 500 and not excused(request, answer)
        if not failed and log.stat().st_size == said:
            continue
        new = log.read_bytes()[said:].decode(errors="replace")
        if failed or "Traceback" in new:
            shown = (answer.code, answer.body) if answer is not None else "no answer"
            failures[place(new) or str(shown)] = f"seed {seed}, request {number}: {request}\n{shown}\n{new}"
    return failures


def test_no_request_breaks_the_server(target: Server) -> None:
    api = target.client()
    assert prepare(api) == set()
    failures: dict[str, str] = {}
    seeds = [int(SEED)] if SEED else list(range(REQUESTS // ROUND))
    end = time.monotonic() + SECONDS
    while seeds or time.monotonic() < end:
        seed = seeds.pop() if seeds else SystemRandom().randrange(2**40)
        failures = {**run(target, api, seed, ROUND), **failures}
        prepare(api)
        if REPORT:
            Path(REPORT).write_text("\n\n".join(failures.values()))
    assert not failures, "\n\n".join(failures.values())
