"""The agent's own directory: what is said of one that takes no files, and which of these the agent can live with."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from kubeletd.interfaces import CannotStart
from kubeletd.run import _claim


def failing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def write(self: Path, data: bytes) -> Any:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "write_bytes", write)


def test_a_directory_is_made_and_left_empty(tmp_path: Path) -> None:
    _claim(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_one_that_cannot_be_written_to_is_a_reason_not_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    failing(monkeypatch, code)
    with pytest.raises(CannotStart, match=f"cannot write to --root-dir {tmp_path}: {os.strerror(code)}"):
        _claim(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_not_since_the_agent_frees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    failing(monkeypatch, code)
    _claim(tmp_path)
    assert os.strerror(code) in caplog.text
