"""Which container a log, exec or attach is about, and what is wrong when there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import errors, meta
from apimachinery.errors import FieldError

Object = dict[str, Any]
Query = Mapping[str, Sequence[str]]

_FIELDS = ("containers", "initContainers", "ephemeralContainers")


def _names(pod: Object, field: str) -> list[str]:
    return [c["name"] for c in pod["spec"].get(field) or ()]


def container_of(pod: Object, asked: str) -> str:
    """The container asked for, or the only one. Raises 400 as Kubernetes words it."""
    pod_name = pod["metadata"]["name"]
    if asked:
        if any(asked in _names(pod, field) for field in _FIELDS):
            return asked
        raise errors.bad_request(f"container {asked} is not valid for pod {pod_name}")
    regular, init, ephemeral = (_names(pod, field) for field in _FIELDS)
    if len(regular) == 1:
        return str(regular[0])
    if not regular:
        raise errors.bad_request(f"a container name must be specified for pod {pod_name}")
    text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(regular)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise errors.bad_request(text)


def node_of(pod: Object) -> str:
    """The node a pod is bound to. Raises 400 when it is not."""
    node = pod["spec"].get("nodeName")
    if not node:
        raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def check_running(pod: Object) -> None:
    """Raises 400 for exec into a pod that has ended."""
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise errors.bad_request(f"cannot exec into a container in a completed pod; current phase is {phase}")


def _status(pod: Object, container: str) -> Object | None:
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(field) or ():
            if one.get("name") == container:
                return dict(one)
    return None


def why_no_log(pod: Object, container: str, *, previous: bool) -> str:
    """Why a container has no log, by its status; "" when the status knows no reason."""
    where = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    status = _status(pod, container)
    if status is None:
        return f"{where} is not available"
    state, last = status.get("state") or {}, status.get("lastState") or {}
    if previous:
        ended = last.get("terminated") or {}
        return "" if ended.get("containerID") else f"previous terminated {where} not found"
    if "running" in state or (state.get("terminated") or {}).get("containerID"):
        return ""
    if "terminated" in state or "terminated" in last:
        return "" if (last.get("terminated") or {}).get("containerID") else f"{where} is terminated"
    reason = (state.get("waiting") or {}).get("reason")
    if not reason:
        return f"{where} is waiting to start - no logs yet"
    shown = {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }.get(reason, reason)
    return f"{where} is waiting to start: {shown}"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions. None where not given."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_seconds: int | None = None
    since_time: str | None = None
    stream: str = "All"


def flag(query: Query, key: str) -> bool:
    """A boolean of the query, as the API machinery reads it: anything but empty, 0 and false is true."""
    values = query.get(key)
    return bool(values) and values[0].lower() not in ("", "0", "false")  # type: ignore[index]


def one(query: Query, key: str) -> str:
    values = query.get(key)
    return values[0] if values else ""


def _integer(query: Query, key: str) -> int | None:
    text = one(query, key)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def log_options(query: Query) -> LogOptions:
    """Parse and check PodLogOptions. Raises 400 and 422."""
    options = LogOptions(
        one(query, "container"),
        flag(query, "follow"),
        flag(query, "previous"),
        flag(query, "timestamps"),
        _integer(query, "tailLines"),
        _integer(query, "limitBytes"),
        _integer(query, "sinceSeconds"),
        one(query, "sinceTime") or None,
        one(query, "stream") or "All",
    )
    problems = list(_problems(options))
    if problems:
        raise errors.invalid("PodLogOptions", "", problems)
    return options


def _problems(options: LogOptions) -> list[FieldError]:
    found = []
    if options.tail_lines is not None and options.tail_lines < 0:
        found.append(
            errors.invalid_value("tailLines", options.tail_lines, "must be greater than or equal to 0")
        )
    if options.limit_bytes is not None and options.limit_bytes < 1:
        found.append(errors.invalid_value("limitBytes", options.limit_bytes, "must be greater than 0"))
    if options.since_seconds is not None and options.since_time is not None:
        detail = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        found.append(errors.forbidden_field("", detail))
    elif options.since_seconds is not None and options.since_seconds < 1:
        found.append(errors.invalid_value("sinceSeconds", options.since_seconds, "must be greater than 0"))
    elif options.since_time is not None:
        try:
            meta.parse_time(options.since_time)
        except ValueError:
            found.append(errors.invalid_value("sinceTime", options.since_time, "must be an RFC 3339 time"))
    if options.stream not in ("All", "Stdout", "Stderr"):
        found.append(errors.not_supported("stream", options.stream, ["All", "Stderr", "Stdout"]))
    elif options.stream != "All" and options.tail_lines is not None:
        detail = "`tailLines` and specific `stream` are mutually exclusive for now"
        found.append(errors.forbidden_field("", detail))
    return found


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """PodExecOptions and PodAttachOptions."""

    container: str = ""
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


def exec_options(query: Query, *, attach: bool) -> ExecOptions:
    """Parse and check the options of exec or attach. Raises 400."""
    # Attach shows output unless told otherwise; exec shows what is asked for.
    out, err = (
        key not in query or flag(query, key) if attach else flag(query, key) for key in ("stdout", "stderr")
    )
    options = ExecOptions(
        one(query, "container"),
        () if attach else tuple(query.get("command") or ()),
        flag(query, "stdin"),
        out,
        err,
        flag(query, "tty"),
    )
    if not attach and not options.command:
        raise errors.bad_request("you must specify at least one command for the container")
    if not (options.stdin or options.stdout or options.stderr):
        raise errors.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    # A terminal has one output.
    return ExecOptions(
        options.container, options.command, options.stdin, options.stdout,
        options.stderr and not options.tty, options.tty,
    )  # fmt: skip


def ports(query: Query) -> list[int]:
    """The ports of a WebSocket port-forward. Raises 400."""
    found: list[int] = []
    for text in [part for value in query.get("ports") or () for part in value.split(",")]:
        if not text.isdecimal() or not 1 <= int(text) <= 65535:
            raise errors.bad_request(f'unable to parse "{text}" as a port: must be between 1 and 65535')
        found.append(int(text))
    if not found:
        raise errors.bad_request('query parameter "ports" is required')
    return found


def exit_status(code: int, error: str = "") -> Object:
    """The Status that ends an exec: success, a command's exit code, or why it did not run."""
    if error:
        message = f"error executing command in container: {error}"
        return errors.internal(message).to_status()
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
