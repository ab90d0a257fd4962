"""Compiling and evaluating CEL expressions.

    check = compile_expression("self.replicas <= self.max", {"self"})
    check.evaluate({"self": obj})

The evaluating package is loaded with the first expression. Programs are kept: compiling takes some ten times as long
as evaluating.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

from apimachinery.cel.rewrite import NAMESPACES, OPTIONAL_FIELD, OURS, Rewritten, rewrite
from apimachinery.cel.syntax import shown

Function = Callable[..., Any]
#: What the evaluating package has itself, beyond our library.
_NATIVE = """
    all bind bytes contains double duration dyn endsWith exists existsOne exists_one filter getDate getDayOfMonth
    getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth getSeconds has hasValue int map
    none of ofNonZeroValue or orValue size startsWith string timestamp type uint validate value
"""
_AUTHORIZER = """
    allowed check error errored fieldSelector group labelSelector name namespace path reason resource serviceAccount
    subresource
"""
#: What rewriting makes.
_MADE = frozenset(
    (OPTIONAL_FIELD, "entry_", "flatten", "keys_", "merged_", "optionalOf_", "some_", "sortBy_", "zip_")
)
KNOWN = frozenset(_NATIVE.split()) | frozenset(_AUTHORIZER.split())


class CompilationError(ValueError):
    """An expression that is none; str() says where and why, as `compilation failed: ...` is continued."""


class EvaluationError(ValueError):
    """An expression that could not be evaluated, such as `no such key: foo`."""


@cache
def _engine() -> Any:
    """The package's extension module alone: the package itself loads its command line, eight times the memory."""
    package = find_spec("cel")
    spec = PathFinder.find_spec("cel.cel", package.submodule_search_locations) if package else None
    if spec is None or spec.loader is None:
        raise ImportError("the package common-expression-language is not installed")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    # It warns of every function that raises; whoever evaluates is told anyway.
    logging.getLogger("cel").setLevel(logging.CRITICAL)
    return module


@cache
def _functions() -> dict[str, Function]:
    from apimachinery.cel.library import FUNCTIONS
    from apimachinery.cel.library_kinds import problems

    optional = _engine().OptionalValue

    def field(value: Any, key: Any) -> Any:
        if isinstance(value, optional):
            if not value.has_value():
                return value
            value = value.value()
        if isinstance(value, dict):
            return optional.of(value[key]) if key in value else optional.none()
        if isinstance(value, list) and isinstance(key, int):
            return optional.of(value[key]) if 0 <= key < len(value) else optional.none()
        return optional.none()

    def validate(named: Any, text: str) -> Any:
        found = problems(named, text)
        return optional.of(found) if found else optional.none()

    def some(value: Any) -> list[Any]:
        if not isinstance(value, optional):
            raise ValueError("no such overload")
        return [value.value()] if value.has_value() else []

    def of_list(values: list[Any]) -> Any:
        return optional.of(values[0]) if values else optional.none()

    ours = {OURS[name]: FUNCTIONS[name] for name in OURS}
    made: dict[str, Function] = {
        "first": lambda values: of_list(values[:1]),
        "last": lambda values: of_list(values[-1:]),
        OPTIONAL_FIELD: field,
        "optionalOf_": of_list,
        "some_": some,
        "validate": validate,
    }
    return {**FUNCTIONS, **ours, **made}


class Program:
    """A compiled expression."""

    __slots__ = ("_calls", "_functions", "_program", "expression", "names")

    def __init__(self, expression: str, program: Any, rewritten: Rewritten) -> None:
        self.expression = expression
        #: The variables it uses.
        self.names = frozenset(rewritten.names)
        self._program = program
        # Handing over all of the library would cost more than most evaluations.
        self._calls = {OURS.get(name, name) for name in rewritten.functions} | _MADE
        self._functions = {name: call for name, call in _functions().items() if name in self._calls}

    def evaluate(self, variables: Mapping[str, Any], functions: Mapping[str, Function] | None = None) -> Any:
        """The value as plain Python. Raises EvaluationError."""
        offered = self._functions
        if functions:
            offered = {**offered, **{name: functions[name] for name in functions if name in self._calls}}
        used = {name: value for name, value in variables.items() if name in self.names}
        try:
            return plain(self._program.execute(_engine().Context(variables=used, functions=offered)))
        except KeyError as error:
            raise EvaluationError(f"no such key: {error.args[0] if error.args else ''}") from None
        except ZeroDivisionError:
            raise EvaluationError("division by zero") from None
        except IndexError as error:
            raise EvaluationError(str(error)) from None
        except TypeError:
            raise EvaluationError("no such overload") from None
        except (ValueError, RuntimeError, OverflowError) as error:
            raise EvaluationError(_reason(str(error))) from None


def optional_of(value: Any, *, present: bool) -> Any:
    """An optional value for an expression to look into."""
    optional = _engine().OptionalValue
    return optional.of(value) if present else optional.none()


def plain(value: Any) -> Any:
    """An optional value as what it holds, or None."""
    if isinstance(value, _engine().OptionalValue):
        return value.value() if value.has_value() else None
    return value


def _reason(text: str) -> str:
    """What one of our functions said, without the package's words around it."""
    _, mark, inner = text.partition("Python function call failed: ")
    if mark:
        text = inner.partition(": ")[2] or inner
    return text.removesuffix(". Check function arguments and their types.")


@lru_cache(maxsize=4096)
def compile_expression(expression: str, names: frozenset[str]) -> Program:
    """Compile an expression that may use these variables. Raises CompilationError."""
    try:
        rewritten = rewrite(expression)
        program = _engine().compile(rewritten.text)
    except ValueError as error:
        text = str(error)
        start = text.find("ERROR: ")
        raise CompilationError(text[start:] if start >= 0 else f"ERROR: <input>:1:1: {text}") from None
    unknown = [(name, at) for name, at in rewritten.names.items() if name not in names]
    unknown += [
        (name.replace("_", ".", 1) if name.partition("_")[0] in NAMESPACES else name, at)
        for name, at in rewritten.functions.items()
        if name not in KNOWN and name not in _functions()
    ]
    if unknown:
        name, at = unknown[0]
        raise CompilationError(shown(expression, at, f"undeclared reference to '{name}' (in container '')"))
    return Program(expression, program, rewritten)
