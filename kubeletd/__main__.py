"""python -P -m kubeletd: a node agent, or with `--runtime simulated` one or many imaginary nodes.

The settings are checked in a child process: pydantic, which only that needs, would stay in an idle agent's memory
(10 MB) for good. The agent's own modules are loaded meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from kubeletd.options import Options


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _check(argv: list[str], pipe: int) -> int:
    """The child: writes the settings as JSON into `pipe`; gives the exit code."""
    from apimachinery import componentconfig
    from kubeletd.options import Options

    try:
        options = componentconfig.load(
            Options,
            argv,
            prog="kubeletd",
            description="Runs the pods that are bound to this node.",
            read=_read,
        )
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        return end.code if isinstance(end.code, int) else 1
    with os.fdopen(pipe, "w") as out:
        out.write(options.model_dump_json())
    return 0


def main(argv: list[str] | None = None) -> int:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            code = _check(sys.argv[1:] if argv is None else argv, writer)
        except Exception:
            traceback.print_exc()
            raise  # no further than the process's end below
        finally:
            os._exit(code)
    os.close(writer)
    from kubeletd.run import run

    with os.fdopen(reader) as answer:
        text = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not text:
        return code
    return run(cast("Options", SimpleNamespace(**json.loads(text))))


if __name__ == "__main__":
    sys.exit(main())
