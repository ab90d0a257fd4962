"""Quantities such as `1500m`, `2Gi` and `1e3` (apimachinery's api/resource), exact to a billionth.

A quantity is a whole number of nanos and the notation it was written in. Finer fractions round away from
zero and sizes are capped at 2**63 - 1, as Kubernetes does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

NANO = 10**9
_MAX_NANO = (2**63 - 1) * NANO

DECIMAL_SI = "DecimalSI"
BINARY_SI = "BinarySI"
DECIMAL_EXPONENT = "DecimalExponent"

FORMAT_MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

_SYNTAX = re.compile(
    r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?[0-9]+))?", re.ASCII
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_LONGEST_EXPONENT = 1_000_000


def _div_away(numerator: int, denominator: int) -> int:
    """Division that rounds away from zero."""
    return -(-numerator // denominator) if numerator >= 0 else numerator // denominator


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An amount, in nanos, and its notation (`format`), which only str() looks at."""

    nano: int
    format: str = DECIMAL_SI

    @staticmethod
    def parse(text: str) -> Quantity:
        """The quantity written as `text`. Raises ValueError with Kubernetes's message."""
        return _parse(text)

    @staticmethod
    def from_milli(milli: int, fmt: str = DECIMAL_SI) -> Quantity:
        return Quantity(milli * 10**6, fmt)

    @staticmethod
    def from_int(value: int, fmt: str = DECIMAL_SI) -> Quantity:
        return Quantity(value * NANO, fmt)

    def milli(self) -> int:
        """In thousandths, rounded up (away from zero)."""
        return _div_away(self.nano, 10**6)

    def value(self) -> int:
        """In units, rounded up (away from zero)."""
        return _div_away(self.nano, NANO)

    def __str__(self) -> str:
        if self.nano == 0:
            return "0"
        if self.format == BINARY_SI and abs(self.nano) >= 1024 * NANO:
            amount, power = self.value(), 0
            while amount % 1024 == 0 and power < len(_BINARY_SUFFIXES) - 1:
                amount //= 1024
                power += 1
            return f"{amount}{_BINARY_SUFFIXES[power]}"
        amount, exponent = self.nano, -9
        while amount % 1000 == 0 and exponent < 18:
            amount //= 1000
            exponent += 3
        if self.format == DECIMAL_EXPONENT:
            return f"{amount}e{exponent}" if exponent else str(amount)
        return f"{amount}{_DECIMAL_SUFFIX[exponent]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano

    def __gt__(self, other: Quantity) -> bool:
        return self.nano > other.nano

    def __ge__(self, other: Quantity) -> bool:
        return self.nano >= other.nano

    def __add__(self, other: Quantity) -> Quantity:
        """The sum, in this one's notation (the other's where this is zero)."""
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise ValueError(FORMAT_MESSAGE)
    sign, number, suffix, exponent = match.groups()
    whole, _, fraction = number.partition(".")
    digits, scale, shift, fmt = int(whole + fraction or "0"), -len(fraction), 0, DECIMAL_SI
    if suffix is not None and suffix in _BINARY:
        shift, fmt = _BINARY[suffix], BINARY_SI
    elif suffix is not None:
        scale += _DECIMAL[suffix]
    elif exponent is not None:
        fmt = DECIMAL_EXPONENT
        if abs(int(exponent)) > _LONGEST_EXPONENT:
            raise ValueError("unable to parse quantity's suffix")
        scale += int(exponent)
    scale += 9
    if digits == 0:
        nano = 0
    elif scale >= 0:
        # Anything this long is beyond the cap; do not build the number to find out.
        nano = _MAX_NANO if scale > 60 else (digits << shift) * 10**scale
    elif -scale > len(str(digits)) + 60:
        nano = 1
    else:
        nano = _div_away(digits << shift, 10**-scale)
    nano = min(nano, _MAX_NANO)
    return Quantity(-nano if sign == "-" else nano, fmt)


@lru_cache(maxsize=4096)
def to_milli(text: str | int | float) -> int:
    """A quantity in thousandths, rounded up: `to_milli("1.5") == 1500`."""
    return _parse(str(text)).milli()


@lru_cache(maxsize=4096)
def to_int(text: str | int | float) -> int:
    """A quantity in units, rounded up: `to_int("1Ki") == 1024`."""
    return _parse(str(text)).value()


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The canonical spelling, which is what is stored: `canonical("1024Mi") == "1Gi"`. Raises ValueError."""
    return str(_parse(text))
