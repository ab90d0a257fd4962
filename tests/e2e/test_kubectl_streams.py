"""kubectl's streams to real containers: an old kubectl, which speaks SPDY, and a new one, which speaks WebSocket."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from busyboximage import NAME as IMAGE
from localcluster import LocalCluster, is_ready, until

pytestmark = pytest.mark.e2e

SECONDS = 90
BIG = 5 << 20
LAST_WITH_SPDY = 30


def programs() -> dict[str, Path]:
    """The newest kubectl up to 1.30 as "spdy" and the newest of all as "websocket", as far as there are any."""
    found = shutil.which("kubectl")
    if found is None:
        return {}
    first = Path(found).resolve()
    minors = {
        int(path.name.rpartition(".")[2]): path
        for path in first.parent.glob("kubectl.1.*")
        if path.name.rpartition(".")[2].isdigit()
    }
    if not minors:
        return {"any": first}
    chosen = {"websocket": minors[max(minors)]} if max(minors) > LAST_WITH_SPDY else {}
    old = [minor for minor in minors if minor <= LAST_WITH_SPDY]
    return {**({"spdy": minors[max(old)]} if old else {}), **chosen}


PROGRAMS = programs()


@dataclass
class Output:
    code: int
    out: bytes
    err: str


class Kubectl:
    def __init__(self, program: Path, cluster: LocalCluster, namespace: str) -> None:
        self.command = [str(program), "--namespace", namespace]
        self.environment = cluster.environment
        self.namespace = namespace

    def run(self, *arguments: str, stdin: bytes = b"") -> Output:
        done = subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env=self.environment,
        )
        return Output(done.returncode, done.stdout, done.stderr.decode())

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.err}"
        return done.out.decode()

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def terminal(self, *arguments: str) -> Iterator[Terminal]:
        """kubectl with a terminal of its own."""
        ours, theirs = pty.openpty()
        set_size(ours, 40, 100)
        process = subprocess.Popen(
            [*self.command, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
            env={**self.environment, "TERM": "dumb"}, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            process.wait()
            os.close(ours)


def set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """What a person sees and types."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self.process = process
        self.seen = ""

    def until(self, pattern: str) -> str:
        """Reads until there is something new that matches; gives it."""
        give_up = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.seen)) is None:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, give_up - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.seen!r}"
            try:
                self.seen += os.read(self._descriptor, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"ended without {pattern!r}: {self.seen!r}") from None
        self.seen = self.seen[found.end() :]
        return found[0]

    def resize(self, rows: int, columns: int) -> None:
        set_size(self._descriptor, rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())


@pytest.fixture(params=sorted(PROGRAMS) or [pytest.param("", marks=pytest.mark.skip("no kubectl"))])
def kubectl(request: pytest.FixtureRequest, cluster: LocalCluster, namespace: str) -> Kubectl:
    return Kubectl(PROGRAMS[request.param], cluster, namespace)


def container(script: str, name: str = "c", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", script], **more}


def run_pod(cluster: LocalCluster, kubectl: Kubectl, name: str, *containers: dict[str, Any]) -> None:
    space = kubectl.namespace
    spec = {"terminationGracePeriodSeconds": 0, "containers": list(containers)}
    metadata = {"name": name, "namespace": space, "labels": {"app": name}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    until(lambda: is_ready(cluster.pod(name, space)), SECONDS, f"{name} to be ready")


STAY = "trap exit TERM; while true; do sleep 0.2; done"


def test_logs(cluster: LocalCluster, kubectl: Kubectl) -> None:
    script = f"for i in 1 2 3; do echo line $i; done; echo complaint >&2; {STAY}"
    run_pod(cluster, kubectl, "p", container(script), container(f"echo other; {STAY}", "d"))
    whole = "line 1\nline 2\nline 3\ncomplaint\n"
    until(lambda: kubectl("logs", "p", "-c", "c").count("\n") == 4, SECONDS, "four lines")
    assert sorted(kubectl("logs", "p", "-c", "c").splitlines()) == sorted(whole.splitlines())
    assert kubectl("logs", "p", "-c", "d") == "other\n"
    first = kubectl.run("logs", "p")
    assert first.err == 'Defaulted container "c" out of: c, d\n'
    assert kubectl("logs", "p", "-c", "d", "--tail=0") == ""
    assert kubectl("logs", "p", "-c", "c", "--tail=2").count("\n") == 2
    assert kubectl("logs", "p", "-c", "c", "--since=1h").count("\n") == 4
    stamped = kubectl("logs", "p", "-c", "d", "--timestamps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z other\n", stamped)
    assert kubectl("logs", "p", "-c", "d", "--since-time=2000-01-01T00:00:00Z") == "other\n"
    prefixed = kubectl("logs", "-l", "app=p", "--all-containers", "--prefix")
    assert "[pod/p/d] other\n" in prefixed
    assert kubectl("logs", "p", "-c", "d", "--limit-bytes=4") == "othe"
    assert "container x is not valid for pod p" in kubectl.run("logs", "p", "-c", "x").err
    none = kubectl.run("logs", "p", "-c", "c", "--previous")
    assert 'previous terminated container "c" in pod "p" not found' in none.err


def test_logs_followed_and_of_the_container_before(cluster: LocalCluster, kubectl: Kubectl) -> None:
    script = "echo begin; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo end; exit 3"
    run_pod(cluster, kubectl, "p", container(script))
    with kubectl.running("logs", "-f", "p") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "begin\n"
        kubectl("exec", "p", "--", "touch", "/tmp/go")
        assert following.stdout.readline() == "end\n"
        assert following.wait(SECONDS) == 0
    before = until(lambda: kubectl.run("logs", "-p", "p").out, SECONDS, "the log of the container before")
    assert before == b"begin\nend\n"


def test_exec(cluster: LocalCluster, kubectl: Kubectl) -> None:
    run_pod(cluster, kubectl, "p", container(STAY))
    assert kubectl("exec", "p", "--", "echo", "hello") == "hello\n"
    assert kubectl("exec", "-i", "p", "--", "cat", stdin=b"by pipe") == "by pipe"
    failed = kubectl.run("exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (failed.code, failed.out) == (7, b"out\n")
    assert failed.err == "err\ncommand terminated with exit code 7\n"
    missing = kubectl.run("exec", "p", "--", "nosuch")
    # As with Kubernetes on Docker: the engine's words on standard output, and the code of what cannot be run.
    assert missing.code == 126
    assert b'exec: "nosuch": executable file not found in $PATH' in missing.out
    big = os.urandom(BIG)
    there_and_back = kubectl.run("exec", "-i", "p", "--", "cat", stdin=big)
    assert (there_and_back.code, there_and_back.out == big) == (0, True)
    only_out = kubectl.run("exec", "p", "--", "head", "-c", str(BIG), "/dev/zero")
    assert (only_out.code, len(only_out.out)) == (0, BIG)
    counted = kubectl.run("exec", "-i", "p", "--", "wc", "-c", stdin=big)
    assert counted.out.split() == [str(BIG).encode()]


def test_exec_on_a_terminal(cluster: LocalCluster, kubectl: Kubectl) -> None:
    run_pod(cluster, kubectl, "p", container(STAY))
    with kubectl.terminal("exec", "-it", "p", "--", "sh") as shell:
        shell.until("[#$] ")
        shell.type("stty size\n")
        shell.until("40 100\r\n")
        shell.resize(50, 120)
        shell.type("until stty size | grep '^50 120'; do sleep 0.1; done\n")
        shell.until(r"\n50 120\r\n")
        shell.type("tty; echo $((40+2))\n")
        shell.until(r"/dev/(pts/\d+|console)")
        shell.until("42\r\n")
        shell.type("exit 5\n")
        assert shell.process.wait(SECONDS) == 5


def test_attach(cluster: LocalCluster, kubectl: Kubectl) -> None:
    echo = container("while read line; do echo got $line; done", stdin=True)
    run_pod(cluster, kubectl, "p", echo)
    with kubectl.terminal("attach", "-i", "p") as attached:
        attached.until("If you don't see a command prompt, try pressing enter.")
        attached.type("hello\n")
        attached.until("got hello")
    said = container("while read line; do echo said $line; done", stdin=True, tty=True)
    run_pod(cluster, kubectl, "q", said)
    with kubectl.terminal("attach", "-it", "q") as attached:
        attached.until("try pressing enter.")
        attached.type("again\n")
        attached.until("said again\r\n")


def test_run_attached(kubectl: Kubectl) -> None:
    overrides = '{"spec":{"terminationGracePeriodSeconds":0}}'
    flags = (f"--image={IMAGE}", "--image-pull-policy=Never", "--restart=Never", f"--overrides={overrides}")
    done = kubectl.run("run", "once", "-i", "--rm", *flags, "--", "cat", stdin=b"through a pod\n")
    assert done.code == 0, done.err
    assert done.out.startswith(b"through a pod\n")
    assert b'pod "once" deleted' in done.out
    failed = kubectl.run(
        "run", "fails", "-i", "--rm", *flags, "--", "sh", "-c", "read x; exit 4", stdin=b"\n"
    )
    assert failed.code == 4


def test_copies(cluster: LocalCluster, kubectl: Kubectl, tmp_path: Path) -> None:
    run_pod(cluster, kubectl, "p", container(STAY))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(content := os.urandom(1 << 20))
    kubectl("cp", str(tmp_path / "folder"), "p:/tmp/there")
    assert kubectl("exec", "p", "--", "wc", "-c", "/tmp/there/file").split()[0] == str(1 << 20)
    kubectl("cp", "p:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back" / "file").read_bytes() == content
    kubectl("cp", "p:/tmp/there/file", str(tmp_path / "one"), "-c", "c")
    assert (tmp_path / "one").read_bytes() == content


def test_port_forward(cluster: LocalCluster, kubectl: Kubectl) -> None:
    serve = "mkdir -p /www; echo a page > /www/index.html; exec httpd -f -p 8080 -h /www"
    run_pod(cluster, kubectl, "p", container(serve, ports=[{"containerPort": 8080, "name": "web"}]))
    kubectl("expose", "pod", "p", "--port=80", "--target-port=web")
    for target, port in (("pod/p", "8080"), ("svc/p", "80")):
        with kubectl.running("port-forward", target, f":{port}") as forwarding:
            assert forwarding.stdout is not None
            line = forwarding.stdout.readline()
            found = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> 8080\n", line)
            assert found is not None, line
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/", timeout=SECONDS) as page:
                    assert page.read() == b"a page\n"


def test_debug(cluster: LocalCluster, kubectl: Kubectl) -> None:
    """An ephemeral container joins the running pod; kubectl attaches to it."""
    run_pod(cluster, kubectl, "p", container(STAY))
    debug = ("debug", "p", f"--image={IMAGE}", "--image-pull-policy=Never", "--container=look", "--target=c")
    with kubectl.terminal(*debug, "-it", "--", "sh") as shell:
        shell.type("\n")
        shell.until("[#$] ")
        shell.type("ps | grep -c 'sleep 0[.]2'\n")
        shell.until(r"\n[1-9]\d*\r\n")
        shell.type("exit\n")
        shell.process.wait(SECONDS)
    found = cluster.pod("p", kubectl.namespace)
    assert [c["name"] for c in found["status"]["ephemeralContainerStatuses"]] == ["look"]
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
