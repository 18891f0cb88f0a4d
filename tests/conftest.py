import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests.tiny_package import build, build_all, write_aliases

# A crowded machine must not fail a test of behaviour.
hypothesis.settings.register_profile("loyal", deadline=None)
hypothesis.settings.load_profile("loyal")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def pristine_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    build(folder)
    write_aliases(folder, default="tiny")
    return folder


@pytest.fixture
def store(pristine_store: Path, tmp_path: Path) -> Path:
    """A model store with one package, `ner/tiny:1`, which is the default; free to be changed."""
    return Path(shutil.copytree(pristine_store, tmp_path / "store"))


@pytest.fixture(scope="session")
def tasks_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with `tiny`, the default, and `tiny-teacher` for each task; not to be changed.

    What its models answer follows from the tables of tests/tiny_graphs.py.
    """
    folder = tmp_path_factory.mktemp("tasks")
    build_all(folder)
    return folder


@pytest.fixture
def only(tasks_store: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a model store with the models of these tasks alone, so that others need not load."""

    def link(*tasks: str) -> Path:
        folder = tmp_path / "-".join(tasks)
        folder.mkdir()
        for task in tasks:
            (folder / task).symlink_to(tasks_store / task)
        return folder

    return link
