"""The sandbox's image: one static program of a few hundred bytes, written here, so that no registry is needed.

The program blocks SIGINT, SIGTERM and SIGCHLD and waits for them: on SIGCHLD it reaps (it is process 1 of a shared
process namespace), on the others it exits. Blocked signals are queued even for process 1, which ignores unhandled
ones otherwise.

Told to by an argument, it first moves into a network namespace of its own (an engine makes one too, but by starting
itself again twice, which doubles the cost of a sandbox: docs/adr/0006-sandbox-network.md). It always becomes nobody and
gives up every capability it was started with.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile

REPOSITORY = "pybernetes/pause"
_BASE = 0x400000
_HEADERS = 64 + 56  # ELF header and one program header
_SIGNALS = 1 << (2 - 1) | 1 << (15 - 1) | 1 << (17 - 1)  # SIGINT, SIGTERM, SIGCHLD
OWN_NETWORK = "own-network"  # the argument; any would do
_CLONE_NEWNET = 0x40000000
_CAPABILITY_VERSION = 0x20080522
_NOBODY = 65535
_MACHINES = {"amd64": 62, "arm64": 183}  # e_machine


def _amd64() -> bytes:
    wait = bytes.fromhex(
        "b880000000"  # mov eax, 128 (rt_sigtimedwait)
        "4889e7"  # mov rdi, rsp
        "31f6"  # xor esi, esi
        "31d2"  # xor edx, edx
        "41ba08000000"  # mov r10d, 8
        "0f05"  # syscall
        "83f811"  # cmp eax, 17 (SIGCHLD)
    )
    leave = bytes.fromhex("31ffb83c0000000f05")  # exit(0)
    reap = bytes.fromhex(
        "b83d000000"  # mov eax, 61 (wait4)
        "48c7c7ffffffff"  # mov rdi, -1
        "31f6"  # xor esi, esi
        "ba01000000"  # mov edx, 1 (WNOHANG)
        "4531d2"  # xor r10d, r10d
        "0f05"  # syscall
        "85c0"  # test eax, eax
    )
    block = (
        b"\x68"
        + struct.pack("<i", _SIGNALS)
        + bytes.fromhex(  # push the signal set
            "b80e000000"  # mov eax, 14 (rt_sigprocmask)
            "31ff"  # xor edi, edi (SIG_BLOCK)
            "4889e6"  # mov rsi, rsp
            "31d2"  # xor edx, edx
            "41ba08000000"  # mov r10d, 8
            "0f05"  # syscall
        )
    )
    fail = bytes.fromhex("bf01000000b83c0000000f05")  # exit(1)
    unshare = (
        bytes.fromhex("b810010000bf")  # mov eax, 272 (unshare); mov edi, …
        + struct.pack("<I", _CLONE_NEWNET)
        + bytes.fromhex("0f0585c0")  # syscall; test eax, eax
        + b"\x74"
        + struct.pack("b", len(fail))  # je: done
        + fail
    )
    # cmp qword [rsp], 1 (the number of arguments); jle: no unshare
    network = bytes.fromhex("48833c24017e") + struct.pack("b", len(unshare)) + unshare
    nobody = b"".join(
        b"\xbf" + struct.pack("<I", _NOBODY) + b"\xb8" + struct.pack("<I", call) + b"\x0f\x05"
        for call in (106, 105)  # mov edi, …; mov eax, setgid and setuid; syscall
    )
    capabilities = (
        bytes.fromhex("6a006a006a004889e668")  # push three times 0 (the empty sets); mov rsi, rsp; push …
        + struct.pack("<I", _CAPABILITY_VERSION)
        + bytes.fromhex("4889e7b87e0000000f05")  # mov rdi, rsp; mov eax, 126 (capset); syscall
    )
    # wait: …; je reap; test eax, eax; js wait; exit; reap: …; jg reap; jmp wait
    retry = b"\x85\xc0" + b"\x78" + struct.pack("b", -(len(wait) + 2 + 4))
    to_reap = b"\x74" + struct.pack("b", len(retry) + len(leave))
    again = b"\x7f" + struct.pack("b", -(len(reap) + 2))
    body = wait + to_reap + retry + leave + reap + again
    return network + nobody + capabilities + block + body + b"\xeb" + struct.pack("b", -(len(body) + 2))


def _arm64() -> bytes:
    def mov(register: int, value: int) -> int:  # movz
        return 0xD2800000 | value << 5 | register

    sp_to = 0x910003E0  # add xN, sp, #0 (| N)
    svc = 0xD4000001
    block = [
        0xD10043FF,  # sub sp, sp, #16
        mov(0, _SIGNALS & 0xFFFF),
        0xF2A00000 | _SIGNALS >> 16 << 5,  # movk x0, #high, lsl #16
        0xF90003E0,  # str x0, [sp]
        mov(0, 0),
        sp_to | 1,
        mov(2, 0),
        mov(3, 8),
        mov(8, 135),
        svc,  # rt_sigprocmask
    ]
    wait = [sp_to | 0, mov(1, 0), mov(2, 0), mov(3, 8), mov(8, 137), svc, 0x7100441F]  # …; cmp w0, #17
    leave = [mov(0, 0), mov(8, 93), svc]
    reap = [0x92800000, mov(1, 0), mov(2, 1), mov(3, 0), mov(8, 260), svc, 0x7100001F]  # wait4; cmp w0, #0
    to_reap = 0x54000000 | (2 + len(leave)) << 5  # b.eq
    retry = 0x37F80000 | (-(len(wait) + 1) & 0x3FFF) << 5  # tbnz w0, #31
    again = 0x5400000C | (-len(reap) & 0x7FFFF) << 5  # b.gt
    body = [*wait, to_reap, retry, *leave, *reap, again]
    fail = [mov(0, 1), mov(8, 93), svc]
    unshare = [
        0xD2A00000 | _CLONE_NEWNET >> 16 << 5,  # movz x0, #high, lsl #16
        mov(8, 97),
        svc,  # unshare
        0xB4000000 | (1 + len(fail)) << 5,  # cbz x0, done
        *fail,
    ]
    network = [
        0xF94003E0,  # ldr x0, [sp] (the number of arguments)
        0xF100041F,  # cmp x0, #1
        0x5400000D | (1 + len(unshare)) << 5,  # b.le: no unshare
        *unshare,
    ]
    nobody = [word for call in (144, 146) for word in (mov(0, _NOBODY), mov(8, call), svc)]  # setgid, setuid
    capabilities = [
        0xD10083FF,  # sub sp, sp, #32
        *(0xF90003FF | n << 10 for n in range(3)),  # str xzr, [sp, #8 n]: the empty sets
        mov(0, _CAPABILITY_VERSION & 0xFFFF),
        0xF2A00000 | _CAPABILITY_VERSION >> 16 << 5,  # movk x0, #high, lsl #16
        0xF9000FE0,  # str x0, [sp, #24]
        0x910063E0,  # add x0, sp, #24
        sp_to | 1,
        mov(8, 91),
        svc,  # capset
    ]
    words = network + nobody + capabilities + block + body + [0x14000000 | (-len(body) & 0x3FFFFFF)]
    return struct.pack(f"<{len(words)}I", *words)


def program(architecture: str) -> bytes:
    """The ELF executable for amd64 or arm64 (Go's names). KeyError for any other."""
    machine = _MACHINES[architecture]
    code = _amd64() if architecture == "amd64" else _arm64()
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack(
        "<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000
    )  # PT_LOAD, readable, executable
    return header + segment + code


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (data, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def image(architecture: str) -> tuple[str, bytes]:
    """The image's name and its archive for `docker load`; the same bytes every time, so loading twice is free."""
    layer = _tar({"pause": (program(architecture), 0o755)})
    layer_id = hashlib.sha256(layer).hexdigest()
    name = f"{REPOSITORY}:{layer_id[:12]}"
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Entrypoint": ["/pause"], "User": f"{_NOBODY}:{_NOBODY}"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
            "history": [{"created": "1970-01-01T00:00:00Z"}],
        },
        separators=(",", ":"),
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps(
        [{"Config": config_name, "RepoTags": [name], "Layers": [f"{layer_id}/layer.tar"]}],
        separators=(",", ":"),
    ).encode()
    return name, _tar(
        {
            config_name: (config, 0o644),
            f"{layer_id}/layer.tar": (layer, 0o644),
            "manifest.json": (manifest, 0o644),
        }
    )
