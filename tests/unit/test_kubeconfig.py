"""Kubeconfigs: data and file references, several files, and errors that say what is missing."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kubeclient.config import Config, ConfigError

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts:
- {{name: one, context: {{cluster: c, user: u, namespace: apps}}}}
- {{name: two, context: {{cluster: c, user: v}}}}
clusters:
- name: c
  cluster: {{server: "https://[::1]:6443/prefix/", certificate-authority: pki/ca.crt, tls-server-name: api}}
users:
- name: u
  user: {{client-certificate-data: {}, client-key-data: {}}}
- name: v
  user: {{tokenFile: token}}
""".format(base64.b64encode(b"CERT").decode(), base64.b64encode(b"KEY").decode())


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.crt").write_text("CA")
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    return path


def test_data_and_file_references(kubeconfig: Path) -> None:
    config = Config.from_kubeconfig(kubeconfig)
    assert (config.ca, config.client_certificate, config.client_key) == (b"CA", b"CERT", b"KEY")
    assert config.namespace == "apps"
    assert config.address == ("::1", 6443)
    assert config.base_path == "/prefix"
    assert config.tls_server_name == "api"
    other = Config.from_kubeconfig(kubeconfig, "two")
    assert (other.namespace, other.token_file) == ("default", str(kubeconfig.parent / "token"))
    assert "KEY" not in repr(config)


def test_several_files_are_merged(kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tmp_path / "first"
    first.write_text("current-context: two\nclusters: [{name: c, cluster: {server: 'http://h'}}]\n")
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}:{kubeconfig}")
    config = Config.from_kubeconfig()
    assert (config.context, config.server, config.address) == ("two", "http://h", ("h", 80))
    assert config.ssl_context() is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not a kubeconfig"),
        ("{a: b", "is not YAML"),
        ("{}", "no current-context is set"),
        ("current-context: x", "there is no context 'x'"),
        ("{current-context: x, contexts: [{name: x, context: {cluster: y}}]}", "there is no cluster 'y'"),
    ],
)
def test_errors_name_what_is_missing(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Config.from_kubeconfig(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*absent: No such file"):
        Config.from_kubeconfig(tmp_path / "absent")


def test_broken_certificates_are_refused(kubeconfig: Path) -> None:
    with pytest.raises(ConfigError, match="certificate-authority"):
        Config.from_kubeconfig(kubeconfig).ssl_context()
