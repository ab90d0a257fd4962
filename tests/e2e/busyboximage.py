"""A small image made on the spot from this machine's busybox (dynamic, with its libraries): no registry needed."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

from docker.api.client import APIClient

NAME = "pybernetes-test/busybox:1"


def _files(programs: tuple[str, ...]) -> dict[str, str]:
    paths = set(programs)
    for program in ("/bin/busybox", *programs):
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        paths |= {word for line in listed.splitlines() for word in line.split() if word.startswith("/")}
    for library in ("libnss_dns.so.2", "libnss_files.so.2"):
        path = f"/lib/{os.uname().machine}-linux-gnu/{library}"
        if os.path.exists(path):
            paths.add(path)
    return {"bin/busybox": "/bin/busybox", **{path[1:]: path for path in paths}}


def archive(*programs: str) -> bytes:
    """The root file system: busybox, a link for each of its applets, and other programs of this machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, path in _files(programs).items():
            tar.add(os.path.realpath(path), name)
        applets = subprocess.run(
            ["/bin/busybox", "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for name, mode in (("tmp", 0o1777), ("etc", 0o755), ("root", 0o700)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(passwd)
        tar.addfile(entry, io.BytesIO(passwd))
    return buffer.getvalue()


def ensure(
    client: APIClient, name: str = NAME, changes: tuple[str, ...] = (), programs: tuple[str, ...] = ()
) -> str:
    """Makes the image unless it is there; gives its name. `changes` are lines of a Dockerfile."""
    if not client.images(name):
        repository, _, tag = name.partition(":")
        client.import_image_from_data(
            archive(*programs), repository=repository, tag=tag, changes=list(changes)
        )
    return name
