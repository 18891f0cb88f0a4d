import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import chroots, podman
from tests.deploy.chroots import Image, build
from tests.deploy.podman import BASE, Podman

ROOT = Path(__file__).parents[2]
STORE = ROOT / "model_store"
TEXT = "Maia Sandu e la Chișinău."
ENTITIES = [("PERSON", "Maia Sandu"), ("GPE", "Chișinău")]
"""What the default model of the store finds in it."""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """What docker/serve.Dockerfile makes; minutes, and a gigabyte that does not stay."""
    if reason := chroots.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    yield build(ROOT / "docker/serve.Dockerfile", ROOT, folder)
    subprocess.run(["rm", "-r", "--one-file-system", folder], check=True)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Podman with Debian as its only image."""
    if reason := chroots.missing() or podman.missing():
        pytest.skip(reason)
    own = Podman.within(tmp_path_factory.mktemp("podman"))
    try:
        probe = own.run("run", "--rm", BASE, "true")
        if probe.returncode != 0:
            pytest.skip(f"no container runs on this machine: {probe.stderr.strip()}")
        yield own
    finally:
        own.remove()
