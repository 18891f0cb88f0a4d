"""Debian's Prometheus with the configuration of docker/, watching a service on this machine."""

import json
import math
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtests.servers import fetch, free_port, running

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "docker/prometheus/prometheus.yml"
DASHBOARD = ROOT / "docker/grafana/dashboards/loyal.json"


@dataclass(frozen=True, slots=True)
class Query:
    """One line, or several, of a panel.

    Attributes:
        panel: its title.
        expression: in PromQL.
        legend: with `{{label}}` where a label's value goes.
    """

    panel: str
    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Series of an expression now, those without a number left out."""
        found = self._get("query", query=expression)["result"]
        return [one for one in found if not math.isnan(float(one["value"][1]))]

    def query_range(
        self, expression: str, *, start: float, end: float, step_s: float
    ) -> list[dict[str, Any]]:
        """Series of an expression between two Unix times."""
        times = {"start": start, "end": end, "step": step_s}
        return list(self._get("query_range", query=expression, **times)["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Recording rules and alerts, with their health and state."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **parameters: object) -> dict[str, Any]:
        path = f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        return dict(json.loads(fetch(self.port, path))["data"])


def queries(dashboard: Path = DASHBOARD) -> list[Query]:
    """All queries of a dashboard."""
    return [
        Query(panel["title"], target["expr"], target["legendFormat"])
        for panel in json.loads(dashboard.read_bytes())["panels"]
        for target in panel["targets"]
    ]


@contextmanager
def watching(port: int, folder: Path, *, every_s: int = 1) -> Iterator[Prometheus]:
    """Prometheus with the rules and the jobs of docker/, all aimed at one port.

    Args:
        port: of a service.
        folder: gets configuration and data.
        every_s: between scrapes, and between evaluations of the rules.
    """
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    interval = f"{every_s}s"
    config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    config["rule_files"] = [str(CONFIG.parent / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    own_port = free_port()
    command = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own_port}",
    ]
    with running(command, is_ready=lambda: _is_ready(own_port), env=os.environ):
        yield Prometheus(own_port)


def _is_ready(port: int) -> bool:
    try:
        return bool(fetch(port, "/-/ready"))
    except (urllib.error.URLError, OSError):
        return False
