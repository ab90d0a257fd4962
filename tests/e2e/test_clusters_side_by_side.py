"""Clusters made at the same time, of homes that know nothing of each other."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localcluster import LocalCluster


def test_clusters_made_at_once_have_addresses_of_their_own(tmp_path: Path) -> None:
    made = [LocalCluster(f"side-{n}", tmp_path / str(n)) for n in range(2)]
    arguments = ("--nodes", "1", "--port", "0", "--node-capacity", "cpu=1")
    try:
        with ThreadPoolExecutor(len(made)) as pool:
            list(pool.map(lambda c: c.pybctl("cluster", "create", c.name, *arguments), made))
        ranges = {json.loads((c.home / "cluster.json").read_text())["cluster_cidr"] for c in made}
        assert len(ranges) == len(made)
    finally:
        for cluster in made:
            if cluster.home.exists():
                cluster.pybctl("cluster", "delete", cluster.name)
