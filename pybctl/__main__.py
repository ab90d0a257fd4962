"""`pybctl`: local clusters, and everyday work with any cluster."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from apimachinery.errors import StatusError
from kubeclient.config import ConfigError

from . import apply, cluster_commands, completion, describe, get, rollout, streams
from .cluster import ClusterError
from .engine import EngineError
from .manifests import ManifestError
from .target import UsageError
from .userconfig import UserConfigError


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pybctl", description="Local Pybernetes clusters, and everyday work with any cluster."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (cluster_commands, apply, get, describe, streams, rollout, completion):
        module.add_parsers(commands)
    return parser


def _split(given: list[str]) -> tuple[list[str], list[str]]:
    at = given.index("--") if "--" in given else len(given)
    return given[:at], given[at + 1 :]


def main(argv: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    if given[:1] == ["__complete"]:
        print("\n".join(completion.words(parser, given[1:])))
        return
    # What follows `--` is another program's: none of it is a flag of ours.
    own, rest = _split(given)
    arguments = parser.parse_args(own)
    arguments.rest = rest
    try:
        code = arguments.run(arguments)
    except (
        ClusterError,
        EngineError,
        ManifestError,
        UsageError,
        UserConfigError,
        ConfigError,
        StatusError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except ExceptionGroup as group:
        known, others = group.split(StatusError)
        if others is not None:
            raise
        assert known is not None
        for each in known.exceptions:
            print(f"error: {each}", file=sys.stderr)
        code = 1
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except ConnectionError as error:
        print(f"error: the API server does not answer: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
