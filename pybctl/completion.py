"""`pybctl completion bash|zsh|fish`: words completed by asking this program."""

from __future__ import annotations

import argparse
from typing import Any

from apimachinery.resources import BUILTIN

_BASH = """_pybctl() {
  local IFS=$'\\n'
  local known=$(pybctl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=($(compgen -W "$known" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _pybctl pybctl
"""
_ZSH = """#compdef pybctl
_pybctl() { compadd -- ${(f)"$(pybctl __complete "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)"} }
compdef _pybctl pybctl
"""
_FISH = """complete -c pybctl -f -a '(pybctl __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"""
SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_TAKES_TYPE = frozenset(("get", "describe", "delete"))


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser("completion", help="print a script that completes words in a shell")
    parser.add_argument("shell", choices=sorted(SHELLS))
    parser.set_defaults(run=_print)


def _print(arguments: argparse.Namespace) -> int:
    print(SHELLS[arguments.shell], end="")
    return 0


def words(parser: argparse.ArgumentParser, given: list[str]) -> list[str]:
    """What may stand in place of the last of `given`: subcommands, flags, resource types."""
    for word in given[:-1]:
        choices = _choices(parser)
        if word in choices:
            parser = choices[word]
    found = list(_choices(parser))
    if given and given[-1].startswith("-"):
        return [flag for action in parser._actions for flag in action.option_strings]
    if not found and len(given) > 1 and given[0] in _TAKES_TYPE:
        found = sorted({r.plural for r in BUILTIN if not r.virtual})
    return found


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
