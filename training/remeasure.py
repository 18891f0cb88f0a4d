"""Registered models of a recipe, measured anew and decoded as models are now: their next versions.

Graphs and tokenizers stay, so do speeds, which are told against the other models of the run they
were timed in; of these, models that are not in the store keep the scores of that run. What compared
a student with them stays too, as far as it is about single words: answers are decoded otherwise.
"""

import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.contract.manifest import ENCODER_FILES, EVALUATION, MODEL, Manifest, Score, read_manifest
from app.contract.pipeline import Package
from training.calibrate import calibrate, calibration_of
from training.data import RoadData, decoded_now
from training.errors import StepError
from training.evaluate import (
    Engine,
    Predictions,
    Record,
    engine_of,
    further_quality,
    predict_split,
    scores_of,
)
from training.recipe import Recipe
from training.register import Draft, newest_version, read_golden_inputs, register
from training.reproducibility import commit, hardware, versions

logger = logging.getLogger(__name__)
OF_THE_PACKAGE = ("contract_version", "version", "created", "files", "trunk")
"""What `register` writes into a manifest by itself."""
MEASURED = ("head", "teacher", "quality", "loyalty", "calibration")
"""What of a manifest may be another than before."""
OF_ANSWERS = {"ner": ("span_loyalty",), "parse": ("label_loyalty",)}
"""Measures of loyalty that depend on decoding."""


@dataclass(frozen=True)
class Remeasured:
    """The newest packages of a recipe's models.

    Attributes:
        recipe: names the models, what they are measured on, and golden examples.
        data_dir: where the corpora lie.
        store: of the packages.
    """

    recipe: Recipe
    data_dir: Path
    store: Path

    def register(self) -> dict[str, str]:
        """Measure, and write a next version of each model whose newest is not that already.

        Returns:
            The newest package of each model, teachers first.

        Raises:
            StepError: none of the recipe's models is in the store, one is on a shared trunk, or a
                package could not be assembled; those before it are registered then.
            DataError: see training.data.
        """
        golden = read_golden_inputs(self.recipe.golden_path)
        made: dict[str, Path] = {}
        for name, package in self.packages.items():
            draft = self._draft(name, made)
            same = all(getattr(package.manifest, key) == draft.fields[key] for key in MEASURED)
            made[name] = package.path if same else register(draft, self.store, golden_inputs=golden)
        return {name: str(path) for name, path in made.items()}

    @cached_property
    def packages(self) -> dict[str, Package]:
        """By name."""
        homes = {name: self.store / self.recipe.task / name for name in self.recipe.models}
        newest = {name: newest_version(home) for name, home in homes.items()}
        found = {name: Package.load(path) for name, path in newest.items() if path}
        own = {n: p for n, p in found.items() if p.manifest.recipe == self.recipe.file}
        if not own:
            raise StepError(f"{self.store}: none of {', '.join(homes)} is in it by this recipe")
        if on_trunk := [name for name, package in own.items() if package.trunk_path]:
            raise StepError(f"{', '.join(on_trunk)}: on a shared trunk; run the recipe instead")
        return own

    @cached_property
    def _data(self) -> RoadData:
        return RoadData(self.recipe, self.data_dir)

    @cached_property
    def _engines(self) -> dict[str, Engine]:
        engines = {name: engine_of(package) for name, package in self.packages.items()}
        return {n: Engine(e.encoder, e.run, decoded_now(e.head)) for n, e in engines.items()}

    @cached_property
    def _found(self) -> dict[str, Predictions]:
        return {name: predict_split(e, self._data.dev) for name, e in self._engines.items()}

    @cached_property
    def _before(self) -> dict[str, Record]:
        """What eval.json said."""
        return {
            name: json.loads((package.path / EVALUATION).read_text(encoding="utf-8"))
            for name, package in self.packages.items()
        }

    @cached_property
    def _scores(self) -> dict[str, Record]:
        """What eval.json says of each model, beside its size and speed."""
        scores = {}
        for name, engine in self._engines.items():
            logger.info("%s: measured anew", name)
            taught_by = [each for each in self._teachers(name) if each in self._found]
            own: Record = scores_of(self._found, name, taught_by, self._data.dev)
            before: Record = self._before[name]["loyalty_to"]
            left = OF_ANSWERS.get(self.recipe.task, ())
            old = {
                teacher: {k: score for k, score in said.items() if k not in left}
                for teacher, said in before.items()
            }
            own["loyalty_to"] = old | own["loyalty_to"]
            own["loyalty"] = next(iter(own["loyalty_to"].values()), {})
            scores[name] = own | further_quality(engine, self._data.further_dev)
        return scores

    def _teachers(self, name: str) -> list[str]:
        """Its teachers, without the first one if that is another model than the student had."""
        student = self.recipe.students.get(name)
        return [*self._first(name), *student.teachers[1:]] if student else []

    def _first(self, name: str) -> list[str]:
        """The teacher that a student's manifest names, if the newest package is that model."""
        student = self.recipe.students.get(name)
        named = student.teachers[:1] if student else ()
        return [each for each in named if self._is_still(each, self.packages[name])]

    def _is_still(self, teacher: str, student: Package) -> bool:
        task, _, version = (student.manifest.teacher or "").partition("/")
        had = self.store / task / version.replace(":", "/")
        if teacher not in self.packages or not (had / MODEL).exists():
            return False
        return _graph(read_manifest(had)) == _graph(self.packages[teacher].manifest)

    def _draft(self, name: str, made: dict[str, Path]) -> Draft:
        package, recipe = self.packages[name], self.recipe
        manifest, scores = package.manifest, self._scores[name]
        first = next(iter(self._first(name)), None)
        teacher = f"{recipe.task}/{first}:{made[first].name}" if first else manifest.teacher
        head = self._engines[name].head
        # Rows of the run before, whose answers were decoded as models' were then.
        mark = {} if head == manifest.head else manifest.head.model_dump(include={"decoding"})
        stays = self._before[name].items()
        evaluation = {k: v for k, v in stays if k not in ("calibration", "further")} | scores
        evaluation |= {
            "dataset": recipe.dev.model_dump() | {"examples": len(self._data.dev)},
            "remeasured": {
                "command": recipe.command("remeasure"),
                "commit": commit(),
                "hardware": hardware(),
                "versions": versions(),
            },
            "compared": {
                other: row | self._scores[other] if other in self._scores else mark | row
                for other, row in self._before[name]["compared"].items()
            },
        }
        fields = manifest.model_dump(exclude={*OF_THE_PACKAGE}) | {
            "head": head,
            "teacher": teacher,
            "quality": _as_scores(scores["quality"]),
            "loyalty": _as_scores(scores["loyalty"]),
            "calibration": None,
        }
        if recipe.calibration and first:
            pair = self._engines[name], self._engines[first]
            record = calibrate(*pair, self._data.dev, recipe.calibration.target)
            evaluation["calibration"] = record
            fields["calibration"] = calibration_of(record, teacher=str(teacher), data=recipe.dev)
        return Draft(
            model=package.model_path,
            half=package.half_path,
            tokenizer=package.path / ENCODER_FILES[manifest.encoder.kind],
            fields=fields,
            evaluation=evaluation,
            data_notes=recipe.data_notes,
        )


def _graph(manifest: Manifest) -> str:
    return manifest.files[MODEL]


def _as_scores(scores: Record) -> dict[str, Score]:
    return {name: Score.model_validate(score) for name, score in scores.items()}
