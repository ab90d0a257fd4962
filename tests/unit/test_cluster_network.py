"""The agents of a cluster's nodes make its network once, whoever is first."""

from __future__ import annotations

from typing import Any

import pytest

from kubeletd.runtime import clusternetwork
from kubeletd.runtime.dockerstream import EngineError
from kubeletd.runtime.interface import SandboxFailure


class Networks:
    """An engine. `others` is after how many questions a network appears that somebody else makes; -1: never."""

    def __init__(self, others: int = -1, refuses: bool = False) -> None:
        self.there = False
        self.others = others
        self.refuses = refuses
        self.created: list[Any] = []

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        if method == "POST":
            if self.refuses:
                raise EngineError(403, "Pool overlaps with other one on this address space")
            self.created.append(body)
            self.there = True
            return {}
        self.there = self.there or self.others == 0
        self.others -= 1
        if not self.there:
            raise EngineError(404, "no such network")
        return {}


async def ensure(engine: Networks) -> None:
    await clusternetwork.ensure(engine, "pods", {"Name": "pods"})  # type: ignore[arg-type]


async def test_it_is_made_where_it_is_missing() -> None:
    engine = Networks()
    await ensure(engine)
    await ensure(engine)
    assert engine.created == [{"Name": "pods"}]


async def test_another_agents_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusternetwork, "_POLL", 0.0)
    engine = Networks(others=5, refuses=True)
    await ensure(engine)
    assert engine.there and engine.created == []


async def test_a_refusal_that_stays_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusternetwork, "_PATIENCE", 0.01)
    with pytest.raises(SandboxFailure, match="cannot create network pods: Pool overlaps"):
        await ensure(Networks(refuses=True))
