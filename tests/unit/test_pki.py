"""The cluster's certificates: who they are for, what they survive, and that TLS accepts them."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from apiserver import kubeconfigs, pki, pki_files

NOW = datetime.now(UTC)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Both ends of a TLS handshake in memory; returns the server's."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    client_end = client.wrap_bio(to_client, to_server, server_hostname=name)
    done = set()
    for _ in range(10):
        for end in (client_end, server_end):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
        if len(done) == 2:
            return server_end
    raise AssertionError("handshake did not finish")


def _server_context(made: pki.ClusterPKI) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.serving_cert, made.serving_key)
    context.load_verify_locations(made.ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _client_context(made: pki.ClusterPKI, tmp_path: Path, credential: pki.Credential) -> ssl.SSLContext:
    (tmp_path / "c.crt").write_bytes(credential.certificate)
    (tmp_path / "c.key").write_bytes(credential.key)
    context = ssl.create_default_context(cafile=str(made.ca_file))
    context.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    return context


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1", "extra.example"]
)
def test_a_client_certificate_is_shown_to_the_server_under_every_serving_name(
    tmp_path: Path, name: str
) -> None:
    made = pki.ensure_cluster_pki(tmp_path / "pki", extra_names=("extra.example",))
    credential = pki.issue_client(made.ca, "jane", ("dev", "ops"))
    server = _handshake(_server_context(made), _client_context(made, tmp_path, credential), name)
    subject = server.getpeercert()["subject"]  # type: ignore[index]
    assert subject == (
        (("organizationName", "dev"),),
        (("organizationName", "ops"),),
        (("commonName", "jane"),),
    )


def test_a_serving_certificate_is_no_client_certificate(tmp_path: Path) -> None:
    made = pki.ensure_cluster_pki(tmp_path / "pki")
    credential = pki.issue_serving(made.ca, "system:node:x", ("x",))
    with pytest.raises(ssl.SSLError, match="unsuitable certificate purpose"):
        _handshake(_server_context(made), _client_context(made, tmp_path, credential), "localhost")


def test_nothing_good_is_made_twice(tmp_path: Path) -> None:
    first = pki.ensure_cluster_pki(tmp_path / "pki")
    kubeconfigs.ensure_kubeconfigs(first, tmp_path, "https://127.0.0.1:6443")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    again = pki.ensure_cluster_pki(tmp_path / "pki")
    kubeconfigs.ensure_kubeconfigs(again, tmp_path, "https://127.0.0.1:6443")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_private_files_are_private(tmp_path: Path) -> None:
    made = pki.ensure_cluster_pki(tmp_path / "pki")
    kubeconfigs.ensure_kubeconfigs(made, tmp_path, "https://127.0.0.1:6443")
    for path in [*tmp_path.rglob("*.key"), *tmp_path.rglob("*.conf")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_an_expiring_certificate_is_renewed_and_the_ca_stays(tmp_path: Path) -> None:
    pki.ensure_cluster_pki(tmp_path / "pki")
    ca = (tmp_path / "pki/ca.crt").read_bytes()
    serving = (tmp_path / "pki/apiserver.crt").read_bytes()
    pki.ensure_cluster_pki(tmp_path / "pki", now=NOW + pki.LEAF_LIFETIME - timedelta(days=1))
    assert (tmp_path / "pki/ca.crt").read_bytes() == ca
    assert (tmp_path / "pki/apiserver.crt").read_bytes() != serving


def test_a_new_name_or_a_lost_key_makes_a_new_serving_certificate(tmp_path: Path) -> None:
    made = pki.ensure_cluster_pki(tmp_path / "pki")
    first = made.serving_cert.read_bytes()
    pki.ensure_cluster_pki(tmp_path / "pki", extra_names=("192.0.2.7",))
    second = made.serving_cert.read_bytes()
    assert second != first
    made.serving_key.unlink()
    pki.ensure_cluster_pki(tmp_path / "pki", extra_names=("192.0.2.7",))
    assert made.serving_cert.read_bytes() != second


def test_a_kubeconfig_follows_the_server(tmp_path: Path) -> None:
    made = pki.ensure_cluster_pki(tmp_path / "pki")
    kubeconfigs.ensure_kubeconfigs(made, tmp_path, "https://127.0.0.1:1")
    kubeconfigs.ensure_kubeconfigs(made, tmp_path, "https://127.0.0.1:2")
    config = yaml.safe_load((tmp_path / "admin.conf").read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:2"
    assert config["current-context"] == config["contexts"][0]["name"]


def test_a_ca_that_lost_its_key_is_reported_not_replaced(tmp_path: Path) -> None:
    made = pki.ensure_cluster_pki(tmp_path / "pki")
    (made.directory / "ca.key").unlink()
    with pytest.raises(pki_files.PKIError, match=r"cannot load the certificate authority .*ca\.key"):
        pki.ensure_cluster_pki(tmp_path / "pki")
    assert made.ca_file.exists()


def test_a_nodes_certificate_serves_its_agent_and_is_its_user(tmp_path: Path) -> None:
    made = pki.ensure_cluster_pki(tmp_path / "pki")
    node = pki.issue_node(made.ca, "node-1")
    assert pki.is_good(node, made.ca, ("node-1", "127.0.0.1"))
    server = _handshake(_server_context(made), _client_context(made, tmp_path, node), "localhost")
    assert (("commonName", "system:node:node-1"),) in server.getpeercert()["subject"]  # type: ignore[index]


def test_a_server_has_its_files_made_by_a_child(tmp_path: Path) -> None:
    files = pki_files.prepare(tmp_path, "https://127.0.0.1:6443", extra_names=("extra.example",))
    made = pki.ensure_cluster_pki(tmp_path / "pki", extra_names=("extra.example",))
    assert files.serving_cert == made.serving_cert
    assert (
        yaml.safe_load((tmp_path / "scheduler.conf").read_text())["users"][0]["name"]
        == "system:kube-scheduler"
    )
    files.ca_file.write_text("broken")
    with pytest.raises(pki_files.PKIError, match="cannot load the certificate authority"):
        pki_files.prepare(tmp_path, "https://127.0.0.1:6443")
