import gc
import shutil
from pathlib import Path

import pytest

from app.contract.errors import PackageError
from app.contract.manifest import ADAPTERS, GOLDEN, MANIFEST, MODEL, TRUNKS
from app.loading import Shared, load_package
from app.settings import Settings
from app.trunks import AdaptedSession
from tests.app.harness import serving
from tests.tiny_package import build, edit_json, reseal, write_aliases
from tests.tiny_trunks import build_on_trunk

TEXT = "Maria Ionescu merge la București."


@pytest.fixture
def packages(tmp_path: Path) -> list[Path]:
    """Two tasks, three packages, one trunk."""
    return [
        build_on_trunk(tmp_path, adapter=2.0),
        build_on_trunk(tmp_path, adapter=-3.0, model="other"),
        build_on_trunk(tmp_path, adapter=0.5, task="dialect"),
    ]


def load(package: Path, shared: Shared) -> AdaptedSession:
    settings = Settings.model_validate({"model_store": package.parents[2]})
    _, engine = load_package(package, settings, threads=1, shared=shared)
    assert isinstance(engine.session, AdaptedSession)
    return engine.session


@pytest.mark.anyio
async def test_packages_on_a_trunk_answer_as_packages_of_their_own(
    tmp_path: Path, packages: list[Path]
) -> None:
    for task, text in (("ner", TEXT), ("dialect", "oleacă")):
        write_aliases(tmp_path, task=task, default="tiny")
        build(tmp_path / "own", task=task)
        write_aliases(tmp_path / "own", task=task, default="tiny")
        async with serving(tmp_path / "own") as api:
            expected = (await api.ask(task, text)).json()
        async with serving(tmp_path) as api:
            models = ["tiny", "other"] if task == "ner" else ["tiny"]
            answers = [(await api.ask(task, text, model=model)).json() for model in models]

        assert answers == [expected] * len(models)


def test_a_trunk_is_loaded_once_and_leaves_with_its_last_model(packages: list[Path]) -> None:
    shared = Shared()

    first, second, third = (load(package, shared) for package in packages)

    assert first.trunk is second.trunk is third.trunk
    assert len(list((packages[0].parents[2] / TRUNKS).iterdir())) == 1
    del first, second
    gc.collect()
    assert load(packages[0], shared).trunk is third.trunk
    del third
    gc.collect()
    assert not shared.trunks.in_use


def test_equal_tokenizers_are_in_memory_once(packages: list[Path]) -> None:
    settings = Settings.model_validate({"model_store": packages[0].parents[2]})
    shared = Shared()

    (first, _), (second, _), (third, _) = (
        load_package(package, settings, threads=1, shared=shared) for package in packages
    )

    assert first.encoder is second.encoder is third.encoder


def test_a_package_of_another_trunk_is_refused(packages: list[Path]) -> None:
    trunk = next((packages[0].parents[2] / TRUNKS).iterdir())
    shutil.copyfile(packages[0] / MODEL, trunk)

    with pytest.raises(PackageError, match="does not match its name, which is its sha256"):
        load(packages[0], Shared())


def test_a_missing_trunk_is_named(packages: list[Path]) -> None:
    edit_json(packages[0] / MANIFEST, trunk="0" * 64)

    with pytest.raises(PackageError, match=r"its trunk trunks/0+\.onnx is missing"):
        load(packages[0], Shared())


def test_a_package_without_its_adapters_is_refused(packages: list[Path]) -> None:
    (packages[0] / ADAPTERS).unlink()
    files = {name: "0" * 64 for name in (MODEL, GOLDEN)}
    edit_json(packages[0] / MANIFEST, files=files | {"tokenizer.json": "0" * 64})
    reseal(packages[0])

    with pytest.raises(PackageError, match=r"it names a trunk and has no adapters\.onnx"):
        load(packages[0], Shared())


def test_adapters_of_another_package_fail_the_golden_examples(packages: list[Path]) -> None:
    shutil.copyfile(packages[1] / ADAPTERS, packages[0] / ADAPTERS)
    reseal(packages[0])

    with pytest.raises(PackageError, match="golden"):
        load(packages[0], Shared())
