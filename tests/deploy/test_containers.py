"""The recipes of docker/ and docker-compose.yml as the documents use them, by podman."""

import json
import os
import re
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.prometheus import Prometheus
from loadtests.servers import free_port
from tests.app.process import EXIT_TIMEOUT_S
from tests.deploy.conftest import ENTITIES, ROOT, STORE, TEXT
from tests.deploy.podman import BUILD_TIMEOUT_S, Podman

HARDENED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
HARDENED += ["--security-opt", "no-new-privileges", "--stop-timeout", "35"]
"""Of `docker run` in docker/serve.Dockerfile."""
PORTS = {"loyal": 8000, "prometheus": 9090, "locust": 8089}
PROFILES = ("cpu", "observability", "load")
COMPOSED = ("serve", "prometheus", "locust", "locust-worker")
"""What these profiles start, less Grafana, which only a registry has."""
WITHOUT_REGISTRY = ROOT / "tests/deploy/without_registry.yml"

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]


@pytest.fixture(scope="module")
def serve(engine: Podman) -> str:
    engine.build(ROOT / "docker/serve.Dockerfile", ROOT, "loyal")
    return "loyal"


@contextmanager
def container(engine: Podman, *arguments: object) -> Iterator[str]:
    """A container in the background; its name."""
    name = engine.call("run", "--detach", *HARDENED, *arguments)
    try:
        yield name
    finally:
        engine.run("rm", "--force", "--time", "0", name)


def refused_start(engine: Podman, *arguments: object) -> tuple[int, str]:
    """Exit code, and the service's only line on standard error, of a start that fails."""
    with container(engine, *arguments) as name:
        code = int(engine.call("wait", name))
        [line] = engine.run("logs", name).stderr.splitlines()
    return code, line


def eventually(answer: Callable[[], bool]) -> bool:
    """Whether it becomes true in time; a server that does not answer yet says no."""
    until = time.monotonic() + EXIT_TIMEOUT_S
    while time.monotonic() < until:
        with suppress(httpx.HTTPError, OSError):
            if answer():
                return True
        time.sleep(0.2)
    return False


def entities(port: int) -> list[tuple[str, str]]:
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/ner", json={"inputs": TEXT}, timeout=30)
    return [(one["entity_group"], one["word"]) for one in answer.raise_for_status().json()]


def test_container_serves_as_the_recipe_says_and_ends_when_told(engine: Podman, serve: str) -> None:
    port = free_port()
    store, published = f"{STORE}:/models:ro", f"127.0.0.1:{port}:8000"
    with container(engine, "--volume", store, "--publish", published, serve) as name:
        healthy = eventually(lambda: engine.run("healthcheck", "run", name).returncode == 0)
        found = entities(port)
        engine.call("stop", name)
        state = json.loads(engine.call("inspect", name))[0]["State"]

    assert healthy
    assert found == ENTITIES
    assert state["ExitCode"] == 0


def test_recipes_name_the_options_that_are_tested_here() -> None:
    for recipe in ("serve", "serve-gpu"):
        text = (ROOT / f"docker/{recipe}.Dockerfile").read_text(encoding="utf-8")
        assert " ".join(HARDENED) in " ".join(text.split())


def test_image_is_as_large_as_documented(engine: Podman, serve: str) -> None:
    assert engine.size_bytes(serve) / 1e6 == pytest.approx(documented_mb("serve"), rel=0.05)


def documented_mb(recipe: str) -> float:
    """Size of an image in docker/README.md."""
    text = (ROOT / "docker/README.md").read_text(encoding="utf-8")
    [(number, unit)] = re.findall(rf"\| `{recipe}\.Dockerfile` .*\| ([\d.]+) (MB|GB) \|", text)
    return float(number) * {"MB": 1, "GB": 1000}[unit]


def test_container_without_a_store_ends_with_one_line(engine: Podman, serve: str) -> None:
    code, line = refused_start(engine, serve)

    assert code == 1
    assert "model store /models has no package <task>/<model>/<version>" in line


def test_container_with_a_misspelt_setting_ends_with_one_line(engine: Podman, serve: str) -> None:
    code, line = refused_start(engine, "--env", "LOYAL_PROT=8000", serve)

    assert code == 2
    assert "LOYAL_PROT is not a setting" in line


@pytest.fixture(scope="module")
def composed(
    engine: Podman, serve: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Service -> what podman says of its container."""
    if taken := [port for port in PORTS.values() if is_taken(port)]:
        pytest.skip(f"ports {taken} of 127.0.0.1, which docker-compose.yml has, are in use")
    checkout = tmp_path_factory.mktemp("checkout")
    check_out(checkout)
    profiles = [part for name in PROFILES for part in ("--profile", name)]
    build = ["--podman-build-args", " ".join(engine.build_arguments)]
    try:
        compose(engine, checkout, *build, *profiles, "up", "--build", "--detach", *COMPOSED)
        names = {name: f"loyal_{name}_1" for name in COMPOSED}
        yield {s: json.loads(engine.call("inspect", name))[0] for s, name in names.items()}
    finally:
        compose(engine, checkout, *profiles, "down", "--volumes")


def check_out(folder: Path) -> None:
    """What Compose needs of a fresh clone: none of the settings and keys that lie about here."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in found.stdout.splitlines():
        if not name.startswith(("model_store/", "tests/", "training/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "model_store").symlink_to(STORE)


def compose(engine: Podman, folder: Path, *arguments: str) -> None:
    tool = Path(sysconfig.get_path("scripts"), "podman-compose")
    files = ["--file", "docker-compose.yml", "--file", str(WITHOUT_REGISTRY)]
    done = subprocess.run(
        [tool, *files, *arguments],
        cwd=folder,
        env={k: v for k, v in engine.environment.items() if k != "LOCUSTFILE"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.usefixtures("composed")
def test_composed_service_answers() -> None:
    assert eventually(lambda: entities(PORTS["loyal"]) == ENTITIES)


@pytest.mark.parametrize("service", COMPOSED)
def test_composed_container_has_no_privileges(composed: dict[str, Any], service: str) -> None:
    host = composed[service]["HostConfig"]

    assert host["ReadonlyRootfs"] is True
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert composed[service]["EffectiveCaps"] in (None, [])
    assert host["LogConfig"]["Size"] == "10MB"
    assert composed[service]["Config"]["User"] not in ("", "root", "0")


@pytest.mark.usefixtures("composed")
def test_composed_prometheus_finds_the_service_by_its_name() -> None:
    prometheus = Prometheus(PORTS["prometheus"])

    assert eventually(lambda: bool(prometheus.query('up{job="loyal"} == 1')))
    assert {rule["health"] for rule in prometheus.rules()} <= {"ok", "unknown"}


@pytest.mark.usefixtures("composed")
def test_composed_locust_loads_the_service() -> None:
    url = f"http://127.0.0.1:{PORTS['locust']}"
    form = {"user_count": 2, "spawn_rate": 2, "host": "http://loyal:8000"}

    def figures() -> dict[str, Any]:
        return dict(httpx.get(f"{url}/stats/requests", timeout=10).raise_for_status().json())

    assert eventually(lambda: len(figures()["workers"]) == 1)
    httpx.post(f"{url}/swarm", data=form, timeout=10).raise_for_status()
    loaded = eventually(lambda: figures()["stats"][-1]["num_requests"] > 0)
    found = figures()
    httpx.get(f"{url}/stop", timeout=10)

    assert loaded
    assert found["errors"] == []


@pytest.mark.images
def test_gpu_image_builds_and_says_what_is_missing_without_a_gpu(engine: Podman) -> None:
    engine.build(ROOT / "docker/serve-gpu.Dockerfile", ROOT, "loyal-gpu")
    size = engine.size_bytes("loyal-gpu") / 1e6
    code, line = refused_start(engine, "--volume", f"{STORE}:/models:ro", "loyal-gpu")

    print(f"serve-gpu: {size:.0f} MB")  # noqa: T201 - for docker/README.md
    assert code == 1
    assert "LOYAL_PROVIDER is cuda, but no NVIDIA driver is here" in line
    assert size == pytest.approx(documented_mb("serve-gpu"), rel=0.05)


@pytest.mark.images
def test_training_image_builds_and_walks_a_recipe(engine: Podman, tmp_path: Path) -> None:
    """Its size is that of torch, whose CPU build has a tenth of the other's bytes."""
    engine.build(ROOT / "docker/train.Dockerfile", ROOT, "loyal-train")
    results = tmp_path / "results"
    results.mkdir()
    os.chmod(results, 0o777)
    recipe = "/opt/loyal/training/recipes/paper/sts-paper-ro.yaml"
    small = ["--steps", "1", "--width", "24", "--vocabulary", "300"]
    volume = ["--volume", f"{results}:/results"]
    walk = ["run", "--rm", *volume, "loyal-train", "smoke", recipe, *small]
    done = engine.run(*walk, timeout_s=BUILD_TIMEOUT_S)

    print(f"train: {engine.size_bytes('loyal-train') / 1e6:.0f} MB")  # noqa: T201 - likewise
    assert done.returncode == 0, done.stderr[-3000:]
