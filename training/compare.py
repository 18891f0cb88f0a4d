"""Teachers and students of every task side by side, from the records of registered packages.

A record (`eval.json`) holds every model of its run, in fp32 and as served, measured on one split
and timed in turn on one machine. So a run is the unit of comparison: packages of one run share a
table, and speed is told against the first teacher of the same run.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.contract.errors import ContractError
from app.contract.manifest import EVALUATION, MANIFEST, Manifest, read_manifest
from training.errors import StepError
from training.evaluate import Record

FP32 = "-fp32"
MEASURED = ("bytes", "quality", "speed")
"""What two records of one measurement have in common."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model in one precision.

    Attributes:
        name: `<task>/<model>:<version>` of a package, else the model's name in the recipe.
        kind: teachers teach, students are taught.
        weights: as stored.
        parameters: None in records that do not say.
        bytes: of the graph.
        quality: measure -> score: value, low, high, n.
        loyalty: teacher -> measure -> score; a teacher in fp32 is loyal to itself as served.
        speed: batch size -> texts_per_second, milliseconds, ratio to the run's first row.
    """

    name: str
    kind: str
    weights: str
    parameters: int | None
    bytes: int
    quality: Record
    loyalty: dict[str, Record]
    speed: Record


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured together.

    Attributes:
        task: of all its models.
        dataset: corpus, split and size.
        hardware: that it ran on.
        commit: of the code.
        rows: in the order they were measured, the first teacher's fp32 first.
    """

    task: str
    dataset: Record
    hardware: str
    commit: str
    rows: list[Row]


def newest_packages(store: Path) -> list[Path]:
    """The newest version of every model of a store, by task and name."""
    newest: dict[Path, int] = {}
    for manifest in store.glob(f"*/*/*/{MANIFEST}"):
        home, version = manifest.parent.parent, manifest.parent.name
        if version.isdigit():
            newest[home] = max(newest.get(home, 0), int(version))
    return [home / str(version) for home, version in sorted(newest.items())]


def compare(packages: Sequence[Path]) -> list[Run]:
    """The runs that packages come from, by task; a run has all its models, registered or not.

    Raises:
        StepError: a folder is not a package.
    """
    together: dict[str, list[tuple[Manifest, Record]]] = {}
    for package in packages:
        manifest, evaluation = _read(package)
        engines = _engines(manifest, evaluation)
        same_run = json.dumps([manifest.task, engines], sort_keys=True)
        together.setdefault(same_run, []).append((manifest, evaluation))
    return sorted((_run(members) for members in together.values()), key=lambda run: run.task)


def _read(package: Path) -> tuple[Manifest, Record]:
    try:
        manifest = read_manifest(package)
        return manifest, json.loads((package / EVALUATION).read_text(encoding="utf-8"))
    except (ContractError, OSError, ValueError) as error:
        raise StepError(f"{package}: {error}") from error


def _engines(manifest: Manifest, evaluation: Record) -> Record:
    """Every model of a record; a record of one model has that one."""
    own = {key: evaluation[key] for key in (*MEASURED, "loyalty")}
    return evaluation.get("compared") or {manifest.model: own}


def _run(members: Sequence[tuple[Manifest, Record]]) -> Run:
    first, evaluation = members[0]
    engines = _engines(first, evaluation)
    # A package may have another name than the model that it was measured as.
    registered = {
        name: manifest
        for manifest, own in members
        for name, engine in engines.items()
        if all(engine[key] == own[key] for key in MEASURED)
    }
    return Run(
        first.task,
        evaluation["dataset"],
        evaluation["hardware"],
        evaluation["commit"],
        [_row(name, engine, engines, registered) for name, engine in engines.items()],
    )


def _row(name: str, engine: Record, engines: Record, registered: dict[str, Manifest]) -> Row:
    model = name.removesuffix(FP32)
    is_teacher = not engines.get(model, engine)["loyalty"]
    package = registered.get(model)
    if name.endswith(FP32):
        weights, shown = "fp32", f"{package.model}{FP32}" if package else name
    else:
        weights = package.weights if package else "int8"
        shown = package.name if package else name
    if "decoding" in engine:  # since then the others of the run were measured anew
        shown += f" ({engine['decoding']})"
    return Row(
        name=shown,
        kind="teacher" if is_teacher else "student",
        weights=weights,
        parameters=engine.get("parameters", package and package.parameters),
        bytes=engine["bytes"],
        quality=engine["quality"],
        loyalty={
            registered[teacher].name if teacher in registered else teacher: scores
            for teacher, scores in _loyalties(engine, engines).items()
        },
        speed=engine["speed"],
    )


def _loyalties(engine: Record, engines: Record) -> dict[str, Record]:
    """To each teacher; records that do not name them mean the run's first."""
    if "loyalty_to" in engine or not engine["loyalty"]:
        return engine.get("loyalty_to", {})
    first = next((name for name, other in engines.items() if not other["loyalty"]), "teacher")
    return {first: engine["loyalty"]}
