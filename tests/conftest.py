"""Fixtures that several kinds of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from etcd_server import EtcdServers, etcd_servers
from hypothesis import settings

# The same examples in every run, so that what fails is what was changed. Others: --hypothesis-profile=explore.
settings.register_profile("steady", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServers]:
    """One etcd server for the whole run; tests keep apart by key prefix. Skips where etcd is not installed."""
    root: Path = tmp_path_factory.mktemp("etcd")
    with etcd_servers(root) as servers:
        yield servers
