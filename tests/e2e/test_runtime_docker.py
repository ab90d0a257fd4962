"""The Docker runtime on a real engine."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace

import busyboximage
import pytest
from docker.api.client import APIClient
from docker.errors import APIError

from kubeletd.runtime.docker import DockerRuntime
from kubeletd.runtime.interface import (
    ContainerNotFound,
    ContainerNotRunning,
    ContainerSpec,
    Identity,
    ImageNotFound,
    LogOptions,
    PortMapping,
    Resources,
    RuntimeFailure,
    SandboxSpec,
    Security,
    StartError,
)

pytestmark = pytest.mark.e2e
CLUSTER = "rt-test"


@pytest.fixture(scope="module")
def engine() -> Iterator[APIClient]:
    client = APIClient(version="auto")
    busyboximage.ensure(client)
    yield client
    mine = {"label": f"io.pybernetes.cluster={CLUSTER}"}
    for container in client.containers(all=True, filters=mine):
        client.remove_container(container["Id"], force=True)
    for network in client.networks(filters=mine):
        client.remove_network(network["Id"])
    client.close()


@pytest.fixture
async def runtime(engine: APIClient) -> AsyncIterator[DockerRuntime]:
    runtime = DockerRuntime(CLUSTER, "node-1", "10.199.0.0/16", "10.199.0.1")
    await runtime.open()
    yield runtime
    for container in await runtime.list_containers():
        await runtime.remove(container.id)
    await runtime.close()


def identity(container: str, kind: str = "container", attempt: int = 0) -> Identity:
    return Identity("default", "web", "0123456789abcdef", container, kind, attempt, "h1")  # type: ignore[arg-type]


def sandbox_spec(**more: object) -> SandboxSpec:
    return SandboxSpec(identity("", "sandbox"), hostname="web", ip="10.199.1.7", **more)  # type: ignore[arg-type]


async def sandbox(runtime: DockerRuntime, spec: SandboxSpec | None = None) -> str:
    sandbox_id = await runtime.create_sandbox(spec or sandbox_spec())
    await runtime.start(sandbox_id)
    return sandbox_id


async def run(runtime: DockerRuntime, sandbox_id: str, *command: str, **more: object) -> str:
    spec = ContainerSpec(identity("app"), busyboximage.NAME, sandbox_id, command=command)
    container_id = await runtime.create_container(replace(spec, **more))  # type: ignore[arg-type]
    await runtime.start(container_id)
    return container_id


async def output(runtime: DockerRuntime, container_id: str) -> str:
    """All it says until it ends."""
    pieces = [data async for data in runtime.logs(container_id, LogOptions(follow=True))]
    return b"".join(pieces).decode()


async def test_containers_share_the_sandboxs_address_name_and_ipc(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    assert (await runtime.inspect(sandbox_id)).ip == "10.199.1.7"
    container_id = await run(
        runtime, sandbox_id, "sh", "-c", "hostname; ip -4 addr show eth0; readlink /proc/1/ns/ipc"
    )
    text = await output(runtime, container_id)
    assert text.startswith("web\n") and "10.199.1.7/16" in text
    pause = await runtime.inspect(sandbox_id)

    assert os.readlink(f"/proc/{pause.pid}/ns/ipc") in text
    assert await runtime.network_namespace(pause) == f"/proc/{pause.pid}/ns/net"


async def test_labels_tell_whose_a_container_is_after_a_restart(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    container_id = await run(runtime, sandbox_id, "sleep", "100")
    again = DockerRuntime(CLUSTER, "node-1", "10.199.0.0/16", "10.199.0.1")
    other = DockerRuntime(CLUSTER, "node-2", "10.199.0.0/16", "10.199.0.1")
    await asyncio.gather(again.open(), other.open())
    found = {c.id: c for c in await again.list_containers()}
    assert found[container_id].identity == identity("app")
    assert found[container_id].status == "running"
    assert found[sandbox_id].identity.kind == "sandbox" and found[sandbox_id].ip == "10.199.1.7"
    assert await other.list_containers() == []
    await again.close()
    await other.close()


async def test_a_missing_command_is_a_start_error_and_stays_to_be_seen(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    spec = ContainerSpec(identity("app"), busyboximage.NAME, sandbox_id, command=("/no/such",))
    container_id = await runtime.create_container(spec)
    with pytest.raises(StartError, match="no such file"):
        await runtime.start(container_id)
    state = await runtime.inspect(container_id)
    assert state.status == "exited" and state.exit_code == 127 and "no such file" in state.error


async def test_a_missing_image_is_told_apart(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    with pytest.raises(ImageNotFound):
        await runtime.create_container(ContainerSpec(identity("app"), "pybernetes-test/absent:1", sandbox_id))
    assert await runtime.image("pybernetes-test/absent:1") is None
    image = await runtime.image(busyboximage.NAME)
    assert image is not None and image.id.startswith("sha256:") and busyboximage.NAME in image.tags


async def test_create_again_replaces_what_a_lost_answer_left(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    spec = ContainerSpec(identity("app"), busyboximage.NAME, sandbox_id, command=("sleep", "1"))
    first = await runtime.create_container(spec)
    second = await runtime.create_container(spec)
    assert first != second
    with pytest.raises(ContainerNotFound):
        await runtime.inspect(first)


async def test_stop_is_polite_first_and_forceful_later(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    polite = await run(
        runtime, sandbox_id, "sh", "-c", "trap 'echo bye; exit 7' TERM; while :; do sleep 0.1; done"
    )
    await runtime.stop(polite, 20)
    state = await runtime.inspect(polite)
    assert (state.status, state.exit_code) == ("exited", 7)
    deaf = await runtime.create_container(
        ContainerSpec(
            identity("deaf"), busyboximage.NAME, sandbox_id, command=("sh", "-c", "trap '' TERM; sleep 100")
        )
    )
    await runtime.start(deaf)
    begun = time.monotonic()
    await runtime.stop(deaf, 0.5)
    assert time.monotonic() - begun < 10
    assert (await runtime.inspect(deaf)).exit_code == 137
    await runtime.stop(deaf, 10)  # again is free
    await runtime.remove(deaf)
    await runtime.remove(deaf)
    await runtime.stop(deaf, 10)


async def test_events_tell_of_starts_and_ends(runtime: DockerRuntime) -> None:
    async with asyncio.timeout(30):
        async with aclosing(runtime.events()) as events:  # type: ignore[type-var]
            assert (await anext(events)).action == "resync"
            sandbox_id = await sandbox(runtime)
            container_id = await run(runtime, sandbox_id, "sh", "-c", "exit 3")
            seen = []
            async for event in events:
                seen.append((event.action, event.id, event.exit_code))
                if event.action == "died":
                    break
    assert seen == [("started", sandbox_id, 0), ("started", container_id, 0), ("died", container_id, 3)]


async def test_exec_gives_output_and_exit_code(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    container_id = await run(runtime, sandbox_id, "sleep", "100")
    result = await runtime.exec_sync(container_id, ("sh", "-c", "echo out; echo err >&2; exit 4"), 10)
    assert result.exit_code == 4 and sorted(result.output.split()) == [b"err", b"out"]
    with pytest.raises(TimeoutError):
        await runtime.exec_sync(container_id, ("sleep", "60"), 0.3)
    process = await runtime.exec(container_id, ("cat",), stdin=True, tty=False)
    await process.write(b"hello\n")
    await process.close_stdin()
    assert await process.read() == ("stdout", b"hello\n")
    assert await process.read() is None
    assert await process.exit_code() == 0
    await process.close()
    terminal = await runtime.exec(container_id, ("sh",), stdin=True, tty=True)
    await terminal.resize(91, 17)
    await terminal.write(b"stty size; exit 5\n")
    text = b""
    while (piece := await terminal.read()) is not None:
        text += piece[1]
    assert b"17 91" in text and await terminal.exit_code() == 5
    await terminal.close()
    await runtime.stop(container_id, 0)
    with pytest.raises(ContainerNotRunning):
        await runtime.exec_sync(container_id, ("true",), 1)


async def test_attach_reaches_the_main_process(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    spec = ContainerSpec(
        identity("app"), busyboximage.NAME, sandbox_id, command=("cat",), stdin=True, stdin_once=True
    )
    container_id = await runtime.create_container(spec)
    process = await runtime.attach(container_id, stdin=True, tty=False)
    await runtime.start(container_id)
    await process.write(b"abc\n")
    assert await process.read() == ("stdout", b"abc\n")
    await process.close_stdin()
    assert await process.read() is None
    await process.close()


async def test_logs_by_stream_tail_and_time(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    container_id = await run(runtime, sandbox_id, "sh", "-c", "echo one; echo two >&2; sleep 0.5; echo three")
    assert sorted((await output(runtime, container_id)).split()) == ["one", "three", "two"]
    tail = [d async for d in runtime.logs(container_id, LogOptions(tail=1, stderr=False))]
    assert tail == [b"three\n"]
    stamped = [d async for d in runtime.logs(container_id, LogOptions(timestamps=True, stdout=False))]
    assert stamped[0].endswith(b"Z two\n")
    later = [d async for d in runtime.logs(container_id, LogOptions(since=time.time() + 100))]
    assert later == []


async def test_logs_are_followed_over_rotations(runtime: DockerRuntime) -> None:
    """And a log that is read afterwards is read from all files."""
    script = "while [ ! -e /tmp/go ]; do sleep 0.1; done; seq 1 20000"
    container_id = await run(
        runtime, await sandbox(runtime), "sh", "-c", script, log_max_bytes=100_000, log_max_files=50
    )
    following = asyncio.create_task(output(runtime, container_id))
    await runtime.exec_sync(container_id, ("touch", "/tmp/go"), 30)
    expected = "".join(f"{number}\n" for number in range(1, 20_001))
    assert await asyncio.wait_for(following, 120) == expected
    assert os.path.exists((await runtime.files(container_id)).log + ".1")
    whole = b"".join([data async for data in runtime.logs(container_id, LogOptions())])
    assert whole.decode() == expected
    tail = b"".join([data async for data in runtime.logs(container_id, LogOptions(tail=15_000))])
    assert tail.decode() == expected[expected.index("5001\n") :]


async def test_a_long_line_is_one_line_of_the_log(runtime: DockerRuntime) -> None:
    """The engine cuts lines at 16 KiB."""
    script = "echo first; head -c 40000 /dev/zero | tr '\\0' x; echo; printf last"
    container_id = await run(runtime, await sandbox(runtime), "sh", "-c", script)
    long = "x" * 40_000
    assert await output(runtime, container_id) == f"first\n{long}\nlast"
    tail = b"".join([data async for data in runtime.logs(container_id, LogOptions(tail=2))])
    assert tail.decode() == f"{long}\nlast"
    stamped = b"".join([data async for data in runtime.logs(container_id, LogOptions(timestamps=True))])
    assert (
        re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", "@", stamped.decode()) == f"@first\n@{long}\n@last"
    )


async def test_limits_and_security_reach_the_kernel(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime, sandbox_spec(sysctls={"net.ipv4.ip_unprivileged_port_start": "42"}))
    container_id = await run(
        runtime,
        sandbox_id,
        "sh",
        "-c",
        "id -u; id -g; id -G; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/self/oom_score_adj;"
        " cat /proc/sys/net/ipv4/ip_unprivileged_port_start; touch /x || echo read-only; echo $A",
        env=(("A", "b c"),),
        resources=Resources(cpu_limit_milli=500, memory_limit=32 << 20, oom_score_adj=321, pids_limit=50),
        security=Security(
            user="1000:2000",
            groups=(3000,),
            drop_capabilities=("ALL",),
            add_capabilities=("NET_BIND_SERVICE",),
            read_only_root=True,
            no_new_privileges=True,
            seccomp="unconfined",
        ),
    )
    text = await output(runtime, container_id)
    lines = text.split("\n")
    assert lines[:3] == ["1000", "2000", "2000 3000"]
    assert "CapBnd:\t0000000000000400" in text and "NoNewPrivs:\t1" in text and "Seccomp:\t0" in text
    assert lines[6:8] == ["321", "42"] and "read-only" in text and "b c" in lines
    entry = await runtime._inspect(container_id)
    host = entry["HostConfig"]
    assert (host["CpuQuota"], host["CpuPeriod"], host["CpuShares"]) == (50000, 100000, 512)
    assert (host["Memory"], host["PidsLimit"]) == (32 << 20, 50)


async def test_an_oom_kill_is_seen(runtime: DockerRuntime) -> None:
    sandbox_id = await sandbox(runtime)
    container_id = await run(
        runtime,
        sandbox_id,
        "sh",
        "-c",
        "x=$(dd if=/dev/zero bs=1M count=200 | tr '\\0' x); echo ${#x}",
        resources=Resources(memory_limit=8 << 20),
    )
    await output(runtime, container_id)
    state = await runtime.inspect(container_id)
    assert state.oom_killed or state.exit_code == 137


async def test_a_taken_host_port_is_a_start_error_of_the_sandbox(runtime: DockerRuntime) -> None:
    server = await asyncio.start_server(lambda r, w: None, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    sandbox_id = await runtime.create_sandbox(sandbox_spec(ports=(PortMapping(port, 80),)))
    with pytest.raises(StartError, match=r"already (in use|allocated)"):
        await runtime.start(sandbox_id)
    await runtime.remove(sandbox_id)
    server.close()
    await server.wait_closed()


async def test_usage_and_info(runtime: DockerRuntime) -> None:
    info = await runtime.info()
    assert (
        info.name == "docker"
        and info.cpus >= 1
        and info.memory > 0
        and info.architecture in ("amd64", "arm64")
    )
    sandbox_id = await sandbox(runtime)
    container_id = await run(runtime, sandbox_id, "sh", "-c", "while :; do :; done")
    first = await runtime.usage(container_id)
    while (second := await runtime.usage(container_id)).cpu_nanoseconds <= first.cpu_nanoseconds:
        pass
    assert second.memory_working_set > 0


async def test_a_pull_that_cannot_work_says_so(runtime: DockerRuntime) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        await runtime.pull("127.0.0.1:1/nothing:1")
    assert caught.value.reason == "ErrImagePull"


async def test_removed_sandboxes_give_their_address_back(runtime: DockerRuntime, engine: APIClient) -> None:
    sandbox_id = await sandbox(runtime)
    await runtime.remove(sandbox_id)
    again = await sandbox(runtime)
    assert (await runtime.inspect(again)).ip == "10.199.1.7"
    with pytest.raises(APIError):
        engine.inspect_container(sandbox_id)
