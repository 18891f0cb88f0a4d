"""Prometheus itself, watching a live service: the dashboard has data, the alerts fire."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.contract.manifest import MANIFEST
from app.metrics import Metrics
from app.tasks import TASKS
from loadtests.dashboard import draw
from loadtests.prometheus import CONFIG, Prometheus, Query, queries, watching
from tests.app.process import EXIT_TIMEOUT_S, Process, running
from tests.app.task_inputs import given
from tests.tiny_package import break_golden, build, build_all, edit_json
from tests.tiny_pairs import calibrate

TEXT = "Maria Ionescu merge la București."

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.deploy,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs prometheus and promtool; Debian's package prometheus has them",
    ),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """All tasks, a cascade, live loyalty, and a model that cannot serve."""
    store = tmp_path_factory.mktemp("store")
    build_all(store)
    calibrate(store / "ner/tiny/1", threshold=0.9)
    known = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 10}
    edit_json(store / "ner/tiny/1" / MANIFEST, loyalty={"label_loyalty": known})
    break_golden(build(store, model="faulty"))
    with running(store, shadow_share=1) as process:
        process.wait_until_loaded()
        yield process


@pytest.fixture(scope="module")
def prometheus(service: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    port = httpx.URL(service.url).port
    assert port
    with watching(port, tmp_path_factory.mktemp("prometheus")) as watcher:
        yield watcher


@pytest.fixture(scope="module")
def without_data(service: Process, prometheus: Prometheus) -> list[Query]:
    """Queries that still have no number after as much traffic as it takes, or two minutes."""
    missing = queries()
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    while missing and time.monotonic() < deadline:
        send_one_of_each(service.url)
        missing = [one for one in missing if not prometheus.query(one.expression)]
    return missing


def send_one_of_each(url: str) -> None:
    with httpx.Client(base_url=url, timeout=EXIT_TIMEOUT_S) as client:
        for task in TASKS:
            client.post(f"/v1/{task}", json={"inputs": given(task, TEXT)}).raise_for_status()
        ner = {"inputs": TEXT}
        client.post("/v1/ner", json=ner | {"model": "cascade"}).raise_for_status()
        auto = {"X-SLO-Ms": "1000"}
        client.post("/v1/ner", json=ner | {"model": "auto"}, headers=auto).raise_for_status()
        assert client.post("/v1/ner", json={"inputs": "a" * 20_001}).status_code == 422


def test_every_query_of_the_dashboard_returns_data(without_data: list[Query]) -> None:
    assert queries()
    assert without_data == []


@pytest.mark.usefixtures("without_data")
def test_every_rule_evaluates(prometheus: Prometheus) -> None:
    rules = prometheus.rules()

    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    assert sum(rule["type"] == "alerting" for rule in rules) == 7


@pytest.mark.usefixtures("without_data")
def test_faulty_model_raises_its_alert_and_sound_models_do_not(prometheus: Prometheus) -> None:
    models = [
        alert["labels"]["model"]
        for rule in prometheus.rules()
        if rule["name"] == "LoyalModelOutOfService"
        for alert in rule["alerts"]
    ]

    assert models == ["faulty"]


@pytest.mark.usefixtures("without_data")
def test_dashboard_is_drawn_with_every_panel(prometheus: Prometheus, tmp_path: Path) -> None:
    now = time.time()

    empty = draw(prometheus, tmp_path / "dashboard.png", start=now - 30, end=now, step_s=1)

    assert empty == []
    assert (tmp_path / "dashboard.png").read_bytes().startswith(b"\x89PNG")


def test_rules_and_configuration_are_valid() -> None:
    promtool("check", "config", CONFIG)


def test_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", CONFIG.parent / "alerts_test.yml")


def test_rules_and_dashboard_name_only_metrics_that_exist() -> None:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    families = list(Metrics().registry.collect())
    known = {one.name + end for one in families for end in suffixes.get(one.type, [""])}
    rules = (CONFIG.parent / "alerts.yml").read_text(encoding="utf-8")
    text = "\n".join([*(one.expression for one in queries()), rules])

    assert set(re.findall(r"\bloyal_\w+", text)) <= known


def promtool(*arguments: object) -> None:
    result = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
