import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.chroots import Image, build, missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """What docker/serve.Dockerfile makes; minutes, and a gigabyte that does not stay."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    yield build(ROOT / "docker/serve.Dockerfile", ROOT, folder)
    subprocess.run(["rm", "-r", "--one-file-system", folder], check=True)
