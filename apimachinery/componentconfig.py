"""One pydantic model describes a component's settings; flags and a YAML file fill it.

`--config FILE` gives a YAML mapping with the model's field names in camelCase; flags (kebab-case) win over it.
Unknown or ill-typed settings are refused with the field's name.
"""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel


class ComponentConfig(BaseModel):
    """Base of every component's settings. Each field needs a description: it is the flag's help."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


Config = TypeVar("Config", bound=ComponentConfig)


def _is_list(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return any(_is_list(arg) for arg in typing.get_args(annotation))
    return origin in (list, tuple)


def parser(model: type[ComponentConfig], prog: str, description: str) -> argparse.ArgumentParser:
    """Flags for every field of `model`; a list field's flag may be repeated."""
    result = argparse.ArgumentParser(prog=prog, description=description)
    result.add_argument("--config", metavar="FILE", help="YAML file of settings; flags win over it")
    for name, field in model.model_fields.items():
        flag = "--" + name.replace("_", "-")
        text = field.description or ""
        if not field.is_required() and field.default not in (None, "", ()):
            text += f" (default: {field.default})"
        text = text.replace("%", "%%")
        if field.annotation is bool:
            result.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif _is_list(field.annotation):
            result.add_argument(
                flag, action="append", default=None, metavar="VALUE", help=text + " (repeatable)"
            )
        else:
            result.add_argument(flag, default=None, metavar="VALUE", help=text)
    return result


def load(
    model: type[Config],
    argv: Sequence[str],
    *,
    prog: str,
    description: str,
    read: Callable[[str], str],
) -> Config:
    """The settings from `argv` (without the program's name) and its `--config` file, read by `read(path)`.

    Ends the process with a clear message (SystemExit 2) where they are wrong.
    """
    arguments = parser(model, prog, description)
    given = vars(arguments.parse_args(argv))
    path = given.pop("config")
    values: dict[str, Any] = {}
    if path is not None:
        try:
            document = yaml.safe_load(read(path))
        except (OSError, yaml.YAMLError) as error:
            arguments.error(f"cannot read {path}: {error}")
        if document is not None and not isinstance(document, dict):
            arguments.error(f"{path}: expected a mapping of settings")
        names = {str(field.alias): name for name, field in model.model_fields.items()}
        settings: dict[str, Any] = document or {}
        values.update({names.get(key, key): value for key, value in settings.items()})
    values.update({key: value for key, value in given.items() if value is not None})
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in e['loc']) or 'settings'}: {e['msg']}" for e in error.errors()
        )
        arguments.error(problems)
