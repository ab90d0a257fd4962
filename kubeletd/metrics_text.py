"""Prometheus's text format (version 0.0.4). Pure.

Written here and not by prometheus_client, which an idle agent would keep two megabytes for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Kind = Literal["counter", "gauge", "histogram"]


class Sample(NamedTuple):
    """`suffix` follows the family's name (`_bucket`); `at` is when it was measured, 0: left out."""

    labels: Mapping[str, str]
    value: float
    at: float = 0.0
    suffix: str = ""


class Family(NamedTuple):
    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def render(families: Iterable[Family]) -> bytes:
    """Families without samples are left out."""
    lines = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(sample.labels.items()))
            name = family.name + sample.suffix + (f"{{{labels}}}" if labels else "")
            when = f" {int(sample.at * 1000)}" if sample.at else ""
            lines.append(f"{name} {_number(sample.value)}{when}")
    return ("\n".join(lines) + "\n").encode()
