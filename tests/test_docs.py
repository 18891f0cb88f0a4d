"""README.md names every setting, error code and metric in a table, and none that does not exist.

Its table of models says what the packages' records say.
"""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from app.errors import CODES
from app.metrics import Metrics
from app.settings import OTHERS, PREFIX, Settings
from app.tasks import TASKS

README = Path(__file__).parent.parent / "README.md"
PACKAGES = sorted(README.parent.glob("model_store/*/*/*/manifest.json"))
SETTINGS = {PREFIX + name.upper(): field for name, field in Settings.model_fields.items()}
FILES = ("manifest.json", "eval.json")
METRICS = {
    family.name + ("_total" if family.type == "counter" else "")
    for family in Metrics().registry.collect()
    if family.name.startswith("loyal_")
}


@cache
def table_rows() -> dict[str, str]:
    """Row of each name that a table's first column shows in backticks."""
    rows: dict[str, str] = {}
    for line in README.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            first_column = line.split("|")[1]
            rows |= dict.fromkeys(re.findall(r"`(\w+)", first_column), line)
    return rows


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_setting_is_documented_with_its_default(name: str) -> None:
    assert name in table_rows()
    default = SETTINGS[name].default
    assert f"`{default}`" in table_rows()[name] or (
        not default and "| none |" in table_rows()[name]
    )


@pytest.mark.parametrize("code", sorted(CODES))
def test_error_code_is_documented_with_its_status(code: str) -> None:
    assert code in table_rows()
    assert str(CODES[code][0]) in table_rows()[code]


def test_nobody_is_told_to_install_another_package_of_our_name() -> None:
    """The project is on no index, and `loyal` on PyPI is somebody else's."""
    root = README.parent
    told = [README, *root.glob("docker/*"), *root.glob("app/**/*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in told if path.is_file()}

    assert [path for path, text in texts.items() if re.search(r"\bloyal\[\w", text)] == []


@pytest.mark.parametrize("name", sorted(METRICS))
def test_metric_is_documented(name: str) -> None:
    assert name in table_rows()


@pytest.mark.parametrize(
    ("task", "parameter"),
    [(task.name, name) for task in TASKS.values() for name in task.parameters.model_fields],
)
def test_parameter_is_documented_for_its_task(task: str, parameter: str) -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    tasks = [line.split("|")[2] for line in lines if line.startswith(f"| `{parameter}` |")]

    assert task in ", ".join(tasks).replace(" ", "").split(",")


@pytest.mark.parametrize("task", TASKS)
def test_task_is_documented(task: str) -> None:
    assert task in table_rows()


def test_nothing_is_documented_that_does_not_exist() -> None:
    prefixed = {name for name in table_rows() if name.startswith((PREFIX, PREFIX.lower()))}

    assert prefixed <= SETTINGS.keys() | OTHERS | METRICS


def test_every_metric_and_setting_that_the_text_names_exists() -> None:
    text = README.read_text(encoding="utf-8")
    named = set(re.findall(rf"\b(?:{PREFIX}|{PREFIX.lower()})\w+", text))

    assert named <= SETTINGS.keys() | OTHERS | METRICS


def test_readme_links_to_files_that_exist() -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.read_text(encoding="utf-8"))

    assert targets
    assert [target for target in targets if not (README.parent / target).exists()] == []


def test_security_promises_name_tests_that_exist() -> None:
    root = README.parent
    named = re.findall(
        r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (root / "SECURITY.md").read_text("utf-8")
    )

    assert named
    assert [
        f"{path}::{name}"
        for path, name in named
        if not (root / path).is_file() or f"def {name}" not in (root / path).read_text("utf-8")
    ] == []


def model_row(manifest: Path) -> str:
    """The row of a package in the table of models, from its manifest and its record."""
    package, record = (json.loads(manifest.with_name(n).read_text(encoding="utf-8")) for n in FILES)
    scores = [
        f"{name.replace('_', ' ')} {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
        for name, score in list(record["quality"].items())[:2]
    ]
    loyalty = next((f"{score['value']:.3f}" for score in record["loyalty"].values()), "")
    speed = record["speed"]["32"]
    cells = [
        package["task"],
        f"[{package['model']}]({manifest.with_name('README.md').relative_to(README.parent)})",
        f"{package['parameters'] / 1e6:.1f} M",
        f"{record['bytes'] / 1e6:.1f} MB",
        ", ".join(scores),
        loyalty if package["teacher"] else "",
        f"{speed['texts_per_second']:.0f} ({speed['ratio']:.1f}x)",
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("manifest", PACKAGES, ids=lambda path: "-".join(path.parts[-4:-1]))
def test_table_of_models_says_what_its_record_says(manifest: Path) -> None:
    assert model_row(manifest) in README.read_text(encoding="utf-8").splitlines()
