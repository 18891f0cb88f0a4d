"""The rules of the house that no single module can check: import direction, size, no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("app", "training", "loadtests", "tests")
SOURCE_FILES = sorted(
    path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
)
APP_FILES = [path for path in SOURCE_FILES if path.parts[0] == "app"]
CONTRACT_FILES = [path for path in APP_FILES if path.parts[1] == "contract"]

# The first prefix that fits a file decides.
FIRST_PARTY = {
    "app/contract/": ("app.contract",),
    "app/": ("app",),
    "training/": ("training", "app.contract"),
    "loadtests/bench_encode.py": ("loadtests", "app.contract"),
    "loadtests/bench_trunks.py": ("loadtests", "app"),
    "loadtests/": ("loadtests",),
}
CONTRACT_LIBRARIES = {"numpy", "tokenizers", "pydantic"}
TRAINING_LIBRARIES = ("torch", "transformers", "optimum")
MAX_LINES = 400


def imported_modules(path: Path) -> set[str]:
    """Absolute names; `from a import b` counts as `a.b` where b is a module, else as `a`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            for alias in node.names:
                name = f"{module}.{alias.name}"
                names.add(name if is_own_module(name) else module)
    return names


def is_own_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", [p for p in SOURCE_FILES if p.parts[0] != "tests"], ids=str)
def test_first_party_imports_point_inwards(path: Path) -> None:
    allowed = next(v for prefix, v in FIRST_PARTY.items() if path.as_posix().startswith(prefix))
    first_party = {name for name in imported_modules(path) if name.split(".")[0] in FOLDERS}

    outside = {n for n in first_party if not any(is_inside(n, package) for package in allowed)}

    assert not outside


@pytest.mark.parametrize("path", CONTRACT_FILES, ids=str)
def test_contract_imports_little(path: Path) -> None:
    top_level = {name.split(".")[0] for name in imported_modules(path)}

    assert top_level <= sys.stdlib_module_names | CONTRACT_LIBRARIES | {"app"}


@pytest.mark.parametrize("path", APP_FILES, ids=str)
def test_only_one_module_imports_onnxruntime(path: Path) -> None:
    top_level = {name.split(".")[0] for name in imported_modules(path)}

    assert "onnxruntime" not in top_level or path == Path("app/engine.py")


@pytest.mark.parametrize("path", SOURCE_FILES, ids=str)
def test_file_is_short_enough_to_read(path: Path) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()

    assert len(lines) <= MAX_LINES


def test_service_imports_without_the_training_libraries() -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({TRAINING_LIBRARIES!r})); "

    start = subprocess.run(
        [sys.executable, "-c", blocked + "import app.main"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert start.returncode == 0, start.stderr


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_no_link_is_tracked() -> None:
    """A link with the name of an environment would replace it wherever the commit is merged."""
    listed = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert not [line for line in listed.stdout.splitlines() if line.startswith("120000")]
