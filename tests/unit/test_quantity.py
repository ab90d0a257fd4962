"""Quantities: exactness, canonical spelling, rounding, order."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.quantity import (
    BINARY_SI,
    DECIMAL_EXPONENT,
    DECIMAL_SI,
    Quantity,
    canonical,
    to_int,
    to_milli,
)

SUFFIXES = [
    "n",
    "u",
    "m",
    "",
    "k",
    "M",
    "G",
    "T",
    "P",
    "E",
    "Ki",
    "Mi",
    "Gi",
    "Ti",
    "Pi",
    "Ei",
    "e3",
    "E-2",
    "e0",
]
quantities = st.builds(
    Quantity, st.integers(-(2**63) * 10**9, 2**63 * 10**9), st.sampled_from([DECIMAL_SI, DECIMAL_EXPONENT])
)
texts = st.builds(
    lambda sign, whole, fraction, suffix: f"{sign}{whole}{fraction}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**6),
    st.one_of(st.just(""), st.integers(0, 10**9).map(lambda n: f".{n}")),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("text", "spelled", "milli", "units"),
    [
        ("1500m", "1500m", 1500, 2),
        ("0.5", "500m", 500, 1),
        ("1000m", "1", 1000, 1),
        ("1024Mi", "1Gi", 1024**3 * 1000, 1024**3),
        ("1.5Gi", "1536Mi", 1536 * 1024**2 * 1000, 1536 * 1024**2),
        ("1.5Ki", "1536", 1536000, 1536),
        ("100Ki", "100Ki", 102400000, 102400),
        ("100k", "100k", 100_000_000, 100_000),
        ("1e3", "1e3", 1_000_000, 1000),
        ("12e6", "12e6", 12_000_000_000, 12_000_000),
        ("1E", "1E", 10**21, 10**18),
        ("1025", "1025", 1_025_000, 1025),
        (".5", "500m", 500, 1),
        ("5.", "5", 5000, 5),
        ("-1.5", "-1500m", -1500, -2),
        ("0.1n", "1n", 1, 1),
        ("0Ki", "0", 0, 0),
        ("-0", "0", 0, 0),
        ("0.5Ki", "512", 512000, 512),
    ],
)
def test_known_quantities(text: str, spelled: str, milli: int, units: int) -> None:
    assert (canonical(text), to_milli(text), to_int(text)) == (spelled, milli, units)


@pytest.mark.parametrize(
    "text", ["", "abc", "1 Gi", "1gi", "1K", "1,5", "--1", "1e", "e3", "1.2.3", ".", "1Gim", "٣"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantities must match the regular expression"):
        Quantity.parse(text)


@pytest.mark.parametrize("text", ["1e999999", "9" * 400, "1e-999999", "0." + "0" * 400 + "1"])
def test_hostile_sizes_stay_cheap_and_bounded(text: str) -> None:
    assert 0 < Quantity.parse(text).nano <= (2**63 - 1) * 10**9


@given(texts)
def test_the_canonical_spelling_means_the_same_and_is_stable(text: str) -> None:
    spelled = canonical(text)
    value, again = Quantity.parse(text), Quantity.parse(spelled)
    if value.format == BINARY_SI and abs(value.nano) >= 1024 * 10**9:
        assert again.value() == value.value()  # no fractions of bytes
    else:
        assert again.nano == value.nano
    assert canonical(spelled) == spelled


@given(quantities)
def test_formatting_and_parsing_round_trip(value: Quantity) -> None:
    again = Quantity.parse(str(value))
    assert again.nano == max(-(2**63 - 1) * 10**9, min((2**63 - 1) * 10**9, value.nano))


@given(texts, texts)
def test_order_is_that_of_the_numbers(a: str, b: str) -> None:
    x, y = Quantity.parse(a), Quantity.parse(b)
    assert (x < y) is (Fraction(x.nano) < Fraction(y.nano))
    assert (x == y) is (x.nano == y.nano)
    assert (x <= y) is not (x > y)
    assert (x + y).nano == x.nano + y.nano
    assert (x - y).nano == x.nano - y.nano


@given(texts)
def test_rounding_is_away_from_zero_and_by_less_than_one(text: str) -> None:
    value = Quantity.parse(text)
    assert 0 <= abs(value.milli()) * 10**6 - abs(value.nano) < 10**6
    assert 0 <= abs(value.value()) * 10**9 - abs(value.nano) < 10**9
