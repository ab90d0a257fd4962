"""Which container a stream is about, and Kubernetes's words where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import StatusError
from apiserver import streams_target as target
from apiserver.streams_proxy import endpoint_of, parse_name


def pod(
    *names: str, init: tuple[str, ...] = (), ephemeral: tuple[str, ...] = (), **status: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {
            "containers": [{"name": n} for n in names],
            "initContainers": [{"name": n} for n in init],
            "ephemeralContainers": [{"name": n} for n in ephemeral],
        },
        "status": status,
    }


@pytest.mark.parametrize(("asked", "found"), [("", "a"), ("a", "a"), ("i", "i"), ("e", "e")])
def test_the_only_container_or_the_one_asked_for(asked: str, found: str) -> None:
    assert target.container_of(pod("a", init=("i",), ephemeral=("e",)), asked) == found


@pytest.mark.parametrize(
    ("of", "asked", "message"),
    [
        (pod("a", "b"), "", "a container name must be specified for pod x, choose one of: [a b]"),
        (
            pod("a", "b", init=("i",), ephemeral=("e",)),
            "",
            "a container name must be specified for pod x, choose one of: [a b] or one of the init containers: [i] "
            "or one of the ephemeral containers: [e]",
        ),
        (pod("a"), "z", "container z is not valid for pod x"),
    ],
)
def test_no_container(of: dict[str, Any], asked: str, message: str) -> None:
    with pytest.raises(StatusError) as error:
        target.container_of(of, asked)
    assert (error.value.code, error.value.message) == (400, message)


def _container(state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    return pod("a", containerStatuses=[{"name": "a", "state": state, "lastState": last or {}}])


@pytest.mark.parametrize(
    ("of", "previous", "why"),
    [
        (pod("a"), False, 'container "a" in pod "x" is not available'),
        (_container({"waiting": {"reason": "PodInitializing"}}), False,
         'container "a" in pod "x" is waiting to start: PodInitializing'),
        (_container({"waiting": {"reason": "ImagePullBackOff"}}), False,
         'container "a" in pod "x" is waiting to start: trying and failing to pull image'),
        (_container({"waiting": {"reason": "ErrImagePull"}}), False,
         'container "a" in pod "x" is waiting to start: image can\'t be pulled'),
        (_container({"waiting": {}}), False, 'container "a" in pod "x" is waiting to start - no logs yet'),
        (_container({"running": {}}), False, ""),
        (_container({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {"containerID": "docker://1"}}),
         False, ""),
        (_container({"running": {}}), True, 'previous terminated container "a" in pod "x" not found'),
        (_container({"terminated": {}}), False, 'container "a" in pod "x" is terminated'),
    ],
)  # fmt: skip
def test_why_there_is_no_log(of: dict[str, Any], previous: bool, why: str) -> None:
    assert target.why_no_log(of, "a", previous=previous) == why


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"tailLines": ["-1"]}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": ["0"]}, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": ["0"]}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"stream": ["x"]}, 'stream: Unsupported value: "x": supported values: "All", "Stderr", "Stdout"'),
    ],
)
def test_log_options_that_cannot_be(query: dict[str, list[str]], message: str) -> None:
    with pytest.raises(StatusError) as error:
        target.log_options(query)
    assert error.value.message == f'PodLogOptions "" is invalid: {message}'


def test_exec_options() -> None:
    options = target.exec_options(
        {"command": ["sh", "-c"], "stdin": ["true"], "stdout": ["1"], "stderr": ["true"], "tty": ["true"]},
        attach=False,
    )
    assert options == target.ExecOptions("", ("sh", "-c"), True, True, False, True)
    for query, message in (
        ({"stdout": ["1"]}, "you must specify at least one command for the container"),
        ({"command": ["x"]}, "you must specify at least 1 of stdin, stdout, stderr"),
    ):
        with pytest.raises(StatusError, match=message):
            target.exec_options(query, attach=False)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a", ("http", "a", "")), ("a:80", ("http", "a", "80")), ("https:a:web", ("https", "a", "web"))],
)
def test_proxy_names(name: str, parts: tuple[str, str, str]) -> None:
    assert parse_name(name) == parts


def test_a_service_is_reached_at_a_ready_endpoint() -> None:
    service = {
        "metadata": {"name": "s"},
        "spec": {"ports": [{"name": "web", "port": 80}, {"name": "x", "port": 81}]},
    }
    ready = {"addresses": ["10.0.0.2"], "conditions": {"ready": True}}
    unready = {"addresses": ["10.0.0.1"], "conditions": {"ready": False}}
    one = {"ports": [{"name": "web", "port": 8080}], "endpoints": [unready, ready]}
    assert endpoint_of(service, [one], "80") == ("10.0.0.2", "8080")
    assert endpoint_of(service, [one], "web") == ("10.0.0.2", "8080")
    with pytest.raises(StatusError, match='no endpoints available for service "s"'):
        endpoint_of(service, [one], "x")
    with pytest.raises(StatusError, match='no service port "9" found for service "s"'):
        endpoint_of(service, [one], "9")
