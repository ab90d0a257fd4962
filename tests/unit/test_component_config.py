"""apimachinery.componentconfig: flags and a checked file fill one model; what is wrong is named."""

from __future__ import annotations

import pytest
from pydantic import Field

from apimachinery.componentconfig import ComponentConfig, load


class Settings(ComponentConfig):
    data_dir: str = Field(description="where")
    secure_port: int = Field(6443, ge=0, description="which port, 100% yours")
    verbose: bool = Field(False, description="say more")
    tls_san: tuple[str, ...] = Field((), description="a name")


def loaded(*argv: str, file: str = "") -> Settings:
    return load(Settings, argv, prog="thing", description="A thing.", read=lambda path: file)


def test_flags_fill_the_model() -> None:
    found = loaded("--data-dir", "d", "--secure-port", "1", "--verbose", "--tls-san", "a", "--tls-san", "b")
    assert found == Settings(data_dir="d", secure_port=1, verbose=True, tls_san=("a", "b"))


def test_a_file_fills_the_model_and_flags_win() -> None:
    text = "dataDir: d\nsecurePort: 1\ntlsSan: [a]\n"
    assert loaded("--config", "f", "--secure-port", "2", file=text) == Settings(
        data_dir="d", secure_port=2, tls_san=("a",)
    )


@pytest.mark.parametrize(
    ("argv", "file", "message"),
    [
        ((), "", "dataDir: Field required"),
        (("--data-dir", "d", "--secure-port", "x"), "", "secure_port: Input should be a valid integer"),
        (("--config", "f"), "dataDir: d\nport: 1\n", "port: Extra inputs are not permitted"),
        (("--config", "f"), "- a\n", "expected a mapping"),
        (("--config", "f"), "a: [\n", "cannot read f"),
        (("--nothing",), "", "unrecognized arguments"),
    ],
)
def test_what_is_wrong_is_named(
    argv: tuple[str, ...], file: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        loaded(*argv, file=file)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_shows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        loaded("--help")
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(
        flag in shown for flag in ("--data-dir", "--secure-port", "--no-verbose", "--tls-san", "100% yours")
    )
