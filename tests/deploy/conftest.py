from pathlib import Path

import pytest

from tests.deploy.chroots import Image, build, missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What docker/serve.Dockerfile makes; minutes."""
    if reason := missing():
        pytest.skip(reason)
    return build(ROOT / "docker/serve.Dockerfile", ROOT, tmp_path_factory.mktemp("image"))
