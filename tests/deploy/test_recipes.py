"""Dockerfiles and Compose: well formed, pinned, closed, and about files that exist."""

import json
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtests.prometheus import queries
from tests.deploy.conftest import ROOT
from tests.deploy.dockerfile import context_files, read_stages

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_bytes())["services"]
PINNED = r"[\w./-]+(:v?\d+\.\d+\.\d+|:[\w.-]+@sha256:[0-9a-f]{64}|:v?[\d.]+@sha256:[0-9a-f]{64})"
"""An image whose tag is one release, or whose digest stands there."""


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = Path(sysconfig.get_path("scripts"), name)
    command = [path, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compose_is_valid(path: Path) -> bool:
    schema = ("--builtin-schema", "vendor.compose-spec")
    return tool("check-jsonschema", *schema, path).returncode == 0


def test_there_are_three_recipes() -> None:
    names = [path.stem for path in DOCKERFILES]

    assert names == ["serve-gpu", "serve", "train"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_recipe_passes_the_linter(path: Path) -> None:
    result = tool("hadolint", path)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_recipe_starts_from_a_digest_and_ends_without_privileges(path: Path) -> None:
    stages = read_stages(path)
    names = {stage.name for stage in stages}

    assert {stage.base for stage in stages} - names <= {stages[0].base}
    assert re.fullmatch(PINNED, stages[0].base)
    user = stages[-1].last("USER")
    assert user
    assert user.value == "10001:10001"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_entrypoint_is_no_shell(path: Path) -> None:
    entrypoint = read_stages(path)[-1].last("ENTRYPOINT")

    assert entrypoint
    assert json.loads(entrypoint.value)[:2] == ["python", "-m"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_recipe_copies_files_that_the_context_has(path: Path) -> None:
    files = context_files(ROOT)
    sources = [
        source
        for stage in read_stages(path)
        for one in stage.instructions
        if one.name == "COPY" and "from" not in one.flags
        for source in one.arguments[:-1]
    ]

    assert sources
    assert [
        source
        for source in sources
        if not any(name == source or name.startswith(f"{source}/") for name in files)
    ] == []


def test_recipes_of_both_services_differ_only_where_the_gpu_does() -> None:
    """Whoever mends one of them mends both."""

    def steps(name: str) -> list[str]:
        stages = read_stages(ROOT / f"docker/{name}.Dockerfile")
        lock = f"{name}.lock"
        return [
            f"{stage.name} {one.name} {one.value.replace(lock, 'serve.lock')}"
            for stage in stages
            for one in stage.instructions
        ]

    different = set(steps("serve")) ^ set(steps("serve-gpu"))

    assert {line.split()[1] for line in different} == {"LABEL", "ENV", "RUN"}
    assert sum(line.split()[1] == "RUN" for line in different) == 2


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_recipe_speaks_of_training_recipes_that_exist(path: Path) -> None:
    named = re.findall(r"/opt/loyal/(training/\S+)", path.read_text())

    assert [name for name in named if not (ROOT / name).exists()] == []
    assert bool(named) == (path.stem == "train")


def test_context_has_no_model_and_no_test() -> None:
    top = {name.partition("/")[0] for name in context_files(ROOT)}

    assert top <= {"app", "training", "docker", "pyproject.toml", "constraints.txt", "LICENSE"}


def test_compose_file_fits_its_schema() -> None:
    assert compose_is_valid(COMPOSE)


def test_schema_refuses_a_misspelt_key(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_time"))

    assert not compose_is_valid(wrong)


def test_profiles_are_those_that_are_documented() -> None:
    found = {profile: [] for service in SERVICES.values() for profile in service["profiles"]}
    for name, service in SERVICES.items():
        for profile in service["profiles"]:
            found[profile].append(name)

    assert found == {
        "cpu": ["serve"],
        "gpu": ["serve-gpu"],
        "observability": ["prometheus", "grafana"],
        "load": ["locust", "locust-worker"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_closed(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["pids_limit"] > 0
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_a_pinned_image_or_a_recipe(name: str) -> None:
    service = SERVICES[name]

    if "build" in service:
        assert ROOT / service["build"]["dockerfile"] in DOCKERFILES
    else:
        assert re.fullmatch(PINNED, service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_service_mounts_what_exists(name: str) -> None:
    sources = [volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])]

    assert [one for one in sources if one.startswith("./") and not (ROOT / one).exists()] == []


def test_models_and_keys_are_mounted_read_only() -> None:
    assert SERVICES["serve"]["volumes"] == ["./model_store:/models:ro", "./docker/keys:/keys:ro"]


def test_load_comes_from_the_locust_that_is_tested() -> None:
    pinned = re.search(r"^locust==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert pinned
    assert SERVICES["locust"]["image"] == f"locustio/locust:{pinned[1]}"


def test_dashboard_is_provisioned_with_the_data_source_it_names() -> None:
    provisioning = ROOT / "docker/grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_bytes())[
        "datasources"
    ]
    [provider] = yaml.safe_load((provisioning / "dashboards/loyal.yml").read_bytes())["providers"]
    panels = json.loads((ROOT / "docker/grafana/dashboards/loyal.json").read_bytes())["panels"]
    mounts = SERVICES["grafana"]["volumes"]

    assert queries()
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    assert f"./docker/grafana/dashboards:{provider['options']['path']}:ro" in mounts
